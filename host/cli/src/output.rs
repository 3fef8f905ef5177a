//! Printing, for people and for programs.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

/// One line on standard output.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    let written = writeln!(io::stdout().lock(), "{text}");
    written.context("cannot write to standard output: is the disk full?")
}

/// One JSON object on a line of standard output.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// One line on standard error, for people. Whoever read it may have gone, and the disk behind it may be full: nothing ends because of that.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whoever read our output has had enough, as in `host strategy list | head -1`.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
