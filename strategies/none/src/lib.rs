//! Frees nothing: the baseline that every collector is compared with, and the smallest strategy there is. Copy it to begin one.

use gc_sdk::{Error, Info, Options, Shape, Strategy};

/// Keeps everything.
pub struct Nothing;

impl Strategy for Nothing {
    const INFO: Info = Info::new("none", env!("CARGO_PKG_VERSION"), "Frees nothing.");

    fn new(_options: &Options, _shape: Shape) -> Result<Nothing, Error> {
        Ok(Nothing)
    }
}

gc_sdk::export_strategy!(Nothing);
