//! The heap over time: what is in use, how much of it is garbage, what is taken from the system, and when cycles ended.

use crate::answer::units::show;
use crate::bench::metric::Unit;
use crate::bench::model::{Kind, Measures};
use crate::page::figures::{Figure, Source, class, or_empty, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};

/// Cycles that are marked, at most.
const CYCLES_MAX: usize = 100;

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let Some(heap) = source.usual_heap(workload) else { return Vec::new() };
    let found: Vec<(usize, Kind, &Measures)> = source
        .subjects()
        .into_iter()
        .filter_map(|subject| {
            let of = |kind| {
                let mut runs = source.runs(kind, workload);
                let here = runs.find(|(run, measures)| {
                    run.subject == subject
                        && !measures.heap.is_empty()
                        && (kind == Kind::Oracle || run.heap_multiple == Some(heap))
                });
                here.map(|(_, measures)| (subject, kind, measures))
            };
            of(Kind::Oracle).or_else(|| of(Kind::Timed))
        })
        .collect();
    let highest = found
        .iter()
        .flat_map(|(_, _, measures)| {
            measures.heap.iter().map(|sample| sample.committed_bytes.max(sample.used_bytes))
        })
        .max()
        .unwrap_or(0);
    found
        .into_iter()
        .map(|(subject, kind, measures)| figure(source, workload, subject, kind, measures, highest as f64))
        .collect()
}

fn figure(
    source: &Source<'_>,
    workload: usize,
    subject: usize,
    kind: Kind,
    measures: &Measures,
    highest: f64,
) -> Figure {
    let last = measures.heap.last().map_or(1, |sample| sample.at_ns).max(measures.wall_ns);
    let mut plot = Plot::new(
        Axis::of("time", Scale::Linear { low: 0.0, high: last as f64 }, Unit::Nanoseconds),
        Axis::of("heap", Scale::Linear { low: 0.0, high: highest * 1.06 }, Unit::Bytes),
        260.0,
    );
    for cycle in measures.cycles.iter().take(CYCLES_MAX) {
        let (begin, end) = (cycle.begin_ns as f64, cycle.end_ns as f64);
        plot.bar("mute see", (begin, 0.0), (end, highest * 1.06));
        let text = format!(
            "cycle ({}, {}): condemned {}, freed {}, live {}",
            cycle.cause,
            cycle.outcome,
            show(cycle.condemned_bytes as f64, Unit::Bytes),
            show(cycle.freed_bytes as f64, Unit::Bytes),
            show(cycle.live_bytes as f64, Unit::Bytes)
        );
        plot.tip(end, cycle.live_bytes as f64, text);
    }
    let garbage = draw_levels(&mut plot, subject, measures);
    for cycle in measures.cycles.iter().take(CYCLES_MAX) {
        plot.dot("ink", 3, cycle.end_ns as f64, cycle.live_bytes as f64, 2.6);
    }
    plot.legend("in use", &class(subject), Swatch::Line);
    if garbage {
        plot.legend("garbage in it", "p5 see", Swatch::Block);
    }
    plot.legend("committed", "mute dashed", Swatch::Line);
    if !measures.cycles.is_empty() {
        plot.legend("cycle", "mute see", Swatch::Block);
        plot.legend("live, says the strategy", "ink", Swatch::Dot);
    }
    let name = source.label(subject);
    let (id, title) = (format!("heap-{workload}-{subject}"), format!("Heap over time: {name}"));
    let note = match kind {
        Kind::Oracle => {
            "One run, with reachability computed beside it: its clock runs slower than in timed runs."
        }
        _ => "One run. What of it is garbage was not computed.",
    };
    Figure {
        svg: plot.finish(&id, &title),
        id,
        title,
        note: note.to_owned(),
        csv: csv(measures),
        wide: false,
    }
}

/// Lines and areas; whether garbage is known.
fn draw_levels(plot: &mut Plot, subject: usize, measures: &Measures) -> bool {
    let used: Vec<(f64, f64)> = measures.heap.iter().map(|s| (s.at_ns as f64, s.used_bytes as f64)).collect();
    let committed: Vec<(f64, f64)> =
        measures.heap.iter().map(|s| (s.at_ns as f64, s.committed_bytes as f64)).collect();
    let garbage: Vec<(f64, f64, f64)> = measures
        .heap
        .iter()
        .filter_map(|s| {
            let live = s.used_bytes.saturating_sub(s.garbage_bytes?);
            Some((s.at_ns as f64, live as f64, s.used_bytes as f64))
        })
        .collect();
    plot.band("p5", &garbage);
    plot.line("mute dashed", &committed);
    plot.line(&class(subject), &used);
    for sample in measures.heap.iter().step_by(8) {
        let known = sample
            .garbage_bytes
            .map_or(String::new(), |bytes| format!(", {} of it garbage", show(bytes as f64, Unit::Bytes)));
        let text = format!(
            "at {}: {} in use{known}, {} committed",
            show(sample.at_ns as f64, Unit::Nanoseconds),
            show(sample.used_bytes as f64, Unit::Bytes),
            show(sample.committed_bytes as f64, Unit::Bytes)
        );
        plot.tip(sample.at_ns as f64, sample.used_bytes as f64, text);
    }
    !garbage.is_empty()
}

fn csv(measures: &Measures) -> String {
    let mut csv = "at_ns,used_bytes,committed_bytes,garbage_bytes\n".to_owned();
    for sample in &measures.heap {
        let garbage = or_empty(sample.garbage_bytes.map(|bytes| bytes as f64));
        csv += &row(&[&sample.at_ns, &sample.used_bytes, &sample.committed_bytes, &garbage]);
    }
    csv
}
