//! The answer: verdicts in the terminal, files in a folder, and whether a condition was found to hold.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gc_lab::answer::limit::{Kept, Limit};
use gc_lab::answer::{Answer, Side, Verdict, words};
use gc_lab::bench::model::{Environment, Report};
use gc_lab::bench::schedule::middle;
use gc_lab::export::{to_json, write_all};

use crate::Usage;
use crate::bench::comparison::Setup;
use crate::output;
use crate::units::bytes;

/// What is said before anything runs.
pub(crate) fn greet(setup: &Setup, environment: &Environment) {
    let labels: Vec<&str> = setup
        .entrants
        .iter()
        .filter(|entrant| !entrant.subject.baseline)
        .map(|entrant| entrant.subject.label.as_str())
        .collect();
    let works: Vec<&str> = setup.workloads.iter().map(|workload| workload.text.as_str()).collect();
    output::note(format!("comparing {} on {}", labels.join(", "), works.join(", ")));
    output::note(format!(
        "on {} x {}, {}, {}",
        environment.cpus,
        environment.cpu,
        bytes(environment.memory_bytes),
        environment.kernel
    ));
    let warmup = match setup.plan.warmup_iterations {
        0 => "no warm-up: every run has a fresh process and is timed from its first operation".to_owned(),
        1 => "warm-up: one untimed iteration in the process of each run".to_owned(),
        more => format!("warm-up: {more} untimed iterations in the process of each run"),
    };
    output::note(warmup);
    for noise in &environment.noisy {
        output::note(format!("noisy: {noise}"));
    }
}

/// A folder for the files of a comparison.
pub(crate) struct Out {
    folder: PathBuf,
    /// It was made by us.
    made: bool,
}

impl Out {
    /// Makes the folder, so that a place where nothing can be written is found out before anything runs.
    pub(crate) fn open(given: Option<&Path>) -> anyhow::Result<Out> {
        let folder = given.map_or_else(|| PathBuf::from(format!("bench-{}", stamp())), Path::to_owned);
        let made = !folder.exists();
        let cannot = || format!("cannot make the folder {}: give another one with --out", folder.display());
        std::fs::create_dir_all(&folder).with_context(cannot)?;
        let probe = folder.join(".writable");
        std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).with_context(cannot)?;
        Ok(Out { folder, made })
    }

    /// Writes what there is so far, for the case that there is no end. A full disk now is no reason to end: it is told at the end, if it still is.
    pub(crate) fn keep(&self, report: &Report) {
        let mut report = report.clone();
        report.interrupted = true;
        report
            .remarks
            .push("its process did not come to an end: what had been measured by then is here".into());
        let Ok(text) = to_json(&report) else { return };
        let partial = self.folder.join("report.json.partial");
        let _ = std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, self.folder.join("report.json")));
    }

    /// The file to open.
    fn page(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    /// Nothing came of it.
    pub(crate) fn abandon(&self) {
        if self.made {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    /// Writes everything.
    pub(crate) fn write(&self, report: &Report, answer: &Answer) -> anyhow::Result<()> {
        write_all(report, answer, &self.folder)?;
        Ok(())
    }
}

/// `20261121-104500`, in UTC.
fn stamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, *chrono-compatible low-level date algorithms*).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Reads the conditions of `--fail-if`.
pub(crate) fn limits(texts: &[String]) -> Result<Vec<Limit>, Usage> {
    let read = |text: &String| text.parse().map_err(|error| Usage(format!("--fail-if: {error}")));
    texts.iter().map(read).collect()
}

/// Says what came out. Answers the limits that were broken, if any.
pub(crate) fn tell(
    report: &Report,
    answer: &Answer,
    limits: &[Limit],
    out: &Out,
    json: bool,
) -> anyhow::Result<Option<String>> {
    let held = held(report, answer, limits);
    if json {
        output::json(&object(report, answer, &held, out))?;
    } else {
        print(report, answer, &held, out)?;
    }
    let broken: Vec<String> = held
        .iter()
        .filter(|held| held.broken)
        .map(|held| format!("'{}': {}", held.limit, held.found))
        .collect();
    Ok((!broken.is_empty()).then(|| format!("--fail-if {}", broken.join("; "))))
}

/// What became of a limit.
struct Held {
    limit: String,
    broken: bool,
    found: String,
}

fn held(report: &Report, answer: &Answer, limits: &[Limit]) -> Vec<Held> {
    let mut all = Vec::new();
    for limit in limits {
        let found = limit.hold(report, answer);
        if found.is_empty() {
            let found = "nothing was measured that it is about".to_owned();
            all.push(Held { limit: limit.text.clone(), broken: false, found });
        }
        all.extend(found.into_iter().map(|held| Held {
            limit: limit.text.clone(),
            broken: held.kept == Kept::Broken,
            found: match held.kept {
                Kept::Unsaid => format!("too few rounds to say: {held}"),
                Kept::Kept | Kept::Broken => held.to_string(),
            },
        }));
    }
    all
}

/// The verdicts for the terminal: all of the middle heap, and of the others those where something was found.
fn shown<'a>(report: &Report, answer: &'a Answer) -> Vec<&'a Verdict> {
    let middle = middle(&report.plan.heap_multiples);
    let found = |verdict: &&Verdict| matches!(verdict.side(), Side::Better | Side::Worse);
    let mut shown: Vec<&Verdict> =
        answer.verdicts.iter().filter(|verdict| verdict.heap_multiple == middle || found(verdict)).collect();
    let place = |verdict: &Verdict| {
        (verdict.b, verdict.workload, verdict.side(), verdict.heap_multiple.map(f64::to_bits))
    };
    shown.sort_by_key(|verdict| place(verdict));
    shown
}

