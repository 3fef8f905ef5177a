//! Differences round by round: each round a dot, the interval as a bar, what A does against itself in grey behind.

use crate::answer::units::{percent, times};
use crate::answer::{Side, Verdict, opponents};
use crate::bench::metric::find;
use crate::page::figures::{Figure, Source, number, or_empty, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};
use crate::stats::{Interval, quantile};

/// Changes up to this share are shown on an even scale; measures with larger ones on a logarithmic one of their own.
const SMALL: f64 = 0.35;

/// Measures of the overview.
const OVERVIEW: [&str; 2] = ["cpu", "wall"];

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let Some(heap) = source.usual_heap(workload) else { return Vec::new() };
    let mut figures = Vec::new();
    for b in opponents(source.report) {
        let here: Vec<&Verdict> = source
            .answer
            .verdicts
            .iter()
            .filter(|verdict| verdict.b == b && verdict.workload == workload)
            .filter(|verdict| verdict.heap_multiple == Some(heap) && verdict.pairs.rounds() > 1)
            .filter(|verdict| verdict.comparison.ratio.is_some_and(|ratio| ratio.value > 0.0))
            .collect();
        let small = |verdict: &&&Verdict| extent(verdict) <= SMALL;
        let groups: [(Vec<&Verdict>, bool); 2] = [
            (here.iter().filter(small).copied().collect(), false),
            (here.iter().filter(|verdict| !small(verdict)).copied().collect(), true),
        ];
        for (group, large) in groups.into_iter().filter(|(group, _)| !group.is_empty()) {
            figures.push(of_measures(source, workload, b, heap, &group, large));
        }
    }
    figures
}

/// How far the middle nine tenths of the rounds lie from no change.
fn extent(verdict: &Verdict) -> f64 {
    let ratios = verdict.pairs.ratios().unwrap_or_default();
    let ends = [quantile(&ratios, 0.05), quantile(&ratios, 0.95)];
    ends.into_iter().flatten().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max)
}

/// Rows of a plot of changes.
struct Rows<'a> {
    verdicts: &'a [&'a Verdict],
    names: Vec<String>,
    /// Whether the axis tells factors on a logarithmic scale, and not percent on an even one.
    factors: bool,
    dots: bool,
}

impl Rows<'_> {
    fn x(&self, ratio: f64) -> f64 {
        if self.factors { ratio } else { 100.0 * (ratio - 1.0) }
    }

    fn axis(&self, source: &Source<'_>, a: usize) -> Axis {
        let mut values: Vec<f64> = Vec::new();
        for verdict in self.verdicts {
            let ends = verdict.comparison.ratio.and_then(|ratio| ratio.interval);
            values.extend(ends.iter().flat_map(|ends| [self.x(ends.low), self.x(ends.high)]));
            values.extend(verdict.comparison.ratio.map(|ratio| self.x(ratio.value)));
            if self.dots {
                values.extend(
                    verdict.pairs.ratios().unwrap_or_default().into_iter().map(|ratio| self.x(ratio)),
                );
            }
        }
        let a = source.label(a);
        if self.factors {
            Axis::plain(&format!("times {a}"), Scale::log(values.into_iter().chain([1.0])), "x")
        } else {
            Axis::plain(
                &format!("change against {a}"),
                Scale::linear(values.into_iter().chain([0.0]), &[]),
                " %",
            )
        }
    }

    fn draw(&self, source: &Source<'_>, id: &str, title: &str) -> String {
        let left =
            self.names.iter().map(|name| super::plot::width(name)).fold(60.0, f64::max).min(230.0) + 14.0;
        let a = self.verdicts.first().map_or(0, |verdict| verdict.a);
        let pitch = if self.dots { 27.0 } else { 22.0 };
        let mut plot = Plot::new(
            self.axis(source, a),
            Axis::rows(self.names.clone()),
            60.0 + pitch * self.names.len() as f64,
        )
        .sized(super::plot::WIDTH, left);
        let last = self.names.len() as f64;
        for (at, verdict) in self.verdicts.iter().enumerate() {
            self.noise(&mut plot, source, at as f64, verdict);
        }
        plot.stroke("mute", (self.x(1.0), -0.5), (self.x(1.0), last - 0.5));
        for (at, verdict) in self.verdicts.iter().enumerate() {
            self.row(&mut plot, at as f64, verdict);
        }
        let noise = self.verdicts.iter().any(|verdict| self.noise_of(source, verdict).is_some());
        if self.dots {
            plot.legend("a round", "mute faint", Swatch::Dot);
        }
        for (side, text) in [(Side::Better, "better"), (Side::Worse, "worse"), (Side::Even, "not decided")] {
            if self.verdicts.iter().any(|verdict| shown(verdict.side()) == shown(side)) {
                plot.legend(&format!("{text} (median, 95 %)"), shown(side), Swatch::Dot);
            }
        }
        if noise {
            plot.legend("A against A", "mute see", Swatch::Block);
        }
        plot.finish(id, title)
    }

    fn noise_of(&self, source: &Source<'_>, verdict: &Verdict) -> Option<Interval> {
        source.answer.noise_of(verdict)?.comparison.ratio?.interval
    }

    fn noise(&self, plot: &mut Plot, source: &Source<'_>, at: f64, verdict: &Verdict) {
        if let Some(band) = self.noise_of(source, verdict) {
            plot.bar("mute see", (self.x(band.low), at - 0.42), (self.x(band.high), at + 0.42));
        }
    }

    fn row(&self, plot: &mut Plot, at: f64, verdict: &Verdict) {
        if self.dots {
            // Spread over the height of the row in the order of rounds, so that a drift shows.
            let ratios = verdict.pairs.ratios().unwrap_or_default();
            let step = 0.5 / ratios.len().max(1) as f64;
            for (round, ratio) in ratios.iter().enumerate() {
                plot.speck("mute faint", self.x(*ratio), at - 0.25 + step * round as f64);
            }
        }
        let Some(ratio) = verdict.comparison.ratio else { return };
        let class = shown(verdict.side());
        if let Some(ends) = ratio.interval {
            plot.stroke(&format!("thick {class}"), (self.x(ends.low), at), (self.x(ends.high), at));
        }
        plot.dot(class, if class == "worse" { 1 } else { 0 }, self.x(ratio.value), at, 4.5);
        let interval = ratio
            .interval
            .map_or(String::new(), |i| format!(" [{}, {}]", percent(i.low - 1.0), percent(i.high - 1.0)));
        let text = format!(
            "{}: {} %{interval} ({}x), corrected p {:.2e}, {} rounds",
            self.names.get(at as usize).map_or("", String::as_str),
            percent(ratio.value - 1.0),
            times(ratio.value),
            verdict.comparison.p_corrected,
            verdict.comparison.rounds
        );
        plot.tip(self.x(ratio.value), at, text);
    }

    /// The rounds, or where those are not shown the medians.
    fn csv(&self) -> String {
        let rows = self.verdicts.iter().zip(&self.names);
        let rows = rows.filter_map(|(verdict, name)| Some((verdict, name, verdict.comparison.ratio?)));
        if self.dots {
            let mut csv = "measure,round_in_order,ratio\n".to_owned();
            for (verdict, name, _) in rows {
                for (round, value) in verdict.pairs.ratios().unwrap_or_default().iter().enumerate() {
                    csv += &row(&[name, &round, &number(*value)]);
                }
            }
            return csv;
        }
        let mut csv = "place,median_ratio,low,high,p_corrected\n".to_owned();
        for (verdict, name, ratio) in rows {
            let low = or_empty(ratio.interval.map(|interval| interval.low));
            let high = or_empty(ratio.interval.map(|interval| interval.high));
            csv += &row(&[name, &number(ratio.value), &low, &high, &number(verdict.comparison.p_corrected)]);
        }
        csv
    }
}

