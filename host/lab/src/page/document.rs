//! The page itself: head, the answer, figures, tables.

use std::fmt::Write as _;

use crate::answer::units::show;
use crate::answer::words::{Summary, Tally, line, mean_line, noise_line, summary};
use crate::answer::{Answer, Side, Verdict};
use crate::bench::metric::Unit;
use crate::bench::model::{Environment, Kind, Report};
use crate::page::figures::{Figure, Source, of_workload, over_workloads};
use crate::page::plot::{DARK, LIGHT, RULES, escape};
use crate::page::{PAGE_BYTES_MAX, tables};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Rows of the table of all measures, at most; what says something comes first.
const ROWS_MAX: usize = 1000;

/// Measures that the answer begins with; where one was not measured, for want of samples, the next one of its row.
const HEADLINES: [&[&str]; 7] = [
    &["cpu"],
    &["wall"],
    &["throughput"],
    &["pause-p99", "pause-max"],
    &["metered-p999", "metered-p99"],
    &["footprint"],
    &["fuel"],
];

/// What the page forbids itself: everything but what is inside of it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

pub(super) fn html(report: &Report, answer: &Answer) -> String {
    let source = Source { report, answer };
    let labels: Vec<&str> = report
        .subjects
        .iter()
        .filter(|subject| !subject.baseline)
        .map(|subject| subject.label.as_str())
        .collect();
    let title = if labels.is_empty() { "nothing was compared".to_owned() } else { labels.join(" · ") };
    let mut page = head(&title);
    header(&mut page, report, &title);
    page.push_str("<main id=\"content\">\n");
    the_answer(&mut page, report, answer);
    section(&mut page, "noise", "How much is noise", &noise(report, answer));
    section(&mut page, "machine", "Where it ran", &machine(report));
    let overview: String = over_workloads(&source).iter().map(figure).collect();
    if !overview.is_empty() {
        section(&mut page, "overview", "All workloads", &format!("<div class=\"figures\">{overview}</div>"));
    }
    let tables = all_tables(report, answer);
    workloads(&mut page, &source, PAGE_BYTES_MAX.saturating_sub(tables.len() + 20_000));
    page.push_str(&tables);
    page.push_str("</main>\n");
    footer(&mut page, report, answer);
    page
}

