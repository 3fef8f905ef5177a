//! Latency in nines: how long the slowest of a hundred, of a thousand, of ten thousand requests take.

use crate::answer::units::show;
use crate::bench::histogram::Counts;
use crate::bench::metric::Unit;
use crate::bench::model::Latency;
use crate::page::figures::{Figure, Source, class, number, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};

/// Values that must lie beyond a percentile for it to be drawn.
const BEYOND_MIN: u64 = 10;

/// Which latency, what it is called, how its line looks.
type Way = (fn(&Latency) -> &Counts, &'static str, &'static str);

const WAYS: [Way; 3] = [
    (|latency| &latency.simple, "simple", ""),
    (|latency| &latency.metered_100ms, "metered over 100 ms", "dashed"),
    (|latency| &latency.metered_whole, "metered over the run", "dotted"),
];

/// One line.
pub(super) struct Curve<'a> {
    pub(super) subject: usize,
    /// What kind of latency; empty where there is one kind.
    pub(super) way: &'static str,
    pub(super) dash: &'static str,
    pub(super) counts: &'a Counts,
}

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let Some(heap) = source.usual_heap(workload) else { return Vec::new() };
    let mut found: Vec<(usize, Way, Counts)> = Vec::new();
    for subject in source.subjects() {
        for way in WAYS {
            let mut counts = Counts::default();
            for (_, measures) in source.timed(workload, subject, heap) {
                measures.latency.iter().for_each(|latency| counts.add(way.0(latency)));
            }
            if counts.count() > 0 {
                found.push((subject, way, counts));
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let unit = source
        .runs(crate::bench::model::Kind::Timed, workload)
        .find_map(|(_, measures)| measures.latency.as_ref().map(|latency| latency.of.clone()))
        .unwrap_or_default();
    let drawn: Vec<Curve<'_>> = found
        .iter()
        .map(|(subject, way, counts)| Curve { subject: *subject, way: way.1, dash: way.2, counts })
        .collect();
    let title = format!("Latency of a {unit} at {heap}x heap");
    let mut figure = curves(source, &format!("latency-{workload}"), title, "latency", &drawn);
    figure.note += " Metered: counted from when the request would have come had requests come evenly, so what waits behind a pause counts.";
    vec![figure]
}

/// Percentiles against how many nines they have.
pub(super) fn curves(
    source: &Source<'_>,
    id: &str,
    title: String,
    what: &str,
    drawn: &[Curve<'_>],
) -> Figure {
    let most = drawn.iter().map(|curve| curve.counts.count()).max().unwrap_or(1);
    let nines = (most as f64).log10().ceil().clamp(2.0, 7.0);
    let values = drawn.iter().flat_map(|curve| {
        [curve.counts.max as f64, curve.counts.quantile(0.0).map_or(f64::NAN, |ns| ns as f64)]
    });
    let mut plot = Plot::new(
        Axis { lines: true, ..Axis::plain("percentile", Scale::Nines { nines }, "") },
        Axis::of(what, Scale::log(values), Unit::Nanoseconds),
        290.0,
    );
    let mut csv = format!("strategy,kind,percentile,{what}_ns,samples_beyond\n");
    for curve in drawn {
        let (class, name) = (class(curve.subject), source.label(curve.subject));
        let label = if curve.way.is_empty() { name.to_owned() } else { format!("{name}, {}", curve.way) };
        let points = percentiles(curve.counts, nines);
        let line: Vec<(f64, f64)> = points.iter().map(|&(share, ns, _)| (share, ns)).collect();
        plot.line(&format!("{class} {}", curve.dash), &line);
        for &(share, ns, beyond) in &points {
            csv += &row(&[&name, &curve.way, &number(100.0 * share), &ns, &beyond]);
        }
        for &(share, ns, beyond) in points.iter().filter(|point| told(point.0)) {
            let text =
                format!("{label}: p{} is {}, {beyond} beyond", named(share), show(ns, Unit::Nanoseconds));
            plot.tip(share, ns, text);
        }
        let max = curve.counts.max as f64;
        plot.dot(&class, curve.subject, 1.0, max, 3.5);
        plot.tip(
            1.0,
            max,
            format!("{label}: longest {} of {}", show(max, Unit::Nanoseconds), curve.counts.count()),
        );
        csv += &row(&[&name, &curve.way, &100, &max, &0]);
        if curve.dash.is_empty() {
            plot.legend(name, &class, Swatch::Line);
        }
    }
    for curve in drawn.iter().filter(|curve| !curve.way.is_empty()) {
        plot.legend(curve.way, &format!("ink {}", curve.dash), Swatch::Line);
    }
    let note = format!(
        "All rounds together. Lines end where fewer than {BEYOND_MIN} values lie beyond; dots on the right edge are the longest of all."
    );
    Figure { svg: plot.finish(id, &title), id: id.to_owned(), title, note, csv, wide: false }
}

/// Share, value, values beyond: ten steps per nine, as far as values last.
fn percentiles(counts: &Counts, nines: f64) -> Vec<(f64, f64, u64)> {
    let steps = (nines * 10.0) as i32;
    let shares = (0..=steps).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 10.0));
    let mut shares: Vec<f64> = shares.chain([0.5]).collect();
    shares.sort_by(f64::total_cmp);
    let point = |share: f64| Some((share, counts.quantile(share)? as f64, counts.beyond(share)));
    shares.into_iter().filter_map(point).filter(|&(_, _, beyond)| beyond >= BEYOND_MIN).collect()
}

/// Whether a percentile is one that people ask for.
fn told(share: f64) -> bool {
    let nines = -(1.0 - share).log10();
    share == 0.5 || (nines >= 0.99 && (nines - nines.round()).abs() < 1e-6)
}

fn named(share: f64) -> String {
    let text = format!("{:.5}", 100.0 * share);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
