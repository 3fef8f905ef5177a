//! Everything that can be wrong from outside: each answers what is wrong and what to do, with a conventional exit code, and changes nothing.

mod common;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use common::{Ended, Place};

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
    for (file, word) in [
        ("missing.wasm", "cannot read"),
        ("truncated.wasm", "truncated"),
        ("text.wasm", "not WebAssembly"),
        ("empty.wasm", "empty"),
        ("module.wasm", "core WebAssembly module"),
        ("component.wasm", "not a strategy"),
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
    assert_eq!(running.end("-TERM").code, Some(0));
}
