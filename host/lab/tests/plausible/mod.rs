//! Made-up results that look like real ones: TEST DATA from a seed, nothing in it was measured.

use gc_lab::bench::histogram::Counts;
use gc_lab::bench::mmu;
use gc_lab::bench::model::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MS: f64 = 1e6;
const MIB: f64 = 1_048_576.0;

/// What to make up.
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) workloads: usize,
    /// Strategies beside the baseline, at most four.
    pub(crate) strategies: usize,
    pub(crate) heaps: Vec<f64>,
    pub(crate) rounds: u32,
    /// Run-to-run noise as a share.
    pub(crate) noise: f64,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            seed: 1,
            workloads: 3,
            strategies: 3,
            heaps: vec![1.0, 1.5, 2.0, 3.0, 6.0],
            rounds: 20,
            noise: 0.01,
        }
    }
}

/// How a made-up strategy behaves.
#[derive(Clone, Copy)]
struct Habit {
    label: &'static str,
    barrier: f64,
    collecting: f64,
    pause_ns: f64,
    floating: f64,
}

const HABITS: [Habit; 4] = [
    Habit { label: "mark-sweep", barrier: 0.02, collecting: 0.30, pause_ns: 60_000.0, floating: 0.25 },
    Habit { label: "tracing", barrier: 0.04, collecting: 0.34, pause_ns: 20_000.0, floating: 0.35 },
    Habit { label: "refcount", barrier: 0.16, collecting: 0.20, pause_ns: 9_000.0, floating: 0.08 },
    Habit { label: "epoch", barrier: 0.01, collecting: 0.06, pause_ns: 6_000.0, floating: 0.02 },
];

const WORKLOADS: [(&str, &str, &str, f64); 5] = [
    ("gcbench", "gcbench?depth=16", "many short-lived trees beside one that stays", 900.0),
    ("service", "service?rate=20k", "requests that come by a clock, sessions, skewed keys", 1500.0),
    ("cache", "cache?expiry=5s", "objects that are retired", 1200.0),
    ("history", "git-history:repo?keep=100", "a sliding window with much sharing", 700.0),
    ("workers", "random-workers?nodes=3", "references between nodes", 800.0),
];

/// Which of them runs on several nodes.
pub(crate) const OVER_NODES: usize = 4;

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// The report.
pub(crate) fn report(shape: &Shape) -> Report {
    let mut random = ChaCha8Rng::seed_from_u64(shape.seed);
    let mut subjects: Vec<Subject> =
        HABITS[..shape.strategies].iter().map(|habit| subject(habit.label, false)).collect();
    subjects.push(subject("none", true));
    let workloads: Vec<Workload> = WORKLOADS[..shape.workloads].iter().map(workload).collect();
    let mut runs = Vec::new();
    for workload in 0..shape.workloads {
        for (h, &heap) in shape.heaps.iter().enumerate() {
            for round in 0..shape.rounds {
                for subject in 0..shape.strategies {
                    runs.push(run(&mut random, shape, (workload, subject, round), Some(heap), Kind::Timed));
                }
            }
            if h == shape.heaps.len() / 2 {
                extra_runs(&mut random, shape, workload, heap, &mut runs);
            }
        }
        runs.push(run(&mut random, shape, (workload, shape.strategies, 0), None, Kind::Baseline));
    }
    Report {
        began_unix_ms: 1_790_000_000_000,
        took_ns: 754_000_000_000,
        environment: environment(),
        plan: Plan {
            heap_multiples: shape.heaps.clone(),
            rounds: shape.rounds,
            noise_rounds: shape.rounds,
            warmup_iterations: 1,
            seed: shape.seed,
            nodes: 1,
            timeout_ns: 120_000_000_000,
            ..Plan::default()
        },
        subjects,
        workloads,
        runs,
        remarks: vec!["TEST DATA: made up from a seed, nothing in it was measured".to_owned()],
        ..Report::empty()
    }
}

