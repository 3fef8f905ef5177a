//! A value per cell, for the cells that were ever written: a heap can hold many more cells than it does, and memory is for those in use.

use gc_sdk::Cell;

/// Cells that are made room for at once.
const BLOCK: usize = 1 << 16;

/// Zero, or what was written last.
#[derive(Default)]
pub(crate) struct PerCell<T> {
    values: Vec<T>,
}

impl<T: Copy + Default> PerCell<T> {
    pub(crate) fn get(&self, cell: Cell) -> T {
        self.values.get(cell as usize).copied().unwrap_or_default()
    }

    pub(crate) fn at(&mut self, cell: Cell) -> &mut T {
        let at = cell as usize;
        if at >= self.values.len() {
            self.values.resize((at + 1).next_multiple_of(BLOCK), T::default());
        }
        &mut self.values[at]
    }

    /// Zero for every cell.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }
}
