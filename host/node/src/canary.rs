//! The decision about a canary: whether a strategy on probation keeps its budget.
//!
//! A pure machine. What was seen of a cycle goes in ([`Seen`]), what is to become of the strategy comes out ([`Ruling`]); it reads no clock and looks at
//! no heap, so that a test can play any run. The collector thread feeds it; [`crate::swap`] promotes or rolls back.
//!
//! ```text
//!   cycles beside the present strategy          cycles on probation
//!   ───────────────────────────────────▶ exchange ─────────────────────▶ promoted, or rolled back
//!   present one: what relative limits           candidate: held against all
//!   are held against; candidate: time           limits, each cycle
//!   and memory
//! ```
//!
//! 1. A limit is told as what must hold: `p999 < 50us`.
//! 2. What can only get worse is judged at each cycle. A percentile or a mean is judged at the end of the probation, and before it as soon as it could not
//!    come right any more if cycles go on as they did: when more hold-ups were too long, or more time was spent, than the whole probation may have.
//! 3. A relative limit is held against what was seen of the present strategy meanwhile. Where nothing was, it is not judged, and the answer says so.
//! 4. Percentiles are those of operations that were held up. With fewer than 1000 of them the 99.9th is the longest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a budget may limit.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Median of how long operations of mutators were held up, in nanoseconds.
    HoldupP50,
    /// 99th percentile of that.
    HoldupP99,
    /// 99.9th percentile of that.
    HoldupP999,
    /// The longest.
    HoldupMax,
    /// Share of one processor that the collector thread took.
    Cpu,
    /// Time in the strategy per cycle, in nanoseconds.
    Mark,
    /// Bytes of the strategy's own memory, at most.
    Memory,
    /// Bytes of cells and payloads in use at the end of a cycle, at most.
    Heap,
    /// Share of the cells that the present strategy found dead beside it and it did not.
    Missed,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 9] = [
        Measure::HoldupP50,
        Measure::HoldupP99,
        Measure::HoldupP999,
        Measure::HoldupMax,
        Measure::Cpu,
        Measure::Mark,
        Measure::Memory,
        Measure::Heap,
        Measure::Missed,
    ];

    /// Short and stable: for budgets and for programs.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Measure::HoldupP50 => "p50",
            Measure::HoldupP99 => "p99",
            Measure::HoldupP999 => "p999",
            Measure::HoldupMax => "max",
            Measure::Cpu => "cpu",
            Measure::Mark => "mark",
            Measure::Memory => "memory",
            Measure::Heap => "heap",
            Measure::Missed => "missed",
        }
    }

    /// What its values count.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Measure::HoldupP50
            | Measure::HoldupP99
            | Measure::HoldupP999
            | Measure::HoldupMax
            | Measure::Mark => Unit::Nanoseconds,
            Measure::Cpu | Measure::Missed => Unit::Share,
            Measure::Memory | Measure::Heap => Unit::Bytes,
        }
    }

    /// The share of hold-ups that are no longer than the value, for a percentile.
    fn quantile(self) -> Option<f64> {
        match self {
            Measure::HoldupP50 => Some(0.5),
            Measure::HoldupP99 => Some(0.99),
            Measure::HoldupP999 => Some(0.999),
            Measure::HoldupMax => Some(1.0),
            Measure::Cpu | Measure::Mark | Measure::Memory | Measure::Heap | Measure::Missed => None,
        }
    }
}

/// What the values of a measure count.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A share from 0 to 1.
    Share,
}

/// What a measure is held against.
#[derive(Debug, Copy, Clone, PartialEq)]
pub enum Amount {
    /// This, in the unit of the measure.
    Itself(f64),
    /// So many times what the present strategy had.
    Ratio(f64),
    /// So much more than the present strategy had.
    Difference(f64),
}

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// For people, such as `p999 < 50us`.
    pub text: String,
    /// What is limited.
    pub measure: Measure,
    /// Whether the value must be above the amount, and not below it.
    pub above: bool,
    /// Whether it may be just as much.
    pub or_equal: bool,
    /// How much.
    pub amount: Amount,
}

impl Limit {
    /// `text`: the measure stays below an amount in its own unit.
    #[must_use]
    pub fn below(text: &str, measure: Measure, value: f64) -> Limit {
        Limit { text: text.into(), measure, above: false, or_equal: false, amount: Amount::Itself(value) }
    }

    /// The value that it stands for; none where the present strategy had none.
    fn target(&self, present: Option<f64>) -> Option<f64> {
        match self.amount {
            Amount::Itself(value) => Some(value),
            Amount::Ratio(ratio) => present.map(|present| present * ratio),
            Amount::Difference(more) => present.map(|present| present + more),
        }
    }

    fn holds(&self, value: f64, target: f64) -> bool {
        let within = if self.above { value > target } else { value < target };
        within || (self.or_equal && value == target)
    }
}

