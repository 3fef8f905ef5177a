//! `host strategy extract`: a built-in strategy as a file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::Usage;
use crate::output;
use crate::units;

/// Write a built-in strategy to a file, to copy it elsewhere, to inspect it with other tools, or to run it by its path.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host strategy extract epoch\n  host strategy extract tracing -o /tmp/t.wasm"
)]
pub(crate) struct Args {
    /// The strategy
    name: String,
    /// Where to [default: NAME.wasm; - for standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that has other content
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Some(builtin) = gc_builtin::find(&args.name) else {
        let known: Vec<_> = gc_builtin::all().iter().map(|builtin| builtin.name).collect();
        let what = format!("there is no built-in strategy '{}': take one of {}", args.name, known.join(", "));
        return Err(Usage(what).into());
    };
    let path = args.output.clone().unwrap_or_else(|| format!("{}.wasm", builtin.name).into());
    if path.as_os_str() == "-" {
        std::io::stdout().lock().write_all(builtin.bytes)?;
        return Ok(());
    }
    if differs(&path, builtin.bytes) && !args.force {
        bail!("{} exists and has other content: give another path with -o, or --force", path.display());
    }
    let failed = || format!("cannot write {}: give another path with -o", path.display());
    std::fs::write(&path, builtin.bytes).with_context(failed)?;
    output::line(format!("{}: {}", path.display(), units::bytes(builtin.bytes.len() as u64)))
}

/// Whether there is a file with other content. What is no file, such as a device, is not read: it may have no end.
fn differs(path: &Path, bytes: &[u8]) -> bool {
    let Ok(found) = std::fs::metadata(path) else { return false };
    found.is_file()
        && (found.len() != bytes.len() as u64 || std::fs::read(path).is_ok_and(|found| found != bytes))
}
