//! From what was written down during a run to its measures.

use std::thread::ThreadId;
use std::time::{Duration, Instant};

use gc_heap::HeldUp;
use gc_lab::bench::fates::Fates;
use gc_lab::bench::histogram::Counts;
use gc_lab::bench::meter::{Notes, Seen};
use gc_lab::bench::mmu;
use gc_lab::bench::model::{
    CpuParts, Cycle, Failure, Footprint, Latency, Measures, NodeShare, Part, Pause, Phase, SwapCost,
};
use gc_lab::bench::oracle::Witness;
use gc_lab::bench::protocol::Order;
use gc_lab::{NodeWork, Traffic, WorkloadReport, WorkloadSpec};
use gc_node::CycleRecord;

use crate::bench::child::clocks;
use crate::bench::child::driver::{Mark, Marks};
use crate::bench::child::measure::{Asked, Failed, Stand, crossing_ns};
use crate::bench::child::nodes::Nodes;
use crate::bench::child::sampler::Sampler;

/// Samples, cycles and pauses that are kept of a run.
const HEAP_MAX: usize = 256;
const CYCLES_MAX: usize = 512;
const PAUSES_MAX: usize = 64;

/// Shortest time over which throughput is told from progress.
const TELLING: Duration = Duration::from_millis(500);

/// The timed part of a run.
pub(crate) struct Timed {
    pub(crate) begin: Mark,
    pub(crate) end: Mark,
    pub(crate) wall_ns: u64,
}

/// Whether a workload is timed up to the end of its final cycles: one that only builds a graph and has it collected.
pub(crate) fn times_final_cycles(spec: &WorkloadSpec) -> bool {
    matches!(spec, WorkloadSpec::Git(_) | WorkloadSpec::Graph(_))
}