/// What must hold, all of it. Empty: only faults and refused verdicts count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budget(pub Vec<Limit>);

impl Budget {
    /// Whether something is held against the present strategy, which must have been seen for that.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        let relative =
            |limit: &Limit| !matches!(limit.amount, Amount::Itself(_)) || limit.measure == Measure::Missed;
        self.0.iter().any(relative)
    }
}

/// What was seen of a strategy in one cycle, and since the one before it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// How long each operation that was held up was held up.
    pub holdups_ns: Vec<u64>,
    /// Since the end of the cycle before.
    pub wall_ns: u64,
    /// Processor time of the collector meanwhile, as far as it is this strategy's.
    pub cpu_ns: u64,
    /// Time in the strategy.
    pub mark_ns: u64,
    /// Bytes of its own memory.
    pub memory_bytes: u64,
    /// Bytes in use at the end of the cycle; nothing of a strategy that runs beside another one.
    pub used_bytes: Option<u64>,
}

/// What was seen of a strategy.
#[derive(Debug, Clone, Default)]
struct Account {
    cycles: u32,
    /// Sorted.
    holdups_ns: Vec<u64>,
    wall_ns: u64,
    cpu_ns: u64,
    mark_ns: u64,
    memory_bytes: Option<u64>,
    used_bytes: Option<u64>,
    missed: Option<f64>,
}

/// Hold-ups that are kept: a probation with more of them keeps the first so many.
const HOLDUPS_MAX: usize = 4 << 20;

impl Account {
    fn add(&mut self, mut seen: Seen) {
        self.cycles += 1;
        seen.holdups_ns.truncate(HOLDUPS_MAX - self.holdups_ns.len().min(HOLDUPS_MAX));
        self.holdups_ns.append(&mut seen.holdups_ns);
        self.holdups_ns.sort_unstable();
        self.wall_ns += seen.wall_ns;
        self.cpu_ns += seen.cpu_ns;
        self.mark_ns += seen.mark_ns;
        self.memory_bytes = self.memory_bytes.max(Some(seen.memory_bytes));
        self.used_bytes = self.used_bytes.max(seen.used_bytes);
    }

    /// The value of a measure; none where nothing was seen of it.
    fn value(&self, measure: Measure) -> Option<f64> {
        if let Some(share) = measure.quantile() {
            // Somebody served and nobody was held up: that is no time.
            return (self.used_bytes.is_some()).then(|| self.quantile(share));
        }
        let per = |sum: u64, count: u64| (count > 0).then(|| sum as f64 / count as f64);
        match measure {
            Measure::Cpu => per(self.cpu_ns, self.wall_ns),
            Measure::Mark => per(self.mark_ns, u64::from(self.cycles)),
            Measure::Memory => self.memory_bytes.map(|bytes| bytes as f64),
            Measure::Heap => self.used_bytes.map(|bytes| bytes as f64),
            _ => self.missed,
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let rank = (self.holdups_ns.len() as f64 * share).ceil() as usize;
        self.holdups_ns.get(rank.saturating_sub(1)).map_or(0.0, |&ns| ns as f64)
    }
}

/// What is to become of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It goes on, or stays if this was its last cycle: how well it has kept its budget.
    Kept(String),
    /// It goes: what it broke.
    Broken(String),
}

/// A measure of both, for the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The key of the measure.
    pub measure: String,
    /// What its values count.
    pub unit: Unit,
    /// Of the strategy that served before, while the candidate ran beside it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub present: Option<f64>,
    /// Of the candidate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidate: Option<f64>,
    /// What it was held against, where it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<String>,
}

/// The machine. See the module.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    budget: Budget,
    probation_cycles: u32,
    present: Account,
    beside: Account,
    serving: Account,
}

impl Watch {
    /// For a probation of so many cycles.
    #[must_use]
    pub fn new(budget: Budget, probation_cycles: u32) -> Watch {
        Watch { budget, probation_cycles: probation_cycles.max(1), ..Watch::default() }
    }

    /// A cycle of the present strategy with the candidate beside it. `missed` is the share of dead cells that the candidate has not found so far; `last`
    /// says that its time beside is over.
    pub fn beside(&mut self, present: Seen, candidate: Seen, missed: Option<f64>, last: bool) -> Ruling {
        self.present.add(present);
        self.beside.add(candidate);
        self.beside.missed = missed;
        let judged = |limit: &&Limit| match limit.measure {
            Measure::Memory => last || !limit.above,
            Measure::Mark | Measure::Missed => last,
            _ => false,
        };
        let broken =
            self.budget.0.iter().filter(judged).find_map(|limit| self.broken(limit, &self.beside, last));
        match broken {
            Some(broken) => Ruling::Broken(format!("{broken}, beside the present strategy")),
            None => Ruling::Kept(self.words(&self.beside)),
        }
    }

