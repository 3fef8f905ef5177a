//! A workload as a person writes it: `git:PATH?payload=true`, `churn?threads=4&live=1M`.
//!
//! The part before the first `:` or `?` names the workload. Options follow the last `?` as `key=value`,
//! joined by `&`. A path that itself has a `?` in it is written with another `?` at its end.

use std::path::{Path, PathBuf};
use std::time::Instant;

use gc_heap::Heap;

use crate::churn::ChurnSpec;
use crate::driver::Driver;
use crate::error::WorkloadError;
use crate::report::WorkloadReport;

/// What to run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WorkloadSpec {
    /// Import a git repository and collect.
    Git(GitSpec),
    /// Replay the history of a git repository.
    GitHistory(HistorySpec),
    /// Import a graph from a text file and collect.
    Graph(GraphSpec),
    /// Synthetic load.
    Churn(ChurnSpec),
}

/// `git:PATH[?payload=true]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSpec {
    /// A work tree, a `.git` folder or a bare repository.
    pub path: PathBuf,
    /// Whether contents are imported too, each as the payload of its object. Without, blobs are not even
    /// read.
    pub payload: bool,
}

/// `git-history:PATH?keep=N[&payload=true]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySpec {
    /// A work tree, a `.git` folder or a bare repository.
    pub path: PathBuf,
    /// How many commits are kept: the newest ones in the order of the replay.
    pub keep: usize,
    /// Whether contents are allocated too.
    pub payload: bool,
}

/// `graph:FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSpec {
    /// The file.
    pub path: PathBuf,
}

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name is not known.
    #[error(
        "'{0}' is no workload: write git:PATH, git-history:PATH?keep=N, graph:FILE or churn[?key=value&...]"
    )]
    UnknownWorkload(String),
    /// The workload needs a path and has none.
    #[error("{workload} needs a path: write {example}")]
    NoPath {
        /// The workload.
        workload: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// An option that the workload does not have.
    #[error("{workload} has no option '{key}': it has {known}")]
    UnknownOption {
        /// The workload.
        workload: &'static str,
        /// What was given.
        key: String,
        /// What there is.
        known: &'static str,
    },
    /// A value that the option cannot have.
    #[error("{key}={value} cannot be: write {wanted}")]
    BadValue {
        /// The option.
        key: String,
        /// What was given.
        value: String,
        /// What can be.
        wanted: &'static str,
    },
    /// The same option again.
    #[error("option '{0}' is given twice: keep one")]
    Twice(String),
    /// An option without which the workload means nothing.
    #[error("{workload} needs '{key}': write {example}")]
    Missing {
        /// The workload.
        workload: &'static str,
        /// The option.
        key: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// Two options that exclude each other.
    #[error("{what}: {remedy}")]
    Conflict {
        /// What does not go together.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

impl std::str::FromStr for WorkloadSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<WorkloadSpec, SpecError> {
        let end = text.find([':', '?']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        match name {
            "git" => parse_git(rest).map(WorkloadSpec::Git),
            "git-history" => parse_history(rest).map(WorkloadSpec::GitHistory),
            "graph" => {
                let path = path_of("graph", rest.strip_prefix(':'), "graph:FILE")?;
                Ok(WorkloadSpec::Graph(GraphSpec { path }))
            }
            "churn" if !rest.starts_with(':') => {
                ChurnSpec::parse(&mut Options::parse("churn", rest.strip_prefix('?').unwrap_or(""))?)
                    .map(WorkloadSpec::Churn)
            }
            _ => Err(SpecError::UnknownWorkload(text.chars().take(80).collect())),
        }
    }
}

impl WorkloadSpec {
    /// The name of the workload, without its options.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            WorkloadSpec::Git(_) => "git",
            WorkloadSpec::GitHistory(_) => "git-history",
            WorkloadSpec::Graph(_) => "graph",
            WorkloadSpec::Churn(_) => "churn",
        }
    }

    /// The file or repository that it reads, if any.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            WorkloadSpec::Git(spec) => Some(&spec.path),
            WorkloadSpec::GitHistory(spec) => Some(&spec.path),
            WorkloadSpec::Graph(spec) => Some(&spec.path),
            WorkloadSpec::Churn(_) => None,
        }
    }

    /// Does the work, in this thread and, for `churn`, in others that end before this returns.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`]. The heap stays usable; what was built by then is unreachable.
    pub fn run(&self, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
        let begun = Instant::now();
        match self {
            WorkloadSpec::Git(spec) => crate::git::run(spec, heap, driver, begun),
            WorkloadSpec::GitHistory(spec) => crate::history::run(spec, heap, driver, begun),
            WorkloadSpec::Graph(spec) => crate::graph::run(spec, heap, driver, begun),
            WorkloadSpec::Churn(spec) => crate::churn::run(spec, heap, driver),
        }
    }
}

fn path_of(workload: &'static str, path: Option<&str>, example: &'static str) -> Result<PathBuf, SpecError> {
    match path {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(SpecError::NoPath { workload, example }),
    }
}

fn parse_git(rest: &str) -> Result<GitSpec, SpecError> {
    let (path, mut options) = path_and_options("git", rest, "git:PATH")?;
    let payload = options.flag("payload")?;
    options.finish("payload")?;
    Ok(GitSpec { path, payload: payload.unwrap_or(false) })
}

