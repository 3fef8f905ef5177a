//! The collector thread: waits for a reason, runs a cycle, does what the swap machine says.
//!
//! ```text
//!             ┌──────── requests: collect, swap, loaded, stop
//!             ▼
//!  signal ─▶ what is due? ─▶ cycle ─▶ what came of it ─▶ swap machine ─▶ effects ─▶ board
//!             ▲                                                │
//!             └────────────────────────────────────────────────┘ load (on a thread of its own), rehearse, shadow
//! ```
//!
//! 1. Strategies are called from here and from nowhere else, one call at a time.
//! 2. Decisions about swaps are made in [`crate::swap`]; this file performs them.
//! 3. Between two cycles any strategy can be exchanged for any other: the heap's truth is not in them. The next one is told to rebuild.

mod judging;
mod nodes;
mod rehearsal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gc_heap::pacer::{Amount, Brake, CycleEnded, Pacer, PacerConfig};
use gc_heap::{Cause, Collector, CycleEnd, CycleReport, CycleRequest, Heap, Pace, Slice, Strategy, Wake};

use crate::ask::Ask;
use crate::board::{Board, Standing};
use crate::canary::{Budget, Watch};
use crate::cluster::Seat;
use crate::config::NodeConfig;
use crate::crew::{Crew, Ready, Workshop};
use crate::error::NodeError;
use crate::limits::{COLLECTOR_NICE, WAITING_IDLE};
use crate::record::{
    CanaryRecord, Candidate, CycleRecord, ShadowSummary, StrategyRecord, Surroundings, SwapReport,
};
use crate::shadow::{Comparison, Overheard, Proposal};
use crate::source::{Attached, StrategySource};
use crate::spare::Spare;
use crate::swap::{Answer, Effect, Event, Id, Phase, Plan, Step, Swap, Tenure};
use nodes::Together;
use rehearsal::Rehearsed;

/// When the serving strategy and the candidate began, and what each proposed.
type Heard = Option<((Instant, Proposal), (Instant, Proposal))>;

/// What is said of a candidate whose verdict, had it served, would have been refused.
const UNSOUND_BESIDE: &str =
    "its verdict would have been refused: something that survives refers to what it proposed";

/// Longest wait without a look at the clock, and how often there is one at memory that is not in use.
const TICK: Duration = Duration::from_secs(1);

/// Longest sleep of the pace callback without a look at whether somebody waits.
const NAP: Duration = Duration::from_millis(1);

struct Asked {
    label: StrategyRecord,
    reply: Sender<Result<SwapReport, NodeError>>,
    shadow: ShadowSummary,
    comparison: Comparison,
    /// Of a canary.
    watch: Option<Watch>,
}

impl Asked {
    fn summary(&self) -> ShadowSummary {
        let (serving, shadow, missed_cells) = self.comparison.record();
        ShadowSummary { serving, shadow, missed_cells, ..self.shadow.clone() }
    }
}

/// When the collector was looked at, and what it had spent by then.
struct Glance {
    at: Instant,
    cpu_ns: u64,
}

impl Glance {
    fn now() -> Glance {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Glance { at: Instant::now(), cpu_ns: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64 }
    }
}

/// A cycle that somebody asked for.
struct Wanted {
    cause: Cause,
    dry_run: bool,
    reply: Sender<CycleRecord>,
}

/// See the module.
pub(crate) struct Worker {
    config: NodeConfig,
    heap: Heap,
    board: Arc<Board>,
    workshop: Workshop,
    inbox: Receiver<Ask>,
    /// For the threads that load.
    sender: SyncSender<Ask>,
    loading: Vec<JoinHandle<()>>,
    abandon: Arc<AtomicBool>,
    collector: Collector,
    pacer: Pacer,
    swap: Swap,
    crew: Crew,
    asked: BTreeMap<Id, Asked>,
    wanted: Vec<Wanted>,
    rehearsal: Option<Id>,
    /// It has made way for a full heap: it is rehearsed beside the serving strategy.
    rehearsal_made_way: bool,
    shadow: Option<Id>,
    /// Stubs wait in quarantine, and other nodes for them.
    waited_for: bool,
    last_cycle: Instant,
    last_took: Duration,
    /// When memory that is not in use was looked for.
    looked: Instant,
    spare: Spare,
    /// Longest hold-up since the start, of which is told no more.
    pause_ns_max: u64,
    /// Hold-ups under the serving strategy that no canary's budget was held against yet.
    holdups_ns: Vec<u64>,
    /// When the serving strategy took over.
    exchanged: Instant,
    glance: Glance,
    stopping: bool,
    /// Where the node is in a cluster.
    seat: Option<Seat>,
    /// What all nodes do together.
    together: Together,
}

