//! `host strategy check`: the conformance kit, and a report that a person can read.

use anyhow::bail;
use gc_node::StrategySource;
use gc_node::conformance::{self, Check, Outcome, Plan};

use crate::output;
use crate::units;

/// Run the conformance kit on a strategy. Exit code 0 if every check passed, 1 otherwise.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host strategy check ./my-collector.wasm\n  host strategy check tracing --seed 7 --quick"
)]
pub(crate) struct Args {
    /// A built-in strategy, or the path of a component
    #[arg(value_name = "NAME|PATH")]
    strategy: String,
    /// Set an option of the strategy
    #[arg(long, value_name = "OPTION=VALUE", value_parser = crate::config::setting)]
    set: Vec<(String, String)>,
    /// Seed of the random graphs: the same seed makes the same graphs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Smaller graphs and fewer of them
    #[arg(long)]
    quick: bool,
    /// Run only the checks whose name contains this
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Print one JSON object per check
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let source = StrategySource::from(args.strategy.as_str());
    let plan = Plan { seed: args.seed, quick: args.quick, only: args.only.clone() };
    let mut printed = Ok(());
    let report = conformance::check(&source, &args.set.iter().cloned().collect(), &plan, &mut |check| {
        let shown = if args.json { output::json(check) } else { output::line(line(check)) };
        if printed.is_ok() {
            printed = shown;
        }
    })?;
    judge(&report.checks, &report.strategy, args.seed, printed)?;
    if !args.json {
        let skipped =
            report.checks.iter().filter(|check| matches!(check.outcome, Outcome::Skipped { .. })).count();
        let concern = if skipped > 0 { " that concern it" } else { "" };
        let passed = report.checks.len() - skipped;
        output::line(format!("{} passes all {passed} checks{concern}", report.strategy))?;
    }
    Ok(())
}

/// What the checks came to goes before what became of the output: whoever reads only its first lines asks for the exit code too.
fn judge(
    checks: &[Check],
    strategy: &impl std::fmt::Display,
    seed: u64,
    printed: anyhow::Result<()>,
) -> anyhow::Result<()> {
    let failed = checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed { .. })).count();
    if failed > 0 {
        let all = checks.len();
        bail!("{strategy} fails {failed} of {all} checks: seed {seed} makes the same graphs again");
    }
    printed
}

fn line(check: &Check) -> String {
    let (mark, note) = match &check.outcome {
        Outcome::Passed { note } => ("pass", note),
        Outcome::Failed { why } => ("FAIL", why),
        Outcome::Skipped { why } => ("skip", why),
    };
    let took = units::nanoseconds(check.took_ns);
    format!("{mark}  {:<34} {took:>7}  {note}", check.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_only_the_first_line_learns_that_a_check_failed() {
        let check = |outcome| Check { name: "loads", outcome, took_ns: 1 };
        let gone = || Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        let bad = [
            check(Outcome::Passed { note: String::new() }),
            check(Outcome::Failed { why: "it traps".into() }),
        ];
        let error = judge(&bad, &"x", 7, gone()).unwrap_err();
        assert!(!output::is_broken_pipe(&error) && error.to_string().contains("fails 1 of 2 checks: seed 7"));
        assert!(output::is_broken_pipe(&judge(&bad[..1], &"x", 7, gone()).unwrap_err()));
        assert!(judge(&bad, &"x", 7, Ok(())).is_err() && judge(&bad[..1], &"x", 7, Ok(())).is_ok());
    }
}
