//! `host bench-run`: one run, in a process of its own. Not for people: `host bench` starts it, with an [`Order`] on its standard input, and reads an
//! [`Answer`] from its standard output.

mod assemble;
mod clocks;
mod driver;
mod measure;
mod nodes;
mod sampler;

use anyhow::Context;
use gc_lab::bench::protocol::{Answer, Order};

pub(crate) use assemble::times_final_cycles;

use crate::output;

/// Make one run of a comparison, for `host bench`.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<()> {
    end_with_parent();
    let order: Order = serde_json::from_reader(std::io::stdin().lock())
        .context("cannot read what is to be run: `host bench` starts this command, people do not")?;
    let mut answer = match measure::measure(&order) {
        Ok(measures) => Answer::from(measures),
        Err(failed) => Answer::failed(failed.how, failed.why),
    };
    answer.process_cpu_ns = clocks::process_ns();
    output::json(&answer)
}

/// Nobody waits for a run whose comparison was killed, and a strategy that never ends would run for ever.
fn end_with_parent() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // Where the kernel does not do that, the run goes on to its own end.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}