fn extra_runs(random: &mut ChaCha8Rng, shape: &Shape, workload: usize, heap: f64, runs: &mut Vec<Run>) {
    for round in 0..shape.rounds {
        for side in 0..2 {
            let mut same = run(random, shape, (workload, 0, round), Some(heap), Kind::Same);
            same.side = side;
            runs.push(same);
        }
    }
    for subject in 0..shape.strategies {
        for round in 0..shape.rounds.min(6) {
            runs.push(run(random, shape, (workload, subject, round), Some(heap), Kind::Fuel));
        }
        runs.push(run(random, shape, (workload, subject, 0), Some(heap), Kind::Oracle));
    }
}

fn subject(label: &str, baseline: bool) -> Subject {
    Subject {
        label: label.to_owned(),
        name: label.to_owned(),
        version: "0.1.0".to_owned(),
        digest: "3f".repeat(32),
        options: Vec::new(),
        baseline,
    }
}

fn workload(&(label, text, stresses, _): &(&str, &str, &str, f64)) -> Workload {
    Workload {
        label: label.to_owned(),
        text: text.to_owned(),
        stresses: stresses.to_owned(),
        minimum_heap_bytes: Some((24.0 * MIB) as u64),
        minimum_heap_error: 0.02,
        ..Workload::default()
    }
}

fn environment() -> Environment {
    Environment {
        host_version: "0.1.0".to_owned(),
        host_digest: "a1".repeat(32),
        build: "release".to_owned(),
        wasmtime_version: "48.0.0".to_owned(),
        engine_flags: vec!["cranelift".to_owned(), "simd128".to_owned()],
        kernel: "Linux 6.1.0".to_owned(),
        cpu: "Made-up processor at 3 GHz".to_owned(),
        cpus: 2,
        memory_bytes: 24 << 30,
        governor: Some("performance".to_owned()),
        turbo: Some(false),
        huge_pages: Some("madvise".to_owned()),
        load_at_begin: [0.4, 0.5, 0.6],
        load_at_end: [1.9, 1.4, 0.9],
        noisy: vec!["load average 1.9 on 2 processors at the end".to_owned()],
    }
}

fn run(
    random: &mut ChaCha8Rng,
    shape: &Shape,
    (workload, subject, round): (usize, usize, u32),
    heap: Option<f64>,
    kind: Kind,
) -> Run {
    // One in a while does not get through in the smallest heap.
    let failed = heap == Some(1.0) && kind == Kind::Timed && random.random_bool(0.03);
    let outcome = if failed {
        Outcome::Failed { how: Failure::HeapFull, why: "heap full: 24 MiB of 24 MiB in use".to_owned() }
    } else {
        Outcome::Ok
    };
    let first = round == 0;
    let measures = (!failed).then(|| Box::new(measures(random, shape, workload, subject, heap, kind, first)));
    Run {
        kind,
        subject,
        workload,
        side: 0,
        heap_multiple: heap,
        heap_bytes: (24.0 * MIB * heap.unwrap_or(40.0)) as u64,
        round,
        position: subject as u32,
        seed: shape.seed + u64::from(round),
        outcome,
        others_cpu_share: Some(0.02 + 0.02 * random.random::<f64>()),
        measures,
    }
}

