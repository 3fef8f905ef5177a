//! Everything that can be wrong with a cluster from outside: each answers what is wrong and what to do, and nothing is changed.

use crate::common::Place;
use crate::nodes::Cluster;

fn refused(place: &Place, args: &[&str], code: i32, words: &[&str]) {
    let ended = place.host(args);
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "'{word}' is not said: {args:?}: {ended:?}");
    }
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}

#[test]
fn flags_that_do_not_go_together_are_usage_errors() {
    let place = Place::new();
    for (args, words) in [
        (&["run", "--listen", "127.0.0.1:0"][..], &["--certs", "--state"][..]),
        (&["run", "--join", "127.0.0.1:1"], &["--listen"]),
        (&["run", "--listen", "here", "--certs", "c", "--state", "s"], &["here"]),
        (
            &["run", "--listen", "127.0.0.1:0", "--certs", "c", "--state", "s", "--join", "there"],
            &["there", "HOST:PORT"],
        ),
        (&["collect", "--without", "n3"], &["--dry-run"]),
        (&["swap", "tracing", "--cluster", "--shadow", "3"], &["--cluster"]),
    ] {
        refused(&place, args, 2, words);
    }
}

#[test]
fn certificates_and_folders_are_looked_at_before_anything_else() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let place = &cluster.place;
    let run = |certs: &str, node: &str, state: &str, more: &[&str]| -> Vec<String> {
        let args = ["run", "--listen", "127.0.0.1:0", "--certs", certs, "--node", node, "--state", state];
        args.iter().chain(more).map(|&arg| arg.to_owned()).collect()
    };
    let refused = |args: &[String], words: &[&str]| {
        refused(place, &args.iter().map(String::as_str).collect::<Vec<_>>(), 1, words);
    };
    refused(&run("nowhere", "n1", "s", &[]), &["nowhere", "host cert issue"]);
    refused(&run("certs/n1", "n2", "s", &[]), &["'n1'", "'n2'", "--certs"]);
    std::fs::write(place.path("file"), "").unwrap();
    refused(&run("certs", "n1", "file", &[]), &["file"]);
    std::fs::create_dir(place.path("damaged")).unwrap();
    std::fs::write(place.path("damaged/incarnation"), "many\n").unwrap();
    refused(&run("certs", "n1", "damaged", &[]), &["damaged", "incarnation"]);
    let node = cluster.start("n1", &[], &[]);
    refused(&run("certs", "n1", "state-n1", &["--socket", "x"]), &["state-n1", "in use", "--state"]);
    let taken = ["run", "--listen", &node.address, "--certs", "certs/n2", "--state", "s2", "--socket", "y"];
    refused(&taken.map(str::to_owned), &[&node.address, "--listen"]);
    // A port that is free at this moment.
    let own = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let itself =
        ["run", "--listen", &own, "--certs", "certs/n2", "--state", "s3", "--socket", "z", "--join", &own];
    refused(&itself.map(str::to_owned), &[&own, "this node itself", "--join"]);
}

#[test]
fn a_node_says_why_it_is_not_let_in() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let n1 = cluster.start("n1", &[], &[]);
    cluster.await_members("n1", 1);

    // Nobody is there. It goes on trying, and is no member.
    let lonely = cluster.start_on("n2", "127.0.0.1:0", "127.0.0.1:9", &[]);
    let why = lonely.hear("no link with 127.0.0.1:9: ");
    assert!(why.contains("check the address"), "{why}");
    let status = cluster.status("n2");
    assert_eq!((&status["epoch"], &status["fenced"]), (&0.into(), &true.into()), "{status}");
    let trouble = status["trouble"].as_str().unwrap();
    assert!(trouble.contains("no membership yet") && trouble.contains("127.0.0.1:9"), "{trouble}");
    assert_eq!(status["refusals"]["silent"], 1, "{status}");
    assert_eq!(cluster.ask("n2", &["collect"]).code, Some(1));
    drop(lonely);

    // Another node of the same name, with a folder of its own.
    let twin = cluster.place.host(&[
        "run",
        "--quiet",
        "--for",
        "4s",
        "--listen",
        "127.0.0.1:0",
        "--certs",
        "certs",
        "--node",
        "n1",
        "--state",
        "twin",
        "--socket",
        "twin.sock",
        "--join",
        &n1.address,
    ]);
    let same = |line: &str| line.contains("gc://shop/n1/1 has this node's name") && line.contains("own");
    let told = twin.err.lines().find(|line| line.contains(&format!("no link with n1 at {}: ", n1.address)));
    assert!(told.is_some_and(same), "{twin:?}");
    assert!(same(&n1.hear("no link with n1 at 127.0.0.1:")));
    let counted = cluster.status("n1")["refusals"].clone();
    assert!(counted["same_name"].as_u64() > Some(0), "{counted}");

    // A node of another cluster, whose authority is another.
    let other = Cluster::new(&["n1", "n2"]);
    let stranger = other.start_on("n2", "127.0.0.1:0", &n1.address, &[]);
    let sides =
        [stranger.hear(&format!("no link with {}: ", n1.address)), n1.hear("no link with 127.0.0.1:")];
    assert!(sides.iter().all(|line| line.contains("of one authority")), "{sides:?}");
    let status = other.status("n2");
    assert_eq!((&status["epoch"], &status["refusals"]["no_connection"]), (&0.into(), &1.into()), "{status}");
    drop(stranger);
    assert_eq!(cluster.status("n1")["members"].as_array().unwrap().len(), 1);
}

#[test]
fn a_node_that_is_in_no_cluster_says_so() {
    let place = Place::new();
    let node = place.node(&["--quiet"]);
    refused(&place, &["cluster", "status"], 1, &["in no cluster", "--listen"]);
    refused(&place, &["cluster", "exile", "n3"], 1, &["in no cluster"]);
    refused(&place, &["swap", "tracing", "--cluster"], 1, &["in no cluster"]);
    refused(&place, &["collect", "--dry-run", "--without", "n3"], 1, &["in no cluster"]);
    assert_eq!(place.host(&["collect"]).code, Some(0));
    assert_eq!(node.end("-INT").code, Some(0));
}
