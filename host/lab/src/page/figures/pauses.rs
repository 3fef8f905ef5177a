//! How long mutators are held up: how often which length, how long the longest of a thousand are, and what is left of any window of time.

use std::collections::BTreeMap;

use crate::answer::units::show;
use crate::bench::histogram::Counts;
use crate::bench::metric::Unit;
use crate::page::figures::latency::{Curve, curves};
use crate::page::figures::{Figure, Source, class, number, or_empty, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};
use crate::stats::Estimate;

/// Bars of the histogram per decade.
const PER_DECADE: f64 = 8.0;

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let Some(heap) = source.usual_heap(workload) else { return Vec::new() };
    let all: Vec<(usize, Counts)> = source
        .subjects()
        .into_iter()
        .map(|subject| {
            let mut counts = Counts::default();
            source.timed(workload, subject, heap).for_each(|(_, measures)| counts.add(&measures.pauses));
            (subject, counts)
        })
        .filter(|(_, counts)| counts.count() > 0)
        .collect();
    let mut figures = Vec::new();
    if !all.is_empty() {
        figures.push(histogram(source, workload, heap, &all));
        figures.push(tail(source, workload, heap, &all));
    }
    figures.extend(utilisation(source, workload, heap));
    figures
}

fn histogram(source: &Source<'_>, workload: usize, heap: f64, all: &[(usize, Counts)]) -> Figure {
    let bin = |ns: u64| ((ns.max(1) as f64).log10() * PER_DECADE).floor() as i32;
    let begin = |bin: i32| 10_f64.powf(f64::from(bin) / PER_DECADE);
    let shares: Vec<(usize, BTreeMap<i32, f64>)> = all
        .iter()
        .map(|(subject, counts)| {
            let mut bins: BTreeMap<i32, f64> = BTreeMap::new();
            for &(ns, count) in &counts.buckets {
                *bins.entry(bin(ns)).or_default() += count as f64 / counts.count() as f64;
            }
            (*subject, bins)
        })
        .collect();
    let keys = || shares.iter().flat_map(|(_, bins)| bins.keys().copied());
    let (first, last) = (keys().min().unwrap_or(0), keys().max().unwrap_or(0));
    let highest = shares.iter().flat_map(|(_, bins)| bins.values().copied()).fold(0.0, f64::max);
    let mut plot = Plot::new(
        Axis::of("pause", Scale::log([begin(first), begin(last + 1)]), Unit::Nanoseconds),
        Axis::of("share of pauses", Scale::Linear { low: 0.0, high: highest * 1.06 }, Unit::Share),
        270.0,
    );
    let mut csv = "strategy,pause_from_ns,pause_to_ns,share\n".to_owned();
    for (subject, bins) in &shares {
        let (class, name) = (class(*subject), source.label(*subject));
        let mut outline = vec![(begin(first), 0.0)];
        for at in first..=last {
            let share = bins.get(&at).copied().unwrap_or(0.0);
            outline.push((begin(at), share));
            csv += &row(&[&name, &number(begin(at)), &number(begin(at + 1)), &number(share)]);
            if share > 0.0 {
                let text = format!(
                    "{name}: {} of pauses take {} to {}",
                    show(share, Unit::Share),
                    show(begin(at), Unit::Nanoseconds),
                    show(begin(at + 1), Unit::Nanoseconds)
                );
                plot.tip(begin(at) * 10_f64.powf(0.5 / PER_DECADE), share, text);
            }
        }
        outline.push((begin(last + 1), 0.0));
        plot.steps(&class, &outline);
        plot.legend(name, &class, Swatch::Line);
    }
    let (id, title) =
        (format!("pauses-{workload}"), format!("Pauses at {heap}x heap: how many are how long"));
    let note =
        "A pause is how long one operation of a mutator was held up by the collector. All rounds together."
            .to_owned();
    Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: false }
}

fn tail(source: &Source<'_>, workload: usize, heap: f64, all: &[(usize, Counts)]) -> Figure {
    let drawn: Vec<Curve<'_>> =
        all.iter().map(|(subject, counts)| Curve { subject: *subject, way: "", dash: "", counts }).collect();
    let title = format!("Pauses at {heap}x heap: cumulative, in nines");
    curves(source, &format!("pause-tail-{workload}"), title, "pause", &drawn)
}

fn utilisation(source: &Source<'_>, workload: usize, heap: f64) -> Option<Figure> {
    let mut found: Vec<(usize, Vec<(f64, Estimate)>)> = Vec::new();
    for subject in source.subjects() {
        let mut by_window: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (_, measures) in source.timed(workload, subject, heap) {
            measures
                .mmu
                .iter()
                .for_each(|point| by_window.entry(point.window_ns).or_default().push(point.share));
        }
        let curve: Vec<(f64, Estimate)> = by_window
            .into_iter()
            .filter_map(|(window, shares)| Some((window as f64, source.estimate(&shares)?)))
            .collect();
        if !curve.is_empty() {
            found.push((subject, curve));
        }
    }
    let windows = found.iter().flat_map(|(_, curve)| curve.iter().map(|(window, _)| *window));
    let windows: Vec<f64> = windows.collect();
    if windows.is_empty() {
        return None;
    }
    let mut plot = Plot::new(
        Axis::of("window", Scale::log(windows), Unit::Nanoseconds),
        Axis::of("least share for the mutator", Scale::Linear { low: 0.0, high: 1.0 }, Unit::Share),
        270.0,
    );
    let mut csv = "strategy,window_ns,share,low,high\n".to_owned();
    for (subject, curve) in &found {
        let (class, name) = (class(*subject), source.label(*subject));
        let band: Vec<(f64, f64, f64)> = curve
            .iter()
            .filter_map(|(window, share)| {
                share.interval.map(|interval| (*window, interval.low, interval.high))
            })
            .collect();
        plot.band(&class, &band);
        plot.line(&class, &curve.iter().map(|(window, share)| (*window, share.value)).collect::<Vec<_>>());
        for (window, share) in curve {
            let text = format!(
                "{name}: in any {} a mutator has {}",
                show(*window, Unit::Nanoseconds),
                show(share.value, Unit::Share)
            );
            plot.tip(*window, share.value, text);
            let ends = share.interval;
            csv += &row(&[
                &name,
                window,
                &number(share.value),
                &or_empty(ends.map(|i| i.low)),
                &or_empty(ends.map(|i| i.high)),
            ]);
        }
        plot.legend(name, &class, Swatch::Line);
    }
    let (id, title) = (format!("mmu-{workload}"), format!("Minimum mutator utilisation at {heap}x heap"));
    let note = "Of every window of that length, the one in which a mutator had the least time for itself. Higher is better; where the curve leaves zero \
                is the longest pause. Median over rounds.";
    Some(Figure { svg: plot.finish(&id, &title), id, title, note: note.to_owned(), csv, wide: false })
}
