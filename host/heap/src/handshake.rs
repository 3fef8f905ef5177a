//! Handshakes, the barrier, and the proof that no reachable object is missed.
//!
//! Nothing stops the world. A cycle is begun, and its verdict made safe, by *handshakes*: the collector asks every mutator to do a small thing (switch its
//! barrier, hand its log over, copy its locals out), each mutator does it at the beginning of its own next operation, and for a mutator that is
//! between operations the collector does it on its behalf. No mutator waits for another.
//!
//! # Who may touch what
//!
//! A mutator stores `BUSY` before an operation, then passes a light fence, then looks for a request. The collector posts the request, then passes a
//! heavy fence, then looks at the state. So either the collector sees `BUSY`, and waits, or the mutator sees the request, and goes through `gate`
//! before it does anything else. Hence the collector that sees `IDLE` after the heavy fence, and holds `gate`, is alone with the mutator's log and
//! locals. (Asymmetric fences: Dice, Huang, Yang 2001; Linux `membarrier(2)`.)
//!
//! # A cycle
//!
//! ```text
//!  begin   young bitmap cleared
//!  H1      SNOOP on: references stored are remembered as roots; new cells are young
//!  H2      log epoch e → e+1: the first store to a cell logs its old references; the log of e is closed
//!          named roots and pins are copied
//!  H3      SNOOP off; locals are copied
//!  …       the strategy works; whenever it is idle: flush (hand over what was logged and looked up; that is shaded)
//!  verdict C = proposed ∧ allocated ∧ ¬young ∧ ¬root
//!  scan    every reference of every cell outside C
//!  H4      flush; look-ups of C wait from here on
//!  decide  C goes, or part of it, or the verdict is refused
//!  H5      barrier off (or on, for a strategy that needs every change)
//! ```
//!
//! # Why no reachable object is in C
//!
//! Let R be all references that were copied at H3 or with the named roots, snooped, logged as old references in e+1, or looked up since H1. Let S
//! be the allocated cells outside C at the scan. Checked: R ∩ C = ∅, and no reference that the scan saw leads into C. *Claim: from H4 on, no mutator
//! holds, loads or finds a cell of C.*
//!
//! Suppose a mutator A holds X ∈ C at a time after its own H4, and take the first such event over all mutators since H3. X is not young and not in R.
//! So A did not have X as a local at its H3, and did not look it up; it loaded X, after its H3, from a slot Y.s (a named root or a pin counts as a
//! slot, with the copy between H2 and H3 in the place of the scan). Look at the last store that had put X there:
//!
//! 1. By a mutator between its H1 and its H3. Then X was snooped: X ∈ R.
//! 2. By a mutator B after its H3. Then B held X before A did, after its own H3: A's event was not the first. (B may have got X by allocating it: then it is young.)
//! 3. By a mutator before its H1. When A loads X all mutators have passed H2, because H3 begins when H2 has ended everywhere. From the end of H1 until A's load Y.s
//!    held X. Look at the scan. If the scan read X in Y.s, then X ∉ C, for Y ∉ C: A held Y before it held X. Otherwise the scan read Y.s after a
//!    later store had replaced X. The first store to Y in e+1 was logged with the old references of Y, read after the end of H1 (log epoch e+1 begins with H2) and before
//!    any store that Y's stamp could have hidden; if it came before the replacement, or was it, then X was still there: X ∈ R. The store that
//!    replaced X came after A's load, so after H2 everywhere, so it was by a mutator in e+1, so it was logged or Y had been. And the log is in R, because the
//!    operation had begun before the scan read its effect, and the flush H4 waits for the end of an operation that is under way.
//!
//! Two things are needed beside. A local is a root of its own mutator alone, so a store of a reference is always by a mutator that holds it ("B held
//! X" in case 2): locals of one mutator are refused by another. And where part of C is withheld, what mutators did to the withheld part since the scan is
//! found by flushing until nothing new in C turns up.
//!
//! Hence the proof needs no trust in whoever proposed C. Nor does it need a moment at which everything stands still.
//!
//! Young cells are never in C. That a strategy need not trace them follows in the same way: whatever was stored in them after H1 was snooped, or held by its storer.
//!
//! # Late look-ups
//!
//! A handle is weak: looking it up during a cycle can revive an object that the strategy rightly found dead. Such look-ups are remembered, and between
//! the scan and the decision they, with everything in C that they lead to, are *withheld*: taken out of C. From H4 on a look-up of a cell in C
//! waits until the decision has fallen, so that no answer is taken back.
//!
//! # The change log
//!
//! For counting strategies the log of e is complete when H2 has ended everywhere: one record per changed cell, with the references that it had when it was first
//! changed in e. Its references at the end of e are those that it has at the next record, or now, if it has not been logged since: read the cell, then its stamp; when the
//! stamp is e+1 by then, the record of e+1 has them (a flush brings it over). So the changes of a cell chain without a gap, whatever the mutators
//! do meanwhile, and counts that follow them are exact as of the boundary. (Levanoni and Petrank 2001, *sliding views*; the barrier with both uses: LXR, Zhao,
//! Blackburn, McKinley 2022; the snapshot: Yuasa 1990; handshakes: Doligez, Leroy, Gonthier 1993/1994.)
//!
//! A mutator still in e that stores to a cell stamped e+1 does not log: the record of e+1 is the later one and covers it. Its reference was snooped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_memory::fence;
use hdrhistogram::Histogram;

