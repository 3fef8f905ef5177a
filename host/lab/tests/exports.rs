//! What a report is written as can be read again, by the tools that it is for.

mod plausible;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gc_lab::answer::Answer;
use gc_lab::bench::model::{Kind, Report};
use gc_lab::export::{
    ExportError, from_json, go_bench, pauses_hlog, samples_csv, to_json, trace_events, write_all,
};
use gc_lab::stats::{Bootstrap, Rule};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use plausible::{Shape, report};
use serde_json::Value;

fn small() -> Report {
    report(&Shape { workloads: 2, strategies: 2, heaps: vec![1.0, 2.0], rounds: 6, ..Shape::default() })
}

fn answer(report: &Report) -> Answer {
    let bootstrap = Bootstrap { resamples: 100, ..Bootstrap::default() };
    Answer::by_rule(report, &Rule { bootstrap, ..Rule::default() })
}

/// Whether python3 is there with that module; with `LAB_SCIPY=required` in the environment its absence is a failure.
fn python(module: &str) -> bool {
    let import = format!("import {module}");
    let status = Command::new("python3").args(["-c", &import]).stderr(Stdio::null()).status();
    let there = status.is_ok_and(|status| status.success());
    if !there {
        assert!(std::env::var_os("LAB_SCIPY").is_none_or(|wanted| wanted != "required"), "no {module}");
        eprintln!("SKIPPED: python3 with {module} is not here");
    }
    there
}

fn schema_script(arguments: &[&str]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report_schema.py");
    Command::new("python3").arg(script).args(arguments).status().is_ok_and(|status| status.success())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_report_comes_back_as_it_was() {
    let report = small();
    assert!(from_json(&to_json(&report).unwrap()).unwrap() == report);
}

#[test]
fn what_is_no_report_of_ours_is_refused_with_a_reason() {
    let mut other: Value = serde_json::from_str(&to_json(&small()).unwrap()).unwrap();
    other["schema"] = 99.into();
    let error = from_json(&other.to_string()).unwrap_err();
    assert!(matches!(error, ExportError::OtherSchema { found: 99, .. }), "{error}");
    for text in ["", "{}", "[]", "{\"schema\": \"one\"}", "{\"schema\": 1}"] {
        assert!(matches!(from_json(text), Err(ExportError::NoReport(_))), "{text}");
    }
}

#[test]
fn a_report_that_refers_to_what_is_not_there_is_refused() {
    let report = small();
    let change = |change: &dyn Fn(&mut Report)| {
        let mut report = report.clone();
        change(&mut report);
        from_json(&to_json(&report).unwrap()).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let cycle = |report: &mut Report| {
        let measures = report.runs.iter_mut().find_map(|run| run.measures.as_mut()).unwrap();
        measures.cycles[0].subject = 9;
    };
    assert!(change(&cycle).contains("strategy 9, counted from 0, and has 3"), "{}", change(&cycle));
    for says in [
        change(&|report| report.runs[0].workload = 2),
        change(&|report| report.runs.last_mut().unwrap().subject = 3),
        change(&|report| report.workloads.clear()),
        change(&|report| report.subjects.clear()),
    ] {
        assert!(says.contains("counted from 0"), "{says}");
    }
}

#[test]
fn the_raw_data_are_there_whatever_else_cannot_be_written() {
    let (report, folder) = (small(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.path().join("report.html")).unwrap();
    let error = write_all(&report, &answer(&report), folder.path()).unwrap_err().to_string();
    assert!(error.contains("report.html cannot be written"), "{error}");
    let raw = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert!(from_json(&raw).unwrap() == report);
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".partial")), "{left:?}");
}

