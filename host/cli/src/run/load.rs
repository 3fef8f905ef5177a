//! The node, seen from a workload.

use std::sync::{Mutex, PoisonError};

use gc_lab::{CollectFailed, Driver, Peers, Progress};
use gc_node::Node;

use crate::run::cluster::Others;
use crate::run::stop::Stop;

/// Runs cycles for the workload and passes on how far it is.
pub(crate) struct Load<'n> {
    node: &'n Node,
    stop: &'n Stop,
    progress: Mutex<Option<Progress>>,
    others: Option<Others<'n>>,
}

impl<'n> Load<'n> {
    pub(crate) fn new(node: &'n Node, stop: &'n Stop) -> Load<'n> {
        Load { node, stop, progress: Mutex::new(None), others: node.cluster().map(Others) }
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Load<'_> {
    fn collect(&self) -> Result<u64, CollectFailed> {
        let cycle = self.node.collect().map_err(|error| CollectFailed(error.to_string()))?;
        Ok(cycle.condemned_objects)
    }

    fn stop_requested(&self) -> bool {
        self.stop.requested()
    }

    fn progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.others.as_ref().map(|others| others as &dyn Peers)
    }
}
