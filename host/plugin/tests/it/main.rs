//! The plugin host against real components: the hostile strategy in every mode, and files that are no strategies.

mod common;

mod cache;
mod calls;
mod faults;
mod honest;
mod nodes;
mod refused;
mod window;
