//! Everything that can be wrong from outside: each answers what is wrong and what to do, with a conventional exit code, and changes nothing.

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use common::{Ended, Place};
use gc_lab::testing::Repo;

/// It failed with this code, said all of this, and printed no result.
fn failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "'{word}' is not said: {ended:?}");
    }
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    assert_eq!(ended.out, "", "nothing is printed as if it had worked");
}

#[test]
fn wrong_flags_are_usage_errors() {
    let place = Place::new();
    for (args, words) in [
        (&["run", "--stratgy", "tracing"][..], &["--stratgy"][..]),
        (&["run", "--heap", "much"], &["much", "64MiB"]),
        (&["run", "--heap", "-5"], &["-5"]),
        (&["run", "--load", "gti:."], &["gti", "git:PATH"]),
        (&["run", "--load", "git-history:."], &["keep"]),
        (&["run", "--set", "depth"], &["OPTION=VALUE"]),
        (&["run", "--for", "soon"], &["soon", "500ms"]),
        (&["run", "--proof", "maybe"], &["on or off"]),
        (&["run", "--metrics", "here"], &["here"]),
        (&["run", "--load", "churn", "--reclaimed", "x"], &["--reclaimed", "git:PATH"]),
        (&["why", "me"], &["me", "n0.1:4711.0"]),
        (&["strategy", "new", "Big Name"], &["lower case"]),
        (&["strategy", "extract", "nothing"], &["nothing", "tracing"]),
        (&["fly"], &["fly"]),
    ] {
        failed(&place.host(args), 2, words);
    }
}

