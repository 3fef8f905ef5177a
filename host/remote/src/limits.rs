//! Every bound of this crate.

use std::time::Duration;

/// How long a collector that has nothing left to mark waits for word from other nodes before it looks at its own mutators again. Word that comes ends the wait.
pub const REST: Duration = Duration::from_millis(5);

/// How long a collector whose verdict is out waits before it looks whether its heap has become full meanwhile.
pub const OUTCOME_LOOK: Duration = Duration::from_millis(20);

/// Freed stubs that a member tells its node of in one turn: a few milliseconds' work, far below any lease.
pub const DROPS_PER_POLL: usize = 4096;
