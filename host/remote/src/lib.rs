//! One heap and one node of the protocol, joined: what other nodes hold stays, what is held here of other nodes is known there.
//!
//! ```text
//!                     ┌──────────────────── Member ───────────────────┐
//!  events ──────────▶ │  gc_protocol::Node        gc_heap::Heap        │ ──▶ frames, deliveries, memberships
//!  (the driver)       │        │  Root, Deliver ───▶ hold, import      │     (outward)
//!                     │        │  ◀── StubsDropped ─ freed stubs       │
//!                     └────────┼──────────────────────────────────────┘
//!                              ▼ Shade, DecideCycle, Sweep
//!                            Desk ◀──────▶ Seat, in the hands of the collector thread
//! ```
//!
//! Modules in reading order; each imports only what stands above it. Start with [`member`].
//!
//! Architecture invariant: this crate has no clock, no threads of its own, no IO and no async runtime, so that a simulator can drive it.

#![forbid(unsafe_code)]

pub mod limits;
mod names;

mod arrival;

pub mod desk;
pub mod member;

pub use arrival::{Arrival, Delivery, Lost};
pub use desk::{Desk, Seat};
pub use member::{Member, NotJoined, Outward, Standing};
pub use names::{handle_of, reference_of};
