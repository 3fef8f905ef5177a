//! A site: one process with a heap, a member of the cluster, a mutator and a collector.

use gc_heap::{Cause, Heap, HeapConfig, Mutator, Pin, Quarantine};
use gc_protocol::{CycleId, Life, Reference};
use gc_remote::Member;
use gc_surroundings::{Clock, Random, hasty};

use crate::collecting::Collecting;
use crate::settings::Settings;
use crate::world::Thing;

pub(crate) struct Site {
    pub(crate) life: Life,
    pub(crate) alive: bool,
    pub(crate) paused: bool,
    /// Since when it is.
    pub(crate) paused_at: u64,
    /// What came while the process was stopped.
    pub(crate) waiting: Vec<Thing>,
    pub(crate) clock: Clock,
    pub(crate) tick_token: u64,
    pub(crate) tick_at: u64,
    pub(crate) heap: Heap,
    pub(crate) member: Member,
    pub(crate) mutator: Mutator,
    pub(crate) collecting: Collecting,
    /// A cycle over nodes that has begun, and for which the collector has not sat down.
    pub(crate) called: Option<CycleId>,
    /// It is in the middle of one.
    pub(crate) over_nodes: bool,
    /// A verdict over nodes is out: a mutator that looks something up may have to wait.
    pub(crate) awaits: bool,
    /// Its collector has nothing left to mark.
    pub(crate) rests: bool,
    /// What the mutator holds.
    pub(crate) roots: Vec<(Pin, Reference)>,
    /// Handles that it remembers. They hold nothing.
    pub(crate) handles: Vec<Reference>,
}

impl Site {
    pub(crate) fn new(settings: &Settings, place: usize, life: Life, random: &mut Random) -> Site {
        let nonce = random.draw();
        let heap = heap(life, random);
        let mut config = hasty(life, nonce, settings.drift_ppm, settings.faults);
        config.lease.mode = settings.home_mode;
        let member = Member::new(heap.clone(), config);
        let kind = settings.strategies[place % settings.strategies.len()];
        Site {
            life,
            alive: true,
            paused: false,
            paused_at: 0,
            waiting: Vec::new(),
            clock: Clock::new(random, settings.clock_drift_ppm),
            tick_token: 0,
            tick_at: u64::MAX,
            member: member.unwrap_or_else(|error| panic!("{error}")),
            mutator: heap.mutator(),
            collecting: Collecting::new(&heap, settings.make, kind, random.draw()),
            heap,
            called: None,
            over_nodes: false,
            awaits: false,
            rests: false,
            roots: Vec::new(),
            handles: Vec::new(),
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.alive && !self.paused
    }

    /// What the mutator holds, as references.
    pub(crate) fn held(&self) -> Vec<Reference> {
        self.roots.iter().map(|&(_, reference)| reference).collect()
    }
}

fn heap(life: Life, random: &mut Random) -> Heap {
    let quarantine = if random.percent(50) { Quarantine::UntilNextProof } else { Quarantine::Off };
    let config = HeapConfig {
        node: life.node.0,
        incarnation: life.incarnation.0,
        quarantine,
        share_proofs: random.percent(50),
        full_wait: std::time::Duration::ZERO,
        ..HeapConfig::with_limit(512 * 1024)
    };
    Heap::new(config).unwrap_or_else(|error| panic!("{error}"))
}

/// Why a local collection is begun. The pacer's reason lets small verdicts wait for others.
pub(crate) fn cause(random: &mut Random, active: bool) -> Cause {
    if active && random.percent(50) { Cause::Goal } else { Cause::Request }
}
