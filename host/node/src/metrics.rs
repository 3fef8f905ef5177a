//! Every metric of a node, declared here and nowhere else.
//!
//! Names carry base units (seconds, bytes) and follow the conventions that `promtool check metrics` checks. Two kinds: what the collector thread
//! counts as it happens (a registry), and what the heap counts anyway (read when somebody asks, the table `HEAP`).

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary};
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use gc_heap::{CycleEnd, CycleReport, Fault, HeapStats};

use crate::cluster::{ClusterStatus, MemberRecord};
use crate::source::Footprint;
use crate::swap::Step;

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

const PROOF: &str = "proof";

/// Name, help, type, and where the value is.
type Declared = (&'static str, &'static str, MetricType, fn(&HeapStats) -> u64);

/// What the heap counts.
const HEAP: &[Declared] = &[
    (
        "gc_heap_live_bytes",
        "Bytes of cells and payloads that are neither condemned nor free.",
        MetricType::GAUGE,
        |heap| heap.live_bytes,
    ),
    (
        "gc_heap_used_bytes",
        "Bytes of cells and payloads in use: live and in quarantine.",
        MetricType::GAUGE,
        |heap| heap.used_bytes,
    ),
    ("gc_heap_limit_bytes", "Bytes of cells and payloads that may be in use.", MetricType::GAUGE, |heap| {
        heap.limit_bytes
    }),
    (
        "gc_heap_committed_bytes",
        "Bytes that the heap has taken from the system.",
        MetricType::GAUGE,
        |heap| heap.committed_bytes,
    ),
    ("gc_payload_used_bytes", "Bytes in payload blocks.", MetricType::GAUGE, |heap| heap.payload_bytes),
    (
        "gc_payload_committed_bytes",
        "Bytes in slabs for payload blocks, used and free.",
        MetricType::GAUGE,
        |heap| heap.payload_committed_bytes,
    ),
    ("gc_heap_live_objects", "Objects that are neither condemned nor free.", MetricType::GAUGE, |heap| {
        heap.live_objects
    }),
    ("gc_heap_live_cells", "Cells that are neither condemned nor free.", MetricType::GAUGE, |heap| {
        heap.live_cells
    }),
    ("gc_heap_capacity_cells", "Cells that the heap can hold.", MetricType::GAUGE, |heap| {
        heap.capacity_cells
    }),
    ("gc_heap_quarantined_cells", "Cells condemned and not freed yet.", MetricType::GAUGE, |heap| {
        heap.quarantined_cells
    }),
    ("gc_mutators", "Mutators at this moment.", MetricType::GAUGE, |heap| heap.mutators),
    ("gc_roots", "Named roots and pins.", MetricType::GAUGE, |heap| heap.roots),
    ("gc_allocated_bytes_total", "Bytes ever allocated.", MetricType::COUNTER, |heap| {
        heap.allocated_bytes_total
    }),
    ("gc_allocated_objects_total", "Objects ever allocated.", MetricType::COUNTER, |heap| {
        heap.allocated_objects_total
    }),
    ("gc_reclaimed_bytes_total", "Bytes ever freed.", MetricType::COUNTER, |heap| heap.freed_bytes_total),
    ("gc_reclaimed_objects_total", "Objects ever freed.", MetricType::COUNTER, |heap| {
        heap.freed_objects_total
    }),
    ("gc_withheld_cells_total", "Cells that were proposed and kept.", MetricType::COUNTER, |heap| {
        heap.withheld_cells_total
    }),
];

/// What of payload memory is lost: name, help, and where the share is.
type Lost = (&'static str, &'static str, fn(&HeapStats) -> f64);

const LOST: &[Lost] = &[
    (
        "gc_payload_fragmentation_ratio",
        "Share of committed payload bytes that is free and cannot be given back.",
        |heap| heap.payload_fragmentation,
    ),
    (
        "gc_payload_rounding_ratio",
        "Share of used payload bytes that rounding up to block sizes wastes, estimated.",
        |heap| heap.payload_rounding,
    ),
];

/// What the driver of the cluster counts.
type OfCluster = (&'static str, &'static str, MetricType, fn(&ClusterStatus) -> f64);

