//! Repositories for tests, made with the git binary, and what git itself says about them. Shared with the
//! end-to-end tests of the command line.
//!
//! Nothing here is for programs: it panics when git is missing or fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A repository that a test makes.
#[derive(Debug)]
pub struct Repo {
    path: PathBuf,
    /// Seconds since 1970 of the next commit: each is a minute after the one before.
    clock: std::cell::Cell<u64>,
}

impl Repo {
    /// `git init` with these arguments in a folder that need not exist.
    ///
    /// # Panics
    ///
    /// When git fails.
    #[must_use]
    pub fn init(path: &Path, args: &[&str]) -> Repo {
        std::fs::create_dir_all(path).expect("the folder can be made");
        let repo = Repo::at(path);
        repo.git(&[&["init", "-q", "-b", "main"], args].concat());
        repo
    }

    /// One that is there already.
    #[must_use]
    pub fn at(path: &Path) -> Repo {
        Repo { path: path.to_owned(), clock: std::cell::Cell::new(1_700_000_000) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git and gives what it wrote, without white space at the end.
    ///
    /// # Panics
    ///
    /// When git fails.
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {args:?} in {}: {error}", self.path.display());
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs git, whatever comes of it.
    ///
    /// # Panics
    ///
    /// When git is not installed.
    pub fn try_git(&self, args: &[&str]) -> Output {
        let date = format!("{} +0000", self.clock.get());
        self.clock.set(self.clock.get() + 60);
        let mut command = Command::new("git");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GIT_")) {
            command.env_remove(name);
        }
        command
            .current_dir(&self.path)
            .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0", "-c", "commit.gpgSign=false"])
            .args(args)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.org")])
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .output()
            .expect("git is installed")
    }

    /// Writes a file.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// Commits one changed file, and gives the id of the commit.
    ///
    /// # Panics
    ///
    /// When git fails.
    pub fn commit(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", &format!("{name}: {text:.20}")]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// What `git fsck --unreachable --no-reflogs` lists.
    ///
    /// # Panics
    ///
    /// When git cannot read the repository.
    #[must_use]
    pub fn unreachable(&self) -> BTreeSet<String> {
        // Its exit status tells of refs that lead nowhere too; the list is complete all the same.
        let output = self.try_git(&["fsck", "--unreachable", "--no-reflogs", "--full", "--no-progress"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!error.contains("fatal"), "git fsck in {}: {error}", self.path.display());
        let listed = String::from_utf8_lossy(&output.stdout);
        let ids = listed.lines().filter_map(|line| line.strip_prefix("unreachable ")?.split(' ').nth(1));
        ids.map(str::to_owned).collect()
    }

    /// All objects, alternates included.
    #[must_use]
    pub fn all_objects(&self) -> BTreeSet<String> {
        let listed =
            self.git(&["cat-file", "--batch-check=%(objectname)", "--batch-all-objects", "--unordered"]);
        listed.lines().map(str::to_owned).collect()
    }
}

/// How a repository is made in a folder; gives the path to import.
pub type Scenario = fn(&Path) -> PathBuf;

/// Repositories of every kind, each with garbage that a wrong import would miss or overdo.
#[must_use]
pub fn scenarios() -> Vec<(&'static str, Scenario)> {
    vec![
        ("empty", |at| Repo::init(at, &[]).path),
        ("deleted branches", deleted_branches),
        ("amended commits", amended),
        ("stashes", stashes),
        ("tags of tags", tags_of_tags),
        ("criss-cross merges", criss_cross),
        ("an octopus merge", octopus),
        ("packed and loose", packed_and_loose),
        ("a cruft pack", cruft),
        ("many packs with one index", multi_pack),
        ("bare", bare),
        ("worktrees", worktrees),
        ("inside a worktree", |at| {
            worktrees(at);
            at.join("linked")
        }),
        ("a submodule", submodule),
        ("detached", detached),
        ("staged and removed", staged),
        ("a resolved conflict", resolved_conflict),
        ("an index of conflicts", open_conflict),
        ("a split index", split_index),
        ("alternates", alternates),
        ("shallow", shallow),
        ("grafts", grafts),
        ("replaced", replaced),
        ("odd refs", odd_refs),
        ("sha256", |at| {
            let repo = Repo::init(at, &["--object-format=sha256"]);
            fill_deleted_branches(&repo);
            repo.path
        }),
    ]
}

fn fill_deleted_branches(repo: &Repo) {
    repo.commit("a", "1");
    repo.commit("d/b", "2");
    repo.git(&["checkout", "-q", "-b", "doomed"]);
    repo.commit("d/c", "3");
    repo.commit("d/e/f", "4");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["branch", "-q", "-D", "doomed"]);
    repo.commit("d/b", "5");
}

fn deleted_branches(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    fill_deleted_branches(&repo);
    repo.path
}

fn amended(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    for text in ["2", "3", "4"] {
        repo.commit("a", text);
        repo.write("b", text);
        repo.git(&["add", "b"]);
        repo.git(&["commit", "-q", "--amend", "-m", "amended"]);
    }
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.path
}

fn stashes(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    for text in ["2", "3", "4"] {
        repo.write("a", text);
        repo.write("untracked", text);
        repo.git(&["stash", "push", "-q", "--include-untracked"]);
    }
    repo.git(&["stash", "drop", "-q", "stash@{1}"]);
    repo.path
}

fn tags_of_tags(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.commit("a", "2");
    for (name, target) in
        [("inner", "side"), ("middle", "inner"), ("outer", "middle"), ("tree", "side^{tree}")]
    {
        repo.git(&["tag", "-a", "-m", name, name, target]);
    }
    repo.git(&["tag", "blob", "side:a"]);
    repo.git(&["tag", "-a", "-m", "gone", "gone", "side"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["branch", "-q", "-D", "side"]);
    repo.git(&["tag", "-d", "inner", "middle", "gone"]);
    repo.path
}

fn merge(repo: &Repo, heads: &[&str], into: &str) -> String {
    repo.git(&["checkout", "-q", into]);
    repo.git(&[&["merge", "-q", "--no-ff", "-m", "merge"], heads].concat());
    repo.git(&["rev-parse", "HEAD"])
}

fn criss_cross(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("base", "0");
    repo.git(&["branch", "other"]);
    let ours = repo.commit("ours", "1");
    repo.git(&["checkout", "-q", "other"]);
    let theirs = repo.commit("theirs", "1");
    merge(&repo, &[&ours], "other");
    merge(&repo, &[&theirs], "main");
    repo.git(&["checkout", "-q", "-b", "third"]);
    repo.commit("third", "1");
    merge(&repo, &["other"], "third");
    repo.git(&["checkout", "-q", "other"]);
    repo.git(&["branch", "-q", "-D", "third"]);
    repo.path
}

fn octopus(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("base", "0");
    for name in ["one", "two", "three"] {
        repo.git(&["checkout", "-q", "-b", name, "main"]);
        repo.commit(name, "1");
    }
    merge(&repo, &["one", "two", "three"], "main");
    repo.git(&["branch", "-q", "-D", "one", "two"]);
    repo.git(&["tag", "before", "main"]);
    repo.git(&["reset", "-q", "--hard", "main~1"]);
    repo.git(&["branch", "-q", "-D", "three"]);
    repo.git(&["tag", "-d", "before"]);
    repo.path
}

fn packed_and_loose(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    for text in 0..20 {
        // Long enough to be packed as deltas of each other.
        repo.commit("long", &format!("{}{text}", "a line of some length\n".repeat(200)));
    }
    repo.git(&["branch", "doomed"]);
    repo.git(&["repack", "-q", "-a", "-d"]);
    repo.git(&["reset", "-q", "--hard", "HEAD~5"]);
    repo.git(&["branch", "-q", "-D", "doomed"]);
    repo.commit("loose", "1");
    // The same objects once more, loose.
    let pack = std::fs::read_dir(repo.path.join(".git/objects/pack")).expect("a pack was made");
    let pack = pack
        .map(|entry| entry.expect("it can be listed").path())
        .find(|path| path.extension() == Some("pack".as_ref()));
    let bytes = std::fs::read(pack.expect("a pack was made")).expect("it can be read");
    let both = Repo::init(&at.join("both"), &[]);
    std::fs::write(both.path.join("in.pack"), bytes).expect("it can be written");
    let unpacked = Command::new("sh")
        .args([
            "-c",
            "git unpack-objects -q < in.pack && git index-pack in.pack && \
        mv in.pack .git/objects/pack/pack-x.pack && mv in.idx .git/objects/pack/pack-x.idx",
        ])
        .current_dir(&both.path)
        .output();
    assert!(unpacked.expect("there is a shell").status.success());
    both.commit("a", "1");
    repo.git(&["gc", "-q", "--prune=never", "--no-cruft"]);
    repo.commit("loose", "2");
    repo.path
}

fn cruft(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    fill_deleted_branches(&repo);
    repo.git(&["reflog", "expire", "--expire=all", "--all"]);
    repo.git(&["gc", "-q", "--cruft", "--prune=never"]);
    repo.path
}

fn multi_pack(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    for text in ["1", "2", "3"] {
        repo.commit("a", text);
        repo.git(&["branch", "-f", "doomed"]);
        repo.git(&["repack", "-q", "-d"]);
    }
    repo.git(&["multi-pack-index", "write"]);
    repo.git(&["branch", "-q", "-D", "doomed"]);
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.path
}

fn bare(at: &Path) -> PathBuf {
    let repo = Repo::init(&at.join("origin"), &[]);
    fill_deleted_branches(&repo);
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = Repo::at(&at.join("bare.git"));
    bare.git(&["update-ref", "refs/heads/main", "main~1"]);
    bare.path
}

fn worktrees(at: &Path) -> PathBuf {
    let repo = Repo::init(&at.join("main"), &[]);
    fill_deleted_branches(&repo);
    repo.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    repo.git(&["worktree", "add", "-q", "--detach", "../gone"]);
    let linked = Repo::at(&at.join("linked"));
    linked.commit("linked", "1");
    linked.write("staged", "only in the index of the linked worktree");
    linked.git(&["add", "staged"]);
    linked.git(&[
        "update-ref",
        "refs/bisect/mine",
        &linked.git(&["commit-tree", "-m", "bisect", "HEAD^{tree}"]),
    ]);
    let gone = Repo::at(&at.join("gone"));
    gone.commit("gone", "1");
    std::fs::remove_dir_all(gone.path).expect("it can be removed");
    repo.path
}

fn submodule(at: &Path) -> PathBuf {
    let inner = Repo::init(&at.join("inner"), &[]);
    inner.commit("i", "1");
    let repo = Repo::init(&at.join("outer"), &[]);
    repo.commit("a", "1");
    repo.git(&["submodule", "--quiet", "add", "../inner", "sub"]);
    // A commit of this repository in the place of a submodule's: not a reference either.
    let tree = repo.git(&["write-tree"]);
    let local = repo.git(&["commit-tree", "-m", "unreachable", &tree]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{local},own")]);
    repo.git(&["commit", "-q", "-m", "submodule"]);
    repo.git(&["checkout", "-q", "--detach"]);
    repo.commit("a", "2");
    repo.git(&["checkout", "-q", "main"]);
    repo.path
}

fn detached(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.commit("a", "2");
    repo.commit("a", "3");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.path
}

fn staged(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    repo.write("kept", "staged");
    repo.write("lost", "staged and removed again");
    repo.git(&["add", "-A"]);
    repo.git(&["rm", "-q", "--cached", "lost"]);
    repo.write("later", "only intended");
    repo.git(&["add", "-N", "later"]);
    // A tree that only the index remembers, and one that it has forgotten.
    repo.git(&["write-tree"]);
    repo.write("d/x", "in a folder");
    repo.git(&["add", "d"]);
    repo.git(&["write-tree"]);
    repo.git(&["rm", "-q", "--cached", "-r", "d"]);
    repo.path
}

fn conflict(at: &Path) -> Repo {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "base");
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.commit("a", "theirs");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("a", "ours");
    assert!(!repo.try_git(&["merge", "-q", "side"]).status.success(), "the merge must conflict");
    // What only the index names from here on: both sides of the conflict.
    std::fs::remove_file(repo.path.join(".git/MERGE_HEAD")).expect("a merge is under way");
    repo
}

fn open_conflict(at: &Path) -> PathBuf {
    let repo = conflict(at);
    repo.git(&["update-ref", "-d", "refs/heads/side"]);
    repo.path
}

fn resolved_conflict(at: &Path) -> PathBuf {
    let repo = conflict(at);
    repo.write("a", "resolved");
    repo.git(&["add", "a"]);
    repo.git(&["update-ref", "-d", "refs/heads/side"]);
    repo.path
}

fn split_index(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    repo.write("b", "in the shared index");
    repo.git(&["add", "b"]);
    repo.git(&["update-index", "--split-index"]);
    repo.write("c", "beside it");
    repo.git(&["add", "c"]);
    repo.write("b", "another b");
    repo.git(&["add", "b"]);
    repo.path
}

fn alternates(at: &Path) -> PathBuf {
    let origin = Repo::init(&at.join("origin"), &[]);
    fill_deleted_branches(&origin);
    origin.git(&["clone", "-q", "--shared", ".", "../clone"]);
    let clone = Repo::at(&at.join("clone"));
    clone.commit("own", "1");
    clone.commit("own", "2");
    clone.git(&["reset", "-q", "--hard", "HEAD~1"]);
    clone.path
}

fn shallow(at: &Path) -> PathBuf {
    let origin = Repo::init(&at.join("origin"), &[]);
    for text in ["1", "2", "3", "4"] {
        origin.commit("a", text);
    }
    let url = format!("file://{}", origin.path.display());
    origin.git(&["clone", "-q", "--depth=2", &url, "../clone"]);
    let clone = Repo::at(&at.join("clone"));
    // Deeper history that is present, but beyond the edge.
    clone.git(&["fetch", "-q", "--unshallow"]);
    std::fs::write(clone.path.join(".git/shallow"), clone.git(&["rev-parse", "HEAD~1"]) + "\n")
        .expect("it can be written");
    clone.path
}

fn grafts(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    let middle = repo.commit("a", "2");
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    let other = repo.commit("b", "1");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("a", "3");
    repo.git(&["branch", "-q", "-D", "other"]);
    std::fs::create_dir_all(repo.path.join(".git/info")).expect("it can be made");
    std::fs::write(repo.path.join(".git/info/grafts"), format!("# comment\n{middle} {other}\n"))
        .expect("it can be written");
    repo.path
}

fn replaced(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    let first = repo.commit("a", "1");
    let second = repo.commit("a", "2");
    repo.commit("a", "3");
    let tree = repo.git(&["rev-parse", &format!("{first}^{{tree}}")]);
    let other = repo.git(&["commit-tree", "-m", "other", &tree]);
    repo.git(&["replace", &second, &other]);
    let lost = repo.git(&["commit-tree", "-m", "lost", &tree]);
    assert_ne!(lost, other);
    repo.path
}

fn odd_refs(at: &Path) -> PathBuf {
    let repo = Repo::init(at, &[]);
    repo.commit("a", "1");
    for (name, text) in
        [("refs/notes/x", "2"), ("refs/remotes/o/main", "3"), ("refs/odd/deep/name", "4"), ("ORIG_HEAD", "5")]
    {
        let commit = repo.commit("a", text);
        repo.git(&["update-ref", name, &commit]);
    }
    repo.git(&["symbolic-ref", "refs/remotes/o/HEAD", "refs/remotes/o/main"]);
    repo.git(&["symbolic-ref", "refs/remotes/o/nowhere", "refs/remotes/o/nothing"]);
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["reset", "-q", "--hard", "HEAD~4"]);
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    repo.path
}
