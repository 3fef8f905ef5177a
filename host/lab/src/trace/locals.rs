//! What a mutator holds, by the cells that a trace names: a stack that scopes cut back.

use rustc_hash::FxHashMap;

/// Scopes in each other that are replayed as such. What is opened inside so many belongs to the scope around it: it is held for longer, and no
/// trace can exhaust the stack of a thread.
pub(crate) const SCOPES_MAX: usize = 256;

const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Copy, Clone)]
struct Held<T> {
    cell: u32,
    /// Where the same cell is held already.
    before: u32,
    value: T,
}

/// See the module. With each cell stands a value.
#[derive(Debug)]
pub(crate) struct Locals<T> {
    held: Vec<Held<T>>,
    last: FxHashMap<u32, u32>,
    /// How much was held when each open scope began.
    scopes: Vec<u32>,
    /// Scopes that are open beyond those.
    deeper: u64,
}

impl<T> Default for Locals<T> {
    fn default() -> Locals<T> {
        Locals { held: Vec::new(), last: FxHashMap::default(), scopes: Vec::new(), deeper: 0 }
    }
}

impl<T: Copy> Locals<T> {
    pub(crate) fn push(&mut self, cell: u32, value: T) {
        let index = self.held.len() as u32;
        let before = self.last.insert(cell, index).unwrap_or(NOWHERE);
        self.held.push(Held { cell, before, value });
    }

    /// The latest hold of a cell: its place in the stack, and the value.
    pub(crate) fn find(&self, cell: u32) -> Option<(u32, T)> {
        let &index = self.last.get(&cell)?;
        Some((index, self.held[index as usize].value))
    }

    pub(crate) fn depth(&self) -> usize {
        self.scopes.len()
    }

    /// Answers whether the scope is one of its own.
    pub(crate) fn open(&mut self) -> bool {
        let real = self.scopes.len() < SCOPES_MAX;
        if real {
            self.scopes.push(self.held.len() as u32);
        } else {
            self.deeper += 1;
        }
        real
    }

    /// Lets go of what the innermost scope holds. Answers whether it was one of its own; nothing when none is open.
    pub(crate) fn close(&mut self, mut let_go: impl FnMut(T)) -> Option<bool> {
        if self.deeper > 0 {
            self.deeper -= 1;
            return Some(false);
        }
        let base = self.scopes.pop()? as usize;
        while self.held.len() > base {
            let Some(Held { cell, before, value }) = self.held.pop() else { break };
            if before == NOWHERE {
                self.last.remove(&cell);
            } else {
                self.last.insert(cell, before);
            }
            let_go(value);
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_lets_go_of_what_it_held_and_of_nothing_else() {
        let mut locals = Locals::default();
        assert!(locals.open());
        locals.push(7, 'a');
        locals.open();
        locals.push(8, 'b');
        locals.push(7, 'c');
        assert_eq!((locals.find(7), locals.find(8)), (Some((2, 'c')), Some((1, 'b'))));
        let mut gone = Vec::new();
        assert_eq!(locals.close(|value| gone.push(value)), Some(true));
        assert_eq!(gone, ['c', 'b']);
        assert_eq!((locals.find(7), locals.find(8)), (Some((0, 'a')), None));
        assert_eq!(locals.close(|_| ()), Some(true));
        assert_eq!((locals.close(|_| ()), locals.find(7)), (None, None));
    }

    #[test]
    fn scopes_that_are_too_deep_hold_on() {
        let mut locals = Locals::default();
        assert!((0..SCOPES_MAX).all(|_| locals.open()));
        assert!(!locals.open());
        locals.push(1, ());
        assert_eq!(locals.close(|()| ()), Some(false));
        assert!(locals.find(1).is_some());
        assert_eq!(locals.close(|()| ()), Some(true));
        assert!(locals.find(1).is_none());
    }
}