fn head(title: &str) -> String {
    format!(
        r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{} - collectors compared</title>
<style>
:root {{ {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
:root[data-theme="light"] {{ {LIGHT} color-scheme: light; }}
:root[data-theme="dark"] {{ {DARK} color-scheme: dark; }}
{STYLE}</style>
<style id="plot-rules">{RULES}</style>
<style id="plot-light" media="not all">svg.plot {{ {LIGHT} }}</style>
</head>
<body>
<a class="skip" href="#content">to the content</a>
"##,
        escape(title)
    )
}

fn header(page: &mut String, report: &Report, title: &str) {
    let _ = writeln!(
        page,
        "<header><div><p class=\"kind\">Collectors compared</p><h1>{}</h1><p class=\"when\">{} &middot; {} &middot; {} &middot; {} in {}</p></div>\
         <button id=\"theme\" type=\"button\" hidden>Dark</button></header>",
        escape(title),
        escape(&date(report.began_unix_ms)),
        rounds(report),
        counted(report.workloads.len(), "workload"),
        counted(report.runs.len(), "run"),
        escape(&show(report.took_ns as f64, Unit::Nanoseconds)),
    );
    page.push_str("<nav aria-label=\"parts\"><a href=\"#answer\">Answer</a><a href=\"#noise\">Noise</a><a href=\"#machine\">Machine</a>");
    for (index, workload) in report.workloads.iter().enumerate() {
        let _ = write!(page, "<a href=\"#w{index}\">{}</a>", escape(&workload.label));
    }
    page.push_str("<a href=\"#measures\">Measures</a></nav>\n");
}

/// How many were made, and how many of a plan that came to an early end.
fn rounds(report: &Report) -> String {
    let (planned, made) = (report.plan.rounds, rounds_made(report));
    let planned = counted(planned as usize, "round");
    if report.interrupted { format!("{made} of {planned}") } else { planned }
}

/// Rounds that came to their end everywhere: those before the last one that was begun.
fn rounds_made(report: &Report) -> u32 {
    let last = report.runs.iter().filter(|run| run.kind == Kind::Timed).map(|run| run.round).max();
    last.unwrap_or(0)
}

fn counted(count: usize, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

fn section(page: &mut String, id: &str, title: &str, content: &str) {
    let _ = write!(page, "<section id=\"{id}\"><h2>{}</h2>\n{content}</section>\n", escape(title));
}

fn the_answer(page: &mut String, report: &Report, answer: &Answer) {
    let mut content = String::new();
    stamps(&mut content, report);
    for summary in summary(report, answer) {
        content += &card(report, answer, &summary);
    }
    if report.runs.is_empty() {
        content += "<p>No run came to its end, so nothing can be said.</p>\n";
    } else if report.subjects.iter().filter(|subject| !subject.baseline).count() < 2 {
        content += "<p>One strategy was measured, so there is nothing to compare it with; its figures stand below.</p>\n";
    }
    section(page, "answer", "The answer", &content);
}

fn stamps(content: &mut String, report: &Report) {
    if !report.environment.noisy.is_empty() {
        let why: Vec<String> = report.environment.noisy.iter().map(|why| escape(why)).collect();
        let _ = writeln!(
            content,
            "<p class=\"stamp\" role=\"note\"><strong>Noisy machine.</strong> {}. Small differences may be the machine's.</p>",
            why.join("; ")
        );
    }
    if report.interrupted {
        content.push_str("<p class=\"stamp\" role=\"note\"><strong>Ended early.</strong> What had been measured by then is here.</p>\n");
    }
    for remark in &report.remarks {
        let _ = writeln!(content, "<p class=\"stamp\" role=\"note\">{}</p>", escape(remark));
    }
}

fn card(report: &Report, answer: &Answer, summary: &Summary) -> String {
    let label =
        |index: usize| report.subjects.get(index).map_or("?".to_owned(), |subject| escape(&subject.label));
    let mut card =
        format!("<article class=\"card\"><h3>{} <span>against {}</span></h3>\n", label(summary.b), label(0));
    if !answer.verdicts.iter().any(|verdict| verdict.b == summary.b) {
        return card
            + "<p>No run of one can be paired with a run of the other, so nothing can be said.</p></article>\n";
    }
    card += &headlines(report, answer, summary.b);
    tallies(&mut card, "better", "Better in", &summary.better);
    tallies(&mut card, "worse", "Worse in", &summary.worse);
    for (class, title, names) in
        [("even", "No difference found", &summary.even), ("even", "Cannot be said", &summary.unsaid)]
    {
        if !names.is_empty() {
            let _ = writeln!(
                card,
                "<div class=\"{class}\"><h4>{title}</h4><p>{}</p></div>",
                escape(&names.join(", "))
            );
        }
    }
    card.push_str("</article>\n");
    card
}

/// The measures that most people ask for, each as a sentence: over all workloads where there are several, at the heap closest to twice the minimum.
fn headlines(report: &Report, answer: &Answer, b: usize) -> String {
    let distance = |heap: Option<f64>| heap.map_or(0.0, |heap| (heap - 2.0).abs());
    let mut items = String::new();
    let measured =
        |key: &&str| answer.verdicts.iter().any(|verdict| verdict.b == b && verdict.metric.key == *key);
    for key in HEADLINES.into_iter().filter_map(|keys| keys.iter().copied().find(measured)) {
        let means = answer.means.iter().filter(|mean| mean.b == b && mean.metric.key == key);
        let mean = means.min_by(|x, y| distance(x.heap_multiple).total_cmp(&distance(y.heap_multiple)));
        let here = answer.verdicts.iter().filter(|verdict| verdict.b == b && verdict.metric.key == key);
        let verdict = here.min_by(|x, y| distance(x.heap_multiple).total_cmp(&distance(y.heap_multiple)));
        let text = match (mean, verdict) {
            (Some(mean), _) => mean_line(report, mean),
            (None, Some(verdict)) => line(report, answer, verdict),
            (None, None) => continue,
        };
        let (sign, words) = text.split_at(1);
        let (class, name) = match sign {
            "+" => ("better", "better"),
            "-" => ("worse", "worse"),
            "~" => ("even", "no difference found"),
            _ => ("even", "cannot be said"),
        };
        let words = escape(words.trim());
        let _ = write!(
            items,
            "<li class=\"{class}\"><b role=\"img\" aria-label=\"{name}\">{sign}</b> {words}</li>"
        );
    }
    if items.is_empty() { items } else { format!("<ul class=\"headlines\">{items}</ul>\n") }
}

fn tallies(card: &mut String, class: &str, title: &str, tallies: &[Tally]) {
    if tallies.is_empty() {
        return;
    }
    let items: Vec<String> =
        tallies.iter().map(|tally| format!("<li>{}</li>", escape(&tally.text()))).collect();
    let _ = writeln!(card, "<div class=\"{class}\"><h4>{title}</h4><ul>{}</ul></div>", items.join(""));
}

fn noise(report: &Report, answer: &Answer) -> String {
    let rule = &answer.rule;
    let mut content = format!("<p>{}.</p>\n", escape(&noise_line(report, answer)));
    let _ = writeln!(
        content,
        "<p class=\"soft\">A measure is called different when the {:.0} % interval of the median paired difference ({} resamples) excludes zero and the \
         signed-rank p, corrected by Holm over the workloads, is at most {:.0} %. ~ : no difference found. ? : too few rounds to say.</p>",
        100.0 * rule.bootstrap.confidence,
        rule.bootstrap.resamples,
        100.0 * rule.false_alarms_max
    );
    let table = tables::noise(report, answer);
    if !table.is_empty() {
        let _ = writeln!(
            content,
            "<details><summary>Every measure of A against A</summary>{}</details>",
            table.html()
        );
    }
    content
}

fn machine(report: &Report) -> String {
    let mut content = String::from("<dl class=\"facts\">");
    for (name, value) in facts(&report.environment) {
        let _ = write!(content, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value));
    }
    let plan = &report.plan;
    let heaps: Vec<String> = plan.heap_multiples.iter().map(|heap| format!("{heap}x")).collect();
    let order = format!(
        "{} rounds, each with every strategy once in shuffled order, a fresh process per run; heaps {}; {} warm-up iterations; seed {}",
        plan.rounds,
        if heaps.is_empty() { "-".to_owned() } else { heaps.join(", ") },
        plan.warmup_iterations,
        plan.seed
    );
    let _ = writeln!(content, "<div class=\"all\"><dt>plan</dt><dd>{}</dd></div>", escape(&order));
    if !report.command.is_empty() {
        let _ = writeln!(
            content,
            "<div class=\"all\"><dt>command</dt><dd><code>{}</code></dd></div>",
            escape(&report.command)
        );
    }
    content.push_str("</dl>\n");
    for table in
        [tables::subjects(report), tables::workloads(report), tables::failures(report), tables::swaps(report)]
    {
        if !table.is_empty() {
            content += &table.html();
        }
    }
    content
}

fn facts(environment: &Environment) -> Vec<(&'static str, String)> {
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let load = |load: [f64; 3]| load.map(|value| format!("{value:.2}")).join(" ");
    vec![
        ("processor", format!("{} ({} usable)", environment.cpu, environment.cpus)),
        ("memory", show(environment.memory_bytes as f64, Unit::Bytes)),
        ("kernel", environment.kernel.clone()),
        ("governor", or_unknown(&environment.governor)),
        ("turbo", environment.turbo.map_or("unknown", |turbo| if turbo { "on" } else { "off" }).to_owned()),
        ("huge pages", or_unknown(&environment.huge_pages)),
        ("load at begin", load(environment.load_at_begin)),
        ("load at end", load(environment.load_at_end)),
        (
            "host",
            format!(
                "{} {} ({})",
                environment.host_version,
                short(&environment.host_digest),
                environment.build
            ),
        ),
        ("wasmtime", format!("{} {}", environment.wasmtime_version, environment.engine_flags.join("; "))),
    ]
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn workloads(page: &mut String, source: &Source<'_>, room: usize) {
    for (index, workload) in source.report.workloads.iter().enumerate() {
        let figures: String = of_workload(source, index).iter().map(figure).collect();
        let mut content = format!(
            "<p class=\"soft\"><code>{}</code> {}</p>\n",
            escape(&workload.text),
            escape(&workload.stresses)
        );
        if figures.is_empty() {
            content += "<p>No run of this workload came to its end.</p>\n";
        } else if page.len() + figures.len() > room {
            content +=
                "<p>Its plots are left out to keep this page small; they are among the exported files.</p>\n";
        } else {
            let _ = write!(content, "<div class=\"figures\">\n{figures}</div>\n");
        }
        section(page, &format!("w{index}"), &workload.label, &content);
    }
}

fn figure(figure: &Figure) -> String {
    let wide = if figure.wide { " wide" } else { "" };
    format!(
        "<figure id=\"{id}\" class=\"figure{wide}\"><figcaption><h3>{title}</h3></figcaption>\
         <div class=\"frame\" tabindex=\"0\" role=\"group\" aria-label=\"{title}: arrow keys go from point to point\">{svg}</div>\
         <p class=\"soft\">{note}</p><pre class=\"csv\" hidden>{csv}</pre></figure>\n",
        id = figure.id,
        title = escape(&figure.title),
        svg = figure.svg,
        note = escape(&figure.note),
        csv = escape(&figure.csv).replace("&#10;", "\n"),
    )
}

fn all_tables(report: &Report, answer: &Answer) -> String {
    let mut shown: Vec<&Verdict> = answer.verdicts.iter().collect();
    let all = shown.len();
    if all > ROWS_MAX {
        shown.sort_by_key(|verdict| matches!(verdict.side(), Side::Even | Side::Unsaid));
        shown.truncate(ROWS_MAX);
    }
    let mut content = String::from(
        "<p class=\"soft\">Click a heading to sort. p (Holm): signed-rank test on pairs, corrected over workloads. p (M-W): Mann-Whitney without pairs, not corrected.</p>\n",
    );
    if all > ROWS_MAX {
        let _ = writeln!(content, "<p>{} of {all} rows; all of them are in verdicts.csv.</p>", ROWS_MAX);
    }
    content.push_str("<p><label>Only rows with <input id=\"filter\" type=\"search\" placeholder=\"cpu 2x\" autocomplete=\"off\"></label></p>\n");
    content += &tables::verdicts(report, shown).html();
    let means = tables::means(report, answer);
    if !means.is_empty() {
        let _ = writeln!(
            content,
            "<details><summary>Geometric means over workloads</summary>{}</details>",
            means.html()
        );
    }
    let mut page = String::new();
    section(&mut page, "measures", "Every measure", &content);
    page
}

fn footer(page: &mut String, report: &Report, answer: &Answer) {
    let _ = write!(
        page,
        "<footer><p>Written by host {}. Intervals: percentile bootstrap over rounds, {} resamples, seed {}. Everything on this page follows from report.json.</p></footer>\n\
         <div id=\"tip\" role=\"status\" aria-live=\"polite\" hidden></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&report.environment.host_version),
        answer.rule.bootstrap.resamples,
        answer.rule.bootstrap.seed
    );
}

/// A moment as `2026-11-21 09:30 UTC`: the civil calendar from days since 1970 (Hinnant, *chrono-compatible low-level date algorithms*).
fn date(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let days = (minutes / 1440) as i64 + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes % 1440 / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_253_267_000), "2026-11-21 09:27 UTC");
    }
}
