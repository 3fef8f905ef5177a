//! What a node writes down of its workers so that their deaths can be told afterwards, over all nodes, exactly.
//!
//! No look at the heaps could do that: they never stand still together. But a node knows when it last held a worker, be it of another node, and who was
//! made known to whom; and the clock of a process is the same for all nodes in it. [`Fates`](crate::bench::fates::Fates) puts that together.
//!
//! 1. A moment at which something was held is written down while it still is. So nothing dies before its moment, and nothing that is seen to be gone was gone
//!    later than that.
//! 2. A reference between workers is never taken back (a worker forgets nobody), so it goes with who had it.
//! 3. What belongs to a worker, its state and its list, dies with it, unless it was replaced before.
//!
//! Hertz, Blackburn, Moss, McKinley and Stefanović, *Generating Object Lifetime Traces with Merlin*, TOPLAS 2006.

use std::time::{Duration, Instant};

use gc_heap::{Handle, Heap};
use rustc_hash::FxHashMap;

use crate::error::WorkloadError;
use crate::limits::LIVES_MAX;

/// An object whose life is written down. All of them are one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) handle: Handle,
    pub(crate) bytes: u64,
    /// Number of the worker that it belongs to; none for a worker.
    pub(crate) owner: Option<u32>,
    pub(crate) born: Instant,
    /// When something else took its place.
    pub(crate) replaced: Option<Instant>,
    /// When it was first seen to be reclaimed.
    pub(crate) gone: Option<Instant>,
}

/// See the module: of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lives {
    pub(crate) begun: Instant,
    /// When it was looked last.
    pub(crate) looked: Instant,
    pub(crate) things: Vec<Thing>,
    /// When this node last held a worker, of whichever node, by itself and not by another worker.
    pub(crate) held: FxHashMap<Handle, Instant>,
    /// Who knows whom: the number of a worker of this node, and any worker.
    pub(crate) known: Vec<(u32, Handle)>,
    /// Let go of in the scope that runs.
    leaving: Vec<Handle>,
    /// Replaced in the scope that runs.
    replaced: Vec<u32>,
    /// By the numbers of the workers: which of the things their states are.
    states: Vec<u32>,
    /// Not seen to be reclaimed.
    there: Vec<u32>,
    /// What had been condemned, and how many cycles there had been, when it was looked last.
    condemned: (u64, u64),
    pub(crate) look_count: u64,
    pub(crate) looking: Duration,
}

impl Lives {
    pub(crate) fn begin() -> Lives {
        let begun = Instant::now();
        Lives {
            begun,
            looked: begun,
            things: Vec::new(),
            held: FxHashMap::default(),
            known: Vec::new(),
            leaving: Vec::new(),
            replaced: Vec::new(),
            states: Vec::new(),
            there: Vec::new(),
            condemned: (0, 0),
            look_count: 0,
            looking: Duration::ZERO,
        }
    }

    /// The workers in the order of their numbers.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Thing> {
        self.things.iter().filter(|thing| thing.owner.is_none())
    }

    /// Writes down a worker, whose number is the next one.
    pub(crate) fn worker(&mut self, handle: Handle, bytes: u64) -> Result<(), WorkloadError> {
        self.thing(handle, bytes, None).map(|_| ())
    }

    /// Writes down the state of the worker with that number. The one before it is held until [`Lives::let_go`].
    pub(crate) fn state(&mut self, handle: Handle, bytes: u64, worker: usize) -> Result<(), WorkloadError> {
        let state = self.thing(handle, bytes, Some(worker as u32))?;
        match self.states.get_mut(worker) {
            Some(there) => self.replaced.push(std::mem::replace(there, state)),
            None => self.states.push(state),
        }
        Ok(())
    }

    /// The worker with that number was made to know another one, by this entry of its list.
    pub(crate) fn contact(
        &mut self,
        handle: Handle,
        bytes: u64,
        worker: usize,
        whom: Handle,
    ) -> Result<(), WorkloadError> {
        self.known.push((worker as u32, whom));
        self.thing(handle, bytes, Some(worker as u32)).map(|_| ())
    }

    fn thing(&mut self, handle: Handle, bytes: u64, owner: Option<u32>) -> Result<u32, WorkloadError> {
        if self.things.len() >= LIVES_MAX {
            return Err(WorkloadError::TooManyLives { limit: LIVES_MAX });
        }
        let number = self.things.len() as u32;
        let born = Instant::now();
        self.things.push(Thing { handle, bytes, owner, born, replaced: None, gone: None });
        self.there.push(number);
        Ok(number)
    }

    /// The node holds this by itself until [`Lives::let_go`].
    pub(crate) fn leaves(&mut self, worker: Handle) {
        self.leaving.push(worker);
    }

    /// The last moment at which what leaves is held.
    pub(crate) fn let_go(&mut self) {
        let now = Instant::now();
        self.held.extend(self.leaving.drain(..).map(|worker| (worker, now)));
        for thing in self.replaced.drain(..) {
            self.things[thing as usize].replaced = Some(now);
        }
    }

    /// Looks what is gone, if there can be any by what the heap has counted.
    pub(crate) fn look(&mut self, heap: &Heap) {
        let begun = Instant::now();
        let stats = heap.stats();
        let condemned = (stats.condemned_objects_total, stats.cycles_total);
        if condemned != self.condemned {
            let things = &mut self.things;
            self.there.retain(|&thing| {
                let thing = &mut things[thing as usize];
                let there = heap.bytes_of(thing.handle).is_some();
                thing.gone = (!there).then(Instant::now);
                there
            });
            self.condemned = condemned;
        }
        self.look_count += 1;
        self.looked = Instant::now();
        self.looking += self.looked - begun;
    }
}