fn parse_history(rest: &str) -> Result<HistorySpec, SpecError> {
    const EXAMPLE: &str = "git-history:PATH?keep=100";
    let (path, mut options) = path_and_options("git-history", rest, EXAMPLE)?;
    let keep = options.number("keep", 1, u32::MAX.into(), "a number of commits from 1")?;
    let payload = options.flag("payload")?;
    options.finish("keep and payload")?;
    let keep = keep.ok_or(SpecError::Missing { workload: "git-history", key: "keep", example: EXAMPLE })?;
    Ok(HistorySpec { path, keep: keep as usize, payload: payload.unwrap_or(false) })
}

fn path_and_options<'t>(
    workload: &'static str,
    rest: &'t str,
    example: &'static str,
) -> Result<(PathBuf, Options<'t>), SpecError> {
    let (path, options) = rest.rsplit_once('?').unwrap_or((rest, ""));
    Ok((path_of(workload, path.strip_prefix(':'), example)?, Options::parse(workload, options)?))
}

/// The options of a workload, taken out one by one.
pub(crate) struct Options<'t> {
    workload: &'static str,
    left: Vec<(&'t str, &'t str)>,
}

impl<'t> Options<'t> {
    fn parse(workload: &'static str, text: &'t str) -> Result<Options<'t>, SpecError> {
        let mut left: Vec<(&str, &str)> = Vec::new();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            if left.iter().any(|&(other, _)| other == key) {
                return Err(SpecError::Twice(key.to_owned()));
            }
            left.push((key, value));
        }
        Ok(Options { workload, left })
    }

    /// Takes an option out and reads its value.
    pub(crate) fn take<T>(
        &mut self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some(at) = self.left.iter().position(|&(other, _)| other == key) else { return Ok(None) };
        let (_, value) = self.left.remove(at);
        let bad = || SpecError::BadValue { key: key.to_owned(), value: value.to_owned(), wanted };
        read(value).map(Some).ok_or_else(bad)
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, SpecError> {
        self.take(key, "true or false", |value| value.parse().ok())
    }

    pub(crate) fn number(
        &mut self,
        key: &str,
        min: u64,
        max: u64,
        wanted: &'static str,
    ) -> Result<Option<u64>, SpecError> {
        self.take(key, wanted, |value| count(value).filter(|number| (min..=max).contains(number)))
    }

    /// A share between 0 and 1.
    pub(crate) fn share(&mut self, key: &str) -> Result<Option<f64>, SpecError> {
        self.take(key, "a share from 0 to 1, for example 0.25", share)
    }

    /// All options must have been taken by now.
    pub(crate) fn finish(&self, known: &'static str) -> Result<(), SpecError> {
        match self.left.first() {
            None => Ok(()),
            Some(&(key, _)) => {
                Err(SpecError::UnknownOption { workload: self.workload, key: key.to_owned(), known })
            }
        }
    }
}

/// A whole number, possibly of thousands (`k`), millions (`M`) or thousands of millions (`G`).
pub(crate) fn count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        b'G' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A share between 0 and 1.
pub(crate) fn share(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WorkloadSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn paths_and_options_are_told_apart() {
        let git = |path: &str, payload| Ok(WorkloadSpec::Git(GitSpec { path: path.into(), payload }));
        assert_eq!(read("git:."), git(".", false));
        assert_eq!(read("git:/a b/c?payload=true"), git("/a b/c", true));
        assert_eq!(read("git:C:/x"), git("C:/x", false));
        assert_eq!(read("git:odd?name?"), git("odd?name", false));
        assert_eq!(read("graph:odd?name"), Ok(WorkloadSpec::Graph(GraphSpec { path: "odd?name".into() })));
        assert_eq!(
            read("git-history:x?keep=2k&payload=false"),
            Ok(WorkloadSpec::GitHistory(HistorySpec { path: "x".into(), keep: 2000, payload: false }))
        );
        assert_eq!(read("churn"), Ok(WorkloadSpec::Churn(ChurnSpec::default())));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_there_is() {
        for (text, says) in [
            ("", "'' is no workload: write git:PATH"),
            ("gti:.", "'gti:.' is no workload"),
            ("churn:x", "'churn:x' is no workload"),
            ("git", "git needs a path: write git:PATH"),
            ("git:", "git needs a path"),
            ("graph:", "graph needs a path: write graph:FILE"),
            ("git:.?keep=3", "git has no option 'keep': it has payload"),
            ("git:.?payload=yes", "payload=yes cannot be: write true or false"),
            ("git:.?payload", "payload= cannot be: write true or false"),
            ("git:.?payload=true&payload=true", "option 'payload' is given twice"),
            ("git-history:.", "git-history needs 'keep': write git-history:PATH?keep=100"),
            ("git-history:.?keep=0", "keep=0 cannot be: write a number of commits from 1"),
            ("git-history:.?keep=-1", "keep=-1 cannot be"),
            ("churn?treads=2", "churn has no option 'treads': it has threads,"),
            ("churn?threads=0", "threads=0 cannot be"),
            ("churn?size=uniform:9:1", "size=uniform:9:1 cannot be: write fixed:BYTES"),
            ("churn?lifetime=young:2", "lifetime=young:2 cannot be"),
            ("churn?reads=1.5", "reads=1.5 cannot be: write a share from 0 to 1"),
            ("churn?retire=true&shared=0.1", "retire"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn counts_have_units() {
        assert_eq!(count("10"), Some(10));
        assert_eq!(count("10k"), Some(10_000));
        assert_eq!(count("3M"), Some(3_000_000));
        assert_eq!(count("1G"), Some(1_000_000_000));
        for text in ["", "k", "+1", "-1", "1.5", "1K", "99999999999999999999", "99999999999G"] {
            assert_eq!(count(text), None, "{text}");
        }
    }
}