impl Timed {
    /// `after` was marked when the workload had returned.
    pub(crate) fn new(spec: &WorkloadSpec, marks: &Marks, report: &WorkloadReport, after: Mark) -> Timed {
        let begin = marks.mutate.clone().or_else(|| marks.build.clone()).unwrap_or_else(|| after.clone());
        if times_final_cycles(spec) {
            let wall_ns = nanoseconds(begin.at, after.at);
            return Timed { begin, end: after, wall_ns };
        }
        let end = marks.collect.clone().unwrap_or(after);
        let wall_ns = match report.mutate_time.as_nanos() {
            0 => nanoseconds(begin.at, end.at),
            ns => ns as u64,
        };
        Timed { begin, end, wall_ns }
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_nanos() as u64
}

/// Everything but start, quality and swap.
pub(crate) fn measures(
    order: &Order,
    timed: &Timed,
    report: &WorkloadReport,
    sampler: &Sampler,
    stand: &Stand,
    nodes: &Nodes,
) -> Measures {
    let (notes, digest) = (&stand.notes(), stand.digest());
    let (begin, end) = (&timed.begin, &timed.end);
    let listed = nodes.all().flat_map(|node| node.heap().take_holdup_list()).collect();
    let held = pauses(listed, begin.at, end.at);
    let within = || sampler.cycles.iter().filter(|(at, _)| (begin.at..=end.at).contains(at));
    let cpu_ns = end.process_ns - begin.process_ns;
    let crossings = end.counted.crossings.saturating_sub(begin.counted.crossings);
    let (operations, unit) = match report.requests {
        0 => (report.operations, "operation"),
        requests => (requests, report.request_unit),
    };
    let live: u64 = nodes.all().map(|node| node.heap().stats().live_objects).sum();
    let left_over = |expected: u64| live.saturating_sub(expected);
    // Where nodes work together each knows what of its own is still there, to the object.
    let left_workers = report.nodes.iter().map(|node| node.left_workers).reduce(|sum, left| sum + left);
    let sent = report.nodes.iter().map(|node| node.working.and(node.settling)).reduce(Traffic::and);
    let mut longest = held.list.clone();
    longest.sort_unstable_by_key(|pause| std::cmp::Reverse(pause.length_ns));
    longest.truncate(PAUSES_MAX);
    Measures {
        wall_ns: timed.wall_ns,
        cpu_ns,
        cpu: cpu_parts(order, timed, within().map(|(_, cycle)| cycle), held.work_ns, crossings),
        operations,
        operation_unit: unit.to_owned(),
        allocated_objects: end.allocated_objects - begin.allocated_objects,
        allocated_bytes: end.allocated_bytes - begin.allocated_bytes,
        mutators: report.threads.max(1),
        paused_ns: held.lengths.sum,
        latency: report.latency.as_ref().map(Latency::of),
        mmu: mmu::curve(&held.list, nanoseconds(begin.at, end.at)),
        longest_pauses: if order.details { longest } else { Vec::new() },
        heap: if order.details { sampler.heap(begin.at, end.at, HEAP_MAX) } else { Vec::new() },
        cycles: match order.details {
            true => within()
                .take(CYCLES_MAX)
                .map(|(at, cycle)| told(order, digest, *at, cycle, notes, begin.at))
                .collect(),
            false => Vec::new(),
        },
        cycle_count: within().count() as u64,
        settle_ns: report.settle_time.as_nanos() as u64,
        settle_cycles: sampler.cycles.iter().filter(|(at, _)| *at > end.at).count() as u64,
        left_over_objects: left_workers.or_else(|| report.expected_live.map(left_over)),
        footprint: footprint(sampler, notes, begin.at, end.at),
        crossings: (crossings > 0).then_some(crossings),
        fuel: end.counted.fuel.map(|fuel| fuel - begin.counted.fuel.unwrap_or(0)),
        pauses: held.lengths,
        messages: sent.map(|sent| sent.messages),
        message_bytes: sent.map(|sent| sent.bytes),
        nodes: report.nodes.iter().map(share).collect(),
        ..Measures::default()
    }
}

fn share(work: &NodeWork) -> NodeShare {
    NodeShare {
        node: work.node,
        messages: work.working.messages,
        message_bytes: work.working.bytes,
        settle_messages: work.settling.messages,
        settle_message_bytes: work.settling.bytes,
        left_over_objects: work.left_workers,
        lag_ns: work.lag.map(|lag| lag.as_nanos() as u64),
    }
}

/// The hold-ups of a timed part: how long they were, when each was, and what answering the collector took of the mutators' own time.
struct HeldUpBy {
    lengths: Counts,
    list: Vec<Pause>,
    work_ns: u64,
}

/// The hold-ups from `begin` to `end`; what began before, or lasts longer, counts as far as it is within.
fn pauses(listed: Vec<HeldUp>, begin: Instant, end: Instant) -> HeldUpBy {
    let mut threads: Vec<ThreadId> = Vec::new();
    let mut held =
        HeldUpBy { lengths: Counts::default(), list: Vec::with_capacity(listed.len()), work_ns: 0 };
    for holdup in &listed {
        let (from, to) =
            (holdup.begun.max(begin), (holdup.begun + Duration::from_nanos(holdup.wall_ns)).min(end));
        if from >= to {
            continue;
        }
        let mutator = threads.iter().position(|&thread| thread == holdup.thread).unwrap_or_else(|| {
            threads.push(holdup.thread);
            threads.len() - 1
        });
        held.list.push(Pause {
            at_ns: nanoseconds(begin, from),
            length_ns: nanoseconds(from, to),
            mutator: mutator as u32,
        });
        held.work_ns += holdup.running_ns;
    }
    held.lengths = Counts::of(held.list.iter().map(|pause| pause.length_ns));
    held
}

fn footprint(sampler: &Sampler, notes: &Notes, begin: Instant, end: Instant) -> Footprint {
    let (byte_seconds, used_bytes_mean) = sampler.byte_seconds(begin, end);
    let most =
        |of: fn(&crate::bench::child::sampler::Sample) -> u64| sampler.within(begin, end).map(of).max();
    Footprint {
        used_bytes_max: most(|sample| sample.used_bytes).unwrap_or(0),
        used_bytes_mean,
        committed_bytes_max: most(|sample| sample.committed_bytes).unwrap_or(0),
        byte_seconds,
        strategy_bytes_max: notes.memory_bytes_max,
        resident_bytes_max: clocks::resident_bytes_max(),
    }
}

fn cpu_parts<'c>(
    order: &Order,
    timed: &Timed,
    cycles: impl Iterator<Item = &'c CycleRecord>,
    barrier_ns: u64,
    crossings: u64,
) -> CpuParts {
    let (begin, end) = (&timed.begin, &timed.end);
    let cpu_ns = end.process_ns - begin.process_ns;
    let spent = |of: fn(&gc_lab::bench::meter::Spent) -> u64| of(&end.spent) - of(&begin.spent);
    let strategy_ns = spent(|spent| spent.strategy_ns);
    let seen_ns = strategy_ns
        + spent(|spent| spent.between_ns)
        + spent(|spent| spent.decide_ns)
        + spent(|spent| spent.after_ns);
    // The meter knows its own thread up to the latest call; the kernel knows it up to now, as far as it counts single threads.
    let collector_ns = match (begin.collector_ns, end.collector_ns) {
        (Some(before), Some(after)) => after.saturating_sub(before).max(seen_ns),
        _ => seen_ns,
    };
    let collector_ns = collector_ns.min(cpu_ns);
    let strategy_ns = strategy_ns.min(collector_ns);
    let host_ns = collector_ns - strategy_ns;
    // Proof and reclaim are not told apart by calls; their times on the clock are.
    let (proof, reclaim) =
        cycles.fold((1, 1), |(proof, reclaim), cycle| (proof + cycle.proof_ns, reclaim + cycle.reclaim_ns));
    let decide_ns = spent(|spent| spent.decide_ns).min(host_ns);
    let proof_ns = (decide_ns as f64 * proof as f64 / (proof + reclaim) as f64) as u64;
    let crossing_ns = crossing_ns(order).map_or(0, |each| (each * crossings as f64) as u64).min(strategy_ns);
    let other_ns = (end.other_ns.saturating_sub(begin.other_ns)).min(cpu_ns - collector_ns);
    let mutators_ns = cpu_ns - collector_ns - other_ns;
    let barrier_ns = barrier_ns.min(mutators_ns);
    CpuParts {
        mutator_ns: mutators_ns - barrier_ns,
        barrier_ns,
        strategy_ns: strategy_ns - crossing_ns,
        crossing_ns,
        handshake_ns: host_ns - decide_ns,
        proof_ns,
        reclaim_ns: decide_ns - proof_ns,
        other_ns,
    }
}

