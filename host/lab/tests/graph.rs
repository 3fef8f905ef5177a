//! What is reclaimed of a graph is what a naive search does not reach.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use gc_lab::WorkloadReport;
use proptest::prelude::*;

fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.txt");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn import(text: &str) -> WorkloadReport {
    let (_folder, path) = file(text.as_bytes());
    common::run(&format!("graph:{}", path.display())).unwrap()
}

fn fails(text: &[u8]) -> String {
    let (_folder, path) = file(text);
    common::run(&format!("graph:{}", path.display())).unwrap_err().to_string()
}

fn set(ids: &gc_lab::Ids) -> BTreeSet<String> {
    ids.iter().collect()
}

/// What a search from the roots does not reach, from the text alone.
fn unreachable(text: &str) -> BTreeSet<String> {
    let facts: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let ids =
        |of: fn(&[&str]) -> Vec<String>| facts.iter().flat_map(|fact| of(fact)).collect::<BTreeSet<_>>();
    let mut rest = ids(|fact| match fact {
        ["edge", from, to] => vec![(*from).to_owned(), (*to).to_owned()],
        ["root", id] | ["size", id, _] => vec![(*id).to_owned()],
        _ => vec![],
    });
    let mut reached: Vec<String> =
        ids(|fact| if fact[0] == "root" { vec![fact[1].to_owned()] } else { vec![] }).into_iter().collect();
    while let Some(id) = reached.pop() {
        if rest.remove(&id) {
            reached.extend(
                facts.iter().filter(|fact| fact[0] == "edge" && fact[1] == id).map(|fact| fact[2].to_owned()),
            );
        }
    }
    rest
}

#[derive(Debug, Clone)]
enum Fact {
    Root(u8),
    Edge(u8, u8),
    Size(u8),
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let fact = prop_oneof![
        1 => any::<u8>().prop_map(|id| Fact::Root(id % 60)),
        20 => any::<(u8, u8)>().prop_map(|(from, to)| Fact::Edge(from % 60, to % 60)),
        // Hubs: objects of many references, in a tree of cells.
        8 => any::<(u8, u8)>().prop_map(|(from, to)| Fact::Edge(from % 3, to % 60)),
        3 => any::<u8>().prop_map(|id| Fact::Size(id % 70)),
    ];
    prop::collection::vec(fact, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_graphs_lose_what_a_naive_search_does_not_reach(facts in facts()) {
        let mut text = String::new();
        for fact in &facts {
            let _ = match fact {
                Fact::Root(id) => writeln!(text, "root n{id}"),
                Fact::Edge(from, to) => writeln!(text, "edge n{from} n{to}"),
                Fact::Size(id) => writeln!(text, "size n{id} {}", u32::from(*id) * 17),
            };
        }
        let report = import(&text);
        prop_assert_eq!(set(&report.reclaimed), unreachable(&text));
        prop_assert_eq!(report.live.len() + report.reclaimed.len(), report.objects as usize);
    }
}

#[test]
fn a_large_graph_of_every_shape_loses_what_is_not_reached() {
    let mut text = String::new();
    // A hub with more references than a scope may hold, of which each second target refers back; a chain that no stack takes; a ring apart.
    for i in 0..10_000 {
        let _ = writeln!(text, "edge hub spoke{i}");
        if i % 2 == 0 {
            let _ = writeln!(text, "edge spoke{i} hub");
        }
        let _ = writeln!(text, "edge chain{i} chain{}", i + 1);
        let _ = writeln!(text, "edge ring{i} ring{}", (i + 1) % 10_000);
    }
    text.push_str("size hub 100000\nsize lonely 1\nroot chain5000\n");
    let report = import(&text);
    let gone = set(&report.reclaimed);
    assert_eq!(gone.len(), 1 + 10_000 + 5000 + 10_000 + 1);
    assert!(gone.contains("hub") && gone.contains("lonely") && gone.contains("chain4999"));
    assert!(!gone.contains("chain5000") && !gone.contains("chain10000"));
    assert_eq!((report.objects, report.references, report.payload_bytes), (30_003, 35_000, 100_001));
    text.push_str("root hub\n");
    assert_eq!(import(&text).reclaimed.len(), 5000 + 10_000 + 1);
}

#[test]
fn more_roots_than_have_a_name_are_all_roots() {
    let text: String = (0..10_000).map(|i| format!("root r{i}\nedge r{i} t{i}\nedge u{i} r{i}\n")).collect();
    let report = import(&text);
    assert_eq!((report.live.len(), report.reclaimed.len()), (20_000, 10_000));
    assert!(report.reclaimed.iter().all(|id| id.starts_with('u')));
}

#[test]
fn ids_of_any_bytes_and_any_length_are_roots() {
    let long = "x".repeat(5000);
    // Both long ids are equal in what a name of a root can hold.
    let text = format!("root {long}a\nroot {long}b\nroot holder\nedge holder of\nedge {long}c \u{fffd}\n");
    let report = import(&text);
    assert_eq!(set(&report.reclaimed), BTreeSet::from([format!("{long}c"), "\u{fffd}".to_owned()]));
    let (_folder, path) = file(b"root \xff\nroot \xfe\nedge \xfd \xff\n");
    assert_eq!(common::run(&format!("graph:{}", path.display())).unwrap().reclaimed.len(), 1);
}

#[test]
fn files_that_are_no_graphs_are_named() {
    assert!(fails(b"").contains("has no facts: write one per line"));
    assert!(fails(b"# only\n\n# comments\n").contains("has no facts"));
    assert!(fails(b"root a\nedge a\n").contains("graph.txt:2: 'edge' takes two words"));
    let mut garbage = b"root a\n".to_vec();
    garbage.extend((0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8));
    let message = fails(&garbage);
    assert!(message.contains("graph.txt:2: ") && message.contains("is no fact"), "{message}");
    assert!(fails(&vec![0; 3_000_000]).contains("graph.txt:1: the line is longer"));
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing"), folder.path().to_owned()] {
        let message = common::run(&format!("graph:{}", path.display())).unwrap_err().to_string();
        assert!(message.contains("cannot be read") && message.contains("check the path"), "{message}");
    }
    assert!(fails(b"size a 1073741825").contains("are too many for one object"));
}

#[test]
fn a_line_across_two_reads_is_one_line() {
    // Comments of odd lengths push facts over every edge of the buffer.
    let mut text = String::new();
    let mut edges = 0;
    while text.len() < 5 << 20 {
        let _ = writeln!(text, "#{}\nedge from{edges} to{edges}", "c".repeat(edges % 37));
        edges += 1;
    }
    text.push_str("root from0");
    let report = import(&text);
    assert_eq!((report.objects, report.references), (2 * edges as u64, edges as u64));
    assert_eq!(report.live.len(), 2);
}
