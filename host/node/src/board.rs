//! What the collector thread lets everybody know: status, metrics, journal, events.
//!
//! Written by the collector thread, between cycles and never while it calls a strategy; read by whoever asks. One lock, held for microseconds.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gc_heap::{Heap, StrategyIdentity};

use crate::cluster::ClusterStatus;
use crate::journal::{Journal, JournalRecord};
use crate::limits::{EVENTS_PENDING, UNHEARD_MAX};
use crate::metrics::Metrics;
use crate::record::{Candidate, CycleRecord, Event, HeapRecord, Message, Status, StrategyRecord};
use crate::swap::Step;
use crate::sync::lock;

/// Events of a node, in order. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
}

impl Subscription {
    /// The next event, after waiting for it. None when the node has shut down.
    #[must_use]
    pub fn next(&self) -> Option<Event> {
        self.events.recv().ok()
    }

    /// The next event, if one comes within `patience`.
    ///
    /// # Errors
    ///
    /// Says whether the time is over or the node has shut down.
    pub fn next_within(&self, patience: Duration) -> Result<Event, RecvTimeoutError> {
        self.events.recv_timeout(patience)
    }

    /// The next event, if it is there.
    ///
    /// # Errors
    ///
    /// Says whether there is none yet or the node has shut down.
    pub fn try_next(&self) -> Result<Event, TryRecvError> {
        self.events.try_recv()
    }
}

struct Subscriber {
    events: SyncSender<Event>,
    missed: u64,
}

