//! Who is in the cluster, in which life, and where: how a node comes in, goes, and is given up.
//!
//! ```text
//!  links, gossip      ┌─────────┐  who seems to be there   ┌─────────┐  MembershipChanged, Suspected,
//!  ─────────────────▶ │  foca   │ ────────────────────────▶│ Members │  Recovered, ExileDeclined
//!                     └─────────┘                          │         │ ───────────────────────────────▶ node
//!  seat or etcd ──────────────────────────────────────────▶│         │ ◀─────────────────────────────── propose_exile,
//!                      who is a member                     └─────────┘                                  exile, leave
//! ```
//!
//! # How to drive it
//!
//! ```text
//! let mut members = Members::start(config, transport.clone())?;      // on a tokio runtime
//! loop {
//!     tokio::select! {
//!         Some(event) = events.recv() => { members.handle(&event); /* then the frames, for the protocol */ }
//!         notice = members.next() => { /* cancel-safe; runs timers; feed the notice to the protocol */ }
//!     }
//! }
//! members.propose_exile(client, epoch);        // on Effect::ProposeExile
//! members.ask_again();                         // on Effect::Close for reasons of membership
//! let answer: Answer = members.exile("n3");    // an operator's word; await it elsewhere, while the loop goes on
//! let answer: Answer = members.leave();
//! let status: MembersStatus = members.status();
//! ```
//!
//! Links to all members are kept by this module ([`Transport::join`](crate::Transport::join)).

mod config;
mod notice;
mod status;

pub use config::{Decides, MembersConfig, MembersError};
pub use notice::{Answer, ChangeRefused, Notice};
pub use status::{MemberStatus, MembersCounters, MembersStatus};
