//! A comparison from begin to end.
//!
//! ```text
//!  baseline once ─▶ smallest heap ─▶ A/A ─▶ rounds (timed, and the baseline again) ─▶ fuel, oracle, swaps
//! ```
//!
//! Whatever becomes of a run, the others are made; whatever ends the comparison early, what was measured is in the result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use gc_lab::bench::environment::available_bytes;
use gc_lab::bench::model::{Environment, Failure, Kind, Outcome, Plan, Probe, Report, Run, SCHEMA, Workload};
use gc_lab::bench::protocol::{Answer, Order};
use gc_lab::bench::schedule::{self, Field, Job, middle};
use gc_lab::bench::search::Search;

use crate::bench::conduct::{self, Ran};
use crate::bench::progress::Progress;
use crate::bench::subjects::Entrant;
use crate::run::stop::Stop;
use crate::units::bytes;

/// Largest heap where none is given: the window of a strategy must fit beside its memory.
const HEAP_MAX_BYTES: u64 = 4 << 30;

/// Smallest heap that is tried.
const HEAP_MIN_BYTES: u64 = 1 << 20;

/// Rounds in which the baseline runs along.
const BASELINE_ROUNDS: u32 = 5;
const BASELINE_ROUNDS_QUICK: u32 = 3;

/// With `--within`: rounds that are made whatever the time, and how often fuel is counted and the oracle asked.
const WITHIN_ROUNDS_MIN: usize = 6;
const WITHIN_FUEL: u32 = 7;
const WITHIN_ORACLE: u32 = 2;

/// A strategy that failed so often in the first rounds of a workload and heap is not tried there again.
const FAILURES_MAX: u32 = 2;

/// Time between two times that the results so far are written.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// What `--quick` aims to take, the report included.
const QUICK: Duration = Duration::from_secs(95);

/// Runs of a workload that `--quick` would like to make.
const QUICK_RUNS: u32 = 60;

/// What is settled before anything runs.
pub(crate) struct Setup {
    /// The strategies; the baseline is last.
    pub(crate) entrants: Vec<Entrant>,
    /// Index of `none`.
    pub(crate) baseline: usize,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) plan: Plan,
    /// Whether rounds and heaps may be chosen to fit the time: they were not given.
    pub(crate) may_choose_rounds: bool,
    /// How long everything may take; rounds that would take longer are not made.
    pub(crate) within: Option<Duration>,
    /// Largest heap of the baseline and of the search.
    pub(crate) heap_max_bytes: u64,
    pub(crate) cache: Option<PathBuf>,
    /// How a person asks for the same again.
    pub(crate) command: String,
}

/// A comparison under way.
pub(crate) struct Comparison<'s> {
    setup: &'s Setup,
    stop: &'s Stop,
    progress: Progress,
    began: Instant,
    report: Report,
    /// How long the first run of each workload took.
    first: BTreeMap<usize, Duration>,
    /// Bytes that the first run of each workload allocated.
    allocated: BTreeMap<usize, u64>,
    /// Failures in a row, by strategy, workload and heap.
    failures: BTreeMap<(usize, usize, u64), u32>,
    /// Told every few seconds, so that what was measured is not lost.
    keep: &'s dyn Fn(&Report),
    kept: Instant,
}

/// The comparison was ended by its user.
struct Interrupted;

type Step = Result<(), Interrupted>;

