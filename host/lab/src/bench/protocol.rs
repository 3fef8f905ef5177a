//! What a process is told that makes one run, and what it answers: one JSON object on a line each, in by standard input, out by standard output.
//!
//! Both ends are the same binary, so there is no version to agree on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bench::model::{Failure, Kind, Measures, Outcome};

/// A run to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What it is for.
    pub kind: Kind,
    /// The strategy.
    pub strategy: Player,
    /// The workload, as text.
    pub workload: String,
    /// Seed of the workload, where it has one.
    pub seed: u64,
    /// The heap's limit.
    pub heap_bytes: u64,
    /// Untimed iterations before the timed one.
    pub warmup_iterations: u32,
    /// Whether heap samples, cycles and longest pauses are wanted.
    pub details: bool,
    /// Where compiled code is kept.
    pub cache: Option<PathBuf>,
    /// The strategy to swap to, and so many nanoseconds after the begin of the timed part.
    pub swap: Option<(Player, u64)>,
}

/// A strategy in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Player {
    /// Index into [`crate::bench::model::Report::subjects`].
    pub subject: usize,
    /// A built-in one, or the path of a component.
    pub source: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it came to its end.
    pub outcome: Outcome,
    /// What was measured, if it did.
    pub measures: Option<Box<Measures>>,
    /// CPU time of the process from its start to its answer: what the rest of the machine is told from.
    pub process_cpu_ns: u64,
}

impl Answer {
    /// It did not come to its end.
    #[must_use]
    pub fn failed(how: Failure, why: impl Into<String>) -> Answer {
        Answer { outcome: Outcome::Failed { how, why: why.into() }, measures: None, process_cpu_ns: 0 }
    }
}

impl From<Measures> for Answer {
    fn from(measures: Measures) -> Answer {
        Answer { outcome: Outcome::Ok, measures: Some(Box::new(measures)), process_cpu_ns: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_sent() {
        let measures = Measures { wall_ns: u64::MAX, fuel: Some(1), ..Measures::default() };
        for answer in [Answer::from(measures), Answer::failed(Failure::HeapFull, "full")] {
            let text = serde_json::to_string(&answer).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
    }
}
