//! The rows of the table: one file each, one function each, in the order of the table.
//!
//! To add a row: a file with a `ROW`, a line in [`ROWS`]. Its function runs the benchmark's command (see [`command`]), reads the JSON that the
//! command prints, and answers with one [`Reading`] per goal, in the order of [`Row::goals`].

mod cluster;
pub mod command;
mod cycle;
mod heap;
mod import;
mod node;
mod record;

use std::path::PathBuf;

use crate::goals::{Line, Reading};

pub use crate::goals::Goal;

/// Every row there is.
pub const ROWS: &[Row] = &[
    heap::MARK,
    cycle::ROW,
    node::PAUSES,
    heap::PROOF,
    heap::BLOCKS,
    heap::BARRIER,
    node::EMPTY,
    import::ROW,
    record::ROW,
    cluster::LINK,
    cluster::REFERENCES,
    cluster::TABLES,
    cluster::DROPPED,
    cluster::RING,
    cluster::DECISION,
    cluster::SCALING,
];

/// One benchmark and the goals it answers for.
pub struct Row {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it answers for.
    pub goals: &'static [Goal],
    /// Measures; one reading for each goal.
    pub measure: fn(&Settings) -> Result<Vec<Reading>, RowError>,
}

/// What holds for a whole table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Small inputs and few rounds: shows that everything runs; the figures are worth little.
    pub quick: bool,
    /// The workspace, where commands are run.
    pub root: PathBuf,
    /// Where reports of single benchmarks are put.
    pub target: PathBuf,
    /// This binary, which runs parts of itself as processes.
    pub myself: PathBuf,
    /// The command that collects the peer graph in our heap, as `peers/run --ours` wants it.
    pub ours: Option<String>,
    /// A `host` built with the feature `etcd`. None: it is built.
    pub etcd_host: Option<PathBuf>,
}

/// Why a row has no figures.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A command could not be started.
    #[error("cannot run {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command failed.
    #[error("{command} failed: {message}")]
    Failed {
        /// The command.
        command: String,
        /// The last line it wrote to its standard error.
        message: String,
    },
    /// A report is not there or not what was expected.
    #[error("cannot read {report}: {message}")]
    Report {
        /// Which report.
        report: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is nothing to compare; the message says what is missing and what to do.
    #[error("{0}")]
    Nothing(String),
}

impl Row {
    /// Measures and holds the readings against the goals. Every goal gets its line, also where measuring failed.
    pub fn lines(&self, settings: &Settings) -> Vec<Line> {
        match (self.measure)(settings) {
            Ok(readings) => {
                let mut readings = readings.into_iter();
                let mut next =
                    || readings.next().ok_or_else(|| format!("{} gave no reading for it", self.name));
                self.goals.iter().map(|goal| Line::new(*goal, next())).collect()
            }
            Err(error) => self.goals.iter().map(|goal| Line::new(*goal, Err(error.to_string()))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOALS: &[Goal] = &[
        Goal { name: "first", unit: "ns", at_most: 1.0 },
        Goal { name: "second", unit: "ns", at_most: 1.0 },
    ];

    fn settings() -> Settings {
        let nowhere = PathBuf::new;
        Settings {
            quick: true,
            root: nowhere(),
            target: nowhere(),
            myself: nowhere(),
            ours: None,
            etcd_host: None,
        }
    }

    #[test]
    fn every_goal_of_a_row_gets_a_line() {
        let one = |_: &Settings| Ok(vec![Reading { value: 0.5, range: None, note: String::new() }]);
        let lines = Row { name: "row", goals: GOALS, measure: one }.lines(&settings());
        assert_eq!(
            lines.iter().map(|line| (line.name, line.met)).collect::<Vec<_>>(),
            [("first", true), ("second", false)]
        );

        let none = |_: &Settings| Err(RowError::Nothing("no peer: install one".to_owned()));
        let lines = Row { name: "row", goals: GOALS, measure: none }.lines(&settings());
        assert!(lines.iter().all(|line| line.note == "not measured: no peer: install one"), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn rows_and_goals_have_names_of_their_own() {
        let rows: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        let goals: Vec<_> = ROWS.iter().flat_map(|row| row.goals).map(|goal| goal.name).collect();
        for names in [rows, goals] {
            let distinct: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len(), "{names:?}");
        }
    }
}
