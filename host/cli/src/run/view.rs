//! The live view: a few lines at the bottom of a terminal, redrawn a few times a second.
//!
//! What is drawn is made by a pure function, [`lines`], so that it can be tested; this file's other half only moves the cursor.

use std::time::{Duration, Instant};

use console::{Style, Term, measure_text_width, truncate_str};
use gc_lab::Progress;
use gc_node::{CycleRecord, Node, Status};

use crate::units::{bytes, count, nanoseconds, rate};

/// Time between two drawings.
const EVERY: Duration = Duration::from_millis(200);

/// Narrowest and widest that the view is drawn.
const COLUMNS: std::ops::RangeInclusive<usize> = 40..=100;

/// See the module.
pub(crate) struct View {
    term: Term,
    load: &'static str,
    began: Instant,
    drawn: usize,
    next: Instant,
    rates: Rates,
    last: Option<CycleRecord>,
    progress: Option<Progress>,
    unicode: bool,
}

/// Allocation per second, from one drawing to the next.
struct Rates {
    at: Instant,
    objects: u64,
    bytes: u64,
    objects_per_s: f64,
    bytes_per_s: f64,
}

impl Rates {
    fn take(&mut self, status: &Status) {
        let seconds = self.at.elapsed().as_secs_f64();
        if seconds < 0.5 * EVERY.as_secs_f64() {
            return;
        }
        let heap = &status.heap;
        // Half of the old, half of the new: figures that jump cannot be read.
        let blend = |old: f64, new: f64| (old + new) / 2.0;
        let grown = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        self.objects_per_s = blend(self.objects_per_s, grown(heap.allocated_objects, self.objects));
        self.bytes_per_s = blend(self.bytes_per_s, grown(heap.allocated_bytes, self.bytes));
        (self.at, self.objects, self.bytes) = (Instant::now(), heap.allocated_objects, heap.allocated_bytes);
    }
}

impl View {
    pub(crate) fn new(load: &'static str, began: Instant) -> View {
        let now = Instant::now();
        View {
            term: Term::buffered_stderr(),
            load,
            began,
            drawn: 0,
            next: now,
            rates: Rates { at: now, objects: 0, bytes: 0, objects_per_s: 0.0, bytes_per_s: 0.0 },
            last: None,
            progress: None,
            unicode: speaks_unicode(),
        }
    }

    pub(crate) fn cycle(&mut self, cycle: &CycleRecord) {
        self.last = Some(cycle.clone());
    }

    /// A line above the view that stays.
    pub(crate) fn say(&mut self, text: &str) {
        self.clear();
        let _ = self.term.write_line(text);
        self.next = Instant::now();
    }

    pub(crate) fn draw(&mut self, node: &Node, progress: Option<Progress>) {
        self.progress = progress;
        if Instant::now() >= self.next {
            self.next = Instant::now() + EVERY;
            self.redraw(node);
        }
    }

    /// The last drawing, which stays.
    pub(crate) fn finish(&mut self, node: &Node) {
        self.redraw(node);
        self.drawn = 0;
    }

    fn redraw(&mut self, node: &Node) {
        let status = node.status(0);
        self.rates.take(&status);
        let columns =
            usize::from(self.term.size().1).saturating_sub(1).clamp(*COLUMNS.start(), *COLUMNS.end());
        let shown = Shown {
            status: &status,
            last: self.last.as_ref(),
            load: self.load,
            progress: self.progress,
            up: self.began.elapsed(),
            objects_per_s: self.rates.objects_per_s,
            bytes_per_s: self.rates.bytes_per_s,
        };
        let lines = lines(&shown, columns, self.unicode);
        self.clear();
        for line in &lines {
            let _ = self.term.write_line(line);
        }
        let _ = self.term.flush();
        self.drawn = lines.len();
    }

    fn clear(&mut self) {
        if self.drawn > 0 {
            let _ = self.term.clear_last_lines(self.drawn);
            self.drawn = 0;
        }
    }
}

fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    locale
        .into_iter()
        .find(|value| !value.is_empty())
        .is_some_and(|value| value.to_uppercase().contains("UTF"))
}

/// What a drawing is made from.
struct Shown<'a> {
    status: &'a Status,
    last: Option<&'a CycleRecord>,
    load: &'a str,
    progress: Option<Progress>,
    up: Duration,
    objects_per_s: f64,
    bytes_per_s: f64,
}

