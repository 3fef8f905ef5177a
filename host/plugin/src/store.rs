//! What stands beside one instance: its limits, what it may read, what it wrote to the log.

use std::ops::Range;
use std::sync::Arc;

use gc_heap::Graph;
use wasmtime::{Engine, ResourceLimiter, Store};

use crate::limits::{self, Limits};
use crate::log::Log;
use crate::reached::Reached;

/// The data of a store.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    /// The live graph; none while a strategy describes itself.
    pub(crate) graph: Option<Arc<Graph>>,
    /// Host addresses of the window.
    pub(crate) window: Range<usize>,
    pub(crate) log: Log,
    /// What it has reached on other nodes.
    pub(crate) reached: Reached,
    /// Calls of the host by the strategy.
    pub(crate) calls: u64,
}

impl State {
    /// Whether a list of the guest lies, even partly, in its window.
    pub(crate) fn in_window<T>(&self, list: &[T]) -> bool {
        let range = list.as_ptr_range();
        !list.is_empty() && range.start.addr() < self.window.end && range.end.addr() > self.window.start
    }
}

/// Makes a store whose strategy may hand over `answer_bytes` per call.
pub(crate) fn new(
    engine: &Engine,
    limits: &Limits,
    graph: Option<&Arc<Graph>>,
    answer_bytes: usize,
) -> Store<State> {
    let state = State {
        limiter: Limiter {
            memory: Counted::up_to(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX)),
            tables: Counted::up_to(limits.table_elements),
            refused: None,
        },
        graph: graph.cloned(),
        window: 0..0,
        log: Log::default(),
        reached: Reached::default(),
        calls: 0,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(answer_bytes);
    store
}

/// Memory and tables of all instances in a store together; remembers what it refused, because a guest that is refused memory most often just traps.
pub(crate) struct Limiter {
    memory: Counted,
    tables: Counted,
    refused: Option<String>,
}

struct Counted {
    used: usize,
    limit: usize,
}

impl Counted {
    fn up_to(limit: usize) -> Counted {
        Counted { used: 0, limit }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let within = used <= self.limit;
        if within {
            self.used = used;
        }
        within
    }
}

impl Limiter {
    /// Lets memory grow by so much more: room for a window.
    pub(crate) fn allow_memory(&mut self, bytes: usize) {
        self.memory.limit = self.memory.limit.saturating_add(bytes);
    }

    /// Takes back what [`Limiter::allow_memory`] gave. False when more is used than is allowed without it.
    #[must_use]
    pub(crate) fn disallow_memory(&mut self, bytes: usize) -> bool {
        self.memory.limit = self.memory.limit.saturating_sub(bytes);
        self.memory.used <= self.memory.limit
    }

    /// What was refused since this was last asked.
    pub(crate) fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let within = self.memory.grow(current, desired);
        if !within {
            let (used, limit) = (self.memory.used >> 10, self.memory.limit >> 10);
            let more = desired.saturating_sub(current) >> 10;
            self.refused =
                Some(format!("{more} KiB of memory more than its {used} KiB, the limit is {limit} KiB"));
        }
        Ok(within)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let within = self.tables.grow(current, desired);
        if !within {
            self.refused = Some(format!("a table of {desired} elements, the limit is {}", self.tables.limit));
        }
        Ok(within)
    }

    fn instances(&self) -> usize {
        limits::INSTANCES
    }

    fn tables(&self) -> usize {
        limits::TABLES
    }

    fn memories(&self) -> usize {
        limits::MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together_and_a_refusal_is_remembered_once() {
        let mut limiter = Limiter { memory: Counted::up_to(100), tables: Counted::up_to(10), refused: None };
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(limiter.take_refused().is_none());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert!(limiter.take_refused().is_some());
        assert!(limiter.take_refused().is_none());
        limiter.allow_memory(1);
        assert!(limiter.memory_growing(40, 41, None).unwrap());
        assert!(!limiter.table_growing(0, 11, None).unwrap());
    }

    #[test]
    fn room_for_a_window_is_no_other_memory() {
        let mut limiter = Limiter { memory: Counted::up_to(100), tables: Counted::up_to(10), refused: None };
        limiter.allow_memory(50);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.disallow_memory(50));
        assert!(!limiter.memory_growing(100, 101, None).unwrap());
        limiter.allow_memory(50);
        assert!(limiter.memory_growing(100, 101, None).unwrap());
        assert!(!limiter.disallow_memory(50));
        assert!(!limiter.memory_growing(101, 102, None).unwrap());
    }
}
