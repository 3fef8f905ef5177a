//! What is reclaimed of a repository is what git itself says is unreachable, object by object.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gc_lab::testing::{Repo, scenarios};
use gc_lab::{CollectFailed, Driver, GitError, Progress, WorkloadError, WorkloadReport, WorkloadSpec};

fn set(ids: &gc_lab::Ids) -> BTreeSet<String> {
    ids.iter().collect()
}

#[test]
fn what_is_reclaimed_is_what_fsck_calls_unreachable() {
    for (name, make) in scenarios() {
        for options in ["", "?payload=true"] {
            let folder = tempfile::tempdir().unwrap();
            let path = make(folder.path());
            let repo = Repo::at(&path);
            let unreachable = repo.unreachable();
            let report = common::run(&format!("git:{}{options}", path.display())).unwrap();
            assert_eq!(set(&report.reclaimed), unreachable, "{name}");
            assert_eq!(&set(&report.live) | &unreachable, repo.all_objects(), "{name}");
            assert!(
                !unreachable.is_empty() || ["empty", "a split index"].contains(&name),
                "{name} has no garbage"
            );
            assert_eq!(report.payload_bytes > 0, name != "empty" && !options.is_empty(), "{name}");
        }
    }
}

/// Asks to stop the n-th time it is asked, and notes whether anything was told before.
struct StopAt {
    asked: AtomicU32,
    at: u32,
    told: AtomicBool,
}

impl Driver for StopAt {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Ok(0)
    }
    fn stop_requested(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1 >= self.at
    }
    fn progress(&self, _: Progress) {
        self.told.store(true, Ordering::Relaxed);
    }
}

#[test]
fn to_stop_is_heard_while_packs_are_checked_and_objects_listed() {
    let (_folder, repo) = committed();
    repo.git(&["gc", "-q"]);
    for load in
        [format!("git:{}", repo.path().display()), format!("git-history:{}?keep=1", repo.path().display())]
    {
        let spec: WorkloadSpec = load.parse().unwrap();
        let run = |at| {
            let driver = StopAt { asked: AtomicU32::new(0), at, told: AtomicBool::new(false) };
            let report = spec.run(&common::heap(16), &driver).unwrap();
            (report.stopped, driver.told.into_inner())
        };
        // The index, the pack, their end, and the list, which a history does not need.
        let asks = if load.contains("keep") { 3 } else { 4 };
        for at in 1..=asks {
            assert_eq!(run(at), (true, false), "{load}: {at}");
        }
        assert_eq!(run(asks + 1), (true, true), "{load}");
    }
}

/// Git ignores what is no graft, in whatever letters it is written.
#[test]
fn grafts_are_read_as_git_reads_them_or_not_at_all() {
    let (_folder, repo) = committed();
    let head = repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let grafts = repo.path().join(".git/info/grafts");
    std::fs::create_dir_all(grafts.parent().unwrap()).unwrap();
    let mut text = b"# a comment in Latin-1: gr\xfc\xdfe\n".to_vec();
    text.extend_from_slice(format!("{head}\n").as_bytes());
    std::fs::write(&grafts, &text).unwrap();
    std::fs::remove_dir_all(repo.path().join(".git/logs")).unwrap();
    let report = common::run(&format!("git:{}", repo.path().display())).unwrap();
    assert_eq!(set(&report.reclaimed), repo.unreachable());
    assert!(!report.reclaimed.is_empty(), "the graft cuts the history off");

    std::fs::remove_file(&grafts).unwrap();
    std::fs::create_dir(&grafts).unwrap();
    let message = fails(repo.path());
    assert!(message.contains("info/grafts cannot be read"), "{message}");
}

fn fails(path: &Path) -> String {
    common::run(&format!("git:{}", path.display())).unwrap_err().to_string()
}

fn committed() -> (tempfile::TempDir, Repo) {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::init(folder.path(), &[]);
    for text in 0..10 {
        repo.commit("d/file", &format!("{}{text}", "a line of text\n".repeat(100)));
    }
    (folder, repo)
}

#[test]
fn what_is_no_repository_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing")] {
        let message = fails(&path);
        assert!(message.contains("is no git repository"), "{message}");
        assert!(message.contains("give the folder that has .git in it"), "{message}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(fails(&file).contains("is no git repository"));
}

#[test]
fn a_repository_without_commits_has_no_history() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::init(folder.path(), &[]);
    let result = common::run(&format!("git-history:{}?keep=1", repo.path().display()));
    assert!(matches!(result, Err(WorkloadError::Git(GitError::NoHead { .. }))), "{result:?}");
}