/// The ends that the worker is made with.
pub(crate) struct Links {
    pub(crate) board: Arc<Board>,
    pub(crate) inbox: Receiver<Ask>,
    pub(crate) sender: SyncSender<Ask>,
    pub(crate) abandon: Arc<AtomicBool>,
}

impl Worker {
    /// A worker whose first strategy is loaded and attached by the calling thread, so that its errors come out at once.
    pub(crate) fn new(config: NodeConfig, workshop: Workshop, links: Links) -> Result<Worker, NodeError> {
        let heap = workshop.heap.clone();
        let mut crew = Crew::new();
        let initial = crew.give(config.strategy.clone(), config.options.clone());
        let order = crew.order(initial).expect("it was given just now");
        let ready = workshop.make(&order)?;
        if let Some(text) = ready.warning() {
            links.board.say("warn", text);
        }
        crew.arrive(initial, ready);
        let pacer = Pacer::new(PacerConfig {
            growth_percent: config.goal_percent,
            share: config.cpu_share,
            share_max: config.cpu_share.max(0.5),
            ..PacerConfig::for_limit(heap.limit())
        });
        let worker = Worker {
            collector: Collector::new(&heap),
            swap: Swap::new(initial, config.probation_cycles),
            board: links.board,
            inbox: links.inbox,
            sender: links.sender,
            abandon: links.abandon,
            config,
            heap,
            workshop,
            loading: Vec::new(),
            pacer,
            crew,
            asked: BTreeMap::new(),
            wanted: Vec::new(),
            rehearsal: None,
            rehearsal_made_way: false,
            shadow: None,
            waited_for: false,
            last_cycle: Instant::now(),
            last_took: Duration::ZERO,
            looked: Instant::now(),
            spare: Spare::default(),
            pause_ns_max: 0,
            holdups_ns: Vec::new(),
            exchanged: Instant::now(),
            glance: Glance::now(),
            stopping: false,
            seat: None,
            together: Together::default(),
        };
        worker.aim();
        worker.tell_standing();
        Ok(worker)
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        be_modest();
        while !self.stopping {
            self.take_requests();
            if self.stopping {
                break;
            }
            if let Some(id) = self.rehearsal.take() {
                self.rehearse(id);
            } else if self.has_work_for_nodes() {
                self.work_for_nodes();
            } else if !self.wanted.is_empty() {
                self.grant();
            } else {
                self.wait();
            }
            self.give_back();
            // What a cycle has freed of other nodes' objects they should know soon.
            if let Some(seat) = &self.seat {
                seat.desk.ring();
            }
        }
        self.shut_down();
    }

    fn take_requests(&mut self) {
        while let Ok(ask) = self.inbox.try_recv() {
            match ask {
                Ask::Collect { cause, dry_run, reply } => {
                    self.wanted.push(Wanted { cause, dry_run, reply });
                }
                Ask::Swap { source, settings, plan, budget, reply } => {
                    self.request_swap(source, settings, plan, budget, reply)
                }
                Ask::ReleaseQuarantine { reply } => {
                    let freed = self.collector.release_quarantine();
                    self.waited_for = false;
                    self.pacer.quarantine_released(self.heap.used());
                    self.aim();
                    let _ = reply.send(freed);
                }
                Ask::Restore { handle, reply } => {
                    let _ = reply.send(self.collector.restore(handle).map(|(pin, _)| pin));
                }
                Ask::Loaded { id, made } => self.take_in(id, made),
                Ask::OverNodes { .. }
                | Ask::Prepare { .. }
                | Ask::Prepared { .. }
                | Ask::Install { .. }
                | Ask::Discard { .. } => self.take_for_nodes(ask),
                Ask::Stop => self.stopping = true,
            }
        }
    }

