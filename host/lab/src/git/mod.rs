//! `git:PATH`: every object of a repository, its refs as roots, one collection.
//!
//! Objects are commits, trees, blobs and tags, loose and packed, those of alternates included. References are
//! those of git: a commit refers to its tree and its parents, a tree to its entries (a submodule's commit is
//! no local object and no reference), a tag to its target. Roots are those of `git fsck --no-reflogs` (see
//! [`roots`]), so what is reclaimed is what `git fsck --unreachable --no-reflogs` lists, object by object.
//! With `place=hash` the objects are spread over the nodes of a cluster ([`spread`]), and that is what all nodes together reclaim.
//! Two differences are by intent: where a repository has no ref at all, `fsck` lists nothing, and here
//! everything that the index does not hold is reclaimed; and in a partial clone `fsck` stops at objects that
//! the other side has promised, while they are read on here as far as they are present.
//!
//! The result is a directed acyclic graph whose shape is known from practice: subtrees shared by thousands of
//! commits, a spine of commits as deep as the history is long, many small objects. On it marking order,
//! sharing and long chains show.

mod index;
mod objects;
mod parallel;
pub(crate) mod reader;
mod roots;
mod spread;

use std::sync::Arc;
use std::time::Instant;

use gc_heap::Heap;

use crate::driver::Driver;
use crate::error::WorkloadError;
use crate::ids::{Ids, Names};
use crate::import::{self, InputGraph, Payloads};
use crate::report::WorkloadReport;
use crate::settle::settle;
use crate::spec::{GitSpec, Place};
use objects::Objects;
use reader::Reader;
use spread::{Part, Ranks, Together};

pub(crate) use objects::{
    ObjectTable, commit as commit_references, parents_in_place, tree as tree_references,
};
pub(crate) use roots::head_commit;

pub(crate) fn run(
    spec: &GitSpec,
    heap: &Heap,
    driver: &dyn Driver,
    begun: Instant,
) -> Result<WorkloadReport, WorkloadError> {
    let reader = Reader::open(&spec.path)?;
    let Some((table, graph, missing_references)) = read(&reader, driver)? else {
        return Ok(WorkloadReport { stopped: true, ..WorkloadReport::default() });
    };
    let mut report = WorkloadReport {
        objects: graph.len() as u64,
        references: graph.targets.len() as u64,
        threads: 1,
        missing_references,
        read_time: begun.elapsed(),
        ..WorkloadReport::default()
    };
    if let Place::Hash { nodes, stay } = spec.place {
        let input = Input { spec, reader: &reader, table, graph };
        return input.spread(heap, driver, (nodes, stay), report);
    }
    let begun = Instant::now();
    let mut contents = Contents::new(spec, &reader, &table);
    let imported = import::import(heap, &graph, &mut contents, driver)?;
    report.payload_bytes = imported.payload_bytes;
    report.operations = imported.operations;
    report.mutate_time = begun.elapsed();
    drop(graph);
    report.stopped = imported.stopped || settle(driver)?;
    if !imported.stopped {
        let names = Arc::new(Names::Git(table.into_ids()));
        let (gone, live) = import::sort_out(&mut heap.mutator(), imported.handles());
        report.reclaimed = Ids::new(&names, gone);
        report.live = Ids::new(&names, live);
    }
    Ok(report)
}

/// The whole repository as a graph; none when the driver asked to stop.
fn read(
    reader: &Reader,
    driver: &dyn Driver,
) -> Result<Option<(ObjectTable, InputGraph, u64)>, WorkloadError> {
    if reader.check_packs(driver)? {
        return Ok(None);
    }
    let Some(objects) = Objects::list(reader, driver)? else { return Ok(None) };
    let Some((mut graph, mut missing)) = parallel::read_all(reader, &objects, driver)? else {
        return Ok(None);
    };
    for (name, id) in roots::refs_and_heads(reader)? {
        let Some(object) = objects.table().find(&id) else {
            return Err(reader.damaged(format!("{name} points to {id}, which is not there")).into());
        };
        graph.roots.push((Some(name), object));
    }
    for id in index::held_by_indexes(reader)? {
        match objects.table().find(&id) {
            Some(object) => graph.roots.push((None, object)),
            None => missing += 1,
        }
    }
    graph.roots.sort_unstable();
    graph.roots.dedup();
    Ok(Some((objects.into_table(), graph, missing)))
}

/// A repository that was read.
struct Input<'r> {
    spec: &'r GitSpec,
    reader: &'r Reader,
    table: ObjectTable,
    graph: InputGraph,
}

impl Input<'_> {
    /// Does the part of this node, together with the others.
    fn spread(
        self,
        heap: &Heap,
        driver: &dyn Driver,
        nodes: (u32, bool),
        mut report: WorkloadReport,
    ) -> Result<WorkloadReport, WorkloadError> {
        let peers = driver.peers().ok_or(WorkloadError::NoCluster)?;
        let ranks = Ranks::new(&self.graph, &self.table);
        let Some(mut together) = Together::meet(driver, peers, nodes, ranks.digest)? else {
            return Ok(WorkloadReport { stopped: true, ..report });
        };
        let begun = Instant::now();
        let part = Part::cut(&self.graph, &self.table, &ranks, &together.members, peers.me());
        (report.objects, report.references) = (part.graph.len() as u64, part.graph.targets.len() as u64);
        let mut contents =
            Numbered { ours: &part.ours, all: Contents::new(self.spec, self.reader, &self.table) };
        let imported = import::import_and(heap, &part.graph, &mut contents, driver, |mutator, handles| {
            together.exchange(mutator, &part, handles)
        })?;
        report.payload_bytes = imported.payload_bytes;
        report.operations = imported.operations;
        report.mutate_time = begun.elapsed();
        report.stopped = imported.stopped || together.settle()?;
        if !report.stopped {
            let whole = |some: Vec<u32>| some.into_iter().map(|object| part.ours[object as usize]).collect();
            let (gone, live) = import::sort_out(&mut heap.mutator(), imported.handles());
            let names = Arc::new(Names::Git(self.table.into_ids()));
            report.reclaimed = Ids::new(&names, whole(gone));
            report.live = Ids::new(&names, whole(live));
            if !driver.stop_requested() {
                together.part()?;
            }
        }
        Ok(report)
    }
}

/// Contents of some of the objects, numbered anew.
struct Numbered<'r> {
    ours: &'r [u32],
    all: Contents<'r>,
}

impl Payloads for Numbered<'_> {
    fn payload(&mut self, object: u32) -> Result<&[u8], WorkloadError> {
        self.all.payload(self.ours[object as usize])
    }
}

/// Contents of objects as payloads, where they are wanted.
struct Contents<'r> {
    wanted: bool,
    reader: &'r Reader,
    table: &'r ObjectTable,
    buffer: Vec<u8>,
}

impl<'r> Contents<'r> {
    fn new(spec: &GitSpec, reader: &'r Reader, table: &'r ObjectTable) -> Contents<'r> {
        Contents { wanted: spec.payload, reader, table, buffer: Vec::new() }
    }
}

impl Payloads for Contents<'_> {
    fn payload(&mut self, object: u32) -> Result<&[u8], WorkloadError> {
        if !self.wanted {
            return Ok(&[]);
        }
        let id = self.table.id(object);
        let found = self.reader.find(&id, &mut self.buffer)?;
        Ok(found.ok_or_else(|| self.reader.vanished(&id))?.data)
    }
}
