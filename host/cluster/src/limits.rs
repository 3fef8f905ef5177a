//! Every bound of this crate, with the arithmetic that ties them.

use std::time::Duration;

/// Most bytes of a frame. A peer that announces more is cut off before anything is stored.
pub const FRAME_BYTES_MAX: usize = 1 << 20 | 1 << 12;

/// Most bytes of a datagram of gossip. Below what QUIC guarantees on any path (1200 bytes less its own headers).
pub const GOSSIP_BYTES_MAX: usize = 1100;

/// Frames that wait to be written to one peer. One more is refused: the sender waits, or keeps it.
pub const SEND_QUEUE_FRAMES: usize = 256;

/// Events that wait to be taken. When they are not, links stop reading, and QUIC's flow control stops the peers.
pub const EVENT_QUEUE: usize = 1024;

/// Bytes that a peer may have on its way to us before we have read them: several of the largest frames.
pub const RECEIVE_WINDOW_BYTES: u32 = 8 << 20;

/// Connections that are being made or checked at the same time. Further ones are refused until one of these is done.
pub const HANDSHAKES_MAX: usize = 64;

/// How long a connection may take to say who it is.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that is refused, or a link that ends, may take to deliver what was said last.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// A connection without a sign of life for so long is closed. Three keep-alives fit in.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an idle connection shows that it is there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// Waits between two attempts to connect: the first, and the longest.
pub const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// See [`BACK_OFF_FIRST`].
pub const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// How often the files of a node's certificates are looked at. They are read when two looks have found the same.
pub const CERTIFICATES_LOOK: Duration = Duration::from_millis(500);

/// Refusals that are remembered for whoever asks, newest last; and how many are told within [`REFUSAL_AGAIN`].
pub const REFUSALS_KEPT: usize = 32;

/// A refusal that is like one before it is not told again for so long.
pub const REFUSAL_AGAIN: Duration = Duration::from_secs(60);

/// How far two wall clocks may be apart. Leases run on clocks of their own; this is for certificates, logs and people.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

/// How often a node says that it is there, and which membership it has.
pub const BEAT: Duration = Duration::from_millis(500);

/// Peers that are told so at each beat. In a larger cluster they take turns.
pub const BEACONS_PER_BEAT_MAX: usize = 32;

/// A member that foca has given up is suspected when [`gc_protocol::phi`] is at least this: one false alarm in a hundred million, by its rhythm.
pub const SUSPECT_PHI: f64 = 8.0;

/// A suspected member of which this node hears again at its usual rhythm is not suspected any more.
pub const RECOVER_PHI: f64 = 1.0;

/// Bytes of one page of a membership. Beside it a datagram has room for foca's own header.
pub const PAGE_BYTES_MAX: usize = 700;

/// Most bytes that one member takes in a page: numbers, an address, a name.
pub const PAGE_ENTRY_BYTES_MAX: usize = 5 + 3 * 10 + 24 + 2 + 64;

/// Most pages of a membership.
pub const PAGES_MAX: usize = 512;

/// Pages that are sent as the answer to one question.
pub const PAGES_PER_ANSWER: usize = 32;

/// Identities that the failure detector keeps. Members, and those who have left; beyond that a peer names nodes that there are not.
pub const IDENTITIES_MAX: usize = 4 * gc_protocol::limits::NODES_MAX;

/// How long the seat decides nothing because somebody says that there is a later membership than the seat's. Whoever says so has that long, once, to show it.
pub const CLAIM_STANDS: Duration = Duration::from_secs(10);

/// Questions of operators that wait for the seat.
pub const ASKS_MAX: usize = 64;

/// How long a question is asked before it is given up.
pub const ASK_FOR: Duration = Duration::from_secs(10);

/// How long a proposal stands before it is withdrawn. Longer than the time by which homes differ about when a lease lapsed.
pub const PROPOSAL_STANDS: Duration = Duration::from_secs(3);

/// Past memberships that are kept for judging proposals. Who may believe in an older one is exiled by people only.
pub const HISTORY_MAX: usize = 64;

const _: () = assert!(PAGES_MAX * (PAGE_BYTES_MAX / PAGE_ENTRY_BYTES_MAX) >= gc_protocol::limits::NODES_MAX);
// Pages are asked for at each beat.
const _: () = assert!((PAGES_MAX / PAGES_PER_ANSWER) as u128 * BEAT.as_millis() <= CLAIM_STANDS.as_millis());
const _: () = assert!(PAGE_BYTES_MAX + 256 <= GOSSIP_BYTES_MAX);
const _: () = assert!(RECEIVE_WINDOW_BYTES as usize >= 4 * FRAME_BYTES_MAX);
const _: () = assert!(KEEP_ALIVE.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