    fn wait(&mut self) {
        let idle = self.idle_after();
        let patience = idle.map_or(TICK, |idle| idle.saturating_sub(self.last_cycle.elapsed()).min(TICK));
        match self.heap.signal().wait(patience) {
            Wake::Cycle(cause) => {
                self.cycle(cause, true);
            }
            Wake::Bell => {}
            Wake::TimedOut => {
                if idle.is_some_and(|idle| self.last_cycle.elapsed() >= idle) {
                    self.cycle(Cause::Idle, true);
                }
            }
        }
    }

    /// Gives memory back that has not been in use for a while: also where the load leaves no pause, in which it would be asked for.
    fn give_back(&mut self) {
        if self.looked.elapsed() < TICK {
            return;
        }
        self.looked = Instant::now();
        self.heap.tick();
        let idle = self.config.heap.slabs.pool.idle;
        if self.spare.is_due(self.board.elapsed(), self.heap.used().cells, idle)
            && let Err(error) = self.heap.trim()
        {
            self.board.say("warn", format!("memory of free cells was not given back: {error}"));
        }
    }

    /// When nothing happens a probation and a shadow run would never end, and what other nodes have here in quarantine would stay with them; then cycles
    /// are begun for their sake. For other nodes' sake they take a tenth of the time at most.
    fn idle_after(&self) -> Option<Duration> {
        let trying = matches!(self.swap.tenure(), Tenure::Probation { .. }) || self.shadow.is_some();
        let waiting = match (trying, self.waited_for) {
            (true, _) => Some(WAITING_IDLE),
            (false, true) => Some(WAITING_IDLE.max(self.last_took * 10)),
            (false, false) => None,
        };
        match self.config.idle {
            _ if self.config.deterministic => None,
            Some(idle) => Some(waiting.map_or(idle, |waiting| idle.min(waiting))),
            None => waiting,
        }
    }

    // Cycles.

    /// All who wait for a cycle get the same one, if they want the same.
    fn grant(&mut self) {
        let Some(&Wanted { cause, dry_run, .. }) = self.wanted.first() else { return };
        let same = |wanted: &Wanted| (wanted.cause, wanted.dry_run) == (cause, dry_run);
        let (now, later) = std::mem::take(&mut self.wanted).into_iter().partition(same);
        self.wanted = later;
        let now: Vec<Wanted> = now;
        if let Some(record) = self.cycle(cause, !dry_run) {
            for wanted in now {
                let _ = wanted.reply.send(record.clone());
            }
        }
    }

    /// A cycle of the serving strategy. None when it was given up because the node stops.
    fn cycle(&mut self, cause: Cause, execute: bool) -> Option<CycleRecord> {
        let shadow_id = self.shadow;
        let (report, record, heard) = self.cycle_beside(cause, execute, shadow_id)?;
        if let (Some(id), Some(((begun, serving), (_, shadow)))) = (shadow_id, heard) {
            self.compare(id, &report, begun, serving, shadow);
        }
        self.judge_serving(&report, &record);
        if let (Some(id), Some(shadow)) = (shadow_id, record.shadow.as_ref()) {
            self.judge_shadow(id, &report, shadow);
        }
        Some(record)
    }

    /// The same with any candidate beside, or none. What was heard of both is there if there was one.
    fn cycle_beside(
        &mut self,
        cause: Cause,
        execute: bool,
        shadow_id: Option<Id>,
    ) -> Option<(CycleReport, CycleRecord, Heard)> {
        let serving = self.swap.serving();
        let mut attached = self.crew.take_out(serving);
        let mut shadow = shadow_id.and_then(|id| self.crew.take_out(id));
        let (begun, begun_at) = (self.heap.used(), Instant::now());
        let mut heard: Heard = None;
        let report = {
            let strategy = match attached.as_mut() {
                Some(attached) => attached.strategy(),
                None => self.crew.hold(),
            };
            let request = request(&self.config, &self.pacer, cause, execute);
            let stops = || self.abandon.load(Ordering::Relaxed);
            // Somebody waits for this cycle: it takes what it can get, which beside busy mutators is what its nice value gives it.
            let hurried = matches!(cause, Cause::Request | Cause::Full) || self.config.deterministic;
            let pacer = (!hurried).then_some(&self.pacer);
            let (collector, heap) = (&mut self.collector, &self.heap);
            match shadow.as_mut() {
                None => run_cycle(collector, heap, pacer, &stops, &request, strategy, None),
                Some(beside) => {
                    let mut serving = Overheard::new(strategy, heap.graph());
                    let mut beside = Overheard::new(beside.strategy(), heap.graph());
                    let beside_it: &mut dyn Strategy = &mut beside;
                    let report =
                        run_cycle(collector, heap, pacer, &stops, &request, &mut serving, Some(beside_it));
                    heard = serving.end().zip(beside.end());
                    report
                }
            }
        };
        for (id, attached) in [(Some(serving), attached), (shadow_id, shadow)] {
            if let (Some(id), Some(mut attached)) = (id, attached) {
                self.pass_on(&mut attached);
                self.crew.put_back(id, attached);
            }
        }
        if report.end == CycleEnd::Abandoned {
            return None;
        }
        self.learn(&report, begun, begun_at);
        let record = self.publish(&report, serving);
        Some((report, record, heard))
    }

