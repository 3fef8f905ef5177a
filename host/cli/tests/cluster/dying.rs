//! Nodes that are killed, exiled, and that come back.

use std::collections::{BTreeMap, BTreeSet};

use gc_lab::testing::Repo;

use crate::nodes::Cluster;

/// What a naive walk over the graph without the objects of the dead node does not reach, of what is on the nodes that are left.
pub(crate) fn unreachable_without(repo: &Repo, dead: usize, nodes: usize) -> BTreeSet<String> {
    let home = |id: &str| (u64::from_str_radix(&id[..16], 16).unwrap() % nodes as u64) as usize;
    let mut references: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in repo.all_objects() {
        let kind = repo.git(&["cat-file", "-t", &id]);
        let text = if kind == "blob" { String::new() } else { repo.git(&["cat-file", "-p", &id]) };
        let ids = match kind.as_str() {
            "tree" => {
                text.lines().filter_map(|line| Some(line.split_whitespace().nth(2)?.to_owned())).collect()
            }
            "commit" => text
                .lines()
                .take_while(|line| !line.is_empty())
                .filter_map(|line| line.strip_prefix("tree ").or(line.strip_prefix("parent ")))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        references.insert(id, ids);
    }
    let roots = repo.git(&["for-each-ref", "--format=%(objectname)"]);
    let mut work: Vec<String> = roots.lines().map(str::to_owned).collect();
    work.push(repo.git(&["rev-parse", "HEAD"]));
    // What is staged is a root, as git sees it.
    let staged = repo.git(&["ls-files", "-s"]);
    work.extend(staged.lines().filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned())));
    let mut reached = BTreeSet::new();
    while let Some(id) = work.pop() {
        if home(&id) != dead && reached.insert(id.clone()) {
            work.extend(references[&id].iter().cloned());
        }
    }
    references.into_keys().filter(|id| home(id) != dead && !reached.contains(id)).collect()
}

#[test]
fn what_only_a_dead_node_held_goes_when_it_is_exiled() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    let repo = cluster.repository(15);
    std::fs::remove_file(repo.path().join(".git/index")).unwrap();
    let expected = unreachable_without(&repo, 2, 3);
    assert!(expected.len() > repo.unreachable().len() / 2);
    let load = format!("git:{}?place=hash&stay=true", repo.path().display());
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load]);
    cluster.await_status("n1", "a cycle over all", |status| status["last_cycle"]["ending"] == "swept");
    nodes[2].signal("-KILL");
    nodes[2].ended();
    // Dead or not, nobody may decide that but a person.
    let status = cluster.await_status("n2", "a lapsed lease", |status| {
        let members = status["members"].as_array().unwrap();
        members.iter().any(|member| member["name"] == "n3" && member["lease_given"] == "lapsed")
    });
    let absent = status["held"].as_array().unwrap().iter().find(|held| held["reason"] == "absent").unwrap();
    assert!(absent["objects"].as_u64() > Some(0) && absent["bytes"].as_u64() > Some(0), "{status}");
    let unknown = cluster.ask("n2", &["cluster", "exile", "n9"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("n9") && unknown.err.contains("host cluster status"), "{unknown:?}");
    // No cycle over all nodes while one of them is away: it is said who, and what to do.
    let absent = cluster.ask("n1", &["collect"]);
    assert_eq!(absent.code, Some(1), "{absent:?}");
    assert!(
        absent.err.contains("n3 is not there") && absent.err.contains("host cluster exile n3"),
        "{absent:?}"
    );
    let exiled = cluster.ask_json("n2", &["cluster", "exile", "n3"]);
    assert_eq!(exiled["node"], "n3");
    for name in ["n1", "n2"] {
        cluster.await_members(name, 2);
    }
    cluster.await_status("n2", "nothing held for n3", |status| {
        status["held"]
            .as_array()
            .unwrap()
            .iter()
            .all(|held| held["objects"] == 0 || held["reason"] == "scion" || held["reason"] == "pin")
    });
    for _ in 0..3 {
        assert_eq!(cluster.ask_json("n1", &["collect"])["ending"], "swept");
    }
    let collected = |name| cluster.ask_json(name, &["collect", "--local"])["condemned_objects"].as_u64();
    assert_eq!((collected("n1"), collected("n2")), (Some(0), Some(0)), "nothing is left to reclaim");
    for node in &mut nodes[..2] {
        node.signal("-INT");
        assert!(node.ended().success(), "{:?}", node.said());
    }
    assert_eq!(cluster.reclaimed(&["n1", "n2"]), expected);
}

#[test]
fn a_node_that_comes_back_is_somebody_else() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let repo = cluster.repository(5);
    let load = format!("git:{}?place=hash&nodes=2&stay=true", repo.path().display());
    let n1 = cluster.start("n1", &[], &["--load", &load]);
    let mut n2 = cluster.start("n2", &[&n1], &["--load", &load]);
    cluster.await_status("n1", "stubs", |status| status["stubs"].as_u64() > Some(0));
    n2.signal("-KILL");
    n2.ended();
    let again = cluster.start("n2", &[&n1], &[]);
    assert_eq!(again.life, n2.life + 1);
    // The later life takes the place of the earlier one, and all that it held goes with it.
    cluster.await_status("n1", "the later life", |status| {
        let members = status["members"].as_array().unwrap();
        let is_there = members
            .iter()
            .any(|member| member["number"] == 2 && member["incarnation"] == 2 && member["up"] == true);
        is_there && status["stubs"] == 0 && status["scions"] == 0
    });
    let why = cluster.ask_json("n1", &["why", "n2.1:5.0"]);
    assert_eq!(why["alive"], false, "{why}");
}