fn measures(
    random: &mut ChaCha8Rng,
    shape: &Shape,
    workload: usize,
    subject: usize,
    heap: Option<f64>,
    kind: Kind,
    first: bool,
) -> Measures {
    let habit = HABITS.get(subject).copied().filter(|_| heap.is_some());
    let work = WORKLOADS[workload].3 * MS;
    let factor = (shape.noise * normal(random)).exp();
    let squeeze = heap.map_or(0.0, |heap| 1.0 / (heap - 0.55));
    let barrier = habit.map_or(0.0, |habit| habit.barrier) * work * factor;
    let collecting = habit.map_or(0.0, |habit| habit.collecting * squeeze) * work * factor;
    let cpu = CpuParts {
        mutator_ns: (work * factor * (1.0 + habit.map_or(0.02, |_| 0.0))) as u64,
        barrier_ns: barrier as u64,
        strategy_ns: (0.6 * collecting) as u64,
        crossing_ns: (0.01 * collecting) as u64,
        handshake_ns: (0.05 * collecting) as u64,
        proof_ns: (0.22 * collecting) as u64,
        reclaim_ns: (0.12 * collecting) as u64,
        other_ns: (0.01 * work) as u64,
    };
    let cpu_ns = cpu.collector_ns() + cpu.mutator_ns + cpu.other_ns;
    let wall_ns = (work * factor + barrier + 0.4 * collecting) as u64;
    let pauses = pauses(random, habit, wall_ns);
    let lengths = repeated(5, pauses.iter().map(|pause| pause.length_ns));
    let (samples, cycles) = heap_and_cycles(random, habit, heap, wall_ns, kind, subject);
    let mut longest = pauses.clone();
    longest.sort_by_key(|pause| std::cmp::Reverse(pause.length_ns));
    longest.truncate(64);
    let peak = samples.iter().map(|sample| sample.used_bytes).max().unwrap_or(0);
    let mean =
        samples.iter().map(|sample| sample.used_bytes as f64).sum::<f64>() / samples.len().max(1) as f64;
    Measures {
        wall_ns,
        cpu_ns,
        cpu,
        operations: 400_000,
        operation_unit: "operation".to_owned(),
        allocated_objects: 9_000_000,
        allocated_bytes: 700 << 20,
        mutators: 2,
        paused_ns: lengths.sum,
        mmu: mmu::curve(&pauses, wall_ns),
        pauses: lengths,
        longest_pauses: if first { longest } else { Vec::new() },
        latency: (workload == 1).then(|| latency(random, habit)),
        heap: if first { samples } else { Vec::new() },
        cycle_count: cycles.len() as u64,
        cycles: if first { cycles } else { Vec::new() },
        footprint: Footprint {
            used_bytes_max: peak,
            used_bytes_mean: mean,
            committed_bytes_max: peak + (4 << 20),
            byte_seconds: mean * wall_ns as f64 / 1e9,
            strategy_bytes_max: 2 << 20,
            resident_bytes_max: 90 << 20,
        },
        crossings: Some((900.0 * squeeze) as u64 + random.random_range(0..5)),
        fuel: (kind == Kind::Fuel).then_some((collecting * 3.0) as u64),
        start: StartCost { load_ns: 3_000_000, cached: true, attach_ns: 400_000 },
        nodes: if workload == OVER_NODES { nodes(random, subject) } else { Vec::new() },
        quality: habit.filter(|_| kind == Kind::Oracle).map(|habit| quality(random, habit)),
        ..Measures::default()
    }
}

fn nodes(random: &mut ChaCha8Rng, subject: usize) -> Vec<NodeShare> {
    let node = |node| {
        let messages = 3000 + 800 * subject as u64 + random.random_range(0..300);
        let settle_messages = 500 + random.random_range(0..100) * u64::from(node);
        NodeShare {
            node,
            messages,
            message_bytes: messages * 23,
            settle_messages,
            settle_message_bytes: settle_messages * 19,
            left_over_objects: 0,
            lag_ns: Some(40_000_000 + random.random_range(0..9_000_000)),
        }
    };
    (1..=3).map(node).collect()
}

fn pauses(random: &mut ChaCha8Rng, habit: Option<Habit>, wall_ns: u64) -> Vec<Pause> {
    let Some(habit) = habit else { return Vec::new() };
    let length = |random: &mut ChaCha8Rng| (habit.pause_ns.ln() + 0.9 * normal(random)).exp() as u64 + 200;
    (0..300)
        .map(|_| Pause {
            at_ns: random.random_range(0..wall_ns),
            length_ns: length(random),
            mutator: random.random_range(0..2),
        })
        .collect()
}

/// Each value so many times: as many samples as a real run has, in the time of few.
fn repeated(times: u64, values: impl IntoIterator<Item = u64>) -> Counts {
    let mut counts = Counts::of(values);
    counts.buckets.iter_mut().for_each(|(_, count)| *count *= times);
    counts.sum *= times;
    counts
}

