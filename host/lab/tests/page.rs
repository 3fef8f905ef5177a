//! The report page holds everything, asks for nothing, and lets nothing from outside become markup.

mod plausible;

use gc_lab::answer::Answer;
use gc_lab::bench::model::{Failure, NodeShare, Outcome, Report};
use gc_lab::page;
use gc_lab::stats::{Bootstrap, Rule};
use plausible::{OVER_NODES, Shape, report};

fn answer(report: &Report) -> Answer {
    let bootstrap = Bootstrap { resamples: 100, ..Bootstrap::default() };
    Answer::by_rule(report, &Rule { bootstrap, ..Rule::default() })
}

fn html(report: &Report) -> String {
    page::html(report, &answer(report))
}

fn small() -> Shape {
    Shape { workloads: 2, heaps: vec![1.0, 2.0, 6.0], rounds: 8, ..Shape::default() }
}

/// The page with its data: `<pre class="csv">` and the texts of tips left out, for looking at the markup.
fn markup(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find("<pre class=\"csv\"") {
        out.push_str(&rest[..at]);
        rest = rest[at..].split_once("</pre>").map_or("", |(_, behind)| behind);
    }
    out + rest
}

#[test]
fn a_page_has_every_plot_and_table() {
    let html = html(&report(&small()));
    for id in [
        "overview-cpu-1",
        "overhead-wall-0",
        "overhead-cpu-0",
        "cost-0",
        "differences-small-0-1",
        "differences-large-0-1",
        "pauses-0",
        "pause-tail-0",
        "mmu-0",
        "latency-1",
        "heap-0-0",
        "heap-0-2",
        "floating-0",
        "lag-0",
        "timeline-0",
    ] {
        assert!(html.contains(&format!("<figure id=\"{id}\"")), "{id} is not there");
    }
    for text in [
        "The answer",
        "Noisy machine",
        "A/A: of",
        "Every measure, B against A",
        "Made-up processor",
        "heap full: 24 MiB",
    ] {
        assert!(html.contains(text), "'{text}' is not there");
    }
}

#[test]
fn work_of_several_nodes_shows_what_each_of_them_sent() {
    let report = report(&Shape { workloads: OVER_NODES + 1, rounds: 6, ..small() });
    let figures = page::figures(&report, &answer(&report));
    let of = |id: String| figures.iter().find(|figure| figure.id == id);
    for name in ["messages", "message-bytes"] {
        let figure = of(format!("{name}-{OVER_NODES}")).unwrap();
        // A line of names, then three nodes with three strategies each.
        assert_eq!(figure.csv.lines().count(), 1 + 9, "{}", figure.csv);
        assert!(figure.svg.contains(">n3</text>") && figure.svg.contains("n2, tracing: "), "{}", figure.svg);
        assert!(of(format!("{name}-0")).is_none(), "one node alone sends nothing");
    }
    let sent = |line: &str| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
    let csv = &of(format!("messages-{OVER_NODES}")).unwrap().csv;
    let line = |start: &str| csv.lines().find(|line| line.starts_with(start)).unwrap();
    assert!((3800.0..4100.0).contains(&sent(line("1,tracing,2,"))), "{csv}");
}

#[test]
fn of_many_nodes_the_first_are_drawn_and_all_are_in_the_data() {
    let mut report = report(&Shape { workloads: OVER_NODES + 1, rounds: 6, ..small() });
    for measures in report.runs.iter_mut().filter_map(|run| run.measures.as_mut()) {
        if let Some(&node) = measures.nodes.first() {
            measures.nodes = (1..=64).map(|number| NodeShare { node: number, ..node }).collect();
        }
    }
    let figures = page::figures(&report, &answer(&report));
    let figure = figures.iter().find(|figure| figure.id == format!("messages-{OVER_NODES}")).unwrap();
    assert!(figure.svg.contains(">n16</text>") && !figure.svg.contains(">n17</text>"));
    assert_eq!(figure.csv.lines().count(), 1 + 64 * 3);
    assert!(figure.note.contains("The last 48 nodes"), "{}", figure.note);
}

#[test]
fn a_page_asks_for_nothing() {
    let html = html(&report(&small()));
    let text = markup(&html).replace("http://www.w3.org/2000/svg", "");
    for asking in [
        "http:",
        "https:",
        "//cdn",
        " src=",
        "@import",
        "@font-face",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "WebSocket",
    ] {
        assert!(!text.contains(asking), "{asking}");
    }
    let urls = text.match_indices("url(").filter(|(at, _)| !text[*at..].starts_with("url(#"));
    assert_eq!(urls.count(), 0);
    assert!(text.contains("default-src 'none'"));
}

