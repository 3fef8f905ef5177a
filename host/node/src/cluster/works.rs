//! The way from the driver to the collector thread: what it is to do for the cluster.
//!
//! The driver waits for nothing, so what the collector's inbox has no room for waits here, in order. There is little of it: one cycle over nodes,
//! one candidate.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};

use gc_heap::Heap;

use crate::ask::Ask;

/// See the module.
pub(crate) struct Works {
    sender: SyncSender<Ask>,
    heap: Heap,
    waiting: VecDeque<Ask>,
}

impl Works {
    pub(crate) fn new(sender: SyncSender<Ask>, heap: Heap) -> Works {
        Works { sender, heap, waiting: VecDeque::new() }
    }

    pub(crate) fn heap(&self) -> &Heap {
        &self.heap
    }

    pub(crate) fn give(&mut self, ask: Ask) {
        self.waiting.push_back(ask);
        self.push();
    }

    /// Hands over what there is room for. To be called now and then.
    pub(crate) fn push(&mut self) {
        while let Some(ask) = self.waiting.pop_front() {
            match self.sender.try_send(ask) {
                Ok(()) => self.heap.signal().ring(),
                Err(TrySendError::Full(ask)) => return self.waiting.push_front(ask),
                // The collector has stopped, and so does the node.
                Err(TrySendError::Disconnected(_)) => return self.waiting.clear(),
            }
        }
    }
}