    /// A cycle that the candidate served.
    pub fn served(&mut self, seen: Seen) -> Ruling {
        self.serving.add(seen);
        self.serving.missed = self.beside.missed;
        let last = self.serving.cycles >= self.probation_cycles;
        let broken = self.budget.0.iter().find_map(|limit| self.broken(limit, &self.serving, last));
        match broken {
            Some(broken) => Ruling::Broken(format!("{broken}, {}", self.progress())),
            None => Ruling::Kept(self.words(&self.serving)),
        }
    }

    /// All measures that were seen.
    #[must_use]
    pub fn measured(&self) -> Vec<Measured> {
        let candidate = if self.serving.cycles > 0 { &self.serving } else { &self.beside };
        let limit = |measure| {
            let texts: Vec<&str> = self.limits(measure).map(|limit| limit.text.as_str()).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        };
        let measured = |measure: Measure| Measured {
            measure: measure.key().into(),
            unit: measure.unit(),
            present: self.present.value(measure),
            candidate: candidate.value(measure),
            limit: limit(measure),
        };
        let seen = |measured: &Measured| measured.present.is_some() || measured.candidate.is_some();
        Measure::ALL.into_iter().map(measured).filter(seen).collect()
    }

    fn limits(&self, measure: Measure) -> impl Iterator<Item = &Limit> {
        self.budget.0.iter().filter(move |limit| limit.measure == measure)
    }

    /// How a limit is broken, if it is.
    fn broken(&self, limit: &Limit, account: &Account, last: bool) -> Option<String> {
        let target = limit.target(self.present.value(limit.measure))?;
        let value = account.value(limit.measure)?;
        if last && !limit.holds(value, target) {
            return Some(told(limit, value, target));
        }
        if last || limit.above {
            return None;
        }
        let beyond = |value: f64| !limit.holds(value, target);
        let whole = f64::from(self.probation_cycles) / f64::from(account.cycles.max(1));
        let hopeless = match limit.measure {
            Measure::HoldupMax | Measure::Memory | Measure::Heap => beyond(value),
            Measure::HoldupP50 | Measure::HoldupP99 | Measure::HoldupP999 => {
                let longer = account.holdups_ns.iter().rev().take_while(|&&ns| beyond(ns as f64)).count();
                let all = account.holdups_ns.len() as f64 * whole;
                longer as f64 > all * (1.0 - limit.measure.quantile().unwrap_or(1.0))
            }
            Measure::Cpu | Measure::Mark => beyond(value / whole),
            Measure::Missed => false,
        };
        hopeless.then(|| told(limit, value, target))
    }

    fn progress(&self) -> String {
        let Account { cycles, holdups_ns, .. } = &self.serving;
        format!("after {cycles} of {} cycles and {} hold-ups", self.probation_cycles, holdups_ns.len())
    }

    /// How well the budget was kept.
    fn words(&self, account: &Account) -> String {
        let word = |limit: &Limit| {
            let (measure, text) = (limit.measure, &limit.text);
            match (account.value(measure), limit.target(self.present.value(measure))) {
                (Some(value), Some(_)) => format!("{text} (it was {})", Shown(value, measure.unit())),
                (None, _) | (_, None) => format!("{text} (nothing was seen to judge it by)"),
            }
        };
        let words: Vec<String> = self.budget.0.iter().map(word).collect();
        match words.is_empty() {
            true => format!("no fault and no refused verdict, {}", self.progress()),
            false => format!("kept {}, {}", words.join(", "), self.progress()),
        }
    }
}

fn told(limit: &Limit, value: f64, target: f64) -> String {
    let unit = limit.measure.unit();
    let against = match limit.amount {
        Amount::Itself(_) => String::new(),
        Amount::Ratio(_) | Amount::Difference(_) => format!(" against {}", Shown(target, unit)),
    };
    format!("broke {} (it was {}{against})", limit.text, Shown(value, unit))
}

/// A value for people.
struct Shown(f64, Unit);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Shown(value, unit) = self;
        let steps: &[(f64, &str)] = match unit {
            Unit::Nanoseconds => &[(1e9, " s"), (1e6, " ms"), (1e3, " us"), (0.0, " ns")],
            Unit::Bytes => &[(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1024.0, " KiB"), (0.0, " B")],
            Unit::Share => &[(0.0, " %")],
        };
        let value = if unit == Unit::Share { 100.0 * value } else { value };
        let &(size, name) = steps.iter().find(|(size, _)| value >= *size).unwrap_or(&(0.0, ""));
        let value = if size > 0.0 { value / size } else { value };
        let places = usize::from(value < 99.5 && value.fract() != 0.0);
        write!(f, "{value:.places$}{name}")
    }
}

#[cfg(test)]
#[path = "canary_tests.rs"]
mod tests;
