//! The options of a workload: `key=value`, joined by `&`, taken out one by one.

use std::path::PathBuf;
use std::time::Duration;

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name is not known.
    #[error(
        "'{0}' is no workload: write git:PATH, git-history:PATH?keep=N, graph:FILE, trace:FILE, or one of gcbench, \
         binary-trees, service, queue, cache, editor, random-workers and churn with [?key=value&...]"
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

pub(crate) fn path_and_options<'t>(
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
    pub(crate) fn parse(workload: &'static str, text: &'t str) -> Result<Options<'t>, SpecError> {
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

    /// A number, or the one that holds where none is given.
    pub(crate) fn or(
        &mut self,
        key: &str,
        default: u64,
        min: u64,
        max: u64,
        wanted: &'static str,
    ) -> Result<u64, SpecError> {
        Ok(self.number(key, min, max, wanted)?.unwrap_or(default))
    }

    /// When to end: after so many units, called `key`, or after `seconds`, whichever comes first. The default
    /// number holds where neither is given.
    pub(crate) fn extent(
        &mut self,
        key: &str,
        default: u64,
    ) -> Result<(Option<u64>, Option<Duration>), SpecError> {
        let units = self.number(key, 1, 1 << 48, "a number from 1, for example 10M")?;
        let seconds = self.number("seconds", 1, 1_000_000_000, "a whole number from 1")?;
        let units = if seconds.is_none() { units.or(Some(default)) } else { units };
        Ok((units, seconds.map(Duration::from_secs)))
    }

    /// Whether the small size is asked for: `quick` alone, or with a value as any other flag.
    pub(crate) fn quick(&mut self) -> Result<bool, SpecError> {
        let read = |value: &str| if value.is_empty() { Some(true) } else { value.parse().ok() };
        Ok(self.take("quick", "true or false", read)?.unwrap_or(false))
    }

    /// The skew of keys by Zipf's law.
    pub(crate) fn theta(&mut self) -> Result<Option<f64>, SpecError> {
        self.take("theta", "a number from 0 to 0.999", |text| {
            text.parse::<f64>().ok().filter(|theta| (0.0..=0.999).contains(theta))
        })
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

pub(crate) fn path_of(
    workload: &'static str,
    path: Option<&str>,
    example: &'static str,
) -> Result<PathBuf, SpecError> {
    match path {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(SpecError::NoPath { workload, example }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