    fn rehearse(&mut self, id: Id) {
        let event = match self.rehearsal(id, self.rehearsal_made_way) {
            Rehearsed::Stopping => return,
            Rehearsed::MadeWay => {
                self.rehearsal_made_way = true;
                self.rehearsal = Some(id);
                return;
            }
            Rehearsed::Failed(reason) => Event::RehearsalFailed { id, reason },
            Rehearsed::Passed => Event::RehearsalPassed { id },
        };
        self.step(event);
    }

    /// Passes on what a strategy has to say.
    fn pass_on(&self, attached: &mut Attached) {
        let name = attached.strategy().identity().to_string();
        for (level, text) in attached.take_log() {
            self.board.say(level, format!("{name} says: {text}"));
        }
    }

    /// Feeds the pacer.
    fn learn(&mut self, report: &CycleReport, begun: Amount, begun_at: Instant) {
        self.last_cycle = Instant::now();
        self.last_took = self.last_cycle - begun_at;
        self.spare.saw(begun.cells);
        self.waited_for = self.seat.is_some() && self.heap.has_quarantined_stubs();
        let used = self.heap.used();
        let allocated = Amount {
            cells: (used.cells + report.freed_cells).saturating_sub(begun.cells),
            bytes: (used.bytes + report.freed_bytes).saturating_sub(begun.bytes),
        };
        self.pacer.cycle_ended(CycleEnded {
            used,
            quarantined_bytes: self.heap.stats().quarantined_bytes,
            allocated,
            took: self.last_took,
        });
        self.aim();
    }

    fn aim(&self) {
        let trigger = self.pacer.trigger();
        // Whoever asks for cycles looks at the trigger himself.
        if !self.config.deterministic {
            self.heap.set_trigger(trigger);
            self.heap.set_brake(self.pacer.brake());
        }
        self.board.goal(trigger.bytes);
    }

    fn publish(&mut self, report: &CycleReport, id: Id) -> CycleRecord {
        let footprint = self.crew.footprint(id);
        let around = Surroundings {
            at_s: self.board.elapsed_s(),
            stats: self.heap.stats(),
            goal_bytes: self.pacer.trigger().bytes,
            strategy_memory_bytes: footprint.memory_bytes,
            strategy_fuel: footprint.fuel_used,
        };
        let record = CycleRecord::new(report, &around);
        self.board.with_metrics(|metrics| metrics.cycle(report, around.goal_bytes, footprint));
        self.board.cycle(record.clone());
        record
    }

    // Swaps.

    fn request_swap(
        &mut self,
        source: StrategySource,
        settings: BTreeMap<String, String>,
        plan: Plan,
        budget: Budget,
        reply: Sender<Result<SwapReport, NodeError>>,
    ) {
        let id = self.crew.give(source, settings);
        let label = self.crew.record(id);
        let watch = match plan {
            Plan::Canary { probation_cycles, .. } => Some(Watch::new(budget, probation_cycles)),
            Plan::Serve | Plan::Shadow { .. } => None,
        };
        let (shadow, comparison) = (ShadowSummary::default(), Comparison::default());
        self.asked.insert(id, Asked { label, reply, shadow, comparison, watch });
        self.step(Event::Requested { id, plan });
    }

