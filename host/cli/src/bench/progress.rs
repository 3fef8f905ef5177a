//! How far a comparison is: a bar with the time left at a terminal, a line now and then elsewhere, nothing with `--json`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gc_lab::bench::model::Kind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

enum How {
    Bar(ProgressBar),
    Lines { next: Instant },
    Nothing,
}

/// Runs that are alike take about the same time.
pub(crate) type Alike = (usize, Kind);

/// See the module.
pub(crate) struct Progress {
    how: How,
    done: u64,
    total: u64,
    /// How long runs took: sum and count.
    took: BTreeMap<Alike, (Duration, u32)>,
    left: Vec<Alike>,
    what: String,
}

impl Progress {
    pub(crate) fn new(json: bool) -> Progress {
        let how = if json {
            How::Nothing
        } else if console::Term::stderr().is_term() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(
                "{wide_msg}\n[{bar:40}] {pos}/{len}  {elapsed} so far, {prefix}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.enable_steady_tick(Duration::from_millis(500));
            How::Bar(bar)
        } else {
            How::Lines { next: Instant::now() }
        };
        Progress { how, done: 0, total: 0, took: BTreeMap::new(), left: Vec::new(), what: String::new() }
    }

    /// So many runs more are known to come.
    pub(crate) fn expect(&mut self, runs: impl IntoIterator<Item = Alike>) {
        self.left.extend(runs);
        self.total = self.done + self.left.len() as u64;
        self.show();
    }

    /// What is being done.
    pub(crate) fn say(&mut self, what: impl Into<String>) {
        self.what = what.into();
        self.show();
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        match &self.how {
            How::Bar(bar) => bar.suspend(|| output::note(text)),
            How::Lines { .. } => output::note(text),
            How::Nothing => {}
        }
    }

    /// A run that had been expected is over, or is not made after all.
    pub(crate) fn over(&mut self, alike: Alike, took: Option<Duration>) {
        if let Some(at) = self.left.iter().position(|other| *other == alike) {
            self.left.swap_remove(at);
            self.done += 1;
        }
        if let Some(took) = took {
            let (sum, count) = self.took.entry(alike).or_default();
            *sum += took;
            *count += 1;
        }
        self.show();
    }

    /// How long a run takes that is like this one, as far as is known.
    pub(crate) fn usual(&self, alike: Alike) -> Option<Duration> {
        let (sum, count) = self.took.get(&alike).or_else(|| {
            self.took.iter().find(|((workload, _), _)| *workload == alike.0).map(|(_, took)| took)
        })?;
        Some(*sum / (*count).max(1))
    }

    fn time_left(&self) -> Option<Duration> {
        self.left.iter().map(|&alike| self.usual(alike)).sum()
    }

    fn show(&mut self) {
        let left = match self.time_left() {
            _ if self.left.is_empty() => String::new(),
            Some(left) => format!("about {} left", clock(left)),
            None => "time left not known yet".into(),
        };
        match &mut self.how {
            How::Bar(bar) => {
                bar.set_length(self.total);
                bar.set_position(self.done);
                bar.set_prefix(left);
                bar.set_message(self.what.clone());
            }
            How::Lines { next } if Instant::now() >= *next => {
                *next = Instant::now() + LINE_EVERY;
                let comma = if left.is_empty() { "" } else { ", " };
                output::note(format!("{}/{} runs{comma}{left}: {}", self.done, self.total, self.what));
            }
            How::Lines { .. } | How::Nothing => {}
        }
    }

    pub(crate) fn end(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// `1:05` and `1:02:03`, at least a second.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_runs_that_are_alike() {
        let mut progress = Progress::new(true);
        let (timed, fuel, other) = ((0, Kind::Timed), (0, Kind::Fuel), (1, Kind::Timed));
        progress.expect([timed, timed, timed, fuel, other]);
        assert_eq!(progress.time_left(), None);
        progress.over(timed, Some(Duration::from_secs(2)));
        progress.over(other, Some(Duration::from_secs(10)));
        assert_eq!((progress.done, progress.total), (2, 5));
        // Two like the first, and one of whose kind there was none: like its workload.
        assert_eq!(progress.time_left(), Some(Duration::from_secs(6)));
        assert_eq!([clock(Duration::from_secs(65)), clock(Duration::from_secs(3723))], ["1:05", "1:02:03"]);
    }
}
