//! What is live after a replay is what git lists for the commits that were kept.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use gc_lab::testing::{Repo, scenarios};

fn replay(path: &Path, keep: usize, options: &str) -> gc_lab::WorkloadReport {
    common::run(&format!("git-history:{}?keep={keep}{options}", path.display())).unwrap()
}

/// As git says it; replacements are for those who look at a repository, not for what is in it.
fn listed(repo: &Repo, args: &[&str]) -> Vec<String> {
    let listed = repo.git(&[&["--no-replace-objects", "rev-list"], args].concat());
    listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn check(name: &str, path: &Path, keep: usize, options: &str) {
    let repo = Repo::at(path);
    let report = replay(path, keep, options);
    let order = listed(&repo, &["--date-order", "HEAD"]);
    let kept: Vec<String> = report.kept_commits.iter().collect();
    assert_eq!(kept, order[..keep.min(order.len())], "{name}, keep {keep}");
    let mut args = vec!["--objects", "--no-walk"];
    args.extend(kept.iter().map(String::as_str));
    let wanted: BTreeSet<String> = listed(&repo, &args).into_iter().collect();
    assert_eq!(report.live.iter().collect::<BTreeSet<_>>(), wanted, "{name}, keep {keep}");
    let all: BTreeSet<String> = listed(&repo, &["--objects", "HEAD"]).into_iter().collect();
    assert_eq!(&wanted | &report.reclaimed.iter().collect(), all, "{name}, keep {keep}");
}

#[test]
fn what_is_live_is_what_the_kept_commits_hold() {
    for (name, make) in scenarios() {
        let folder = tempfile::tempdir().unwrap();
        let path = make(folder.path());
        let has_head = Repo::at(&path).try_git(&["rev-parse", "-q", "--verify", "HEAD"]).status.success();
        for keep in if has_head { &[1, 2, 3, 1000][..] } else { &[] } {
            check(name, &path, *keep, "");
            check(name, &path, *keep, "&payload=true");
        }
    }
}

/// Branches that grow beside each other and are merged now and then; files come, go, and come back as they
/// were.
fn tangled(repo: &Repo, commits: usize) {
    repo.commit("base", "0");
    for branch in ["one", "two", "three"] {
        repo.git(&["branch", branch]);
    }
    for i in 0..commits {
        let branch = ["one", "two", "three"][i * 7 % 3];
        repo.git(&["checkout", "-q", branch]);
        repo.commit(&format!("d{}/{branch}", i % 5), &(i % 4).to_string());
        if i % 6 == 5 {
            let other = ["one", "two", "three"][(i * 7 + 1) % 3];
            repo.git(&["merge", "-q", "--no-edit", "-s", "ours", other]);
        }
    }
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-edit", "-s", "ours", "one", "two", "three"]);
}

#[test]
fn a_tangled_history_keeps_what_it_must_for_every_window() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::init(folder.path(), &[]);
    tangled(&repo, 60);
    for keep in (1..20).chain([40, 70, 80]) {
        check("tangled", repo.path(), keep, "");
    }
}

#[test]
fn old_commits_are_reclaimed_while_the_replay_runs() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::init(folder.path(), &[]);
    tangled(&repo, 60);
    // A replay takes some milliseconds: of many, some see a cycle.
    let mut beside = 0;
    for _ in 0..50 {
        let heap = common::heap(16);
        let (report, driver) =
            common::run_in(&heap, &format!("git-history:{}?keep=3", repo.path().display())).unwrap();
        assert_eq!(report.kept_commits.len(), 3);
        beside += driver.condemned_beside.load(std::sync::atomic::Ordering::Relaxed);
    }
    assert!(beside > 0, "no cycle ran beside a replay");
}