const CLUSTER: &[OfCluster] = &[
    ("gc_cluster_members", "Members of the cluster.", MetricType::GAUGE, |seen| seen.members.len() as f64),
    ("gc_cluster_epoch", "Number of the membership.", MetricType::GAUGE, |seen| seen.epoch as f64),
    (
        "gc_cluster_fenced",
        "1 while this node reaches less than half of the members.",
        MetricType::GAUGE,
        |seen| f64::from(u8::from(seen.fenced)),
    ),
    ("gc_cluster_strategy_generation", "Swaps of the whole cluster.", MetricType::GAUGE, |seen| {
        seen.strategy_generation as f64
    }),
    ("gc_stubs", "Objects of other nodes that this node holds.", MetricType::GAUGE, |seen| seen.stubs as f64),
    ("gc_scions", "Holders of objects of this node on other nodes.", MetricType::GAUGE, |seen| {
        seen.scions as f64
    }),
    ("gc_waiting_for_room", "Messages that wait for room in the heap.", MetricType::GAUGE, |seen| {
        seen.waiting_for_room as f64
    }),
    ("gc_reference_pins", "Copies of references under way from here.", MetricType::GAUGE, |seen| {
        seen.pins as f64
    }),
    ("gc_cluster_frames_sent_total", "Frames sent to other nodes.", MetricType::COUNTER, |seen| {
        seen.counters.frames_sent as f64
    }),
    ("gc_cluster_sent_bytes_total", "Bytes of frames sent.", MetricType::COUNTER, |seen| {
        seen.counters.bytes_sent as f64
    }),
    ("gc_cluster_frames_received_total", "Frames received.", MetricType::COUNTER, |seen| {
        seen.counters.frames_received as f64
    }),
    ("gc_cluster_received_bytes_total", "Bytes of frames received.", MetricType::COUNTER, |seen| {
        seen.counters.bytes_received as f64
    }),
    ("gc_cluster_frames_dropped_total", "Frames that were not admitted.", MetricType::COUNTER, |seen| {
        seen.counters.frames_dropped as f64
    }),
    ("gc_cluster_messages_sent_total", "Small messages sent, batched or not.", MetricType::COUNTER, |seen| {
        seen.counters.messages_sent as f64
    }),
    ("gc_cluster_copies_sent_total", "Messages with references sent.", MetricType::COUNTER, |seen| {
        seen.counters.copies_sent as f64
    }),
    (
        "gc_cluster_copies_received_total",
        "Messages with references delivered.",
        MetricType::COUNTER,
        |seen| seen.counters.copies_received as f64,
    ),
    ("gc_cluster_healed_total", "Entries that digests healed.", MetricType::COUNTER, |seen| {
        seen.counters.healed as f64
    }),
    (
        "gc_cluster_disconnects_total",
        "Links closed over what came through them.",
        MetricType::COUNTER,
        |seen| seen.counters.refusals as f64,
    ),
    (
        "gc_cluster_unfounded_total",
        "Mentions of references that their senders cannot have.",
        MetricType::COUNTER,
        |seen| seen.counters.unfounded as f64,
    ),
    (
        "gc_cluster_deliveries_dropped_total",
        "Messages dropped because the program takes none.",
        MetricType::COUNTER,
        |seen| seen.counters.deliveries_dropped as f64,
    ),
    ("gc_cluster_leases_lapsed_total", "Leases of other nodes that lapsed.", MetricType::COUNTER, |seen| {
        seen.counters.leases_lapsed as f64
    }),
    ("gc_cluster_fences_total", "Times that this node fenced itself.", MetricType::COUNTER, |seen| {
        seen.counters.fences as f64
    }),
];

/// What is known of each other member.
type OfMember = (&'static str, &'static str, fn(&MemberRecord) -> f64);

const MEMBERS: &[OfMember] = &[
    ("gc_member_up", "1 while there is a link to the member.", |member| f64::from(u8::from(member.up))),
    ("gc_member_phi", "Suspicion that the member is gone.", |member| member.phi),
    ("gc_member_lease_held", "1 while objects of the member may be used here.", |member| {
        f64::from(u8::from(member.lease == "good"))
    }),
    ("gc_member_lease_given", "1 while the member may use objects of this node.", |member| {
        f64::from(u8::from(member.lease_given == "good"))
    }),
    ("gc_member_stubs", "Objects of the member that this node holds.", |member| member.stubs as f64),
    ("gc_member_scions", "Objects of this node that the member holds.", |member| member.scions as f64),
    (
        "gc_member_held_bytes",
        "Bytes of the objects that the member holds, without what they lead to.",
        |member| member.scion_bytes as f64,
    ),
    (
        "gc_member_held_alone_bytes",
        "Bytes of the objects that the member holds alone, without what they lead to.",
        |member| member.only_bytes as f64,
    ),
    ("gc_member_pending_bytes", "Bytes that wait for the member.", |member| member.pending_bytes as f64),
];

