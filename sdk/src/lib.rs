//! What a strategy author uses.
