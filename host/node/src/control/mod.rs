//! The control socket: how `host swap`, `host status`, `host why` and `host collect` reach a running node.
//!
//! A Unix socket that only its owner may use: the folder is 0700, the socket 0600, and the kernel is asked for the peer's user on every connection.
//! One line of JSON asks, one line answers; both carry the version of the protocol.
//!
//! ```text
//! {"version":1,"request":"status","journal":20}
//! {"version":1,"ok":{"status":{…}}}
//! {"version":1,"error":{"kind":"swap-failed","message":"…"}}
//! ```

mod client;
mod place;
mod protocol;
mod server;

pub use client::{Client, ControlError};
pub use place::{PlaceError, default_socket};
pub use protocol::{Answer, Failure, PROTOCOL_VERSION, Request, WhyRecord};
pub(crate) use server::{Controlled, ServeError, Server};