#[test]
fn the_same_report_is_the_same_page() {
    let report = report(&Shape { workloads: 1, rounds: 6, ..small() });
    assert!(html(&report) == html(&report));
}

/// Names that would be markup, or end the place where they stand.
const HOSTILE: [&str; 4] = [
    "<img src=x onerror=document.title=1>",
    "\"><script>document.title='x'</script>",
    "</pre></script><b>",
    "a\tb\nc,\"d\"&amp;",
];

fn hostile() -> Report {
    let mut report = report(&Shape { workloads: 2, rounds: 6, ..small() });
    for (subject, name) in report.subjects.iter_mut().zip(HOSTILE.iter().cycle()) {
        subject.label = (*name).to_owned();
        subject.version = (*name).to_owned();
    }
    for (workload, name) in report.workloads.iter_mut().zip(HOSTILE.iter().cycle().skip(1)) {
        workload.label = (*name).to_owned();
        workload.text = (*name).to_owned();
        workload.stresses = (*name).to_owned();
    }
    report.environment.cpu = HOSTILE[0].to_owned();
    report.environment.noisy = vec![HOSTILE[1].to_owned()];
    report.remarks = vec![HOSTILE[2].to_owned()];
    report.command = HOSTILE[0].to_owned();
    for run in &mut report.runs {
        if let Outcome::Failed { why, .. } = &mut run.outcome {
            *why = HOSTILE[1].to_owned();
        }
        for cycle in run.measures.iter_mut().flat_map(|measures| measures.cycles.iter_mut()) {
            cycle.cause = HOSTILE[0].to_owned();
        }
        if let Some(latency) = run.measures.as_mut().and_then(|measures| measures.latency.as_mut()) {
            latency.of = HOSTILE[2].to_owned();
        }
    }
    report
}

#[test]
fn no_name_from_outside_becomes_markup() {
    let html = html(&hostile());
    for (wrong, right) in
        [("<img", "&lt;img"), ("<script>document", "&lt;script&gt;document"), ("<b></", "&lt;b&gt;")]
    {
        assert!(!html.contains(wrong), "{wrong}");
        assert!(html.contains(right), "{right}");
    }
    assert_eq!(html.matches("<script").count(), 1);
}

#[test]
fn results_with_next_to_nothing_in_them_are_pages_too() {
    let mut failed = report(&Shape { workloads: 1, rounds: 6, ..small() });
    for run in &mut failed.runs {
        run.outcome = Outcome::Failed { how: Failure::Crashed, why: "signal 9".to_owned() };
        run.measures = None;
    }
    let alone = report(&Shape { workloads: 1, strategies: 1, rounds: 6, ..small() });
    let few = report(&Shape { workloads: 1, rounds: 3, ..small() });
    let mut unpaired = report(&Shape { workloads: 1, strategies: 2, rounds: 6, ..small() });
    unpaired.runs.retain(|run| run.subject != 1);
    for (report, says) in [
        (Report::empty(), "nothing can be said"),
        (failed, "No run of this workload came to its end"),
        (alone, "nothing to compare it with"),
        (few, "3 rounds say nothing"),
        (unpaired, "No run of one can be paired with a run of the other"),
    ] {
        let html = html(&report);
        assert!(html.contains(says), "{says}");
        assert!(html.ends_with("</html>\n"));
    }
}

#[test]
fn a_page_says_how_far_a_comparison_came_and_how_it_was_asked_for() {
    let mut report = report(&Shape { workloads: 1, rounds: 6, ..small() });
    report.command = "host bench --a 'x y'".to_owned();
    let whole = html(&report);
    assert!(
        whole.contains("6 rounds &middot;") && whole.contains("<code>host bench --a &#39;x y&#39;</code>")
    );
    report.interrupted = true;
    report.plan.rounds = 40;
    let early = html(&report);
    assert!(early.contains("5 of 40 rounds &middot;") && early.contains("Ended early"));
}