/// A cycle as it stands in the result, with its phases as far as the meter saw them.
fn told(
    order: &Order,
    digest: &str,
    ended: Instant,
    record: &CycleRecord,
    notes: &Notes,
    epoch: Instant,
) -> Cycle {
    let at = |moment: Instant| moment.saturating_duration_since(epoch).as_nanos() as u64;
    let end_ns = at(ended);
    let begin_ns = end_ns.saturating_sub(record.total_ns);
    let other = order.swap.as_ref().filter(|_| record.digest != digest);
    let seen = notes.cycles.iter().find(|seen| seen.number == record.cycle);
    Cycle {
        begin_ns,
        end_ns,
        subject: other.map_or(order.strategy.subject, |(player, _)| player.subject),
        cause: record.cause.clone(),
        outcome: record.outcome.clone(),
        phases: seen.map_or_else(Vec::new, |seen| phases(seen, record, begin_ns, end_ns, at)),
        used_bytes: record.used_bytes,
        live_bytes: record.live_bytes,
        condemned_bytes: record.condemned_bytes,
        freed_bytes: record.freed_bytes,
    }
}

fn phases(
    seen: &Seen,
    record: &CycleRecord,
    begin_ns: u64,
    end_ns: u64,
    at: impl Fn(Instant) -> u64,
) -> Vec<Phase> {
    let begun = at(seen.begin).max(begin_ns);
    let mut phases = vec![Phase { part: Part::Open, begin_ns, end_ns: begun, busy_ns: None }];
    let Some((finish, finished)) = seen.finish.map(|(from, to)| (at(from), at(to))) else { return phases };
    let step = seen.step.map_or(finish, &at);
    let [tell, mark, verdict] = seen.busy_ns;
    phases.push(Phase { part: Part::Tell, begin_ns: begun, end_ns: step, busy_ns: Some(tell) });
    phases.push(Phase { part: Part::Mark, begin_ns: step, end_ns: finish, busy_ns: Some(mark) });
    phases.push(Phase { part: Part::Verdict, begin_ns: finish, end_ns: finished, busy_ns: Some(verdict) });
    let settled = seen.settled.map_or(end_ns, at);
    let reclaim = settled.saturating_sub(record.reclaim_ns).max(finished);
    phases.push(Phase {
        part: Part::Proof,
        begin_ns: finished,
        end_ns: reclaim,
        busy_ns: Some(record.proof_ns),
    });
    phases.push(Phase {
        part: Part::Reclaim,
        begin_ns: reclaim,
        end_ns: settled,
        busy_ns: Some(record.reclaim_ns),
    });
    phases
}

