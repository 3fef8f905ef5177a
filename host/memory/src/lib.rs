//! Arena, columns, slabs and elastic pools: the memory of a node, and all unsafe code that it needs.