/// Changes a file in many ways, one after the other, and tells what comes of each.
fn damage(repo: &Repo, path: &Path, tell: &mut dyn FnMut(Result<WorkloadReport, WorkloadError>)) {
    let whole = std::fs::read(path).unwrap();
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    #[allow(
        clippy::permissions_set_readonly_false,
        reason = "the test owns the file and deletes it afterwards"
    )]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).unwrap();
    let mut broken = vec![vec![], whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec()];
    for at in (0..whole.len()).step_by((whole.len() / 40).max(1)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        broken.push(bytes);
    }
    for bytes in broken {
        std::fs::write(path, bytes).unwrap();
        tell(common::run(&format!("git:{}", repo.path().display())));
    }
    std::fs::write(path, whole).unwrap();
}

#[test]
fn damaged_packs_and_indexes_of_packs_are_named() {
    let (_folder, repo) = committed();
    repo.git(&["gc", "-q"]);
    for entry in std::fs::read_dir(repo.path().join(".git/objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pack" || extension == "idx") {
            damage(&repo, &path, &mut |result| {
                let message = result.unwrap_err().to_string();
                assert!(message.contains("git fsck"), "{message}");
            });
        }
    }
    assert!(common::run(&format!("git:{}", repo.path().display())).is_ok());
}

#[test]
fn damaged_loose_objects_are_named() {
    let (_folder, repo) = committed();
    for id in repo.all_objects().into_iter().step_by(4) {
        let path = repo.path().join(".git/objects").join(&id[..2]).join(&id[2..]);
        let mut named = 0;
        damage(&repo, &path, &mut |result| match result {
            // The last bytes of a file can be wrong, and its contents right: what counts is that they have the id.
            Ok(report) => assert_eq!(set(&report.live), repo.all_objects()),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(&id) && message.contains("git fsck"), "{message}");
                named += 1;
            }
        });
        assert!(named > 30, "{named}");
    }
}

#[test]
fn a_loose_object_under_the_name_of_another_is_named() {
    let (_folder, repo) = committed();
    let place = |of: &str| {
        let id = repo.git(&["rev-parse", of]);
        repo.path().join(".git/objects").join(&id[..2]).join(&id[2..])
    };
    let (wrong, right) = (place("main~1"), place("main"));
    std::fs::remove_file(&wrong).unwrap();
    std::fs::copy(right, wrong).unwrap();
    let message = fails(repo.path());
    assert!(message.contains(&repo.git(&["rev-parse", "main~1"])), "{message}");
}

#[test]
fn broken_refs_and_broken_indexes_are_named() {
    let (_folder, repo) = committed();
    let head = repo.path().join(".git/refs/heads/main");
    let whole = std::fs::read(&head).unwrap();
    std::fs::write(&head, "1234567890123456789012345678901234567890\n").unwrap();
    let message = fails(repo.path());
    assert!(
        message.contains("refs/heads/main points to 1234567890123456789012345678901234567890"),
        "{message}"
    );
    std::fs::write(&head, "not an id\n").unwrap();
    assert!(fails(repo.path()).contains("ref"), "{}", fails(repo.path()));
    std::fs::write(&head, whole).unwrap();
    let index = repo.path().join(".git/index");
    std::fs::write(&index, "DIRC and nothing that fits").unwrap();
    assert!(fails(repo.path()).contains(".git/index cannot be read"), "{}", fails(repo.path()));
}

#[test]
fn other_forms_of_storage_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::init(folder.path(), &["--ref-format=reftable"]);
    repo.commit("a", "1");
    assert!(fails(repo.path()).contains("reftable"), "{}", fails(repo.path()));
}

#[test]
fn a_heap_that_is_too_small_says_so_and_stays_usable() {
    let (_folder, repo) = committed();
    repo.commit("large", &"x".repeat(9 << 20));
    repo.commit("larger", &"y".repeat(10 << 20));
    for workload in ["git:PATH?payload=true", "git-history:PATH?keep=9&payload=true"] {
        let heap = gc_heap::Heap::new(gc_heap::HeapConfig {
            full_wait: std::time::Duration::from_millis(20),
            ..gc_heap::HeapConfig::with_limit(16 << 20)
        })
        .unwrap();
        let driver = common::Local::new(&heap, common::MarkSweep::new(&heap));
        let spec: WorkloadSpec =
            workload.replace("PATH", &repo.path().display().to_string()).parse().unwrap();
        let result = spec.run(&heap, &driver);
        assert!(matches!(result, Err(WorkloadError::Heap(_))), "{workload}: {result:?}");
        assert_eq!(heap.named_roots(), [], "what a failed workload built is garbage");
        // What was condemned waits for one more proof.
        assert!(driver.collect().unwrap() > 0);
        driver.collect().unwrap();
        heap.mutator().scope(|scope| assert!(scope.alloc(&[], b"small").is_ok()));
    }
}