    fn take_in(&mut self, id: Id, made: Result<Box<Ready>, NodeError>) {
        self.loading.retain(|thread| !thread.is_finished());
        match made {
            Ok(ready) => {
                if let Some(text) = ready.warning() {
                    self.board.say("warn", text);
                }
                self.crew.arrive(id, *ready);
                if let Some(asked) = self.asked.get_mut(&id) {
                    asked.label = self.crew.record(id);
                }
                self.step(Event::Loaded { id });
            }
            Err(error) => self.step(Event::LoadFailed { id, reason: error.to_string() }),
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.swap.step(event, &mut effects);
        // First, so that whoever hears of a step, or is answered, finds the status as it says.
        self.tell_standing();
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Load(id) => self.load(id),
            Effect::Rehearse(id) => {
                self.shadow = self.shadow.filter(|&shadow| shadow != id);
                self.rehearsal = Some(id);
                self.rehearsal_made_way = false;
            }
            Effect::Shadow(id) => {
                self.collector.forget_shadow();
                self.shadow = Some(id);
                let serving = self.crew.footprint(self.swap.serving());
                if let Some(asked) = self.asked.get_mut(&id) {
                    asked.comparison.begin(serving);
                }
                self.glance_for(id);
            }
            // The machine has changed who serves. The next cycle is the boundary.
            Effect::Exchange(id) => {
                self.collector.forget();
                self.exchanged = Instant::now();
                self.glance_for(id);
            }
            Effect::Cool(id) => self.crew.cool(id),
            Effect::Forget(id) => {
                self.shadow = self.shadow.filter(|&shadow| shadow != id);
                self.rehearsal = self.rehearsal.filter(|&rehearsal| rehearsal != id);
                self.crew.forget(id);
            }
            Effect::Answer(id, answer) => self.answer(id, answer),
            Effect::Record(id, step, reason) => self.note(id, step, reason),
        }
    }

    /// Looks anew if a canary, or anybody's pauses, are judged by what comes.
    fn glance_for(&mut self, id: Id) {
        let watched = self.asked.get(&id).is_some_and(|asked| asked.watch.is_some());
        if watched || self.config.pause_budget.is_some() {
            self.glance();
        }
    }

    fn load(&mut self, id: Id) {
        let Some(order) = self.crew.order(id) else { return };
        let (workshop, sender) = (self.workshop.clone(), self.sender.clone());
        let load = move || {
            let made = workshop.make(&order).map(Box::new);
            // Nobody waits for it when the node has stopped.
            let _ = sender.send(Ask::Loaded { id, made });
            workshop.heap.signal().ring();
        };
        match std::thread::Builder::new().name("gc-load".into()).spawn(load) {
            Ok(thread) => self.loading.push(thread),
            Err(error) => self.step(Event::LoadFailed { id, reason: NodeError::Thread(error).to_string() }),
        }
    }

    fn answer(&mut self, id: Id, answer: Answer) {
        let Some(asked) = self.asked.remove(&id) else { return };
        let serving = self.crew.record(self.swap.serving());
        let summary = asked.summary();
        let report = |probation_cycles, shadow, canary| SwapReport {
            candidate: asked.label.clone(),
            serving: serving.clone(),
            probation_cycles,
            shadow,
            canary,
        };
        let decided = |promoted, reason| {
            let measures = asked.watch.as_ref().map(Watch::measured).unwrap_or_default();
            let shadow = (summary.cycles > 0).then(|| Box::new(summary.clone()));
            report(0, shadow, Some(CanaryRecord { promoted, reason, measures }))
        };
        let _ = asked.reply.send(match answer {
            Answer::Serving => Ok(report(self.config.probation_cycles, None, None)),
            Answer::Shadowed => Ok(report(0, Some(Box::new(summary.clone())), None)),
            Answer::Promoted(reason) => Ok(decided(true, reason)),
            Answer::RolledBack(reason) => Ok(decided(false, reason)),
            Answer::Failed(reason) => Err(NodeError::SwapFailed {
                strategy: asked.label.to_string(),
                serving: serving.to_string(),
                reason,
            }),
            Answer::Busy => Err(NodeError::SwapBusy),
            Answer::Stopped => Err(NodeError::Stopped),
        });
    }

