//! What a workload asks of whoever runs it.

use crate::peers::Peers;

/// The node, seen from a workload. Called from the threads of the workload.
pub trait Driver: Sync {
    /// Runs a whole cycle that begins after this call, waits for its end, and says how many objects it
    /// condemned.
    ///
    /// # Errors
    ///
    /// [`CollectFailed`] when there will be no such cycle.
    fn collect(&self) -> Result<u64, CollectFailed>;

    /// Whether the workload should come to an end. Asked often; a workload answers within a second.
    fn stop_requested(&self) -> bool;

    /// How far the workload is. Told about ten times a second.
    fn progress(&self, progress: Progress);

    /// The cluster that the node is a member of, if it is.
    fn peers(&self) -> Option<&dyn Peers> {
        None
    }
}

/// Why no cycle was run: a sentence for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cycle was run: {0}")]
pub struct CollectFailed(pub String);

/// How far a workload is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Steps of this phase that are done: objects, lines or operations, as [`Phase::unit`] says.
    pub done: u64,
    /// Steps that there are, where that is known.
    pub total: Option<u64>,
}

/// The parts that workloads consist of.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the other nodes.
    Meet,
    /// Reading the input.
    Read,
    /// Building the graph in the heap.
    Build,
    /// Exchanging references with other nodes.
    Link,
    /// Working as a mutator.
    Mutate,
    /// Waiting for cycles at the end.
    Collect,
}

impl Phase {
    /// The word for displays.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Phase::Meet => "waiting",
            Phase::Link => "linking",
            Phase::Read => "reading",
            Phase::Build => "building",
            Phase::Mutate => "running",
            Phase::Collect => "collecting",
        }
    }

    /// What is counted in this phase.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Phase::Meet => "nodes",
            Phase::Link => "objects",
            Phase::Read => "items",
            Phase::Build => "objects",
            Phase::Mutate => "operations",
            Phase::Collect => "cycles",
        }
    }
}

/// Tells the driver about progress, not more than ten times a second.
pub(crate) struct Ticker<'d> {
    driver: &'d dyn Driver,
    phase: Phase,
    total: Option<u64>,
    next: std::time::Instant,
}

impl<'d> Ticker<'d> {
    pub(crate) fn new(driver: &'d dyn Driver, phase: Phase, total: Option<u64>) -> Ticker<'d> {
        driver.progress(Progress { phase, done: 0, total });
        Ticker { driver, phase, total, next: std::time::Instant::now() + crate::limits::PROGRESS_EVERY }
    }

    /// Says how much is done; answers whether the workload is to stop.
    pub(crate) fn tick(&mut self, done: u64) -> bool {
        let now = std::time::Instant::now();
        if now >= self.next {
            self.next = now + crate::limits::PROGRESS_EVERY;
            self.driver.progress(Progress { phase: self.phase, done, total: self.total });
        }
        self.driver.stop_requested()
    }
}