impl Subscriber {
    /// False when nobody listens any more.
    fn tell(&mut self, event: &Event) -> bool {
        if self.missed > 0 {
            match self.events.try_send(Event::Missed { count: self.missed }) {
                Ok(()) => self.missed = 0,
                Err(TrySendError::Full(_)) => {
                    self.missed += 1;
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

struct Inside {
    metrics: Metrics,
    journal: Journal,
    subscribers: Vec<Subscriber>,
    /// What was said before anybody listened, for the first one who does.
    unheard: Option<Vec<Event>>,
    serving: StrategyRecord,
    options: BTreeMap<String, String>,
    tenure: &'static str,
    probation_cycles_left: u32,
    warm: Option<StrategyRecord>,
    candidate: Option<Candidate>,
    goal_bytes: u64,
    last_cycle: Option<CycleRecord>,
    last_mark_ns: u64,
    last_proof_ns: u64,
    faults: u64,
    swaps: u64,
    closed: bool,
    failure: Option<String>,
}

/// See the module.
pub(crate) struct Board {
    started: Instant,
    inside: Mutex<Inside>,
}

/// Who serves and who is tried, for the status.
pub(crate) struct Standing {
    pub(crate) serving: StrategyIdentity,
    /// That were set; it has its own values for the rest.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) tenure: &'static str,
    pub(crate) probation_cycles_left: u32,
    pub(crate) warm: Option<StrategyRecord>,
    pub(crate) candidate: Option<Candidate>,
}

impl Board {
    /// Before there is a strategy to be asked who it is, what was asked for stands in its place.
    pub(crate) fn new(journal: Journal, asked_for: String) -> Board {
        Board {
            started: Instant::now(),
            inside: Mutex::new(Inside {
                metrics: Metrics::new(),
                journal,
                subscribers: Vec::new(),
                unheard: Some(Vec::new()),
                options: BTreeMap::new(),
                serving: StrategyRecord { name: asked_for, ..StrategyRecord::default() },
                tenure: "loading",
                probation_cycles_left: 0,
                warm: None,
                candidate: None,
                goal_bytes: 0,
                last_cycle: None,
                last_mark_ns: 0,
                last_proof_ns: 0,
                faults: 0,
                swaps: 0,
                closed: false,
                failure: None,
            }),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn elapsed_s(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let (sender, events) = sync_channel(EVENTS_PENDING);
        let mut inside = lock(&self.inside);
        if !inside.closed {
            let mut first = Subscriber { events: sender, missed: 0 };
            inside.unheard.take().iter().flatten().for_each(|event| {
                first.tell(event);
            });
            inside.subscribers.push(first);
        }
        Subscription { events }
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        let mut inside = lock(&self.inside);
        inside.closed = true;
        inside.subscribers.clear();
    }

    pub(crate) fn with_metrics<R>(&self, with: impl FnOnce(&mut Metrics) -> R) -> R {
        with(&mut lock(&self.inside).metrics)
    }

    pub(crate) fn goal(&self, bytes: u64) {
        lock(&self.inside).goal_bytes = bytes;
    }

    pub(crate) fn cycle(&self, record: CycleRecord) {
        let mut inside = lock(&self.inside);
        inside.last_mark_ns = record.mark_ns;
        // A cycle that condemns nothing has no proof.
        if record.proof_ns > 0 {
            inside.last_proof_ns = record.proof_ns;
        }
        inside.last_cycle = Some(record.clone());
        inside.tell(&Event::Cycle(Box::new(record)));
    }

    pub(crate) fn standing(&self, standing: Standing) {
        let mut inside = lock(&self.inside);
        inside.metrics.serving(&standing.serving, standing.tenure);
        inside.serving = StrategyRecord::from(&standing.serving);
        inside.options = standing.options;
        inside.tenure = standing.tenure;
        inside.probation_cycles_left = standing.probation_cycles_left;
        inside.warm = standing.warm;
        inside.candidate = standing.candidate;
    }

    pub(crate) fn step(&self, step: Step, strategy: StrategyRecord, reason: Option<String>) {
        let mut record = JournalRecord {
            sequence: 0,
            at_s: self.elapsed_s(),
            unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            step: step.word().into(),
            strategy: strategy.name,
            version: strategy.version,
            digest: strategy.digest,
            reason,
        };
        let mut inside = lock(&self.inside);
        inside.metrics.swap(step);
        match step {
            Step::Exchanged => inside.swaps += 1,
            Step::Faulted | Step::ProbationFailed | Step::RehearsalFailed | Step::ShadowFailed => {
                inside.faults += 1
            }
            Step::Requested
            | Step::ShadowRequested
            | Step::CanaryRequested
            | Step::Busy
            | Step::Loaded
            | Step::LoadFailed
            | Step::Rehearsed
            | Step::Sound
            | Step::RolledBack
            | Step::Held
            | Step::Returning
            | Step::OverBudget
            | Step::ShadowEnded
            | Step::Withdrawn => {}
        }
        let trouble = inside.journal.add(&mut record);
        inside.tell(&Event::Swap(record));
        if let Some(trouble) = trouble {
            inside.tell(&Event::Message(Message { level: "warn".into(), text: trouble.to_string() }));
        }
    }

    /// The collector has ended before it was told to: a bug of ours, or a native strategy that panicked where nothing could be done about it.
    pub(crate) fn collector_failed(&self, said: &str) {
        let text = format!(
            "the collector {said}: nothing is collected any more: start the node anew, and please report this"
        );
        let mut inside = lock(&self.inside);
        inside.tenure = "ended";
        inside.failure = Some(text.clone());
        inside.tell(&Event::Message(Message { level: "error".into(), text }));
    }

    pub(crate) fn failure(&self) -> Option<String> {
        lock(&self.inside).failure.clone()
    }

    pub(crate) fn say(&self, level: &str, text: String) {
        let event = Event::Message(Message { level: level.into(), text });
        let mut inside = lock(&self.inside);
        if let Some(unheard) = &mut inside.unheard
            && unheard.len() < UNHEARD_MAX
        {
            unheard.push(event.clone());
        }
        inside.tell(&event);
    }

    pub(crate) fn metrics_text(&self, heap: &Heap, cluster: Option<&ClusterStatus>) -> String {
        let stats = heap.stats();
        lock(&self.inside).metrics.text(&stats, cluster)
    }

    pub(crate) fn status(&self, heap: &Heap, journal: usize) -> Status {
        let stats = heap.stats();
        let inside = lock(&self.inside);
        Status {
            pid: std::process::id(),
            uptime_s: self.elapsed_s(),
            strategy: inside.serving.clone(),
            options: inside.options.clone(),
            tenure: inside.tenure.into(),
            failure: inside.failure.clone(),
            probation_cycles_left: inside.probation_cycles_left,
            warm: inside.warm.clone(),
            candidate: inside.candidate.clone(),
            heap: HeapRecord {
                limit_bytes: stats.limit_bytes,
                used_bytes: stats.used_bytes,
                live_bytes: stats.live_bytes,
                quarantined_bytes: stats.quarantined_bytes,
                goal_bytes: inside.goal_bytes,
                committed_bytes: stats.committed_bytes,
                payload_bytes: stats.payload_bytes,
                payload_committed_bytes: stats.payload_committed_bytes,
                payload_fragmentation: stats.payload_fragmentation,
                payload_rounding: stats.payload_rounding,
                capacity_cells: stats.capacity_cells,
                live_cells: stats.live_cells,
                quarantined_cells: stats.quarantined_cells,
                live_objects: stats.live_objects,
                allocated_objects: stats.allocated_objects_total,
                allocated_bytes: stats.allocated_bytes_total,
                condemned_objects: stats.condemned_objects_total,
                freed_objects: stats.freed_objects_total,
                freed_bytes: stats.freed_bytes_total,
                mutators: stats.mutators,
                roots: stats.roots,
                stubs: stats.stubs,
                held_objects: stats.held_objects,
                pauses: stats.holdups.count,
                pause_ns_p50: stats.holdups.p50_ns,
                pause_ns_p999: stats.holdups.p999_ns,
                pause_ns_max: stats.holdups.max_ns,
            },
            cycles: stats.cycles_total,
            refused: stats.refused_total,
            faults: inside.faults,
            swaps: inside.swaps,
            mark_ns_last: inside.last_mark_ns,
            proof_ns_last: inside.last_proof_ns,
            last_cycle: inside.last_cycle.clone(),
            journal: inside.journal.tail(journal),
            roots: Vec::new(),
            roots_left_out: 0,
        }
    }
}

impl Inside {
    fn tell(&mut self, event: &Event) {
        self.subscribers.retain_mut(|subscriber| subscriber.tell(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_is_told_before_anybody_serves() {
        let board = Board::new(Journal::open(None).unwrap(), "tracing".into());
        let heap = Heap::new(gc_heap::HeapConfig::with_limit(1 << 20)).unwrap();
        let early = board.status(&heap, 0);
        assert_eq!((early.strategy.to_string().as_str(), early.tenure.as_str()), ("tracing", "loading"));
    }

    #[test]
    fn who_listens_first_hears_what_was_said_before() {
        let board = Board::new(Journal::open(None).unwrap(), "tracing".into());
        for n in 0..UNHEARD_MAX + 10 {
            board.say("warn", n.to_string());
        }
        let (first, second) = (board.subscribe(), board.subscribe());
        board.say("warn", "after".into());
        let heard = |events: &Subscription| -> Vec<String> {
            std::iter::from_fn(|| events.try_next().ok())
                .map(|event| if let Event::Message(message) = event { message.text } else { String::new() })
                .collect()
        };
        let early = heard(&first);
        assert_eq!(early.len(), UNHEARD_MAX + 1);
        assert_eq!((early[0].as_str(), early[UNHEARD_MAX].as_str()), ("0", "after"));
        assert_eq!(heard(&second), ["after"]);
    }

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed() {
        let board = Board::new(Journal::open(None).unwrap(), "tracing".into());
        let slow = board.subscribe();
        for n in 0..EVENTS_PENDING + 10 {
            board.say("info", n.to_string());
        }
        for _ in 0..EVENTS_PENDING {
            assert!(matches!(slow.try_next(), Ok(Event::Message(_))));
        }
        board.say("info", "after".into());
        assert_eq!(slow.try_next(), Ok(Event::Missed { count: 10 }));
        assert!(matches!(slow.try_next(), Ok(Event::Message(message)) if message.text == "after"));
        board.close();
        assert_eq!(slow.next(), None);
    }
}