/// Every name in a JSON value, as it stands below the names that lead to it.
fn names(value: &Value, schema: &Value, defs: &Value, path: &str, unknown: &mut BTreeSet<String>) {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => &defs[reference.trim_start_matches("#/$defs/")],
        None => schema,
    };
    let variants = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array);
    if let (Some(variants), false) = (variants, value.is_null()) {
        // The variant that knows most of it.
        let tried = variants.iter().map(|variant| {
            let mut missing = BTreeSet::new();
            names(value, variant, defs, path, &mut missing);
            missing
        });
        unknown.extend(tried.min_by_key(BTreeSet::len).unwrap_or_default());
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => names(value, schema, defs, &format!("{path}.{name}"), unknown),
                    None => drop(unknown.insert(format!("{path}.{name}"))),
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            items.iter().for_each(|item| names(item, &schema["items"], defs, path, unknown));
        }
        _ => {}
    }
}

#[test]
fn the_schema_knows_every_field_of_a_report() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let report: Value = serde_json::from_str(&to_json(&small()).unwrap()).unwrap();
    let mut unknown = BTreeSet::new();
    names(&report, &schema, &schema["$defs"], "report", &mut unknown);
    assert!(unknown.is_empty(), "run host/lab/tests/report_schema.py write: {unknown:?}");
}

#[test]
fn a_report_is_valid_by_its_published_schema() {
    if !python("jsonschema") {
        return;
    }
    assert!(schema_script(&["check"]), "docs/report.schema.json is not what the model says");
    let folder = folder("schema");
    std::fs::create_dir_all(&folder).unwrap();
    let (right, wrong) = (folder.join("right.json"), folder.join("wrong.json"));
    let text = to_json(&small()).unwrap();
    std::fs::write(&right, &text).unwrap();
    std::fs::write(&wrong, text.replacen("\"rounds\":6", "\"rounds\":\"six\"", 1)).unwrap();
    assert!(schema_script(&["validate", right.to_str().unwrap()]));
    assert!(!schema_script(&["validate", wrong.to_str().unwrap()]));
}

#[test]
fn histogram_logs_hold_what_was_recorded() {
    let report = small();
    let log = pauses_hlog(&report).unwrap();
    let timed: Vec<_> =
        report.runs.iter().filter(|run| run.kind == Kind::Timed && run.outcome.is_ok()).collect();
    let mut deserializer = Deserializer::new();
    let mut at = 0;
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.expect("every line is one") else { continue };
        let measures = timed[at].measures.as_ref().unwrap();
        let tag = interval.tag().expect("a run has a tag");
        assert_eq!(tag.as_str().split('/').count(), 3, "{}", tag.as_str());
        assert!(
            interval.duration().abs_diff(Duration::from_nanos(measures.wall_ns)) < Duration::from_millis(1)
        );
        let bytes = base64(interval.encoded_histogram());
        let histogram: Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(histogram.len(), measures.pauses.count());
        for share in [0.5, 0.99, 1.0] {
            let (found, recorded) =
                (histogram.value_at_quantile(share), measures.pauses.quantile(share).unwrap());
            assert!(found.abs_diff(recorded) <= 1 + recorded / 100, "{share}: {found} for {recorded}");
        }
        at += 1;
    }
    assert_eq!(at, timed.len());
}

/// The inverse of RFC 4648, for what the log holds.
fn base64(text: &str) -> Vec<u8> {
    let digit = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, &letter| bits << 6 | u32::from(digit(letter)));
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

