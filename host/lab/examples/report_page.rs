//! Writes the page and all other files of a report anew: `cargo run -p gc-lab --example report_page -- report.json FOLDER`.

use std::path::Path;

use gc_lab::answer::{Answer, words};
use gc_lab::export::{from_json, write_all};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder] = arguments.as_slice() else {
        return Err("two arguments are wanted: a report.json and a folder to write to".into());
    };
    let report = from_json(&std::fs::read_to_string(file)?)?;
    let answer = Answer::of(&report);
    println!("{}", words::noise_line(&report, &answer));
    words::lines(&report, &answer).iter().for_each(|line| println!("{line}"));
    let written = write_all(&report, &answer, Path::new(folder))?;
    println!("{} files, the page is {}", written.len(), written[0].display());
    Ok(())
}
