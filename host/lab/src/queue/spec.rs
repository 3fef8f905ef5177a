//! The options of `queue`.

use crate::cost::object_bytes;
use crate::limits::PAYLOAD_DRAWN_MAX;
use crate::options::{Options, SpecError};

const KNOWN: &str = "producers, consumers, length, items, size, cut, retire and quick";

/// `queue[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `producers=N` | 1 | 1 | threads that bring items |
/// | `consumers=N` | 1 | 1 | threads that take items |
/// | `length=N` | 50k | 5k | items at which producers wait; half of that is in the queue at the begin and at the end |
/// | `items=N` | 2M | 200k | items that go through |
/// | `size=BYTES` | 48 | 48 | payload of a value, at least 16 |
/// | `cut=BOOL` | false | false | whether a node that leaves the queue lets go of the next one |
/// | `retire=BOOL` | false | false | whether nodes and values are retired when they leave |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Threads that bring items.
    pub producers: u32,
    /// Threads that take items.
    pub consumers: u32,
    /// Items at which producers wait.
    pub length: u64,
    /// Items that go through.
    pub items: u64,
    /// Bytes of a value.
    pub size: u64,
    /// Whether nodes that leave let go of the next one.
    pub cut: bool,
    /// Whether what leaves is retired.
    pub retire: bool,
}

impl Default for QueueSpec {
    fn default() -> QueueSpec {
        QueueSpec {
            producers: 1,
            consumers: 1,
            length: 50_000,
            items: 2_000_000,
            size: 48,
            cut: false,
            retire: false,
        }
    }
}

impl QueueSpec {
    /// The same with a tenth of the items and of the length.
    #[must_use]
    pub fn quick() -> QueueSpec {
        QueueSpec { length: 5000, items: 200_000, ..QueueSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<QueueSpec, SpecError> {
        let base = if options.quick()? { QueueSpec::quick() } else { QueueSpec::default() };
        let spec = QueueSpec {
            producers: options.or("producers", base.producers.into(), 1, 128, "1 to 128")? as u32,
            consumers: options.or("consumers", base.consumers.into(), 1, 128, "1 to 128")? as u32,
            length: options.or("length", base.length, 2, 1 << 30, "2 to 1G items")?,
            items: options.or("items", base.items, 1, 1 << 40, "a number from 1, for example 10M")?,
            size: options.or("size", base.size, 16, PAYLOAD_DRAWN_MAX, "16 to 64M bytes")?,
            cut: options.flag("cut")?.unwrap_or(base.cut),
            retire: options.flag("retire")?.unwrap_or(base.retire),
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// The most bytes that are alive at once: a full queue.
    pub(crate) fn live_bytes(&self) -> u64 {
        (self.length + u64::from(self.producers)) * (object_bytes(2, 0) + object_bytes(0, self.size))
    }
}
