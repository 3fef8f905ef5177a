//! What is asked of the collector thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use gc_heap::{Cause, Freed, Gone, Handle, Pin};
use gc_protocol::CycleId;
use gc_protocol::wire::ModuleDigest;

use crate::canary::Budget;
use crate::crew::Ready;
use crate::error::NodeError;
use crate::record::{CycleRecord, SwapReport};
use crate::source::StrategySource;
use crate::swap::{Id, Plan};

/// What is asked of the collector thread.
pub(crate) enum Ask {
    Collect {
        cause: Cause,
        dry_run: bool,
        reply: Sender<CycleRecord>,
    },
    Swap {
        source: StrategySource,
        settings: BTreeMap<String, String>,
        plan: Plan,
        /// What a canary must keep.
        budget: Budget,
        reply: Sender<Result<SwapReport, NodeError>>,
    },
    ReleaseQuarantine {
        reply: Sender<Freed>,
    },
    /// Bring an object back from there.
    Restore {
        handle: Handle,
        reply: Sender<Result<Pin, Gone>>,
    },
    Loaded {
        id: Id,
        made: Result<Box<Ready>, NodeError>,
    },
    /// Take part in a cycle over all nodes.
    OverNodes {
        cycle: CycleId,
    },
    /// Load and rehearse a strategy that all nodes are to take together, and say whether it can be taken.
    Prepare {
        digest: ModuleDigest,
        bytes: Arc<Vec<u8>>,
    },
    /// That is loaded, or could not be.
    Prepared {
        id: Id,
        made: Result<Box<Ready>, NodeError>,
    },
    /// Take it, as soon as no other candidate is being tried.
    Install {
        digest: ModuleDigest,
    },
    /// It is not wanted any more.
    Discard {
        digest: ModuleDigest,
    },
    Stop,
}
