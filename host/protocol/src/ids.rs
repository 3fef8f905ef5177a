//! Names: nodes, their lives, objects, references, membership epochs, cycles.
//!
//! A node that restarts is somebody else. Everything in this crate is keyed by a [`Life`], a node in one incarnation, so that nothing said to or by an
//! earlier life can be taken for the present one.

use std::fmt;

/// Time on the monotonic clock of one node, in nanoseconds. It must count suspend (`CLOCK_BOOTTIME`). Clocks of two nodes are never compared.
pub type Nanos = u64;

/// Names a node in its cluster.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

/// Which life of a node: a counter that is raised and made durable before the node serves anybody. 0 is no life.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(pub u64);

/// A node in one of its lives.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// The node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

impl Life {
    /// The life `incarnation` of the node `node`.
    #[must_use]
    pub const fn new(node: u32, incarnation: u64) -> Life {
        Life { node: NodeId(node), incarnation: Incarnation(incarnation) }
    }
}

/// Numbers the memberships of a cluster. Whoever coordinates raises it by one for each change.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MembershipEpoch(pub u64);

/// An object on its home: a cell, and how often that cell had been freed before.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// The object's first cell.
    pub cell: u32,
    /// The generation of that cell.
    pub generation: u32,
}

/// Names an object in the cluster for good.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The life that the object belongs to. It goes when that life ends.
    pub home: Life,
    /// The object there.
    pub object: Object,
}

/// Names a marking cycle of the whole cluster: the membership epoch that it is bound to in the upper 32 bits, its number in that epoch in the lower 32.
/// 0 is no cycle. A membership that lasts has numbers for more than a century of one cycle a second.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CycleId(pub u64);

impl CycleId {
    /// No cycle.
    pub const NONE: CycleId = CycleId(0);

    /// The highest number of a membership that cycles can be bound to.
    pub const EPOCH_MAX: u64 = u32::MAX as u64;

    /// The cycle `number` of `epoch`, or none when the epoch is above [`CycleId::EPOCH_MAX`].
    #[must_use]
    pub fn in_epoch(epoch: MembershipEpoch, number: u32) -> Option<CycleId> {
        (epoch.0 <= CycleId::EPOCH_MAX).then_some(CycleId(epoch.0 << 32 | u64::from(number)))
    }

    /// The membership epoch that the cycle is bound to.
    #[must_use]
    pub fn epoch(self) -> MembershipEpoch {
        MembershipEpoch(self.0 >> 32)
    }

    /// Its number in that epoch.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{}", self.node.0, self.incarnation.0)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.cell, self.generation)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.home, self.object)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
