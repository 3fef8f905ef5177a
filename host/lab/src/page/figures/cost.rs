//! Where CPU time goes: stacked, one bar per strategy and heap.

use crate::answer::units::show;
use crate::bench::metric::Unit;
use crate::bench::model::{CpuParts, Kind, Measures, Run};
use crate::page::figures::{Figure, Source, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};
use crate::stats::median;

/// Name and value of a part.
type Part = (&'static str, fn(&CpuParts) -> u64);

const PARTS: [Part; 8] = [
    ("mutators", |cpu| cpu.mutator_ns),
    ("barrier", |cpu| cpu.barrier_ns),
    ("strategy", |cpu| cpu.strategy_ns),
    ("crossings", |cpu| cpu.crossing_ns),
    ("handshakes", |cpu| cpu.handshake_ns),
    ("proof", |cpu| cpu.proof_ns),
    ("reclaim", |cpu| cpu.reclaim_ns),
    ("other", |cpu| cpu.other_ns),
];

/// The colour of each part.
const CLASSES: [&str; 8] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];

struct Bar {
    name: String,
    /// Nanoseconds per part, medians over rounds.
    parts: Vec<f64>,
}

pub(super) fn figure(source: &Source<'_>, workload: usize) -> Option<Figure> {
    let bars = bars(source, workload);
    let longest = bars.iter().map(|bar| bar.parts.iter().sum::<f64>()).fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let height = 56.0 + 19.0 * bars.len() as f64;
    let names: Vec<String> = bars.iter().map(|bar| bar.name.clone()).collect();
    let left = names.iter().map(|name| super::plot::width(name)).fold(60.0, f64::max).min(190.0) + 14.0;
    let mut plot = Plot::new(
        Axis::of("CPU time", Scale::Linear { low: 0.0, high: longest * 1.04 }, Unit::Nanoseconds),
        Axis::rows(names),
        height,
    )
    .sized(super::plot::WIDTH, left);
    let mut csv = "strategy_and_heap,part,nanoseconds\n".to_owned();
    for (at, bar) in bars.iter().enumerate() {
        let total: f64 = bar.parts.iter().sum();
        let mut from = 0.0;
        for ((&ns, (name, _)), class) in bar.parts.iter().zip(&PARTS).zip(CLASSES) {
            let at = at as f64;
            plot.bar(class, (from, at - 0.36), (from + ns, at + 0.36));
            let share = show(ns / total, Unit::Share);
            plot.tip(
                from + ns / 2.0,
                at,
                format!(
                    "{}: {name} {} ({share} of {})",
                    bar.name,
                    show(ns, Unit::Nanoseconds),
                    show(total, Unit::Nanoseconds)
                ),
            );
            csv += &row(&[&bar.name, name, &ns]);
            from += ns;
        }
    }
    for ((name, _), class) in PARTS.iter().zip(CLASSES) {
        plot.legend(name, class, Swatch::Block);
    }
    let (id, title) = (format!("cost-{workload}"), "Where CPU time goes".to_owned());
    let note = "Medians over rounds. Mutators: the workload itself, with allocation and the barrier's fast path. Strategy: inside the plugin.".to_owned();
    Some(Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: false })
}

fn bars(source: &Source<'_>, workload: usize) -> Vec<Bar> {
    let mut bars = Vec::new();
    for heap in source.heaps(workload) {
        for subject in source.subjects() {
            let runs: Vec<(&Run, &Measures)> = source.timed(workload, subject, heap).collect();
            bars.extend(bar(format!("{} {heap}x", source.label(subject)), &runs));
        }
    }
    let baseline: Vec<(&Run, &Measures)> = source.runs(Kind::Baseline, workload).collect();
    bars.extend(bar("no collection".to_owned(), &baseline));
    bars
}

fn bar(name: String, runs: &[(&Run, &Measures)]) -> Option<Bar> {
    let part = |of: fn(&CpuParts) -> u64| {
        median(&runs.iter().map(|(_, measures)| of(&measures.cpu) as f64).collect::<Vec<_>>())
    };
    let parts: Option<Vec<f64>> = PARTS.iter().map(|&(_, of)| part(of)).collect();
    Some(Bar { name, parts: parts? })
}
