//! What a strategy tells people: bounded lines, taken by the node after each cycle.

use crate::bindings::telemetry;
use crate::description::shown;
use crate::limits;

/// How much a line matters.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the author of the strategy.
    Debug,
    /// For everybody.
    Info,
    /// Something is odd.
    Warn,
    /// Something went wrong.
    Error,
}

/// A line that a strategy wrote: no control characters, and an ellipsis after 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

/// The lines since they were last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// In order; at most 100.
    pub lines: Vec<LogLine>,
    /// How many more there were.
    pub dropped: u64,
}

impl Log {
    /// Takes a line, or counts it if there are too many.
    pub(crate) fn write(&mut self, level: telemetry::Level, message: &str) {
        if self.lines.len() >= limits::LOG_LINES {
            self.dropped += 1;
            return;
        }
        let level = match level {
            telemetry::Level::Debug => LogLevel::Debug,
            telemetry::Level::Info => LogLevel::Info,
            telemetry::Level::Warn => LogLevel::Warn,
            telemetry::Level::Error => LogLevel::Error,
        };
        self.lines.push(LogLine { level, text: shown(message, limits::LOG_BYTES) });
    }

    /// Makes room for the lines of a new cycle: what nobody took counts as dropped.
    pub(crate) fn begin_cycle(&mut self) {
        self.dropped += self.lines.len() as u64;
        self.lines.clear();
    }

    /// The last error of the lines from `first` on: what a strategy said before it trapped.
    pub(crate) fn last_words(&self, first: usize) -> Option<&str> {
        let since = self.lines.get(first..)?;
        since.iter().rev().find(|line| line.level == LogLevel::Error).map(|line| line.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_bound_of_a_cycle_are_counted() {
        let mut log = Log::default();
        for _ in 0..3 {
            log.begin_cycle();
            (0..150).for_each(|_| log.write(telemetry::Level::Info, "x"));
        }
        assert_eq!((log.lines.len(), log.dropped), (100, 350));
    }

    #[test]
    fn the_last_error_of_a_call_is_its_last_words() {
        let mut log = Log::default();
        log.write(telemetry::Level::Error, "before");
        assert_eq!(log.last_words(1), None);
        log.write(telemetry::Level::Error, "why");
        log.write(telemetry::Level::Debug, "noise");
        assert_eq!(log.last_words(1), Some("why"));
    }
}
