//! The live view, as somebody at a terminal sees it.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::Place;

const COLUMNS: usize = 90;

/// Runs `host` at a terminal that util-linux's `script` makes. Answers what came to standard output, which is a file, and what to the terminal.
fn at_a_terminal(place: &Place, args: &[&str]) -> (String, String) {
    let args: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let host = env!("CARGO_BIN_EXE_host");
    let run = format!("stty cols {COLUMNS} rows 24; exec '{host}' {} > out", args.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &run, "/dev/null"]).current_dir(place.folder.path()).stdin(Stdio::null());
    script.env("TERM", "xterm").env("LC_ALL", "C").env("XDG_RUNTIME_DIR", place.folder.path());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let output = script.env("XDG_CACHE_HOME", cache).env_remove("HOST_SOCKET").output();
    let output = output.expect("there is `script`, of the package bsdutils or util-linux");
    assert!(output.status.success(), "{output:?}");
    let out = std::fs::read_to_string(place.path("out")).unwrap();
    (out, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn at_a_terminal_a_view_is_redrawn_in_its_place_and_the_last_one_stays() {
    let place = Place::new();
    let load = "churn?rate=50k&live=5000&threads=2";
    let run = ["run", "--strategy", "tracing", "--load", load, "--heap", "64MiB", "--for", "2s"];
    let (out, seen) = at_a_terminal(&place, &run);
    let drawings: Vec<&str> = seen.split("strategy ").skip(1).collect();
    assert!(drawings.len() > 3, "drawn {} times: {seen:?}", drawings.len());
    let clears = seen.matches("\u{1b}[2K").count();
    // Six lines, and one more once the load says how far it is.
    assert!(clears >= 6 * (drawings.len() - 1), "{clears} lines were cleared: {seen:?}");
    let last = console::strip_ansi_codes(drawings.last().unwrap()).into_owned();
    for word in [
        "tracing@",
        "#",
        "heap",
        "live ",
        "new or garbage",
        "committed",
        "limit 64 MiB",
        "cycle",
        "pauses",
        "p99.9",
        "mutators",
        " threads",
        "objects/s",
        "load",
        "churn",
    ] {
        assert!(last.contains(word), "'{word}' is not shown: {last}");
    }
    for line in console::strip_ansi_codes(&seen).lines() {
        let width = console::measure_text_width(line.trim_end());
        assert!(width < COLUMNS, "a line of {width} columns: {line:?}");
    }
    assert!(seen.contains("2 threads"), "as long as they work: {seen:?}");
    assert!(!seen.contains("gc 1 @"), "no line per cycle: {seen:?}");
    // The result is no part of the view.
    assert!(out.contains("\nstrategy   tracing@") && out.contains("objects "), "{out}");
}

#[test]
fn who_asks_for_quiet_or_for_json_gets_no_view() {
    let place = Place::new();
    for flag in ["--quiet", "--json"] {
        let run = ["run", "--load", "churn?operations=2k&live=500&threads=1", "--heap", "64MiB", flag];
        let (out, seen) = at_a_terminal(&place, &run);
        assert!(!seen.contains('\u{1b}'), "{flag}: {seen:?}");
        assert!(out.contains("tracing"), "{flag}: {out}");
    }
}