fn lines(shown: &Shown, columns: usize, unicode: bool) -> Vec<String> {
    let (status, heap) = (shown.status, &shown.status.heap);
    let title = Style::new().bold();
    let quiet = Style::new().dim();
    let label = |text: &str| quiet.apply_to(format!("{text:<9}")).to_string();
    let live = shown.last.map_or(0, |last| last.live_bytes).min(heap.used_bytes);
    let last = match shown.last {
        None => "none yet".to_owned(),
        Some(last) => format!(
            "{} by {}, {}: {} objects, {} in {}",
            last.cycle,
            last.cause,
            last.outcome,
            count(last.condemned_objects),
            bytes(last.condemned_bytes),
            nanoseconds(last.total_ns)
        ),
    };
    let text = [
        format!(
            "{}{}  {}, up {:.0} s",
            label("strategy"),
            title.apply_to(&status.strategy),
            standing(status),
            shown.up.as_secs_f64()
        ),
        format!(
            "{}{}",
            label("heap"),
            bar(live, heap.used_bytes, heap.committed_bytes, heap.limit_bytes, columns - 9, unicode)
        ),
        format!(
            "{}live {}, new or garbage {}, committed {}, limit {}",
            label(""),
            bytes(live),
            bytes(heap.used_bytes - live),
            bytes(heap.committed_bytes),
            bytes(heap.limit_bytes)
        ),
        format!("{}{last}", label("cycle")),
        format!(
            "{}p50 {}, p99.9 {}, longest {}",
            label("pauses"),
            nanoseconds(heap.pause_ns_p50),
            nanoseconds(heap.pause_ns_p999),
            nanoseconds(heap.pause_ns_max)
        ),
        format!(
            "{}{} threads, {} objects/s, {}/s",
            label("mutators"),
            heap.mutators,
            rate(shown.objects_per_s),
            bytes(shown.bytes_per_s as u64)
        ),
    ];
    let load = shown.progress.map(|progress| format!("{}{}", label("load"), load(shown.load, progress)));
    text.into_iter().chain(load).map(|line| truncate_str(&line, columns, "…").into_owned()).collect()
}

fn standing(status: &Status) -> String {
    let tenure = match status.tenure.as_str() {
        "probation" => format!("probation {}", status.probation_cycles_left),
        other => other.to_owned(),
    };
    match &status.candidate {
        Some(candidate) => format!("{tenure}, {} {}", candidate.phase, candidate.strategy.name),
        None => tenure,
    }
}

fn load(name: &str, progress: Progress) -> String {
    let Progress { phase, done, total } = progress;
    match total {
        None => format!("{name} {}: {} {}", phase.word(), count(done), phase.unit()),
        Some(total) => {
            let percent = done as f64 * 100.0 / total.max(1) as f64;
            format!("{name} {}: {percent:.0} % of {} {}", phase.word(), count(total), phase.unit())
        }
    }
}

/// Live, new or garbage, committed, and the rest up to the limit: four shades.
fn bar(live: u64, used: u64, committed: u64, limit: u64, columns: usize, unicode: bool) -> String {
    let width = columns.saturating_sub(2);
    let cells =
        |bytes: u64| ((bytes as f64 / limit.max(1) as f64) * width as f64).round().min(width as f64) as usize;
    let live = cells(live);
    let used = cells(used).max(live);
    let committed = cells(committed).max(used);
    let [full, half, light, none] = if unicode { ["█", "▒", "░", " "] } else { ["#", "+", ".", " "] };
    let bar = [
        Style::new().green().apply_to(full.repeat(live)).to_string(),
        Style::new().yellow().apply_to(half.repeat(used - live)).to_string(),
        Style::new().dim().apply_to(light.repeat(committed - used)).to_string(),
        none.repeat(width - committed),
    ]
    .concat();
    debug_assert_eq!(measure_text_width(&bar), width);
    format!("[{bar}]")
}

#[cfg(test)]
mod tests {
    use gc_node::{HeapRecord, StrategyRecord};

    use super::*;

    fn status() -> Status {
        Status {
            strategy: StrategyRecord {
                name: "tracing".into(),
                version: "0.1.0".into(),
                digest: "0123456789abcdef".into(),
            },
            tenure: "probation".into(),
            probation_cycles_left: 2,
            heap: HeapRecord {
                limit_bytes: 1 << 30,
                used_bytes: 512 << 20,
                committed_bytes: 768 << 20,
                mutators: 2,
                pause_ns_max: 80_000,
                ..HeapRecord::default()
            },
            ..Status::default()
        }
    }

    fn plain(columns: usize) -> Vec<String> {
        let status = status();
        let progress =
            Some(Progress { phase: gc_lab::Phase::Mutate, done: 123_456_789, total: Some(1_000_000_000) });
        let shown = Shown {
            status: &status,
            last: None,
            load: "churn",
            progress,
            up: Duration::from_secs(12),
            objects_per_s: 1.25e6,
            bytes_per_s: 2e8,
        };
        let lines = lines(&shown, columns, false);
        lines.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect()
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [40, 60, 79, 100] {
            for line in plain(columns) {
                assert!(measure_text_width(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn the_view_says_what_matters() {
        let lines = plain(100);
        assert_eq!(lines.len(), 7);
        assert!(
            lines[0].contains("tracing@0.1.0#01234567") && lines[0].contains("probation 2"),
            "{}",
            lines[0]
        );
        assert!(lines[2].contains("limit 1.0 GiB"), "{}", lines[2]);
        assert!(lines[6].contains("12 % of 1,000,000,000"), "{}", lines[6]);
    }

    #[test]
    fn the_bar_is_as_long_as_what_it_shows() {
        let bar = console::strip_ansi_codes(&bar(25, 50, 75, 100, 102, false)).into_owned();
        let count = |shade: char| bar.chars().filter(|&c| c == shade).count();
        assert_eq!([count('#'), count('+'), count('.'), count(' ')], [25, 25, 25, 25]);
    }
}
