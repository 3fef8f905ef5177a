//! The conformance kit: holds a strategy to the contract and to its own promise.
//!
//! Every check drives the real heap, the real cycle driver and the real proof, and compares what is left with a model that knows every object and
//! reference. A strategy that passes is safe as far as these graphs go (the proof makes it safe on all others), finds what it promises to find within
//! the cycles it promises, answers in time, and answers the same to the same calls.

mod bench;
mod checks;
mod model;
mod over_nodes;
mod twin;

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::error::NodeError;
use crate::record::StrategyRecord;
use crate::source::StrategySource;
use bench::Bench;

/// How much is checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of the random graphs.
    pub seed: u64,
    /// Smaller graphs and fewer of them.
    pub quick: bool,
    /// Only checks whose name contains this.
    pub only: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Well.
    Passed {
        /// What was seen.
        note: String,
    },
    /// Badly.
    Failed {
        /// What was wrong.
        why: String,
    },
    /// Not at all.
    Skipped {
        /// Why it does not concern this strategy.
        why: String,
    },
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub took_ns: u64,
}

/// All checks of one strategy.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which strategy.
    pub strategy: StrategyRecord,
    /// In the order in which they ran.
    pub checks: Vec<Check>,
}

impl Report {
    /// The checks that ended badly.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed { .. }))
    }
}

/// Runs the kit. `told` is called after every check. Takes seconds, or about one with [`Plan::quick`].
///
/// # Errors
///
/// When the strategy cannot even be loaded and attached, and when no check has the name that was asked for.
pub fn check(
    source: &StrategySource,
    settings: &BTreeMap<String, String>,
    plan: &Plan,
    told: &mut dyn FnMut(&Check),
) -> Result<Report, NodeError> {
    let chosen = |name: &str| plan.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if !checks::ALL.iter().any(|(name, _)| chosen(name)) {
        let known = checks::ALL.iter().map(|&(name, _)| name).collect();
        return Err(NodeError::NoCheck { only: plan.only.clone().unwrap_or_default(), known });
    }
    let bench = Bench::new(source, settings, plan)?;
    let mut report = Report { strategy: bench.strategy.clone(), checks: Vec::new() };
    for &(name, run) in checks::ALL {
        if !chosen(name) {
            continue;
        }
        let began = Instant::now();
        let outcome = match run(&bench) {
            Ok(checks::Done::Passed(note)) => Outcome::Passed { note },
            Ok(checks::Done::Skipped(why)) => Outcome::Skipped { why },
            Err(why) => Outcome::Failed { why },
        };
        let took_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let check = Check { name, outcome, took_ns };
        told(&check);
        report.checks.push(check);
    }
    Ok(report)
}