    /// Journals a step, and tells people of those that they should know of.
    fn note(&mut self, id: Id, step: Step, why: Option<String>) {
        let strategy = self.crew.record(id);
        let because = why.as_deref().unwrap_or_default();
        match step {
            Step::Faulted | Step::ProbationFailed => {
                self.board.say(
                    "error",
                    format!("strategy {strategy} {because}: it is taken out of service; nothing is lost"),
                );
            }
            Step::Held => {
                let text = "no sound strategy is left: 'hold' serves and frees nothing; swap in another one with `host swap`";
                self.board.say("warn", text.into());
            }
            Step::RolledBack => self.board.say("warn", format!("strategy {strategy} serves again")),
            Step::Returning => self.board.say("warn", format!("strategy {strategy} is loaded again")),
            Step::OverBudget => self.board.say("warn", format!("strategy {strategy}: {because}")),
            Step::Sound if !because.is_empty() => {
                self.board.say("info", format!("canary {strategy} is promoted: it {because}"));
            }
            Step::Requested
            | Step::ShadowRequested
            | Step::CanaryRequested
            | Step::Busy
            | Step::Loaded
            | Step::LoadFailed
            | Step::Rehearsed
            | Step::RehearsalFailed
            | Step::Exchanged
            | Step::Sound
            | Step::ShadowEnded
            | Step::ShadowFailed
            | Step::Withdrawn => {}
        }
        self.board.step(step, strategy, why);
    }

    fn tell_standing(&self) {
        let (tenure, probation_cycles_left, warm) = match self.swap.tenure() {
            Tenure::Sound => ("sound", 0, None),
            Tenure::Held => ("held", 0, None),
            Tenure::Probation { warm, cycles_left, .. } => ("probation", cycles_left, warm),
        };
        let candidate = match self.swap.phase() {
            Phase::Quiet => None,
            Phase::Loading { id, .. } => Some((id, "loading")),
            Phase::Rehearsing { id, .. } => Some((id, "rehearsing")),
            Phase::Shadowing { id, .. } => Some((id, "shadowing")),
        };
        self.board.standing(Standing {
            serving: self.crew.identity(self.swap.serving()),
            options: self.crew.settings(self.swap.serving()),
            tenure,
            probation_cycles_left,
            warm: warm.map(|id| self.crew.record(id)),
            candidate: candidate
                .map(|(id, phase)| Candidate { strategy: self.crew.record(id), phase: phase.into() }),
        });
    }

    fn shut_down(mut self) {
        self.step(Event::Stopped);
        self.heap.set_brake(Brake::OFF);
        self.wanted.clear();
        let loading = std::mem::take(&mut self.loading);
        // The inbox goes first: a thread that has finished loading does not wait for room in it. The collector goes too, and tells mutators that
        // nobody makes room any more.
        drop(self);
        for thread in loading {
            let _ = thread.join();
        }
    }
}

fn request(config: &NodeConfig, pacer: &Pacer, cause: Cause, execute: bool) -> CycleRequest {
    let goal_cells = u32::try_from(pacer.goal_bytes() / gc_heap::limits::CELL_BYTES).unwrap_or(u32::MAX);
    // With time without end each step is asked for twice what the last one did, however long that took.
    let slice_target = if config.deterministic { Duration::MAX } else { config.slice_target };
    CycleRequest { cause, execute, slice_target, goal_cells }
}

/// Without a pacer it does not rest.
fn run_cycle(
    collector: &mut Collector,
    heap: &Heap,
    pacer: Option<&Pacer>,
    stops: &dyn Fn() -> bool,
    request: &CycleRequest,
    strategy: &mut dyn Strategy,
    shadow: Option<&mut dyn Strategy>,
) -> CycleReport {
    let mut pace = |slice: Slice| {
        if let Some(pacer) = pacer {
            rest(pacer.rest(slice.took, slice.busy, heap.used(), false), heap, stops);
        }
        if stops() { Pace::Abandon } else { Pace::Go }
    };
    collector.run(request, strategy, shadow, &mut pace)
}

/// Sleeps to keep the collector's share, unless a mutator waits for room or the node stops.
fn rest(rest: Duration, heap: &Heap, stops: &dyn Fn() -> bool) {
    let until = Instant::now() + rest;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || heap.signal().is_full() || stops() {
            return;
        }
        std::thread::sleep(left.min(NAP));
    }
}

/// Lets mutators go first. On Linux this concerns the calling thread alone. Without the right to it nothing is lost but politeness.
fn be_modest() {
    let _ = rustix::process::setpriority_process(None, COLLECTOR_NICE);
}
