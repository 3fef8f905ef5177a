//! The statistics give the answers that SciPy and numpy give to the same data: against a table of theirs, and against SciPy itself where it is installed.
//! With `LAB_SCIPY=required` in the environment its absence is a failure.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gc_lab::stats::{
    Bootstrap, cliffs_delta, geometric_mean, holm, mann_whitney, median, normal, quantile, signed_rank,
};
use serde_json::{Value, json};

/// Both sides compute with doubles; they differ in the order of additions.
const TOLERANCE: f64 = 1e-9;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scipy")
}

fn table() -> Value {
    let text = std::fs::read_to_string(folder().join("answers.json")).expect("the table is checked in");
    serde_json::from_str(&text).expect("the table is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= TOLERANCE * ours.abs().max(theirs.abs()) || ours == theirs
}

/// Everything that is compared, under the names of the table.
fn answers(a: &[f64], b: &[f64]) -> Value {
    let unpaired = mann_whitney(a, b).expect("neither sample is empty");
    let quantiles = [0.025, 0.25, 0.5, 0.9, 0.975].map(|share| quantile(a, share));
    let mut answers = json!({
        "u": unpaired.u,
        "p": unpaired.p,
        "delta": cliffs_delta(a, b),
        "median_a": median(a),
        "quantiles_a": quantiles,
        "geometric_mean_a": geometric_mean(a),
    });
    if a.len() == b.len() {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        answers["signed_rank_p"] = json!(signed_rank(&differences).p);
        answers["median_difference"] = json!(median(&differences));
    }
    answers
}

#[test]
fn every_answer_is_the_one_in_scipys_table() {
    let table = table();
    let mut compared = 0;
    for (number, row) in table["samples"].as_array().unwrap().iter().enumerate() {
        let ours = answers(&numbers(&row["a"]), &numbers(&row["b"]));
        for (key, theirs) in row["answers"].as_object().unwrap() {
            let pairs = match (&ours[key], theirs) {
                (_, Value::Null) => Vec::new(),
                (Value::Array(_), _) => numbers(&ours[key]).into_iter().zip(numbers(theirs)).collect(),
                (ours, theirs) => vec![(ours.as_f64().unwrap(), theirs.as_f64().unwrap())],
            };
            for (ours, theirs) in pairs {
                assert!(close(ours, theirs), "sample {number}: {key} is {ours}, SciPy says {theirs}");
                compared += 1;
            }
        }
    }
    assert!(compared > 250, "{compared}");
}

#[test]
fn tails_of_the_normal_distribution_are_scipys() {
    for row in table()["normal_above"].as_array().unwrap() {
        let [z, theirs] = numbers(row)[..] else { panic!("a pair: {row}") };
        assert!((normal::above(z) / theirs - 1.0).abs() < 1e-12, "{z}: {} and {theirs}", normal::above(z));
    }
}

#[test]
fn holm_is_holm() {
    for row in table()["holm"].as_array().unwrap() {
        let corrected = holm(&numbers(&row["p"]));
        let theirs = numbers(&row["corrected"]);
        assert!(corrected.iter().zip(&theirs).all(|(&ours, &theirs)| close(ours, theirs)), "{corrected:?}");
    }
}

/// Data of other seeds than the table's, with our answers, our interval and the draws it was made from.
fn fresh_questions() -> Value {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(99);
    let bootstrap = Bootstrap { resamples: 4000, ..Bootstrap::default() };
    let mut rows = Vec::new();
    for count in [6, 7, 10, 20, 20, 31] {
        let a: Vec<f64> = (0..count).map(|_| 100.0 * (1.0 + random.random::<f64>())).collect();
        let b: Vec<f64> = a.iter().map(|a| a * (0.9 + 0.3 * random.random::<f64>())).collect();
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
        let interval = bootstrap.median(&differences).and_then(|estimate| estimate.interval).unwrap();
        let mut ours = answers(&a, &b);
        ours["interval"] = json!([interval.low, interval.high]);
        let positions = bootstrap.positions(count, bootstrap.resamples as usize);
        rows.push(json!({ "a": a, "b": b, "answers": ours, "positions": positions }));
    }
    let p_values: Vec<f64> = (0..12).map(|_| random.random::<f64>().powi(4)).collect();
    json!({ "samples": rows, "holm": [{ "p": p_values, "corrected": holm(&p_values) }] })
}

#[test]
fn scipy_agrees_on_fresh_data_draw_by_draw() {
    let there = Command::new("python3")
        .args(["-c", "import scipy"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !there {
        assert!(
            std::env::var_os("LAB_SCIPY").is_none_or(|wanted| wanted != "required"),
            "SciPy is not there"
        );
        eprintln!("SKIPPED: no SciPy here, so nothing was compared with it: pip install scipy numpy");
        return;
    }
    let mut script = Command::new("python3")
        .arg(folder().join("scipy_answers.py"))
        .arg("check")
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 was there a moment ago");
    let questions = serde_json::to_vec(&fresh_questions()).unwrap();
    script.stdin.take().unwrap().write_all(&questions).unwrap();
    assert!(script.wait().unwrap().success(), "SciPy says otherwise; see above");
}
