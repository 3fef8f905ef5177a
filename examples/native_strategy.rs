//! A collector written against the heap's own trait: the whole of a mark-sweep, and a node that runs on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_heap::{
    Change, CycleInfo, Fault, Graph, HeapError, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};
use gc_node::{Node, StrategySource};

struct MarkSweep {
    identity: StrategyIdentity,
    graph: Arc<Graph>,
    marked: Vec<u64>,
    work: Vec<u32>,
}

impl MarkSweep {
    fn new(graph: &Arc<Graph>) -> MarkSweep {
        let identity =
            StrategyIdentity { name: "mine".into(), version: "0.1.0".into(), digest: "native".into() };
        MarkSweep { identity, graph: Arc::clone(graph), marked: Vec::new(), work: Vec::new() }
    }

    fn mark(&mut self, cells: &[u32]) -> bool {
        let before = self.work.len();
        for &cell in cells.iter().filter(|&&cell| cell != 0) {
            let (word, bit) = (cell as usize / 64, 1 << (cell % 64));
            if self.marked[word] & bit == 0 {
                self.marked[word] |= bit;
                self.work.push(cell);
            }
        }
        self.work.len() > before
    }
}

impl Strategy for MarkSweep {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        self.marked = vec![0; self.graph.capacity() as usize / 64];
        self.work.clear();
        Ok(())
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.mark(cells);
        Ok(())
    }

    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }

    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }

    // What mutators overwrite while we mark: the snapshot that was there at the beginning stays whole.
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        Ok(self.mark(cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        for _ in 0..budget {
            let Some(cell) = self.work.pop() else { return Ok(Progress::Idle) };
            let at = cell as usize * 4;
            let slots: [u32; 4] =
                std::array::from_fn(|slot| self.graph.cells()[at + slot].load(Ordering::Relaxed));
            self.mark(&slots);
        }
        Ok(Progress::More)
    }

    // Only a proposal: the heap proves it before anything goes.
    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::Survivors(std::mem::take(&mut self.marked)))
    }

    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mine = StrategySource::native("mine", MarkSweep::new);
    let node = Node::builder().strategy(mine).heap_limit(16 << 20).start()?;
    node.mutator().scope(|scope| {
        // A ring that nobody keeps, and an object that somebody does.
        let first = scope.alloc(&[None], b"")?;
        let second = scope.alloc(&[Some(first)], b"")?;
        scope.store(first, 0, Some(second))?;
        let kept = scope.alloc(&[], b"kept")?;
        scope.set_root("kept", Some(kept));
        Ok::<_, HeapError>(())
    })?;
    let cycle = node.collect()?;
    println!("{} freed {} objects, {} lives on", cycle.strategy, cycle.condemned_objects, cycle.live_objects);
    assert_eq!((cycle.condemned_objects, cycle.live_objects), (2, 1));
    node.shutdown();
    Ok(())
}