#[test]
fn strategies_that_are_none_are_refused() {
    let place = Place::new();
    assert_eq!(place.host(&["strategy", "extract", "none", "-o", "whole.wasm"]).code, Some(0));
    let whole = std::fs::read(place.path("whole.wasm")).unwrap();
    std::fs::write(place.path("truncated.wasm"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(place.path("text.wasm"), "a text").unwrap();
    std::fs::write(place.path("empty.wasm"), "").unwrap();
    std::fs::write(place.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(place.path("component.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    std::fs::write(place.path("world.wasm"), another_world()).unwrap();
    for (file, word) in [
        ("missing.wasm", "cannot read"),
        ("truncated.wasm", "truncated"),
        ("text.wasm", "not WebAssembly"),
        ("empty.wasm", "empty"),
        ("module.wasm", "core WebAssembly module"),
        ("component.wasm", "not a strategy"),
        ("world.wasm", "acme:greeter/greet@1.0.0"),
        ("/dev/zero", "no strategy may have more than"),
        ("./", "directory"),
    ] {
        for args in
            [&["run", "--strategy", file][..], &["strategy", "inspect", file], &["strategy", "check", file]]
        {
            failed(&place.host(args), 1, &[file, word]);
        }
    }
    failed(&place.host(&["run", "--strategy", "tracnig"]), 1, &["tracnig", "mark-sweep", "hold"]);
    failed(&place.host(&["run", "--set", "depht=3"]), 1, &["depht", "slice-percent"]);
    failed(&place.host(&["run", "--set", "slice-percent=x"]), 1, &["slice-percent", "whole number"]);
}

/// A component that is no strategy.
fn another_world() -> Vec<u8> {
    gc_wasm_build::compile_hostile(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")), &["other-world"], &[])
}

#[test]
fn what_is_no_component_and_what_is_no_check_are_said() {
    let place = Place::new();
    failed(
        &place.host(&["strategy", "inspect", "hold"]),
        1,
        &["'hold'", "no component", "host strategy list"],
    );
    let check = ["strategy", "check", "none", "--only", "everything"];
    failed(&place.host(&check), 1, &["'everything'", "deep list"]);
    failed(&place.host(&["strategy", "new", "match"]), 2, &["'match'", "Rust"]);
    failed(&place.host(&["strategy", "extract", "none", "-o", "/dev/full"]), 1, &["/dev/full", "-o"]);
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let place = Place::new();
    for (line, words) in [
        ("grow_at_percent = 0", &["line 2, column 19", "between 1 and 100"][..]),
        ("grow_at_percent = 40", &["line 2, column 19", "shrink as soon as it has grown"]),
        ("slab = \"100KB\"", &["line 2, column 8", "slab", "64KiB to 32MiB"]),
        ("initial_blocks = 2\nmaximum_blocks = 1", &["line 2, column 18", "above its maximum"]),
        ("block_sizes = [\"100B\"]", &["line 2, column 15", "100 bytes", "multiples of 64"]),
    ] {
        std::fs::write(place.path("node.toml"), format!("[memory]\n{line}\n")).unwrap();
        failed(&place.host(&["run", "--config", "node.toml"]), 2, words);
    }
    // Half a slab is 64 KiB where nothing else is said.
    std::fs::write(place.path("node.toml"), "heap = \"64MiB\"\n[memory]\nblock_sizes = [\"1MiB\"]\n")
        .unwrap();
    failed(&place.host(&["run", "--config", "node.toml"]), 1, &["block size", "half a slab"]);
}

#[test]
fn a_corrupt_repository_is_named_with_what_is_corrupt() {
    let place = Place::new();
    let repo = Repo::init(&place.path("repository"), &[]);
    repo.commit("a", "1");
    repo.git(&["gc", "-q"]);
    let packs = place.path("repository/.git/objects/pack");
    let pack = std::fs::read_dir(packs).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().is_some_and(|end| end == "pack")).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let mut permissions = std::fs::metadata(&pack).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(&pack, permissions).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    std::fs::write(place.path("ids"), "precious").unwrap();
    let run = ["run", "--quiet", "--load", "git:repository", "--reclaimed", "ids"];
    failed(&place.host(&run), 1, &["repository", ".pack is corrupt", "git fsck"]);
    assert_eq!(std::fs::read_to_string(place.path("ids")).unwrap(), "precious");
}

/// What a person sees who sends it to a file on a full disk, or to a program that has ended: an end as any other.
#[test]
fn a_standard_error_that_nobody_takes_ends_nothing() {
    let place = Place::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let load = "churn?operations=2k&live=500&threads=1";
    for args in [&["run", "--heap", "64MiB", "--load", load][..], &["run", "--strategy", "nothing"]] {
        let expected = if args.contains(&"--load") { 0 } else { 1 };
        let ended = place.command(args).stderr(full()).output().unwrap();
        assert_eq!(ended.status.code(), Some(expected), "{args:?}: {ended:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = place.command(args).stderr(writer).output().unwrap();
        assert_eq!(ended.status.code(), Some(expected), "{args:?}: {ended:?}");
    }
}

/// The same where there is something to say in the middle of the work: nobody takes more of a trace, a comparison begins.
#[test]
fn what_is_said_on_the_way_ends_nothing_either() {
    let place = Place::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let load = "churn?operations=100k&live=500&threads=1";
    let run = ["run", "--strategy", "hold", "--heap", "256MiB", "--load", load, "--record", "pipe"];
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Whoever reads the trace has enough of it after its first bytes.
    let reader = std::thread::spawn(move || std::fs::File::open(pipe).unwrap().read(&mut [0; 8]).unwrap());
    let ended: Ended = place.command(&run).stderr(full()).output().unwrap().into();
    assert_eq!((ended.code, reader.join().unwrap()), (Some(0), 8), "{ended:?}");
    assert!(ended.out.contains("not to the end: the file cannot be written"), "{ended:?}");

    let bench = ["bench", "--a", "none", "--b", "tracing", "--workload", "graph:nowhere", "--out", "out"];
    let said = place.host(&bench);
    assert!(said.err.contains("comparing none, tracing on graph:nowhere"), "{said:?}");
    let unsaid = place.command(&bench).stderr(full()).output().unwrap();
    assert_eq!(unsaid.status.code(), said.code, "{unsaid:?}");
}

#[test]
fn a_standard_output_that_is_full_is_said_and_one_that_nobody_reads_is_no_error() {
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = place.command(&["strategy", "list"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && said.contains("standard output: is the disk full"), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = place.command(&["strategy", "list"]).stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]), "{ended:?}");
}

/// A trace takes the place of what was there when there is something to be recorded, and not before.
#[test]
fn what_cannot_be_started_leaves_no_trace() {
    let place = Place::new();
    std::fs::write(place.path("there"), "precious").unwrap();
    for trace in ["trace", "there", "no/trace"] {
        failed(&place.host(&["run", "--strategy", "nothing", "--record", trace]), 1, &[]);
        let load = ["run", "--quiet", "--strategy", "none", "--load", "git:nowhere", "--record", trace];
        failed(&place.host(&load), 1, &[]);
    }
    assert_eq!(std::fs::read_to_string(place.path("there")).unwrap(), "precious");
    let left = std::fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "gc-host").collect();
    assert_eq!(left, ["there"]);
    failed(&place.host(&["run", "--record", "no/trace"]), 1, &["cannot write no/trace:"]);
}

/// Whoever is stopped does not know what all is reclaimed, whoever has a full disk still says how it went, and nobody overwrites what is read.
#[test]
fn ids_are_written_whole_or_not_at_all() {
    let place = Place::new();
    let text = "root a\nedge a b\nedge c d\n";
    std::fs::write(place.path("g"), text).unwrap();
    std::fs::write(place.path("ids"), "precious").unwrap();
    let run =
        ["run", "--quiet", "--strategy", "mark-sweep", "--heap", "64MiB", "--load", "graph:g", "--json"];
    let with = |more: &[&str]| place.host(&[&run[..], more].concat());
    let stopped = with(&["--reclaimed", "ids", "--for", "0s"]);
    assert!(stopped.code == Some(0) && stopped.err.contains("ids is left as it was"), "{stopped:?}");
    assert_eq!(stopped.json()["load"]["stopped"], true);
    let full = with(&["--reclaimed", "/dev/full"]);
    assert!(full.code == Some(1) && full.err.contains("cannot write /dev/full"), "{full:?}");
    assert_eq!((&full.json()["event"], &full.json()["reclaimed_objects"]), (&"summary".into(), &2.into()));
    for (flag, file, word) in [
        ("--reclaimed", "./g", "what the load reads"),
        ("--journal", "g", "what the load reads"),
        ("--record", "g", "what the load reads"),
    ] {
        failed(&with(&[flag, file]), 2, &[word, flag]);
    }
    failed(
        &with(&["--reclaimed", "new", "--record", "./new"]),
        2,
        &["given with --record too", "--reclaimed"],
    );
    assert_eq!(std::fs::read_to_string(place.path("g")).unwrap(), text);
    assert_eq!(std::fs::read_to_string(place.path("ids")).unwrap(), "precious");
    assert!(!place.path("new").exists());
}

/// Whatever it was that could not be: the strategy, an option of it, the heap, an address, the load.
#[test]
fn what_cannot_be_started_leaves_no_journal() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(place.path("there"), "precious\n").unwrap();
    for wrong in [
        &["--strategy", "nothing"][..],
        &["--strategy", "missing.wasm"],
        &["--set", "depht=3"],
        &["--heap", "1KiB"],
        &["--metrics", &address],
        &["--load", "graph:nowhere"],
    ] {
        failed(&place.host(&[&["run", "--quiet", "--journal", "journal"], wrong].concat()), 1, &[]);
        assert!(!place.path("journal").exists(), "{wrong:?}");
    }
    failed(&place.host(&["run", "--strategy", "nothing", "--journal", "there"]), 1, &["nothing"]);
    assert_eq!(std::fs::read_to_string(place.path("there")).unwrap(), "precious\n");
    failed(&place.host(&["run", "--journal", "no/journal"]), 1, &["no/journal"]);
}

/// Nobody asked for it by name.
#[test]
fn a_place_for_compiled_code_that_cannot_be_used_stops_nobody() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    let run = ["run", "--strategy", "none", "--for", "10ms", "--heap", "64MiB"];
    let ended: Ended = place.command(&run).env("XDG_CACHE_HOME", place.path("file")).output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("compiled code is not kept") && ended.err.contains("--cache"), "{ended:?}");
    let cache = place.path("file/code").display().to_string();
    failed(&place.host(&[&run[..], &["--cache", &cache]].concat()), 1, &["file/code"]);
}

#[test]
fn a_configuration_is_refused_with_line_and_column() {
    let place = Place::new();
    std::fs::write(place.path("node.toml"), "strategy = \"none\"\n[collector]\n  idel = \"1s\"\n").unwrap();
    failed(&place.host(&["run", "--config", "node.toml"]), 2, &["node.toml", "line 3, column 3", "idel"]);
    failed(&place.host(&["run", "--config", "none.toml"]), 1, &["none.toml", "--config"]);
}

#[test]
fn inputs_that_cannot_be_read_are_refused() {
    let place = Place::new();
    std::fs::write(place.path("graph.txt"), "root a\nedge a\n").unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    std::fs::write(place.path("ids"), "precious").unwrap();
    failed(&place.host(&["run", "--quiet", "--load", "git:folder"]), 1, &["folder"]);
    failed(&place.host(&["run", "--quiet", "--load", "git:nowhere"]), 1, &["nowhere"]);
    failed(&place.host(&["run", "--quiet", "--load", "graph:nowhere"]), 1, &["nowhere"]);
    failed(
        &place.host(&["run", "--quiet", "--load", "graph:graph.txt", "--reclaimed", "ids"]),
        1,
        &["graph.txt", "2"],
    );
    assert_eq!(std::fs::read_to_string(place.path("ids")).unwrap(), "precious");
    failed(
        &place.host(&["run", "--quiet", "--load", "graph:graph.txt", "--reclaimed", "no/ids"]),
        1,
        &["no/ids"],
    );
}

#[test]
fn heaps_that_cannot_be_are_refused() {
    let place = Place::new();
    failed(&place.host(&["run", "--heap", "1PB"]), 2, &["1PB"]);
    failed(&place.host(&["run", "--heap", "900TiB"]), 2, &["900 TiB", "machine", "--heap"]);
    failed(&place.host(&["run", "--heap", "1KiB"]), 1, &["too small"]);
}

#[test]
fn a_full_heap_ends_the_load_and_says_so() {
    let place = Place::new();
    // 64 Ki objects under one root, and room for 32 Ki cells.
    let mut text = String::from("root 0\n");
    for n in 1..65_536 {
        text += &format!("edge {} {n}\n", (n - 1) / 2);
    }
    std::fs::write(place.path("big.txt"), text).unwrap();
    failed(
        &place.host(&["run", "--quiet", "--heap", "1MiB", "--load", "graph:big.txt"]),
        1,
        &["heap full", "--heap"],
    );
}

#[test]
fn a_socket_belongs_to_one_node() {
    let place = Place::new();
    let running = place.node(&["--strategy", "none"]);
    let second = place.host(&["run", "--strategy", "none"]);
    failed(&second, 1, &["already running", &running.id().to_string(), "--socket"]);
    // The first one did not notice.
    assert_eq!(place.host(&["status"]).code, Some(0));
    assert_eq!(running.end("-INT").code, Some(0));

    let theirs = place.path("theirs");
    let _listener = UnixListener::bind(&theirs).unwrap();
    failed(&place.host(&["run", "--socket", "theirs"]), 1, &["theirs", "--socket"]);
    std::fs::write(place.path("file"), "precious").unwrap();
    failed(&place.host(&["run", "--socket", "file"]), 1, &["no socket"]);
    assert_eq!(std::fs::read_to_string(place.path("file")).unwrap(), "precious");
    std::fs::write(place.path("other.lock"), "precious").unwrap();
    failed(&place.host(&["run", "--socket", "other"]), 1, &["other.lock", "no lock of a node", "--socket"]);
    assert_eq!(std::fs::read_to_string(place.path("other.lock")).unwrap(), "precious");
    assert!(
        !place.path("file.lock").exists() && !place.path("theirs.lock").exists(),
        "nothing is left behind"
    );
    failed(&place.host(&["run", "--socket", "no/such/folder"]), 1, &["no/such/folder"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    failed(&place.host(&["run", "--metrics", &address]), 1, &[&address, "metrics"]);
}

#[test]
fn without_a_node_there_is_nobody_to_talk_to() {
    let place = Place::new();
    for args in [
        &["status"][..],
        &["swap", "epoch"],
        &["why", "n0.1:2.0"],
        &["collect"],
        &["collect", "--dry-run", "--json"],
    ] {
        failed(&place.host(args), 3, &["no node is running", "host run"]);
    }
}

#[test]
fn a_socket_of_a_killed_node_is_replaced() {
    let place = Place::new();
    place.node(&["--strategy", "none"]).end("-KILL");
    failed(&place.host(&["status"]), 3, &["no node is running"]);
    let running = place.node(&["--strategy", "none"]);
    // A terminal that is closed; under nohup nobody is told.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let told = u64::from_str_radix(ignored, 16).unwrap() & 1 == 0;
    assert_eq!(running.end(if told { "-HUP" } else { "-TERM" }).code, Some(0));
    assert!(!place.path("gc-host/control.sock").exists());
}
