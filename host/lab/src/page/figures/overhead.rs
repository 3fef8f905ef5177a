//! Lower-bound overhead against heap size: what collecting costs, at least, on the clock and in CPU time.

use crate::bench::overhead::{Cost, Overhead, lower_bound};
use crate::page::figures::{Figure, Source, class, factor, number, or_empty, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};
use crate::stats::Estimate;

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    [Cost::Wall, Cost::Cpu].into_iter().filter_map(|cost| figure(source, workload, cost)).collect()
}

/// One strategy: heap, estimate, rounds.
type Curve = Vec<(f64, Estimate, usize)>;

fn figure(source: &Source<'_>, workload: usize, cost: Cost) -> Option<Figure> {
    let overhead = lower_bound(source.report, workload, cost)?;
    let heaps = source.heaps(workload);
    let curves: Vec<(usize, Curve)> = source
        .subjects()
        .into_iter()
        .map(|subject| (subject, curve(source, &overhead, subject, &heaps)))
        .filter(|(_, curve)| !curve.is_empty())
        .collect();
    if curves.is_empty() {
        return None;
    }
    let baseline: Vec<f64> = overhead
        .points
        .iter()
        .filter(|point| point.heap_multiple.is_none())
        .map(|point| point.times)
        .collect();
    let baseline = source.estimate(&baseline);
    let ends = curves.iter().flat_map(|(_, curve)| curve.iter()).flat_map(|(_, estimate, _)| {
        let interval = estimate.interval;
        [estimate.value, interval.map_or(f64::NAN, |i| i.low), interval.map_or(f64::NAN, |i| i.high)]
    });
    let (key, word) = match cost {
        Cost::Wall => ("wall", "wall time"),
        Cost::Cpu => ("cpu", "CPU time"),
    };
    let mut plot = Plot::new(
        Axis::plain("heap (times the smallest that works)", Scale::linear(heaps.iter().copied(), &[]), "x"),
        Axis::plain(
            &format!("{word} (times the lower bound)"),
            Scale::linear(ends.chain(baseline.map(|found| found.value)), &[1.0]),
            "x",
        ),
        290.0,
    );
    if let Some(found) = baseline {
        plot.across("mute dashed", found.value);
        plot.legend("no collection", "mute dashed", Swatch::Line);
    }
    let mut csv = "strategy,heap_multiple,times,low,high,rounds\n".to_owned();
    for (subject, curve) in &curves {
        draw(&mut plot, source, *subject, curve);
        for (heap, estimate, rounds) in curve {
            let low = or_empty(estimate.interval.map(|interval| interval.low));
            let high = or_empty(estimate.interval.map(|interval| interval.high));
            csv += &row(&[&source.label(*subject), heap, &number(estimate.value), &low, &high, rounds]);
        }
    }
    let title = format!("Overhead in {word}");
    let id = format!("overhead-{key}-{workload}");
    let note = format!(
        "Total {word} over what the work costs without a collector, at most: the least remainder of all configurations, here of {}. \
         Lower is better. Bands: 95 % intervals of the median.",
        source.label(overhead.baseline_subject)
    );
    Some(Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: false })
}

fn curve(source: &Source<'_>, overhead: &Overhead, subject: usize, heaps: &[f64]) -> Curve {
    let at = |heap: f64| {
        let points = overhead.points.iter();
        let values: Vec<f64> = points
            .filter(|point| point.subject == subject && point.heap_multiple == Some(heap))
            .map(|point| point.times)
            .collect();
        Some((heap, source.estimate(&values)?, values.len()))
    };
    heaps.iter().filter_map(|&heap| at(heap)).collect()
}

fn draw(plot: &mut Plot, source: &Source<'_>, subject: usize, curve: &Curve) {
    let (class, name) = (class(subject), source.label(subject));
    let band: Vec<(f64, f64, f64)> = curve
        .iter()
        .filter_map(|(heap, estimate, _)| estimate.interval.map(|found| (*heap, found.low, found.high)))
        .collect();
    plot.band(&class, &band);
    plot.line(&class, &curve.iter().map(|(heap, estimate, _)| (*heap, estimate.value)).collect::<Vec<_>>());
    for (heap, estimate, rounds) in curve {
        if let Some(ends) = estimate.interval {
            plot.stroke(&format!("thin {class}"), (*heap, ends.low), (*heap, ends.high));
        }
        plot.dot(&class, subject, *heap, estimate.value, 3.5);
        plot.tip(
            *heap,
            estimate.value,
            format!("{name}, {heap}x heap: {}, {rounds} rounds", factor(*estimate)),
        );
    }
    plot.legend(name, &class, Swatch::Line);
}
