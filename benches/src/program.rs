//! One run of a whole program: the line of JSON that every contestant prints for works other than `mark`.

use serde::Serialize;

use crate::clock::Spent;

/// A run as `peers/README.md` defines it. `peers/run` adds what it sees from outside: the resident memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// What was run: `gcbench` or `binary-trees`.
    pub work: String,
    /// What the program says of its own result; equal for every contestant that did the work.
    pub checks: Vec<String>,
    /// Time on the wall.
    pub wall_ns: u64,
    /// CPU time of the process, all threads.
    pub cpu_ns: u64,
}

impl Program {
    /// The line for a run of `work`.
    pub fn new(work: &str, checks: &[String], spent: Spent) -> Program {
        // The peers print what GCBench looks at, not how many trees there were.
        let common = |line: &&String| !line.starts_with("short lived");
        let one_blank = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        Program {
            work: work.to_owned(),
            checks: checks.iter().filter(common).map(one_blank).collect(),
            wall_ns: u64::try_from(spent.wall.as_nanos()).unwrap_or(u64::MAX),
            cpu_ns: u64::try_from(spent.cpu.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The line as it is printed.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a program has only string keys and whole numbers")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn checks_are_compared_word_by_word() {
        let spent = Spent { wall: Duration::from_nanos(7), cpu: Duration::from_nanos(9) };
        let checks = ["32\t trees of depth 4\t check: 992".to_owned(), "short lived trees: 5".to_owned()];
        let line = Program::new("binary-trees", &checks, spent).to_line();
        let wanted = "{\"work\":\"binary-trees\",\"checks\":[\"32 trees of depth 4 check: 992\"],\"wall_ns\":7,\"cpu_ns\":9}";
        assert_eq!(line, wanted);
    }
}