/// What the oracle saw.
pub(crate) fn quality(measures: &mut Measures, witness: &Witness, timed: &Timed) {
    measures.quality = witness.quality(timed.begin.at, timed.end.at);
    if measures.quality.is_some() {
        garbage(measures, witness, timed.begin.at, timed.end.at);
    }
}

/// What became of the objects of all nodes, by what each wrote down.
pub(crate) fn quality_over_nodes(
    measures: &mut Measures,
    report: &WorkloadReport,
    timed: &Timed,
) -> Result<(), Failed> {
    let fates = Fates::of(report.nodes.iter().filter_map(|node| node.lives.as_deref()));
    if let Some(handle) = fates.too_early() {
        let what = format!("{handle} was reclaimed before it died: report this with the strategy's digest");
        return Err(Failed::new(Failure::Strategy, what));
    }
    let (begin, end) = (timed.begin.at, timed.end.at);
    measures.quality = Some(fates.quality(begin, end));
    let moments: Vec<Instant> =
        measures.heap.iter().map(|sample| begin + Duration::from_nanos(sample.at_ns)).collect();
    for (sample, bytes) in measures.heap.iter_mut().zip(fates.floating_at(&moments)) {
        sample.garbage_bytes = Some(bytes);
    }
    Ok(())
}

/// Puts what the oracle saw into the samples of the heap: what floats grows evenly from what one cycle left to what the next one found.
fn garbage(measures: &mut Measures, witness: &Witness, begin: Instant, end: Instant) {
    let looks: Vec<_> = witness.looks().into_iter().filter(|look| (begin..=end).contains(&look.at)).collect();
    let at = |moment: Instant| nanoseconds(begin, moment);
    for sample in &mut measures.heap {
        let next = looks.partition_point(|look| at(look.at) < sample.at_ns);
        let (Some(before), Some(after)) = (next.checked_sub(1).map(|place| &looks[place]), looks.get(next))
        else {
            continue;
        };
        let way = (sample.at_ns - at(before.at)) as f64 / (at(after.at) - at(before.at)).max(1) as f64;
        let bytes = before.left_bytes + (after.floating_bytes - before.left_bytes) * way;
        sample.garbage_bytes = Some(bytes.max(0.0) as u64);
    }
}

/// What the swap cost.
pub(crate) fn swap(
    order: &Order,
    timed: &Timed,
    sampler: &Sampler,
    asked: Asked,
) -> Result<Option<SwapCost>, Failed> {
    let Some((player, _)) = &order.swap else { return Ok(None) };
    let step = |word: &str| {
        sampler.swaps.iter().find(|(at, step)| step.step == word && *at >= asked.at).map(|&(at, _)| at)
    };
    let (Some(loaded), Some(rehearsed)) = (step("loaded"), step("rehearsed")) else {
        return Err(Failed::new(Failure::Strategy, "the swap left no trace in the journal"));
    };
    // Progress is told ten times a second: over less than a few of these it says nothing.
    let per_second = |operations: u64, from: Instant, to: Instant| {
        let time = to.saturating_duration_since(from);
        (operations > 0 && time >= TELLING).then(|| operations as f64 / time.as_secs_f64())
    };
    let before = per_second(asked.operations_at, timed.begin.at, asked.at);
    let during =
        per_second(asked.operations_done.saturating_sub(asked.operations_at), asked.at, asked.done_at);
    Ok(Some(SwapCost {
        to: player.subject,
        asked_at_ns: nanoseconds(timed.begin.at, asked.at),
        load_ns: nanoseconds(asked.at, loaded),
        rehearse_ns: nanoseconds(loaded, rehearsed),
        total_ns: nanoseconds(asked.at, asked.done_at),
        pause_ns_max: asked.pause_ns_max,
        throughput_share: before.zip(during).map(|(before, during)| during / before),
    }))
}
