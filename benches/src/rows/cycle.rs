//! A whole cycle of ours against one full collection of other collectors, on the same graph in the same rounds: CPU time per live object.
//!
//! `peers/run` does the work; this reads its report. The best peer is the one with the least median, whichever configuration that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::stats::{median, paired_ratio};

pub(super) const ROW: Row = Row {
    name: "cycle",
    goals: &[Goal {
        name: "whole cycle, CPU time per live object: ours against the best of Go, Java and Boehm",
        unit: "x",
        at_most: 0.2,
    }],
    measure,
};

const OURS: &str = "ours";

/// What `peers/run --json` writes, as far as it matters here.
#[derive(Deserialize)]
struct Report {
    samples: Vec<Sample>,
    skipped: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Sample {
    contestant: String,
    round: u32,
    cpu_ns_per_live: f64,
}

fn measure(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let ours = match &settings.ours {
        Some(command) => command.clone(),
        None => format!("{} collect", settings.myself.display()),
    };
    let path = settings.target.join("peers").join("peers.json");
    let (rounds, objects) = if settings.quick { ("1", "200000") } else { ("3", "10000000") };
    let mut run = Command::new(settings.root.join("benches/peers/run"));
    run.current_dir(&settings.root)
        .args(["--rounds", rounds, "--objects", objects, "--ours", &ours, "--json"])
        .arg(&path);
    command::output(&mut run)?;
    Ok(vec![read(&path)?.compare()?])
}

fn read(path: &Path) -> Result<Report, RowError> {
    let report = |message: String| RowError::Report { report: path.display().to_string(), message };
    let text = fs::read_to_string(path).map_err(|error| report(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| report(error.to_string()))
}

impl Report {
    fn compare(&self) -> Result<Reading, RowError> {
        let names: BTreeSet<&str> = self.samples.iter().map(|sample| sample.contestant.as_str()).collect();
        let mut ranking: Vec<(f64, &str)> =
            names.into_iter().filter_map(|name| Some((median(&self.all_of(name))?, name))).collect();
        ranking.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, best)) = ranking.iter().find(|(_, name)| *name != OURS) else {
            let reasons = self.skipped.values().cloned().collect::<Vec<_>>().join("; ");
            return Err(RowError::Nothing(format!("no peer ran: {reasons}")));
        };
        let ratio = paired_ratio(&self.rounds_of(OURS), &self.rounds_of(best)).ok_or_else(|| {
            RowError::Nothing(format!(
                "rounds of ours and of {best} do not pair up: run peers/run by hand and look"
            ))
        })?;
        let figures: Vec<_> = ranking.iter().map(|(cpu, name)| format!("{name} {cpu:.0}")).collect();
        let mut note = format!("CPU ns per live object: {}", figures.join(", "));
        if !self.skipped.is_empty() {
            note.push_str("; not compared: ");
            note.push_str(&self.skipped.keys().cloned().collect::<Vec<_>>().join(", "));
        }
        Ok(Reading::of(ratio, note))
    }

    fn all_of(&self, name: &str) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|sample| sample.contestant == name)
            .map(|sample| sample.cpu_ns_per_live)
            .collect()
    }

    /// The median of each round.
    fn rounds_of(&self, name: &str) -> Vec<f64> {
        let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.contestant == name) {
            rounds.entry(sample.round).or_default().push(sample.cpu_ns_per_live);
        }
        rounds.values().filter_map(|samples| median(samples)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(samples: &[(&str, u32, f64)]) -> Report {
        let samples = samples.iter().map(|(contestant, round, cpu_ns_per_live)| Sample {
            contestant: (*contestant).to_owned(),
            round: *round,
            cpu_ns_per_live: *cpu_ns_per_live,
        });
        Report {
            samples: samples.collect(),
            skipped: BTreeMap::from([("go".to_owned(), "go is not installed".to_owned())]),
        }
    }

    #[test]
    fn ours_is_held_against_the_best_peer_round_by_round() {
        let samples = [
            ("java-g1", 0, 300.0),
            ("boehm", 0, 200.0),
            ("ours", 0, 20.0),
            ("java-g1", 1, 300.0),
            ("boehm", 1, 400.0),
            ("ours", 1, 40.0),
            ("java-g1", 2, 300.0),
            ("boehm", 2, 200.0),
            ("ours", 2, 30.0),
        ];
        let reading = report(&samples).compare().unwrap();
        assert_eq!((reading.value, reading.range), (0.1, Some((0.1, 0.15))));
        assert_eq!(reading.note, "CPU ns per live object: ours 30, boehm 200, java-g1 300; not compared: go");
    }

    #[test]
    fn without_a_peer_there_is_no_figure_but_a_reason() {
        let error = report(&[("ours", 0, 20.0)]).compare().unwrap_err();
        assert_eq!(error.to_string(), "no peer ran: go is not installed");
    }

    #[test]
    fn without_ours_there_is_no_figure() {
        assert!(report(&[("boehm", 0, 20.0)]).compare().is_err());
    }
}