fn print(report: &Report, answer: &Answer, held: &[Held], out: &Out) -> anyhow::Result<()> {
    output::line(words::noise_line(report, answer))?;
    for mean in &answer.means {
        output::line(words::mean_line(report, mean))?;
    }
    let shown = shown(report, answer);
    for verdict in &shown {
        output::line(words::line(report, answer, verdict))?;
    }
    let more = answer.verdicts.len() - shown.len();
    if more > 0 {
        output::line(format!("({more} more at other heaps, where nothing was found, are in the report)"))?;
    }
    for remark in &report.remarks {
        output::line(format!("note: {remark}"))?;
    }
    for noisy in &report.environment.noisy {
        output::line(format!("noisy: {noisy}"))?;
    }
    for held in held {
        let word = if held.broken { "broken" } else { "not broken" };
        output::line(format!("--fail-if '{}' {word}: {}", held.limit, held.found))?;
    }
    output::line(format!("report: {}", out.page().display()))
}

fn object(report: &Report, answer: &Answer, held: &[Held], out: &Out) -> serde_json::Value {
    let verdict = |verdict: &Verdict| {
        let comparison = &verdict.comparison;
        serde_json::json!({
            "measure": verdict.metric.key,
            "workload": report.workloads[verdict.workload].label,
            "heap_multiple": verdict.heap_multiple,
            "a": report.subjects[verdict.a].label,
            "b": report.subjects[verdict.b].label,
            "is": side(verdict.side()),
            "rounds": comparison.rounds,
            "median_a": comparison.median_a,
            "median_b": comparison.median_b,
            "ratio": comparison.ratio.map(|ratio| ratio.value),
            "ratio_interval": comparison.ratio.and_then(|ratio| ratio.interval).map(|found| [found.low, found.high]),
            "p": comparison.p_corrected,
            "text": words::line(report, answer, verdict),
        })
    };
    let (different, decided) = answer.false_alarms();
    serde_json::json!({
        "event": "bench",
        "folder": out.folder,
        "interrupted": report.interrupted,
        "rounds": report.plan.rounds,
        "runs": report.runs.len(),
        "runs_failed": report.runs.iter().filter(|run| !run.outcome.is_ok()).count(),
        "minimum_heap_bytes": report.workloads.iter().map(|workload| workload.minimum_heap_bytes).collect::<Vec<_>>(),
        "noise": { "measures": decided, "different": different, "verdicts": answer.noise.iter().map(verdict).collect::<Vec<_>>() },
        "noisy": report.environment.noisy,
        "remarks": report.remarks,
        "verdicts": answer.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "limits": held
            .iter()
            .map(|held| serde_json::json!({ "limit": held.limit, "broken": held.broken, "found": held.found }))
            .collect::<Vec<_>>(),
    })
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Better => "better",
        Side::Worse => "worse",
        Side::Even => "even",
        Side::Unsaid => "unsaid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!([date(0), date(11_016), date(20_778)], [(1970, 1, 1), (2000, 2, 29), (2026, 11, 21)]);
    }

    #[test]
    fn a_limit_that_is_none_is_wrong_usage() {
        assert!(limits(&["cpu > +3%".into()]).is_ok());
        assert!(limits(&["speed".into()]).unwrap_err().to_string().contains("--fail-if"));
    }
}
