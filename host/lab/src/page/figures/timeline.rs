//! What the collector did when: phases of cycles, one row per strategy.

use crate::answer::units::show;
use crate::bench::metric::Unit;
use crate::bench::model::{Kind, Measures, Part};
use crate::page::figures::{Figure, Source, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};

/// Cycles that are shown: more would be a grey block.
const CYCLES_SHOWN: usize = 10;

/// Cycles per row, at most.
const CYCLES_DRAWN_MAX: usize = 60;

const PARTS: [(Part, &str, &str); 6] = [
    (Part::Open, "open", "p0"),
    (Part::Tell, "tell", "p1"),
    (Part::Mark, "mark", "p2"),
    (Part::Verdict, "verdict", "p3"),
    (Part::Proof, "proof", "p5"),
    (Part::Reclaim, "reclaim", "p4"),
];

pub(super) fn figure(source: &Source<'_>, workload: usize) -> Option<Figure> {
    let heap = source.usual_heap(workload)?;
    let found: Vec<(usize, &Measures)> = source
        .subjects()
        .into_iter()
        .filter_map(|subject| {
            let mut runs = source.timed(workload, subject, heap);
            runs.find(|(run, measures)| run.kind == Kind::Timed && !measures.cycles.is_empty())
                .map(|(_, measures)| (subject, measures))
        })
        .collect();
    if found.is_empty() {
        return None;
    }
    let shown =
        |measures: &Measures| measures.cycles.iter().take(CYCLES_SHOWN).map(|cycle| cycle.end_ns).max();
    // As much time as the busiest strategy needs for its cycles, so that bars stay wide enough to see.
    let end = found.iter().filter_map(|(_, measures)| shown(measures)).min().unwrap_or(1).max(1) as f64;
    let names: Vec<String> = found.iter().map(|(subject, _)| source.label(*subject).to_owned()).collect();
    let left = names.iter().map(|name| super::plot::width(name)).fold(60.0, f64::max).min(190.0) + 14.0;
    let mut plot = Plot::new(
        Axis::of("time", Scale::Linear { low: 0.0, high: end * 1.01 }, Unit::Nanoseconds),
        Axis::rows(names),
        70.0 + 46.0 * found.len() as f64,
    )
    .sized(super::plot::WIDE, left);
    let mut csv = "strategy,cycle,part,begin_ns,end_ns,busy_ns\n".to_owned();
    for (at, (subject, measures)) in found.iter().enumerate() {
        lane(&mut plot, source.label(*subject), at as f64, measures, end, &mut csv);
    }
    for (_, name, class) in PARTS {
        plot.legend(name, class, Swatch::Block);
    }
    plot.legend("pause of a mutator", "ink", Swatch::Line);
    let (id, title) = (format!("timeline-{workload}"), format!("Timeline of phases at {heap}x heap"));
    let note = format!(
        "The first {} of one run each. Thin marks below a row: where the longest pauses of mutators lie.",
        show(end, Unit::Nanoseconds)
    );
    Some(Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: true })
}

fn lane(plot: &mut Plot, name: &str, at: f64, measures: &Measures, end: f64, csv: &mut String) {
    // A strategy with many small cycles is drawn up to a bound.
    for (number, cycle) in measures.cycles.iter().enumerate().take(CYCLES_DRAWN_MAX) {
        for phase in &cycle.phases {
            let (part, class) = PARTS
                .iter()
                .find(|(part, _, _)| *part == phase.part)
                .map_or(("?", "p7"), |&(_, name, class)| (name, class));
            let busy = phase.busy_ns.map_or(String::new(), |ns| ns.to_string());
            let (from, to) = (phase.begin_ns as f64, phase.end_ns as f64);
            if from > end {
                continue;
            }
            *csv += &row(&[&name, &number, &part, &phase.begin_ns, &phase.end_ns, &busy]);
            plot.bar(class, (from, at - 0.32), (to.min(end), at + 0.18));
            let text = format!("{name}, cycle {}: {part} {}", number + 1, show(to - from, Unit::Nanoseconds));
            plot.tip((from + to.min(end)) / 2.0, at, text);
        }
    }
    for pause in measures.longest_pauses.iter().filter(|pause| pause.at_ns as f64 <= end) {
        let from = pause.at_ns as f64;
        plot.stroke("ink", (from, at + 0.24), (from, at + 0.4));
    }
}