fn shown(side: Side) -> &'static str {
    match side {
        Side::Better => "better",
        Side::Worse => "worse",
        Side::Even | Side::Unsaid => "ink",
    }
}

fn of_measures(
    source: &Source<'_>,
    workload: usize,
    b: usize,
    heap: f64,
    verdicts: &[&Verdict],
    large: bool,
) -> Figure {
    let names = verdicts.iter().map(|verdict| verdict.metric.name.to_owned()).collect();
    let rows = Rows { verdicts, names, factors: large, dots: true };
    let size = if large { "large" } else { "small" };
    let id = format!("differences-{size}-{workload}-{b}");
    let title = format!("{} against {} at {heap}x heap, {size} changes", source.label(b), source.label(0));
    let note = if large {
        "Each dot is a round, by its ratio; rounds that ran first stand higher in their row. Whether more is better depends on the measure; the colour says it."
    } else {
        "Each dot is a round, by its change; rounds that ran first stand higher in their row. Whether more is better depends on the measure; the colour says it."
    };
    Figure {
        svg: rows.draw(source, &id, &title),
        csv: rows.csv(),
        id,
        title,
        note: note.to_owned(),
        wide: false,
    }
}

/// CPU and wall time on all workloads and heaps, one plot per strategy and measure.
pub(super) fn over_workloads(source: &Source<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for b in opponents(source.report) {
        for key in OVERVIEW {
            let mut here: Vec<&Verdict> = source
                .answer
                .verdicts
                .iter()
                .filter(|verdict| {
                    verdict.b == b && verdict.metric.key == key && verdict.comparison.ratio.is_some()
                })
                .collect();
            here.sort_by_key(|verdict| verdict.workload);
            here.truncate(60);
            let Some(metric) = find(key).filter(|_| !here.is_empty()) else { continue };
            let name = |verdict: &&Verdict| {
                let heap = verdict.heap_multiple.map_or(String::new(), |heap| format!(" {heap}x"));
                format!("{}{heap}", source.workload(verdict.workload))
            };
            let factors = here.iter().any(|verdict| extent(verdict) > 2.0);
            let rows = Rows { names: here.iter().map(name).collect(), verdicts: &here, factors, dots: false };
            let id = format!("overview-{key}-{b}");
            let title = format!("{}: {} against {}", metric.name, source.label(b), source.label(0));
            let note = "Median over rounds with its 95 % interval, per workload and heap.".to_owned();
            let svg = rows.draw(source, &id, &title);
            figures.push(Figure { svg, csv: rows.csv(), id, title, note, wide: false });
        }
    }
    figures
}