#[test]
fn no_place_in_a_plot_is_no_number() {
    let report = report(&small());
    for figure in page::figures(&report, &answer(&report)) {
        let without_texts =
            figure.svg.split("data-tips=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
        let drawing: String = without_texts.collect();
        for wrong in ["NaN", "inf\"", "inf ", "Infinity"] {
            assert!(!drawing.contains(wrong), "{}: {wrong}", figure.id);
        }
        let lines: Vec<&str> = figure.csv.lines().collect();
        assert!(lines.len() > 1, "{} has no data", figure.id);
        let columns = lines[0].split(',').count();
        assert!(lines.iter().all(|line| line.split(',').count() == columns), "{}", figure.id);
    }
}

#[test]
fn a_page_stays_below_its_bound_and_says_what_is_left_out() {
    let usual = html(&report(&Shape {
        workloads: 4,
        strategies: 4,
        rounds: 8,
        heaps: vec![1.0, 1.5, 2.0, 3.0, 6.0],
        ..small()
    }));
    assert!(usual.len() < page::PAGE_BYTES_MAX, "{}", usual.len());
    assert!(!usual.contains("plots are left out"));
    let mut many = report(&Shape { workloads: 4, strategies: 4, rounds: 6, ..small() });
    for copy in 1..6 {
        let (workloads, runs) = (many.workloads[..4].to_vec(), many.runs.clone());
        many.runs.extend(runs.into_iter().filter(|run| run.workload < 4).map(|mut run| {
            run.workload += 4 * copy;
            run
        }));
        many.workloads.extend(workloads);
    }
    let large = html(&many);
    assert!(large.len() < page::PAGE_BYTES_MAX, "{}", large.len());
    assert!(large.contains("plots are left out") && large.contains("rows; all of them are in verdicts.csv"));
}

#[test]
fn a_plot_in_a_file_of_its_own_carries_its_style() {
    let report = report(&Shape { workloads: 1, rounds: 6, ..small() });
    let figures = page::figures(&report, &answer(&report));
    let file = figures[0].file();
    assert!(file.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg class=\"plot\" xmlns="));
    assert!(file.contains("<style>svg.plot {") && file.contains("prefers-color-scheme: dark"));
}

mod browser {
    //! In a real browser. Without one these tests say that they were skipped; with `LAB_CHROMIUM=required` in the environment that is a failure.

    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use super::*;

    /// Steps that a reader would take, appended to a copy of the page. What came of them is left in the title.
    const STEPS: &str = include_str!("page_steps.js");

    fn browser() -> Option<&'static str> {
        let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            let version =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        });
        if found.is_none() {
            let required = std::env::var_os("LAB_CHROMIUM").is_some_and(|wanted| wanted == "required");
            assert!(!required, "there is no browser: install chromium");
            eprintln!("SKIPPED: no chromium here, so no page was opened");
        }
        found
    }

    fn run(browser: &str, folder: &Path, arguments: &[String]) -> (String, String) {
        let profile = tempfile::tempdir().unwrap();
        let output = Command::new(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--hide-scrollbars",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000", "--timeout=60000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
    }

    /// Opens a page, takes the steps, and gives back the document as it then is. A message on the console is a failure, and so is a request:
    /// one that the page forbids itself is such a message, any other is found by the steps.
    fn opened(browser: &str, name: &str, html: &str) -> String {
        let folder = folder();
        std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
        let path = folder.join(format!("{name}-steps.html"));
        std::fs::write(&path, html.replace("</body>", &format!("<script>{STEPS}</script></body>"))).unwrap();
        let arguments = ["--dump-dom".to_owned(), format!("file://{}", path.display())];
        let (dom, errors) = run(browser, &folder, &arguments);
        let console: Vec<&str> = errors.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(console.is_empty(), "{}", console.join("\n"));
        dom
    }

    fn result(dom: &str) -> String {
        let (_, behind) = dom.split_once("<title>").expect("a page has a title");
        behind.split_once("</title>").map_or("", |(title, _)| title).to_owned()
    }

    #[test]
    fn the_page_works_in_a_browser() {
        let Some(browser) = browser() else { return };
        let html = html(&report(&Shape { workloads: OVER_NODES + 1, rounds: 12, ..small() }));
        let dom = opened(browser, "page", &html);
        assert!(dom.contains("data-ready=\"yes\""), "the script did not come to its end");
        assert_eq!(result(&dom), "all steps taken");
        let figures = html.matches("<figure ").count();
        assert_eq!(dom.matches("class=\"tools\"").count(), figures);
        for (name, size, scheme) in [
            ("light", "1400,2600", 1),
            ("dark", "1400,2600", 0),
            ("narrow-light", "390,2600", 1),
            ("narrow-dark", "390,2600", 0),
        ] {
            let shot = folder().join(format!("page-{name}.png"));
            let arguments = [
                format!("--window-size={size}"),
                format!("--blink-settings=preferredColorScheme={scheme}"),
                format!("--screenshot={}", shot.display()),
                format!("file://{}", folder().join("page.html").display()),
            ];
            run(browser, &folder(), &arguments);
            assert!(std::fs::metadata(&shot).is_ok_and(|file| file.len() > 50_000), "{}", shot.display());
        }
    }

    #[test]
    fn a_page_with_hostile_names_does_nothing_but_what_it_does() {
        let Some(browser) = browser() else { return };
        // Without its policy, so that nothing but the escaping stands between a name and a request.
        let page = html(&hostile()).replace("Content-Security-Policy", "none");
        let dom = opened(browser, "hostile", &page);
        assert_eq!(result(&dom), "all steps taken");
        assert!(!dom.contains("<img"));
    }
}
