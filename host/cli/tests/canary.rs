//! `host run --canary` with the real binary: promoted, rolled back, refused, undecided.

mod common;

use common::{Ended, Place};

use std::time::{Duration, Instant};

/// Enough allocation for some cycles in a second, on a machine that may be busy with other tests.
const LOAD: &str = "churn?rate=30000&live=5000&threads=1";

/// Runs a node with a canary until its journal has one of these steps, or to its own end where none is named.
fn canary(place: &Place, strategy: &str, args: &[&str], last: &[&str]) -> Ended {
    // A call may take long by the clock beside other tests; a cycle must come by itself although the load is light.
    let settings = "heap = \"128MiB\"\n[limits]\ndeadline = \"30s\"\n[collector]\nidle = \"50ms\"\n";
    std::fs::write(place.path("node.toml"), settings).unwrap();
    let run =
        ["run", "--config", "node.toml", "--strategy", "mark-sweep", "--load", LOAD, "--journal", "journal"];
    let args = [&run[..], &["--canary", strategy, "--canary-shadow", "2", "--json"], args].concat();
    if last.is_empty() {
        return place.host(&args);
    }
    let mut node = place.command(&args).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let has_ended = || journal(place).iter().any(|(step, _)| last.contains(&step.as_str()));
    while node.try_wait().unwrap().is_none() && !has_ended() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Who looks into the result sees whether it was decided.
    let _ =
        rustix::process::kill_process(rustix::process::Pid::from_child(&node), rustix::process::Signal::INT);
    node.wait_with_output().unwrap().into()
}

/// The steps of the journal, with their reasons.
fn journal(place: &Place) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(place.path("journal")).unwrap_or_default();
    let word = |record: &serde_json::Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    // A line that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|record| (word(&record, "step"), word(&record, "reason")))
        .collect()
}

#[test]
fn a_canary_that_keeps_its_budget_is_promoted() {
    let place = Place::new();
    let budget = ["--budget", "p999 < 60s", "--budget", "memory < 1GiB", "--budget", "missed < 50%"];
    let more = ["--canary-probation", "4"];
    let ended = canary(&place, "tracing", &[&budget[..], &more].concat(), &["sound"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    let decision = &summary["canary"];
    assert_eq!(
        (&decision["outcome"], &summary["strategy"]),
        (&"promoted".into(), &"tracing".into()),
        "{ended:?}"
    );
    assert_eq!(summary["tenure"], "sound");
    let steps = journal(&place);
    let words: Vec<&str> = steps.iter().map(|(step, _)| step.as_str()).collect();
    let way = ["canary-requested", "loaded", "shadow-ended", "rehearsed", "exchanged", "sound"];
    assert_eq!(words, way, "{ended:?}");
    let why = &steps.last().unwrap().1;
    assert!(why.contains("kept p999 < 60s (it was") && why.contains("4 of 4 cycles"), "{why}");
    assert_eq!(decision["reason"], why.as_str());
    let memory =
        decision["measures"].as_array().unwrap().iter().find(|one| one["measure"] == "memory").unwrap();
    assert!(memory["candidate"].as_f64().unwrap() > 0.0 && memory["limit"] == "memory < 1GiB", "{memory}");
    assert_eq!(decision["shadow"]["cycles"], 2);
}

#[test]
fn a_canary_that_breaks_its_budget_is_rolled_back() {
    let place = Place::new();
    // `none` frees nothing: more is in use after each cycle than before the canary, which kept to its live objects.
    let budget = ["--budget", "heap < 1.5x", "--canary-probation", "1000"];
    let ended = canary(&place, "none", &budget, &["rolled-back"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary = ended.json();
    assert_eq!(summary["canary"]["outcome"], "rolled-back", "{ended:?}");
    assert_eq!((&summary["strategy"], &summary["tenure"]), (&"mark-sweep".into(), &"sound".into()));
    let steps = journal(&place);
    let failed = steps.iter().find(|(step, _)| step == "probation-failed").unwrap();
    assert!(
        failed.1.contains("broke heap < 1.5x (it was") && failed.1.contains("of 1000 cycles"),
        "{failed:?}"
    );
    assert_eq!(steps.last().unwrap().0, "rolled-back");
    let told = |event: &serde_json::Value| {
        event["event"] == "message" && event["text"].as_str().unwrap().contains("broke heap < 1.5x")
    };
    assert!(ended.out.lines().any(|line| told(&serde_json::from_str(line).unwrap())), "{ended:?}");
}

#[test]
fn a_canary_that_is_not_decided_or_cannot_be_says_so() {
    let place = Place::new();
    let ended = canary(&place, "tracing", &["--canary-probation", "9999", "--for", "1s"], &[]);
    assert_eq!((ended.code, &ended.json()["canary"]["outcome"]), (Some(0), &"undecided".into()), "{ended:?}");
    let refused = canary(&place, "none", &["--budget", "missed < 1%"], &["shadow-failed"]);
    let decision = &refused.json()["canary"];
    assert_eq!(decision["outcome"], "refused", "{refused:?}");
    assert!(decision["reason"].as_str().unwrap().contains("missed < 1% (it was 100 %)"), "{refused:?}");
    for (args, code, words) in [
        (&["run", "--canary", "nothing"][..], 1, &["nothing", "tracing"][..]),
        (&["run", "--canary", "epoch", "--budget", "speed > 1"], 2, &["speed", "p999"]),
        (&["run", "--budget", "p999 < 1ms"], 2, &["--canary"]),
        (&["run", "--canary", "epoch", "--canary-shadow", "0", "--budget", "cpu < +3%"], 2, &["beside"]),
    ] {
        let ended = place.host(args);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(words.iter().all(|word| ended.err.contains(word)), "{ended:?}");
    }
}