impl<'s> Comparison<'s> {
    pub(crate) fn new(
        setup: &'s Setup,
        environment: Environment,
        stop: &'s Stop,
        progress: Progress,
        keep: &'s dyn Fn(&Report),
    ) -> Comparison<'s> {
        let began_unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let report = Report {
            schema: SCHEMA,
            began_unix_ms,
            command: setup.command.clone(),
            environment,
            plan: setup.plan.clone(),
            subjects: setup.entrants.iter().map(|entrant| entrant.subject.clone()).collect(),
            workloads: setup.workloads.clone(),
            ..Report::empty()
        };
        Comparison {
            setup,
            stop,
            progress,
            began: Instant::now(),
            report,
            first: BTreeMap::new(),
            allocated: BTreeMap::new(),
            failures: BTreeMap::new(),
            keep,
            kept: Instant::now(),
        }
    }

    /// Runs everything.
    ///
    /// # Errors
    ///
    /// When no workload gets through in any heap: there is nothing to compare then.
    pub(crate) fn run(mut self) -> anyhow::Result<Report> {
        let done = self.all();
        self.progress.end();
        if done.is_err() {
            self.report.interrupted = true;
            self.report.remarks.push("it was interrupted: what had been measured by then is here".into());
        }
        self.remark_failures();
        self.report.took_ns = self.began.elapsed().as_nanos() as u64;
        let others = self.report.runs.iter().filter_map(|run| run.others_cpu_share).collect();
        self.report.environment.end(others);
        let nothing = self.report.runs.iter().all(|run| run.kind == Kind::Baseline);
        if nothing && done.is_ok() {
            let why: Vec<String> = self.report.remarks.clone();
            bail!("there is nothing to compare: {}", why.join("; "));
        }
        Ok(self.report)
    }

    fn all(&mut self) -> Step {
        for workload in 0..self.setup.workloads.len() {
            self.first_baseline(workload)?;
            if self.is_too_long(workload)? {
                self.first_baseline(workload)?;
            }
            self.search(workload)?;
        }
        self.fit_heaps();
        if self.field().workloads.is_empty() {
            return Ok(());
        }
        if self.setup.may_choose_rounds {
            self.choose_rounds();
        }
        let field = self.field();
        let plan = self.report.plan.clone();
        let noise = schedule::noise(&plan, &field);
        let rounds: Vec<Vec<Job>> = (0..plan.rounds).map(|round| self.round(&plan, &field, round)).collect();
        let asides = self.asides(&plan, &field);
        if plan.swap_at.is_some() && self.alone(&field).workloads.len() < field.workloads.len() {
            let what =
                "what a swap costs is not measured over several nodes: a swap of one is not one of all";
            self.report.remarks.push(what.into());
        }
        let alike = |job: &Job| (job.workload, job.kind);
        self.progress.expect(noise.iter().chain(rounds.iter().flatten()).chain(&asides).map(alike));
        self.batch(&noise)?;
        for (number, round) in rounds.iter().enumerate() {
            if number >= WITHIN_ROUNDS_MIN && self.is_too_late(round, &asides) {
                self.report.plan.rounds = number as u32;
                rounds[number..].iter().flatten().for_each(|job| self.progress.over(alike(job), None));
                break;
            }
            self.batch(round)?;
        }
        self.batch(&asides)
    }

    /// With `--within`: whether this round and what comes after all rounds would not be over in time.
    fn is_too_late(&self, round: &[Job], asides: &[Job]) -> bool {
        let Some(within) = self.setup.within else { return false };
        let time = |jobs: &[Job]| -> Duration {
            jobs.iter().filter_map(|job| self.progress.usual((job.workload, job.kind))).sum()
        };
        self.began.elapsed() + time(round) + time(asides) > within
    }

    fn batch(&mut self, jobs: &[Job]) -> Step {
        for job in jobs {
            self.make(job)?;
        }
        Ok(())
    }

    /// After each run: writes now and then what there is.
    fn keep_now_and_then(&mut self) {
        if self.kept.elapsed() >= KEEP_EVERY {
            self.report.took_ns = self.began.elapsed().as_nanos() as u64;
            (self.keep)(&self.report);
            self.kept = Instant::now();
        }
    }

    /// A round, with the baseline in the first ones.
    fn round(&self, plan: &Plan, field: &Field, round: u32) -> Vec<Job> {
        let mut jobs = schedule::round(plan, field, round);
        // One was made before the search.
        let rounds = if plan.quick { BASELINE_ROUNDS_QUICK } else { BASELINE_ROUNDS };
        if (1..rounds).contains(&round) {
            let fits = |workload: &usize| {
                self.report.runs.iter().any(|run| run.workload == *workload && run.outcome.is_ok())
            };
            for workload in field.workloads.iter().copied().filter(fits) {
                jobs.push(Job {
                    kind: Kind::Baseline,
                    subject: self.setup.baseline,
                    workload,
                    side: 0,
                    heap_multiple: None,
                    round,
                    position: jobs.len() as u32,
                    seed: plan.seed.wrapping_add(u64::from(round)),
                });
            }
        }
        jobs
    }

    fn asides(&self, plan: &Plan, field: &Field) -> Vec<Job> {
        let rounds = plan.rounds;
        let (fuel, oracle) = match self.setup.within {
            Some(_) => (rounds.min(WITHIN_FUEL), rounds.min(WITHIN_ORACLE)),
            None if plan.quick => (rounds.min(7), 1),
            None => (rounds, rounds.div_ceil(4)),
        };
        let mut jobs = schedule::aside(plan, field, Kind::Fuel, fuel);
        jobs.extend(schedule::aside(plan, field, Kind::Oracle, oracle));
        if plan.swap_at.is_some() && field.subjects.len() > 1 {
            jobs.extend(schedule::aside(plan, &self.alone(field), Kind::Swap, plan.rounds.min(10)));
        }
        jobs
    }

    /// The same without workloads that run on several nodes.
    fn alone(&self, field: &Field) -> Field {
        let one = |&workload: &usize| super::works::nodes(&self.report.workloads[workload].text) == 1;
        Field { workloads: field.workloads.iter().copied().filter(one).collect(), ..field.clone() }
    }

    fn field(&self) -> Field {
        let with_heap = |(at, workload): (usize, &Workload)| workload.minimum_heap_bytes.map(|_| at);
        Field {
            subjects: (0..self.setup.entrants.len())
                .filter(|&at| !self.report.subjects[at].baseline)
                .collect(),
            baseline: Some(self.setup.baseline),
            workloads: self.report.workloads.iter().enumerate().filter_map(with_heap).collect(),
        }
    }

    // Before the comparison itself.

    /// `none` in a large heap: what the work costs by itself, how long it takes, how much it allocates.
    fn first_baseline(&mut self, workload: usize) -> Step {
        let job = Job {
            kind: Kind::Baseline,
            subject: self.setup.baseline,
            workload,
            side: 0,
            heap_multiple: None,
            round: 0,
            position: 0,
            seed: self.setup.plan.seed,
        };
        self.progress.expect([(workload, Kind::Baseline)]);
        self.make(&job)?;
        let label = self.report.workloads[workload].label.clone();
        let Some(run) = self.report.runs.last() else { return Ok(()) };
        match (&run.outcome, &run.measures) {
            (Outcome::Ok, Some(measures)) => {
                self.allocated.insert(workload, measures.allocated_bytes);
            }
            (Outcome::Failed { how: Failure::Workload, why }, _) => {
                self.report.remarks.push(format!("{label} cannot be run: {why}"));
            }
            (Outcome::Failed { why, .. }, _) => {
                let remark = format!(
                    "{label} has no baseline: it does not get through in {} without a collector, so its overhead is against the cheapest run there is ({why})",
                    bytes(run.heap_bytes)
                );
                self.report.remarks.push(remark);
            }
            (Outcome::Ok, None) => {}
        }
        Ok(())
    }

    /// With `--quick`: whether a run is so long that only a few would fit. If so, and if the workload can do with less, it is made to.
    fn is_too_long(&mut self, workload: usize) -> Result<bool, Interrupted> {
        let smaller = super::works::smaller(&self.report.workloads[workload].text);
        let Some(smaller) = smaller.filter(|_| self.setup.plan.quick) else { return Ok(false) };
        let Some(first) = (0..self.setup.entrants.len()).find(|&at| !self.setup.entrants[at].frees_nothing)
        else {
            return Ok(false);
        };
        // Not the baseline, which touches fresh memory all the time: a run as most of them will be.
        let heap_bytes = self.comfortable(workload);
        let before = Instant::now();
        self.probe(first, workload, heap_bytes)?;
        let took = before.elapsed();
        if took * QUICK_RUNS * self.setup.workloads.len() as u32 <= QUICK {
            return Ok(false);
        }
        let named = &mut self.report.workloads[workload];
        self.progress.note(&format!(
            "{}: a run takes {:.1} s, so --quick takes {smaller}",
            named.label,
            took.as_secs_f64()
        ));
        named.text = smaller;
        named.probes.clear();
        self.first.remove(&workload);
        self.report.runs.retain(|run| run.workload != workload);
        Ok(true)
    }

    /// A heap in which any strategy that frees gets through without trouble.
    fn comfortable(&self, workload: usize) -> u64 {
        let largest = self.setup.heap_max_bytes;
        let allocated = self.allocated.get(&workload).copied().unwrap_or(largest / 2);
        (allocated / 2).max(16 << 20).min(largest)
    }

    /// Finds the smallest heap in which some strategy gets through.
    fn search(&mut self, workload: usize) -> Step {
        let cannot = |run: &Run| matches!(run.outcome, Outcome::Failed { how: Failure::Workload, .. });
        if self.report.runs.last().is_some_and(cannot) {
            return Ok(());
        }
        let precision = if self.setup.plan.quick { 0.1 } else { 0.05 };
        let largest = self.setup.heap_max_bytes;
        let mut best: Option<(u64, f64)> = None;
        let mut why = String::new();
        let label = self.report.workloads[workload].label.clone();
        for subject in 0..self.setup.entrants.len() {
            let entrant = &self.setup.entrants[subject];
            if entrant.frees_nothing || entrant.subject.baseline {
                continue;
            }
            self.progress
                .say(format!("{label}: the smallest heap that {} gets through in", entrant.subject.label));
            let mut search = match best {
                Some((minimum, _)) => Search::below(minimum, HEAP_MIN_BYTES, precision),
                None => Search::new(self.guess(workload, subject)?, HEAP_MIN_BYTES, largest, precision),
            };
            while let Some(heap_bytes) = search.next() {
                let answer = self.probe(subject, workload, heap_bytes)?;
                search.learn(heap_bytes, answer.outcome.is_ok());
                match answer.outcome {
                    // In a larger heap it would fail in the same way.
                    Outcome::Failed {
                        how: Failure::Strategy | Failure::Workload | Failure::Crashed,
                        why: reason,
                    } => {
                        why = reason;
                        break;
                    }
                    Outcome::Failed { why: reason, .. } => why = reason,
                    Outcome::Ok => {}
                }
            }
            if let Some(minimum) =
                search.minimum().filter(|&minimum| best.is_none_or(|(best, _)| minimum < best))
            {
                best = Some((minimum, search.error()));
            }
        }
        match best {
            Some((minimum, error)) => {
                let found = &mut self.report.workloads[workload];
                (found.minimum_heap_bytes, found.minimum_heap_error) = (Some(minimum), error);
                self.progress.note(&format!("{label}: the smallest heap is {} (1x)", bytes(minimum)));
            }
            None => self.report.remarks.push(format!(
                "{label} does not get through in any heap up to {} with any strategy that frees: {why}",
                bytes(largest)
            )),
        }
        Ok(())
    }

    /// Where to begin the search: a little above what lives on after the cycles of a run in a comfortable heap.
    fn guess(&mut self, workload: usize, subject: usize) -> Result<u64, Interrupted> {
        let comfortable = self.comfortable(workload);
        let answer = self.probe(subject, workload, comfortable)?;
        let Some(measures) = answer.measures else { return Ok(comfortable) };
        let live = measures.cycles.iter().map(|cycle| cycle.live_bytes).max();
        Ok(live.map_or(comfortable / 4, |live| live + live / 4).min(comfortable))
    }

    fn probe(&mut self, subject: usize, workload: usize, heap_bytes: u64) -> Result<Answer, Interrupted> {
        let order = Order {
            kind: Kind::Timed,
            strategy: self.setup.entrants[subject].player.clone(),
            workload: self.report.workloads[workload].text.clone(),
            seed: self.setup.plan.seed,
            heap_bytes,
            warmup_iterations: 0,
            details: true,
            cache: self.setup.cache.clone(),
            swap: None,
        };
        let timeout = self.timeout(workload, true);
        let mut ran = self.conduct(&order, timeout)?;
        // What died by itself may have had bad luck: once more.
        if matches!(ran.answer.outcome, Outcome::Failed { how: Failure::Crashed, .. }) {
            ran = self.conduct(&order, timeout)?;
        }
        self.first.entry(workload).or_insert(ran.took);
        self.progress.over((workload, Kind::Timed), ran.answer.outcome.is_ok().then_some(ran.took));
        let outcome = ran.answer.outcome.clone();
        let took_ns = ran.took.as_nanos() as u64;
        self.report.workloads[workload].probes.push(Probe { subject, heap_bytes, outcome, took_ns });
        self.keep_now_and_then();
        Ok(ran.answer)
    }

    /// Leaves out heaps that the machine does not have.
    fn fit_heaps(&mut self) {
        let largest = available_bytes() / 2;
        let smallest_unit =
            self.report.workloads.iter().filter_map(|workload| workload.minimum_heap_bytes).max();
        let Some(unit) = smallest_unit else { return };
        let too_large = |multiple: &f64| multiple * unit as f64 > largest as f64;
        if let Some(&multiple) = self.report.plan.heap_multiples.iter().find(|multiple| too_large(multiple)) {
            self.report.remarks.push(format!(
                "heaps from {multiple}x on are left out: more than half of the {} that are free here",
                bytes(largest * 2)
            ));
            self.report.plan.heap_multiples.retain(|multiple| !too_large(multiple));
        }
    }

    /// As many rounds as fit into the time of `--quick`, at fewer heaps if need be.
    fn choose_rounds(&mut self) {
        let field = self.field();
        let usual = |kind| -> f64 {
            let runs = field.workloads.iter().map(|&workload| self.progress.usual((workload, kind)));
            runs.map(|time| time.unwrap_or(Duration::from_secs(1)).as_secs_f64()).sum()
        };
        let (timed, baseline) = (usual(Kind::Timed), usual(Kind::Baseline));
        let left = QUICK.saturating_sub(self.began.elapsed()).as_secs_f64();
        let subjects = field.subjects.len() as f64;
        let multiples = self.report.plan.heap_multiples.clone();
        let seconds = |heaps: usize, rounds: u32| {
            let rounds = f64::from(rounds);
            let aside = subjects * (rounds.min(7.0) + 1.5) * 1.2;
            timed * (2.0 * rounds + subjects * heaps as f64 * rounds + aside)
                + baseline * f64::from(BASELINE_ROUNDS_QUICK)
        };
        let all = (7..=20).rev().map(|rounds| (multiples.len(), rounds));
        let one = (3..=12).rev().map(|rounds| (1, rounds));
        let (heaps, rounds) =
            all.chain(one).find(|&(heaps, rounds)| seconds(heaps, rounds) <= left).unwrap_or((1, 3));
        let plan = &mut self.report.plan;
        (plan.rounds, plan.noise_rounds) = (rounds, rounds);
        if heaps < multiples.len() {
            plan.heap_multiples = middle(&multiples).into_iter().collect();
            self.report.remarks.push("runs are long here: --quick keeps to one heap".into());
        }
    }

    // Single runs.

    /// Longest that a run may take.
    fn timeout(&self, workload: usize, probe: bool) -> Duration {
        let given = Duration::from_nanos(self.setup.plan.timeout_ns);
        let iterations = if probe { 1 } else { 1 + self.setup.plan.warmup_iterations };
        let Some(&first) = self.first.get(&workload) else { return given };
        // Thrashing in a heap that is too small counts as not getting through.
        let patience = first * 20 * iterations + Duration::from_secs(5);
        patience.min(given)
    }

    fn heap_bytes(&self, job: &Job) -> u64 {
        let minimum = self.report.workloads[job.workload].minimum_heap_bytes;
        match (job.heap_multiple, minimum) {
            (Some(multiple), Some(minimum)) => (minimum as f64 * multiple) as u64,
            _ => self.baseline_heap(job.workload),
        }
    }

    /// Twice what the workload allocates, once that is known: never full, and no larger than it need be.
    fn baseline_heap(&self, workload: usize) -> u64 {
        let largest = self.setup.heap_max_bytes;
        self.allocated.get(&workload).map_or(largest, |bytes| (bytes * 2).max(64 << 20).min(largest))
    }

    fn conduct(&mut self, order: &Order, timeout: Duration) -> Result<Ran, Interrupted> {
        let stop = self.stop;
        let ran = conduct::run(order, timeout, &mut || stop.requested());
        match ran.answer.outcome {
            Outcome::Failed { how: Failure::Interrupted, .. } => Err(Interrupted),
            _ => Ok(ran),
        }
    }

    fn make(&mut self, job: &Job) -> Step {
        let alike = (job.workload, job.kind);
        let place = (job.subject, job.workload, job.heap_multiple.map_or(0, f64::to_bits));
        if self.failures.get(&place).is_some_and(|&failures| failures >= FAILURES_MAX) {
            self.progress.over(alike, None);
            return Ok(());
        }
        let heap_bytes = self.heap_bytes(job);
        self.progress.say(self.describe(job));
        let order = self.order(job, heap_bytes);
        let ran = self.conduct(&order, self.timeout(job.workload, false))?;
        let ok = ran.answer.outcome.is_ok();
        if job.kind == Kind::Baseline && ok {
            self.first.entry(job.workload).or_insert(ran.took);
        }
        let failures = self.failures.entry(place).or_default();
        *failures = if ok { 0 } else { *failures + 1 };
        self.report.runs.push(Run {
            kind: job.kind,
            subject: job.subject,
            workload: job.workload,
            side: job.side,
            heap_multiple: job.heap_multiple,
            heap_bytes,
            round: job.round,
            position: job.position,
            seed: job.seed,
            outcome: ran.answer.outcome,
            others_cpu_share: ran.others_cpu_share,
            measures: ran.answer.measures,
        });
        self.progress.over(alike, Some(ran.took));
        self.keep_now_and_then();
        Ok(())
    }

    fn order(&self, job: &Job, heap_bytes: u64) -> Order {
        Order {
            kind: job.kind,
            strategy: self.setup.entrants[job.subject].player.clone(),
            workload: self.report.workloads[job.workload].text.clone(),
            seed: job.seed,
            heap_bytes,
            // A baseline never gets its memory back: a second iteration would need twice as much.
            warmup_iterations: if job.kind == Kind::Baseline { 0 } else { self.setup.plan.warmup_iterations },
            details: job.round == 0 && job.side == 0,
            cache: self.setup.cache.clone(),
            swap: (job.kind == Kind::Swap).then(|| self.swap(job)).flatten(),
        }
    }

    /// Whom a strategy makes way for, and when: the next one, after a share of what a run of this workload and heap usually takes.
    fn swap(&self, job: &Job) -> Option<(gc_lab::bench::protocol::Player, u64)> {
        let subjects = self.field().subjects;
        let place = subjects.iter().position(|&subject| subject == job.subject)?;
        let next = subjects[(place + 1) % subjects.len()];
        let alike = |run: &&Run| {
            run.kind == Kind::Timed && run.workload == job.workload && run.subject == job.subject
        };
        let walls =
            self.report.runs.iter().filter(alike).filter_map(|run| Some(run.measures.as_ref()?.wall_ns));
        let usual_ns = walls.min()?;
        let after_ns = usual_ns as f64 * self.report.plan.swap_at?;
        Some((self.setup.entrants[next].player.clone(), after_ns as u64))
    }

    fn describe(&self, job: &Job) -> String {
        let what = match job.kind {
            Kind::Timed => format!("round {} of {}", job.round + 1, self.report.plan.rounds),
            Kind::Baseline => "baseline".into(),
            Kind::Same => "against itself".into(),
            Kind::Fuel => "fuel".into(),
            Kind::Oracle => "oracle".into(),
            Kind::Swap => "swap".into(),
        };
        let heap = job.heap_multiple.map_or_else(|| "a large heap".into(), |multiple| format!("{multiple}x"));
        let workload = &self.report.workloads[job.workload].label;
        format!("{what}: {} on {workload} in {heap}", self.report.subjects[job.subject].label)
    }

    /// Says once per strategy, workload and heap what failed.
    fn remark_failures(&mut self) {
        let mut failed: BTreeMap<_, Failures> = BTreeMap::new();
        for run in self.report.runs.iter().filter(|run| run.kind != Kind::Baseline) {
            let heap = run.heap_multiple.map_or(0, f64::to_bits);
            let failures = failed.entry((run.subject, run.workload, run.kind, heap)).or_default();
            failures.runs += 1;
            if let Outcome::Failed { why, .. } = &run.outcome {
                failures.failed += 1;
                failures.why.clone_from(why);
            }
        }
        for ((subject, workload, _, heap), Failures { runs, failed, why }) in failed {
            if failed == 0 {
                continue;
            }
            let (subject, workload) =
                (&self.report.subjects[subject].label, &self.report.workloads[workload].label);
            let heap = f64::from_bits(heap);
            let again =
                if failed >= FAILURES_MAX && failed == runs { "; it was not tried there again" } else { "" };
            let remark =
                format!("{subject} failed in {failed} of {runs} runs of {workload} at {heap}x: {why}{again}");
            if !self.report.remarks.contains(&remark) {
                self.report.remarks.push(remark);
            }
        }
    }
}

/// How often a strategy failed in one place, and how at last.
#[derive(Default)]
struct Failures {
    runs: u32,
    failed: u32,
    why: String,
}

/// The largest heap that is tried, which a person may have given.
pub(crate) fn heap_max_bytes(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| (available_bytes() / 2).min(HEAP_MAX_BYTES)).max(HEAP_MIN_BYTES)
}
