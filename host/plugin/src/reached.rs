//! What a strategy has reached on other nodes: a bounded list between its calls of `cluster.reached` and the heap, which takes it after each step.
//!
//! A cell is checked for what can be seen without the heap's help: that it lies in the heap. Repetitions are taken; as many entries as the heap has
//! cells are room enough to tell each of them.

use crate::limits::REACHED_MAX;

/// Stubs that a strategy has told and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    stubs: Vec<u32>,
    /// The running cycle, if it is one over nodes.
    cycle: Option<Cycle>,
}

#[derive(Debug)]
struct Cycle {
    capacity: u32,
    /// Entries that may still come.
    left: usize,
}

impl Reached {
    /// A cycle over nodes has begun, in a heap of so many cells.
    pub(crate) fn open(&mut self, capacity: u32) {
        self.cycle = Some(Cycle { capacity, left: capacity as usize });
    }

    /// Nothing may be told any more, and what was not taken is forgotten.
    pub(crate) fn close(&mut self) {
        *self = Reached::default();
    }

    /// What was told since this was last asked.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.stubs)
    }

    /// Whether so many cells may be told.
    pub(crate) fn check(&self, count: usize) -> Result<(), String> {
        let Some(cycle) = &self.cycle else {
            return Err("it called cluster.reached, and marks over no nodes at the moment".to_owned());
        };
        if count > REACHED_MAX {
            return Err(format!("it told {count} reached cells at once, at most {REACHED_MAX} are possible"));
        }
        if count > cycle.left {
            let capacity = cycle.capacity;
            return Err(format!(
                "it told more reached cells in a cycle than the {capacity} that the heap has"
            ));
        }
        Ok(())
    }

    /// Takes cells, of which [`Reached::check`] has approved the number.
    pub(crate) fn put(&mut self, cells: Vec<u32>) -> Result<(), String> {
        let Some(cycle) = &mut self.cycle else { return Ok(()) };
        if let Some(cell) = cells.iter().find(|cell| **cell == 0 || **cell >= cycle.capacity) {
            return Err(format!(
                "it told that it reached cell {cell}, there are cells 1 to {}",
                cycle.capacity - 1
            ));
        }
        cycle.left = cycle.left.saturating_sub(cells.len());
        self.stubs.extend(cells);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(reached: &mut Reached, cells: &[u32]) -> Result<(), String> {
        reached.check(cells.len())?;
        reached.put(cells.to_vec())
    }

    #[test]
    fn what_is_told_is_taken_once_and_only_in_a_cycle_over_nodes() {
        let mut reached = Reached::default();
        assert!(tell(&mut reached, &[1]).unwrap_err().contains("no nodes"));
        reached.open(128);
        tell(&mut reached, &[1, 127, 1]).unwrap();
        assert_eq!((reached.take(), reached.take()), (vec![1, 127, 1], vec![]));
        tell(&mut reached, &[5]).unwrap();
        reached.close();
        assert!(tell(&mut reached, &[1]).is_err());
        assert!(reached.take().is_empty());
    }

    #[test]
    fn cells_outside_of_the_heap_are_refused_with_their_number() {
        let mut reached = Reached::default();
        reached.open(128);
        for cell in [0, 128, u32::MAX] {
            assert!(tell(&mut reached, &[3, cell]).unwrap_err().contains(&format!("cell {cell},")));
        }
        assert!(reached.take().is_empty());
    }

    #[test]
    fn a_cycle_has_room_for_as_many_entries_as_the_heap_has_cells() {
        let mut reached = Reached::default();
        reached.open(128);
        for _ in 0..2 {
            tell(&mut reached, &[7; 64]).unwrap();
            reached.take();
        }
        assert!(tell(&mut reached, &[7]).unwrap_err().contains("128"));
        reached.open(1 << 20);
        assert!(reached.check(REACHED_MAX + 1).unwrap_err().contains("65537"));
        reached.check(REACHED_MAX).unwrap();
    }
}
