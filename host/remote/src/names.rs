//! One thing, two names: the heap calls it a handle, the protocol a reference.

use gc_heap::Handle;
use gc_protocol::{Life, Object, Reference};

/// The handle of what a reference names.
#[must_use]
pub fn handle_of(reference: Reference) -> Handle {
    Handle {
        node: reference.home.node.0,
        incarnation: reference.home.incarnation.0,
        cell: reference.object.cell,
        generation: reference.object.generation,
    }
}

/// The reference to what a handle names.
#[must_use]
pub fn reference_of(handle: Handle) -> Reference {
    Reference {
        home: Life::new(handle.node, handle.incarnation),
        object: Object { cell: handle.cell, generation: handle.generation },
    }
}
