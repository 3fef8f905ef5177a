//! Every bound of this crate.

use std::time::Duration;

/// How long a collector that has nothing left to mark waits for word from other nodes before it looks at its own mutators again. Word that comes ends the wait.
pub const REST: Duration = Duration::from_millis(5);

/// How long a collector whose verdict is out waits before it looks whether its heap has become full meanwhile.
pub const OUTCOME_LOOK: Duration = Duration::from_millis(20);

/// Bytes that must be free in a heap for a reference that arrives to be made a stub: what two mutators may have taken and not counted.
pub const STUB_ROOM_BYTES: u64 = 128 * 1024;
