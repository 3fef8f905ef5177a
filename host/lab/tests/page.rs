//! The report page holds everything, and asks for nothing.

mod plausible;

use gc_lab::answer::Answer;
use gc_lab::page;
use gc_lab::stats::{Bootstrap, Rule};
use plausible::{Shape, report};

fn written(name: &str, shape: &Shape) -> String {
    let report = report(shape);
    let rule = Rule { bootstrap: Bootstrap { resamples: 500, ..Bootstrap::default() }, ..Rule::default() };
    let html = page::html(&report, &Answer::by_rule(&report, &rule));
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join(name), &html).unwrap();
    println!("{}: {} kB", folder.join(name).display(), html.len() / 1000);
    html
}

#[test]
fn a_page_is_written() {
    written("page.html", &Shape::default());
}