/// The counters that the collector thread keeps.
pub(crate) struct Metrics {
    registry: Registry,
    cycles: IntCounterVec,
    cpu: CounterVec,
    goal: IntGauge,
    memory: IntGauge,
    crossings: IntCounterVec,
    fuel: IntCounterVec,
    traps: IntCounterVec,
    swaps: IntCounterVec,
    serving: GaugeVec,
    /// Crossings and fuel of the serving instance when they were last added.
    seen: Footprint,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let made =
                IntCounterVec::new(Opts::new(name, help), labels).expect("declared below, checked by a test");
            register(&registry, made)
        };
        let gauge = |name: &str, help: &str| {
            register(&registry, IntGauge::new(name, help).expect("declared below, checked by a test"))
        };
        let metrics = Metrics {
            cycles: counters(
                "gc_cycles_total",
                "Cycles that ended.",
                &["strategy", "version", "cause", "outcome"],
            ),
            cpu: register(
                &registry,
                CounterVec::new(
                    Opts::new(
                        "gc_cpu_seconds_total",
                        "Time that the collector worked, by part of the cycle.",
                    ),
                    &["part"],
                )
                .expect("declared here, checked by a test"),
            ),
            goal: gauge("gc_heap_goal_bytes", "Bytes in use at which the next cycle is due."),
            memory: gauge("gc_strategy_memory_bytes", "Memory of the serving strategy's instance."),
            crossings: counters("gc_crossings_total", "Calls between host and strategy.", &["strategy"]),
            fuel: counters(
                "gc_strategy_fuel_total",
                "Fuel that strategies burned, where it is counted.",
                &["strategy"],
            ),
            traps: counters("gc_strategy_traps_total", "Failures of strategies.", &["strategy", "kind"]),
            swaps: counters("gc_strategy_swaps_total", "Steps of swaps.", &["result"]),
            serving: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "gc_strategy_state",
                        "1 for the strategy that serves, by how far it is trusted.",
                    ),
                    &["strategy", "version", "digest", "state"],
                )
                .expect("declared here, checked by a test"),
            ),
            seen: Footprint::default(),
            registry,
        };
        let process = prometheus::process_collector::ProcessCollector::for_self();
        metrics.registry.register(Box::new(process)).expect("the process metrics have names of their own");
        for part in ["handshake", "mark", PROOF, "reclaim"] {
            metrics.cpu.with_label_values(&[part]);
        }
        metrics
    }

    /// A cycle ended.
    pub(crate) fn cycle(&mut self, report: &CycleReport, goal_bytes: u64, footprint: Footprint) {
        let strategy = &report.strategy;
        let labels = [&*strategy.name, &*strategy.version, report.cause.word(), report.end.word()];
        self.cycles.with_label_values(&labels).inc();
        for (part, ns) in [
            ("handshake", report.handshake_ns),
            ("mark", report.mark_ns),
            (PROOF, report.proof_ns),
            ("reclaim", report.reclaim_ns),
        ] {
            self.cpu.with_label_values(&[part]).inc_by(ns as f64 / 1e9);
        }
        match &report.end {
            CycleEnd::Faulted(fault) => self.trap(&strategy.name, kind(fault)),
            CycleEnd::Refused(_) => self.trap(&strategy.name, "refused"),
            CycleEnd::Settled | CycleEnd::DryRun | CycleEnd::Deferred | CycleEnd::Abandoned => {}
        }
        self.goal.set(goal_bytes.try_into().unwrap_or(i64::MAX));
        self.memory.set(footprint.memory_bytes.try_into().unwrap_or(i64::MAX));
        // Another instance begins at 0.
        let since = |now: u64, seen: u64| now.checked_sub(seen).unwrap_or(now);
        let crossings = self.crossings.with_label_values(&[&strategy.name]);
        crossings.inc_by(since(footprint.crossings, self.seen.crossings));
        let fuel = self.fuel.with_label_values(&[&strategy.name]);
        fuel.inc_by(since(footprint.fuel_used, self.seen.fuel_used));
        self.seen = footprint;
    }

    fn trap(&self, strategy: &str, kind: &str) {
        self.traps.with_label_values(&[strategy, kind]).inc();
    }

    /// A shadow or a rehearsal failed.
    pub(crate) fn candidate_fault(&self, strategy: &str, fault: Option<&Fault>) {
        self.trap(strategy, fault.map_or("refused", kind));
    }

    /// A swap went a step further.
    pub(crate) fn swap(&self, step: Step) {
        self.swaps.with_label_values(&[step.word()]).inc();
    }

    /// Who serves from here on.
    pub(crate) fn serving(&mut self, strategy: &gc_heap::StrategyIdentity, state: &str) {
        self.serving.reset();
        self.serving
            .with_label_values(&[&*strategy.name, &*strategy.version, &*strategy.digest, state])
            .set(1.0);
    }

    /// Everything, in the text format.
    pub(crate) fn text(&self, heap: &HeapStats, cluster: Option<&ClusterStatus>) -> String {
        let mut families = self.registry.gather();
        families
            .extend(HEAP.iter().map(|&(name, help, kind, read)| family(name, help, kind, read(heap) as f64)));
        families
            .extend(LOST.iter().map(|&(name, help, read)| family(name, help, MetricType::GAUGE, read(heap))));
        families.push(pauses(heap));
        families.extend(cluster.into_iter().flat_map(of_cluster));
        families.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| format!("# cannot encode: {error}\n"))
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("every name is declared once, checked by a test");
    collector
}

fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Trap(_) => "trap",
        Fault::Deadline(_) => "deadline",
        Fault::OutOfMemory(_) => "memory",
        Fault::Nonsense(_) => "nonsense",
        Fault::Error(_) => "error",
        Fault::WindowWritten(_) => "window-written",
    }
}

fn family(name: &str, help: &str, kind: MetricType, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    match kind {
        MetricType::COUNTER => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        _ => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    wrap(name, help, kind, metric)
}

fn wrap(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.into());
    label.set_value(value.into());
    label
}

fn labelled(kind: MetricType, labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = family("", "", kind, value).take_metric().remove(0);
    metric.set_label(labels.iter().map(|(name, value)| label(name, value)).collect());
    metric
}

fn families(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> Option<MetricFamily> {
    let mut family = wrap(name, help, kind, Metric::default());
    // A family without metrics is none.
    let any = !metrics.is_empty();
    family.set_metric(metrics);
    any.then_some(family)
}

fn of_cluster(seen: &ClusterStatus) -> Vec<MetricFamily> {
    let mut all: Vec<MetricFamily> =
        CLUSTER.iter().map(|&(name, help, kind, read)| family(name, help, kind, read(seen))).collect();
    let others = || seen.members.iter().filter(|member| !member.me);
    all.extend(MEMBERS.iter().filter_map(|&(name, help, read)| {
        let metrics =
            others().map(|member| labelled(MetricType::GAUGE, &[("member", &member.name)], read(member)));
        families(name, help, MetricType::GAUGE, metrics.collect())
    }));
    let unfounded = others()
        .map(|member| labelled(MetricType::COUNTER, &[("member", &member.name)], member.unfounded as f64));
    let help = "Mentions by the member of references that it cannot have.";
    all.extend(families("gc_member_unfounded_total", help, MetricType::COUNTER, unfounded.collect()));
    let held = |read: fn(&crate::cluster::HeldRecord) -> u64| {
        let metrics = seen
            .held
            .iter()
            .map(move |held| labelled(MetricType::GAUGE, &[("reason", &held.reason)], read(held) as f64));
        metrics.collect()
    };
    all.extend(families(
        "gc_held_objects",
        "Objects held for others, by reason.",
        MetricType::GAUGE,
        held(|held| held.objects),
    ));
    all.extend(families(
        "gc_held_bytes",
        "Bytes of objects held for others, without what they lead to, by reason.",
        MetricType::GAUGE,
        held(|held| held.bytes),
    ));
    let refused = seen.refusals.iter();
    let refused =
        refused.map(|(why, times)| labelled(MetricType::COUNTER, &[("reason", why)], *times as f64));
    let help = "Peers that were not let in, by reason.";
    all.extend(families("gc_cluster_refusals_total", help, MetricType::COUNTER, refused.collect()));
    let over = [("swept", seen.counters.cycles_swept), ("given-up", seen.counters.cycles_given_up)];
    let over = over.map(|(ending, times)| labelled(MetricType::COUNTER, &[("ending", ending)], times as f64));
    let help = "Cycles over all nodes that ended.";
    all.extend(families("gc_cluster_cycles_total", help, MetricType::COUNTER, over.into()));
    all
}

/// A summary and not a histogram: the heap keeps an HDR histogram, whose quantiles are finer than any buckets.
fn pauses(heap: &HeapStats) -> MetricFamily {
    let holdups = &heap.holdups;
    let quantiles =
        [(0.5, holdups.p50_ns), (0.99, holdups.p99_ns), (0.999, holdups.p999_ns), (1.0, holdups.max_ns)];
    let quantiles = quantiles.map(|(at, ns)| {
        let mut quantile = Quantile::default();
        quantile.set_quantile(at);
        quantile.set_value(ns as f64 / 1e9);
        quantile
    });
    let mut summary = Summary::default();
    summary.set_sample_count(holdups.count);
    summary.set_sample_sum(holdups.sum_ns as f64 / 1e9);
    summary.set_quantile(quantiles.to_vec());
    let mut metric = Metric::default();
    metric.set_summary(summary);
    let help = "How long operations of mutators were held up by the collector.";
    wrap("gc_pause_seconds", help, MetricType::SUMMARY, metric)
}
