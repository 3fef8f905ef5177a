//! Every bound of this crate, with the arithmetic that ties them.

use crate::ids::Nanos;

/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// Most nodes of a cluster. Tables with one row per node, and messages to all nodes, are bounded by it.
pub const NODES_MAX: usize = 1024;

/// Bytes of waiting messages that make a batch: it is sent then, without waiting for its time.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Most bytes of the body of a frame. A frame that says it is longer is refused before anything is stored.
pub const FRAME_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes that a message of the application may carry beside its references.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// Most references that a message of the application may carry.
pub const REFERENCES_PER_COPY_MAX: usize = 4096;

/// Most entries of a list in one message: 40 KiB of mentions at most. A longer list goes out as several messages, and one that comes in closes its connection.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 2048;

/// Children of a node in the tree along which a marking cycle is steered. All members must see the same tree, so another number needs other kinds of messages.
pub const CYCLE_FAN_OUT: usize = 3;

/// How far ahead of what a node's parent has said of the coordinator's cycles a cycle may be that the node is told of. Others hear of a cycle first where ways are slow, and cycles
/// that are given up follow each other quickly; whoever names one further ahead makes it up.
pub const CYCLES_AHEAD_MAX: u32 = 8;

/// Bytes of a piece of a strategy's module.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Most bytes of a strategy's module.
pub const MODULE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most frames to a peer that it has not acknowledged. They are kept, to be sent again: at most `WINDOW_FRAMES_MAX` times a batch and its last message.
pub const WINDOW_FRAMES_MAX: usize = 64;

/// Messages of the application to one peer that wait to be sent. A further one is refused with [`crate::Refusal::Full`].
pub const OUTBOX_MESSAGES_MAX: usize = 1024;

/// Bytes of the messages of the application to one peer that wait to be sent.
pub const OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that wait to be sent to a peer, above which it may ask on only as far as it takes them. An honest peer has at most one open question per reference that it holds, so
/// four million references fit before that.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of messages that are admitted of such a peer beyond those that it takes: more than the largest frame, and the frames of small messages that may be under way.
pub const AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Copies of references to one peer that it has not acknowledged: it does so when it is registered. Each is a pin.
pub const COPIES_OPEN_MAX: usize = 1 << 20;

/// Frames admitted from a peer before it is told so although there is nothing else to say.
pub const ACK_FRAMES: u64 = 16;

/// Buckets of a digest.
pub const BUCKETS: usize = 256;

/// How often sets of buckets are read of a peer for one digest. A reading takes all sets of a frame, thousands of entries, and goes over the scions.
/// Where more differs than that many frames say it is healed in several intervals, bucket by bucket.
pub const SET_READS_MAX: usize = 64;

/// Most bytes of a reference in a list, and of a mention.
const REFERENCE_BYTES_MAX: usize = 5 + 10 + 5 + 5;
const MENTION_BYTES_MAX: usize = 5 + 5 + 10;

// A batch is closed by the message that fills it, so its body may exceed BATCH_BYTES by one message; the largest message must still fit a frame.
const COPY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + REFERENCE_BYTES_MAX * REFERENCES_PER_COPY_MAX + 64;
const _: () = assert!(BATCH_BYTES + COPY_BYTES_MAX <= FRAME_BODY_BYTES_MAX);
const _: () = assert!(BATCH_BYTES + CHUNK_BYTES + 128 <= FRAME_BODY_BYTES_MAX);
const _: () = assert!(ENTRIES_PER_MESSAGE_MAX * MENTION_BYTES_MAX + 64 <= BATCH_BYTES);
const _: () = assert!(PENDING_BYTES_MAX / 16 >= 4_000_000);
// An entry of a list takes 8 bytes while it waits for one in a frame, or 16 for three.
const _: () = assert!(AHEAD_BYTES_MAX > 8 * FRAME_BODY_BYTES_MAX);
const _: () = assert!(OUTBOX_BYTES_MAX >= COPY_BYTES_MAX);
const _: () = assert!(COPIES_OPEN_MAX >= REFERENCES_PER_COPY_MAX);