fn latency(random: &mut ChaCha8Rng, habit: Option<Habit>) -> Latency {
    let tail = habit.map_or(0.0, |habit| habit.pause_ns);
    let values = |random: &mut ChaCha8Rng, behind: f64| {
        let one = |random: &mut ChaCha8Rng| {
            let held_up = random.random_bool(0.01 * behind);
            let waited = if held_up { behind * tail * 20.0 * random.random::<f64>() } else { 0.0 };
            ((10.5 + 0.4 * normal(random)).exp() + waited) as u64
        };
        repeated(20, (0..1000).map(|_| one(random)))
    };
    Latency {
        of: "request".to_owned(),
        simple: values(random, 1.0),
        metered_100ms: values(random, 3.0),
        metered_whole: values(random, 5.0),
        ..Latency::default()
    }
}

fn heap_and_cycles(
    random: &mut ChaCha8Rng,
    habit: Option<Habit>,
    heap: Option<f64>,
    wall_ns: u64,
    kind: Kind,
    subject: usize,
) -> (Vec<HeapSample>, Vec<Cycle>) {
    let limit = 24.0 * MIB * heap.unwrap_or(40.0);
    let live = 15.0 * MIB;
    let (mut used, mut samples, mut cycles) = (live, Vec::new(), Vec::new());
    let step_ns = wall_ns / 256;
    for step in 0..256 {
        let at_ns = step * step_ns;
        used += limit * 0.02 * (0.8 + 0.4 * random.random::<f64>());
        let full = used > limit * 0.85;
        if let (true, Some(habit)) = (full, habit) {
            let kept = live * (1.0 + habit.floating * random.random::<f64>());
            cycles.push(cycle(at_ns, step_ns * 5, subject, used, kept));
            used = kept;
        }
        samples.push(HeapSample {
            at_ns,
            used_bytes: used as u64,
            committed_bytes: (limit * 0.9) as u64,
            garbage_bytes: (kind == Kind::Oracle).then(|| (used - live).max(0.0) as u64),
        });
    }
    (samples, cycles)
}

fn cycle(end_ns: u64, length_ns: u64, subject: usize, used: f64, kept: f64) -> Cycle {
    let begin_ns = end_ns.saturating_sub(length_ns);
    let parts = [
        (Part::Open, 0.03),
        (Part::Tell, 0.07),
        (Part::Mark, 0.55),
        (Part::Verdict, 0.05),
        (Part::Proof, 0.18),
        (Part::Reclaim, 0.12),
    ];
    let mut at = begin_ns;
    let phases = parts.map(|(part, share)| {
        let begin_ns = at;
        at += (share * (end_ns - begin_ns.min(end_ns)).min(length_ns) as f64) as u64;
        Phase { part, begin_ns, end_ns: at, busy_ns: Some((at - begin_ns) / 2) }
    });
    Cycle {
        begin_ns,
        end_ns,
        subject,
        cause: "goal".to_owned(),
        outcome: "settled".to_owned(),
        phases: phases.to_vec(),
        used_bytes: used as u64,
        live_bytes: kept as u64,
        condemned_bytes: (used - kept).max(0.0) as u64,
        freed_bytes: (used - kept).max(0.0) as u64,
    }
}

fn quality(random: &mut ChaCha8Rng, habit: Habit) -> Quality {
    let lag = |random: &mut ChaCha8Rng| (16.0 + habit.floating * 6.0 + 0.7 * normal(random)).exp();
    let lags: Vec<f64> = (0..500).map(|_| lag(random)).collect();
    Quality {
        looks: 200,
        cost_share: 0.4,
        period_ns: 5_000_000,
        floating_bytes_mean: habit.floating * 15.0 * MIB,
        floating_bytes_max: (habit.floating * 40.0 * MIB) as u64,
        lag: repeated(10, lags.iter().map(|&lag| lag as u64)),
        lag_allocated_bytes: repeated(10, lags.iter().map(|&lag| (lag / 10.0) as u64)),
        never_condemned_cells: 17,
    }
}