use crate::heap::Inner;
use crate::limits::LOG_BATCH_RECORDS;
use crate::mutator::shared::{Handshake, IDLE, Record, Shared, mode, new_holdups};
use crate::sync::{back_off, lock, point};

/// Rounds of waiting during which a mutator may answer by itself before the collector does it on its behalf: going through the gate under a running mutator's
/// feet could make it sleep on the lock.
const GRACE_ROUNDS: u32 = if cfg!(any(feature = "shuttle", miri)) { 0 } else { 33 };

/// Who takes part in handshakes, and what they are to know when they join.
pub(crate) struct Registry {
    mutators: Vec<Arc<Shared>>,
    phase: Handshake,
    /// What mutators left behind when they went.
    left: Taken,
    pub(crate) gone: Gone,
}

/// Counts of mutators that are no more.
pub(crate) struct Gone {
    pub(crate) allocated_cells: u64,
    pub(crate) allocated_objects: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) holdups: Histogram<u64>,
}

/// What mutators have put down since it was last taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// Records of the running log epoch.
    pub(crate) open: Vec<Record>,
    /// Records of the one before.
    pub(crate) closed: Vec<Record>,
    /// Locals published and references snooped.
    pub(crate) roots: Vec<u32>,
    /// Looked up by handle.
    pub(crate) acquired: Vec<u32>,
    /// Retired cells with their grace epochs.
    pub(crate) retired: Vec<(u32, u64)>,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            mutators: Vec::new(),
            phase: Handshake { mode: 0, epoch: 1, publish: false },
            left: Taken::default(),
            gone: Gone {
                allocated_cells: 0,
                allocated_objects: 0,
                allocated_bytes: 0,
                holdups: new_holdups(),
            },
        }
    }

    pub(crate) fn register(&mut self) -> Arc<Shared> {
        let shared = Arc::new(Shared::new(self.phase));
        self.mutators.push(Arc::clone(&shared));
        shared
    }

    /// A mutator goes. It holds no locals any more.
    pub(crate) fn leave(&mut self, shared: &Arc<Shared>) {
        let mut gate = lock(&shared.gate);
        shared.carry_out(&mut gate);
        while shared.take_log(&mut gate, &mut self.left.open, &mut self.left.closed) {}
        self.left.take_from(&mut gate);
        self.gone.allocated_cells += shared.allocated_cells.load(Ordering::Relaxed);
        self.gone.allocated_objects += shared.allocated_objects.load(Ordering::Relaxed);
        self.gone.allocated_bytes += shared.allocated_bytes.load(Ordering::Relaxed);
        self.gone.holdups += &gate.holdups;
        self.mutators.retain(|other| !Arc::ptr_eq(other, shared));
    }

    pub(crate) fn mutators(&self) -> &[Arc<Shared>] {
        &self.mutators
    }
}

impl Taken {
    fn take_from(&mut self, gate: &mut crate::mutator::shared::Gate) {
        self.roots.append(&mut gate.roots);
        self.acquired.append(&mut gate.acquired);
        self.retired.append(&mut gate.retired);
    }
}

fn batch() -> Vec<Record> {
    Vec::with_capacity(LOG_BATCH_RECORDS)
}

impl Inner {
    /// Carries a handshake out with every mutator, and returns when each has answered. One at a time: only the collector calls this.
    pub(crate) fn handshake(&self, wanted: Handshake) {
        let mutators = {
            let mut registry = lock(&self.registry);
            let before = std::mem::replace(&mut registry.phase, Handshake { publish: false, ..wanted });
            if before.epoch != wanted.epoch {
                let open = std::mem::take(&mut registry.left.open);
                registry.left.closed.extend(open);
            }
            for shared in registry.mutators() {
                let mut gate = lock(&shared.gate);
                gate.request = Some(wanted);
                shared.mode.fetch_or(mode::PENDING, Ordering::Relaxed);
            }
            registry.mutators.clone()
        };
        point();
        // Pairs with the light fence at the beginning of every operation.
        fence::heavy();
        for shared in &mutators {
            let mut round = 0;
            // Acquire: pairs with the Release store of the answer.
            while shared.mode.load(Ordering::Acquire) & mode::PENDING != 0 {
                if round >= GRACE_ROUNDS && shared.state.load(Ordering::Acquire) == IDLE {
                    shared.carry_out(&mut lock(&shared.gate));
                    break;
                }
                back_off(&mut round);
            }
        }
    }

    /// The mode and epoch that mutators are in.
    pub(crate) fn phase(&self) -> Handshake {
        lock(&self.registry).phase
    }

    /// Takes what mutators have put down.
    pub(crate) fn take(&self) -> Taken {
        let mut registry = lock(&self.registry);
        let mut taken = std::mem::take(&mut registry.left);
        for shared in registry.mutators() {
            taken.take_from(&mut lock(&shared.gate));
            // Batch by batch, into memory that is there already, so that a mutator which needs its gate meanwhile waits for a microsecond.
            let (mut open, mut closed) = (batch(), batch());
            loop {
                let more = shared.take_log(&mut lock(&shared.gate), &mut open, &mut closed);
                taken.open.append(&mut open);
                taken.closed.append(&mut closed);
                if !more {
                    break;
                }
            }
        }
        taken
    }

    /// The oldest grace epoch in which a scope began that was open when locals were last published.
    pub(crate) fn oldest_scope(&self) -> u64 {
        let registry = lock(&self.registry);
        registry.mutators().iter().map(|shared| lock(&shared.gate).grace).min().unwrap_or(u64::MAX)
    }
}
