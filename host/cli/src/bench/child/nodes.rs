//! The node of a run, or the nodes: the first one is watched, the others do the same work beside it.

use gc_heap::Heap;
use gc_lab::{Driver, WorkloadError, WorkloadReport, WorkloadSpec};
use gc_node::Node;

use crate::run::Company;

/// See the module.
pub(crate) struct Nodes {
    /// Ends before the first node, whom the membership hangs on: fields are dropped in their order.
    pub(crate) company: Option<Company>,
    pub(crate) first: Node,
}

impl Nodes {
    /// All of them, the first one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Node> {
        let others = self.company.iter().flat_map(|company| company.others());
        std::iter::once(&self.first).chain(others)
    }

    /// Runs the workload on all of them.
    pub(crate) fn run(
        &self,
        spec: &WorkloadSpec,
        driver: &dyn Driver,
    ) -> Result<WorkloadReport, WorkloadError> {
        let heap: &Heap = self.first.heap();
        match &self.company {
            Some(company) => company.run(spec, heap, driver),
            None => spec.run(heap, driver),
        }
    }

    /// Why one of the others failed, if one did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.company.as_ref().and_then(Company::failure)
    }

    pub(crate) fn shutdown(mut self) {
        self.company.iter_mut().for_each(Company::shutdown);
        self.first.shutdown();
    }
}
