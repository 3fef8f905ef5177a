//! Every bound of this crate.

use std::time::Duration;

use gc_protocol::Nanos;
use gc_protocol::limits::MILLISECOND;

/// How long a collector that has nothing left to mark waits for word from other nodes before it looks at its own mutators again. Word that comes ends the wait.
pub const REST: Duration = Duration::from_millis(5);

/// How long a collector whose verdict is out waits before it looks whether its heap has become full meanwhile.
pub const OUTCOME_LOOK: Duration = Duration::from_millis(20);

/// How long a member whose heap is full waits before it looks whether there is room, if nobody tells it: a collector does after each cycle.
pub const ROOM_LOOK: Nanos = 10 * MILLISECOND;

/// Deliveries that wait for room in the heap. What is more is delivered without what there is no room for, and all that waited before it.
pub const WAITING_MAX: usize = 8192;

/// Bytes of those deliveries: 128 of the largest.
pub const WAITING_BYTES_MAX: usize = 64 << 20;

/// Freed stubs that a member tells its node of in one turn: a few milliseconds' work, far below any lease.
pub const DROPS_PER_POLL: usize = 4096;
