//! Native strategies for tests: one that is right, and ways of being wrong.

#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]

pub mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gc_heap::{
    Change, CycleInfo, Fault, Graph, Needs, Outcome, Progress, Quarantine, Strategy, StrategyIdentity,
    Verdict,
};
use gc_node::{Event, JournalRecord, Node, StrategySource, Subscription};

/// What a [`Marker`] does wrong, and from which of its cycles on (counted from 1, rehearsals included).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Wrong {
    Never,
    Panic(u32),
    Fault(u32),
    /// Condemns everything.
    Lie(u32),
    /// Names a cell that the heap does not have.
    Nonsense(u32),
    /// Works for 300 ms in each step.
    Busy,
    /// Every second instance keeps everything.
    Fickle,
    /// Sleeps in each step: right, and never done while mutators fill a small heap.
    Slow,
    /// The same, and condemns everything.
    SlowLie,
    /// Sleeps for so many milliseconds in the first step of each cycle.
    Nap(u64),
}

impl Wrong {
    fn is_due(self, cycle: u32) -> bool {
        match self {
            Wrong::Never | Wrong::Busy | Wrong::Fickle | Wrong::Slow | Wrong::SlowLie | Wrong::Nap(_) => {
                false
            }
            Wrong::Panic(from) | Wrong::Fault(from) | Wrong::Lie(from) | Wrong::Nonsense(from) => {
                cycle >= from
            }
        }
    }
}

/// Marks what is reachable, depth first.
pub struct Marker {
    identity: StrategyIdentity,
    graph: Arc<Graph>,
    marked: Vec<u64>,
    work: Vec<u32>,
    wrong: Wrong,
    cycle: u32,
    /// It has slept in this cycle.
    napped: bool,
    /// How many its source has made before it.
    instance: u32,
}

impl Marker {
    pub fn new(name: &str, graph: &Arc<Graph>, wrong: Wrong) -> Marker {
        Marker {
            identity: StrategyIdentity {
                name: name.into(),
                version: "1.2.3".into(),
                digest: "native".into(),
            },
            graph: Arc::clone(graph),
            marked: Vec::new(),
            work: Vec::new(),
            wrong,
            cycle: 0,
            napped: false,
            instance: 0,
        }
    }

    pub fn is_marked(&self, cell: u32) -> bool {
        self.marked[cell as usize / 64] >> (cell % 64) & 1 == 1
    }

    fn mark(&mut self, cell: u32) {
        let (word, bit) = (cell as usize / 64, 1 << (cell % 64));
        if cell != 0 && self.marked[word] & bit == 0 {
            self.marked[word] |= bit;
            self.work.push(cell);
        }
    }
}

impl Strategy for Marker {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        self.cycle += 1;
        self.napped = false;
        self.marked = vec![0; self.graph.capacity() as usize / 64];
        self.work.clear();
        Ok(())
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        cells.iter().for_each(|&cell| self.mark(cell));
        Ok(())
    }

    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }

    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        let before = self.work.len();
        cells.iter().for_each(|&cell| self.mark(cell));
        Ok(self.work.len() > before)
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        if self.wrong.is_due(self.cycle) {
            match self.wrong {
                Wrong::Panic(_) => panic!("on purpose"),
                Wrong::Fault(_) => return Err(Fault::Deadline(Duration::from_secs(1))),
                _ => {}
            }
        }
        if matches!(self.wrong, Wrong::Slow | Wrong::SlowLie) {
            std::thread::sleep(Duration::from_millis(100));
        }
        if let Wrong::Nap(ms) = self.wrong
            && !std::mem::replace(&mut self.napped, true)
        {
            std::thread::sleep(Duration::from_millis(ms));
        }
        if self.wrong == Wrong::Busy {
            let running = || {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
            };
            let end = running() + Duration::from_millis(300);
            while running() < end {}
        }
        for _ in 0..budget {
            let Some(cell) = self.work.pop() else { return Ok(Progress::Idle) };
            for slot in 0..4 {
                let next = self.graph.cells()[cell as usize * 4 + slot].load(Ordering::Relaxed);
                self.mark(next);
            }
        }
        Ok(Progress::More)
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(match self.wrong {
            Wrong::Fickle if self.instance.is_multiple_of(2) => Verdict::KeepAll,
            Wrong::SlowLie => Verdict::Survivors(vec![0; self.marked.len()]),
            Wrong::Lie(from) if self.cycle >= from => Verdict::Survivors(vec![0; self.marked.len()]),
            Wrong::Nonsense(from) if self.cycle >= from => Verdict::Condemned(vec![u32::MAX]),
            _ => Verdict::Survivors(self.marked.clone()),
        })
    }

    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

pub fn marker(name: &'static str, wrong: Wrong) -> StrategySource {
    let made = AtomicU32::new(0);
    StrategySource::native(name, move |graph| {
        let instance = made.fetch_add(1, Ordering::Relaxed);
        Marker { instance, ..Marker::new(name, graph, wrong) }
    })
}

/// A small node that keeps nothing in quarantine.
pub fn node(strategy: StrategySource) -> Node {
    Node::builder()
        .strategy(strategy)
        .heap_limit(8 << 20)
        .configure(|config| config.heap.quarantine = Quarantine::Off)
        .start()
        .unwrap()
}

/// A tree of `depth` under the root `name`: `2^depth - 1` objects.
pub fn plant(node: &Node, name: &str, depth: u32) {
    let mut mutator = node.mutator();
    mutator.scope(|scope| {
        let mut level: Vec<_> = (0..1 << (depth - 1)).map(|_| scope.alloc(&[], b"leaf").unwrap()).collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| scope.alloc(&[Some(pair[0]), Some(pair[1])], b"").unwrap())
                .collect();
        }
        scope.set_root(name, Some(level[0]));
    });
}

/// Objects of a tree, counted through a mutator.
pub fn count(node: &Node, name: &str) -> usize {
    let mut mutator = node.mutator();
    mutator.scope(|scope| {
        let mut work: Vec<_> = scope.root(name).into_iter().collect();
        let mut count = 0;
        while let Some(object) = work.pop() {
            count += 1;
            for slot in 0..scope.slot_count(object) as u32 {
                work.extend(scope.load(object, slot).unwrap());
            }
        }
        count
    })
}

/// Waits until the journal has a record of this step, for at most ten seconds.
pub fn await_step(events: &Subscription, step: &str) -> JournalRecord {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match events.next_within(left) {
            Ok(Event::Swap(record)) if record.step == step => return record,
            Ok(_) => {}
            Err(error) => panic!("no step '{step}' came: {error}"),
        }
    }
}

pub fn steps(node: &Node) -> Vec<(String, String)> {
    node.status(100).journal.into_iter().map(|record| (record.strategy, record.step)).collect()
}