#[test]
fn hdrhistograms_own_reader_reads_the_log() {
    if !python("hdrh") {
        return;
    }
    let report = small();
    let path = folder("pauses.hlog");
    std::fs::write(&path, pauses_hlog(&report).unwrap()).unwrap();
    let script = "import sys\nfrom hdrh.log import HistogramLogReader\nfrom hdrh.histogram import HdrHistogram\n\
                  whole = HdrHistogram(1, 3600000000000, 2)\nreader = HistogramLogReader(sys.argv[1], whole)\n\
                  lines = 0\nwhile True:\n    one = reader.get_next_interval_histogram()\n    if one is None: break\n    lines += 1\n    whole.add(one)\n\
                  print(lines, whole.get_total_count())";
    let output = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    let runs = report.runs.iter().filter(|run| run.kind == Kind::Timed && run.outcome.is_ok());
    let counts: Vec<u64> = runs.map(|run| run.measures.as_ref().unwrap().pauses.count()).collect();
    let expected = format!("{} {}", counts.len(), counts.iter().sum::<u64>());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn trace_events_nest_and_name_their_threads() {
    let trace: Value = serde_json::from_str(&trace_events(&small())).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |name: &str| events.iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
    let span = |event: &Value| {
        let begin = event["ts"].as_f64().unwrap();
        (event["pid"].clone(), begin, begin + event["dur"].as_f64().unwrap())
    };
    let cycles: Vec<_> = of("cycle").into_iter().map(span).collect();
    let (phases, pauses) = (of("mark"), of("pause"));
    assert!(cycles.len() > 4 && phases.len() == cycles.len() && !pauses.is_empty());
    for phase in phases.into_iter().map(span) {
        let inside =
            |cycle: &(Value, f64, f64)| cycle.0 == phase.0 && cycle.1 <= phase.1 && phase.2 <= cycle.2 + 1e-6;
        assert!(cycles.iter().any(inside), "{phase:?}");
    }
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let same = |named: &&&Value| named["pid"] == event["pid"] && named["tid"] == event["tid"];
        assert_eq!(of("thread_name").iter().filter(same).count(), 1, "{event}");
    }
    assert!(of("heap bytes").iter().all(|event| event["ph"] == "C" && event["args"]["used"].is_u64()));
}

/// By the grammar of golang.org/design/14313-benchmark-format.
#[test]
fn benchmark_text_is_as_go_writes_it() {
    let report = small();
    let text = go_bench(&report, 1);
    let mut results = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("Benchmark") {
            let words: Vec<&str> = rest.split(' ').collect();
            assert!(words[0].starts_with(|letter: char| !letter.is_lowercase()), "{line}");
            assert_eq!(words[1].parse::<u64>().ok(), Some(1), "{line}");
            assert!(words.len() >= 4 && words.len().is_multiple_of(2), "{line}");
            for pair in words[2..].chunks(2) {
                assert!(pair[0].parse::<f64>().is_ok_and(f64::is_finite) && !pair[1].is_empty(), "{line}");
            }
            results += 1;
        } else if !line.starts_with("Unit ") {
            let (key, _) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
            assert!(key.starts_with(char::is_lowercase) && !key.contains(char::is_whitespace), "{line}");
        }
    }
    let runs = report.runs.iter().filter(|run| run.subject == 1 && run.outcome.is_ok());
    let timed = runs.filter(|run| matches!(run.kind, Kind::Timed | Kind::Fuel)).count();
    assert_eq!(results, timed);
    assert!(text.contains("BenchmarkRun/workload=gcbench/heap=2x-2 1 "));
}

#[test]
fn samples_are_the_measures_of_each_run() {
    let report = small();
    let csv = samples_csv(&report);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let walls: Vec<f64> = rows
        .iter()
        .filter(|row| row[0] == "timed" && row[7] == "wall")
        .map(|row| row[9].parse().unwrap())
        .collect();
    let expected: Vec<f64> = report
        .runs
        .iter()
        .filter(|run| run.kind == Kind::Timed && run.outcome.is_ok())
        .map(|run| run.measures.as_ref().unwrap().wall_ns as f64)
        .collect();
    assert_eq!(walls, expected);
}

#[test]
fn every_file_is_written_and_none_leaves_the_folder() {
    let mut report = small();
    report.subjects[1].label = "../../out, of/here".to_owned();
    let folder = folder("all");
    let written = write_all(&report, &answer(&report), &folder).unwrap();
    assert!(written.iter().all(|path| path.starts_with(&folder) && !path.to_string_lossy().contains("..")));
    assert!(written.iter().all(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0)));
    assert_eq!(written[0], folder.join("report.html"));
    let plots = written.iter().filter(|path| path.extension().is_some_and(|end| end == "svg")).count();
    assert!(plots > 20, "{plots}");
    let blocked = folder.join("report.html").join("below");
    let error = write_all(&report, &answer(&report), &blocked).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
