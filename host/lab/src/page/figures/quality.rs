//! How well garbage is found: how much floats, and how long what died stays. From runs with the oracle.

use crate::answer::units::show;
use crate::bench::metric::Unit;
use crate::bench::model::{Kind, Quality};
use crate::page::figures::latency::{Curve, curves};
use crate::page::figures::{Figure, Source, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let found: Vec<(usize, &Quality)> = source
        .subjects()
        .into_iter()
        .filter_map(|subject| {
            let mut runs = source.runs(Kind::Oracle, workload);
            runs.find_map(|(run, measures)| {
                (run.subject == subject).then_some(measures.quality.as_ref()).flatten()
            })
            .map(|quality| (subject, quality))
        })
        .collect();
    if found.is_empty() {
        return Vec::new();
    }
    let mut figures = vec![floating(source, workload, &found)];
    if found.iter().any(|(_, quality)| quality.lag.count() > 0) {
        figures.push(lag(source, workload, &found));
    }
    figures
}

fn floating(source: &Source<'_>, workload: usize, found: &[(usize, &Quality)]) -> Figure {
    let names: Vec<String> = found.iter().map(|(subject, _)| source.label(*subject).to_owned()).collect();
    let left = names.iter().map(|name| super::plot::width(name)).fold(60.0, f64::max).min(190.0) + 14.0;
    let most = found.iter().map(|(_, quality)| quality.floating_bytes_max as f64).fold(1.0, f64::max);
    let mut plot = Plot::new(
        Axis::of(
            "unreachable and not condemned yet",
            Scale::Linear { low: 0.0, high: most * 1.06 },
            Unit::Bytes,
        ),
        Axis::rows(names),
        64.0 + 34.0 * found.len() as f64,
    )
    .sized(super::plot::WIDTH, left);
    let mut csv = "strategy,floating_bytes_mean,floating_bytes_max,never_condemned_cells\n".to_owned();
    for (at, (subject, quality)) in found.iter().enumerate() {
        let (class, name) = (super::class(*subject), source.label(*subject));
        let (mean, max) = (quality.floating_bytes_mean, quality.floating_bytes_max as f64);
        let at = at as f64;
        plot.bar(&class, (0.0, at - 0.3), (mean, at + 0.3));
        plot.stroke("ink", (mean, at), (max, at));
        plot.stroke("ink", (max, at - 0.2), (max, at + 0.2));
        let text =
            format!("{name}: {} on average, {} at most", show(mean, Unit::Bytes), show(max, Unit::Bytes));
        plot.tip(mean, at, text);
        csv += &row(&[&name, &mean, &max, &quality.never_condemned_cells]);
    }
    plot.legend("average (bar)", "mute", Swatch::Block);
    plot.legend("most (line)", "ink", Swatch::Line);
    let cost = found.iter().map(|(_, quality)| quality.cost_share).fold(0.0, f64::max);
    let (id, title) = (format!("floating-{workload}"), "Floating garbage".to_owned());
    let note = format!("The oracle took up to {} of the run's time.", show(cost, Unit::Share));
    Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: false }
}

fn lag(source: &Source<'_>, workload: usize, found: &[(usize, &Quality)]) -> Figure {
    let drawn: Vec<Curve<'_>> = found
        .iter()
        .filter(|(_, quality)| quality.lag.count() > 0)
        .map(|(subject, quality)| Curve { subject: *subject, way: "", dash: "", counts: &quality.lag })
        .collect();
    let title = "Lag from death to condemnation".to_owned();
    let mut figure = curves(source, &format!("lag-{workload}"), title, "lag", &drawn);
    let period = found.iter().map(|(_, quality)| quality.period_ns).max().unwrap_or(0);
    figure.note = format!(
        "Per cell. Lags are known to {}, the time between two looks. Lines end where fewer than ten values lie beyond.",
        show(period as f64, Unit::Nanoseconds)
    );
    figure
}
