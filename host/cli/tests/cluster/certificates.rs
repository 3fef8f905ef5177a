//! Certificates that are replaced under running nodes, and an authority that is believed no more.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::nodes::{Cluster, Node, metrics};

/// Makes certificates anew, and waits until nodes have read theirs.
fn rotate(cluster: &Cluster, args: &[&str], nodes: &[&Node]) {
    let rotated = cluster.place.host(&[&["cert", "rotate"], args].concat());
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    nodes.iter().for_each(|node| drop(node.hear("the certificates were replaced")));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["authority.pem", "node.key", "node.pem"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn an_authority_is_replaced_under_running_nodes() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    let n1 = cluster.start("n1", &[], &["--metrics", "127.0.0.1:0"]);
    let address = n1.hear("metrics on http://").split('/').nth(2).unwrap().to_owned();
    let n2 = cluster.start("n2", &[&n1], &[]);
    cluster.await_members("n1", 2);
    // Nobody thinks of the machine of n3.
    let (certs, forgotten) = (cluster.place.path("certs"), cluster.place.path("forgotten"));
    copy(&certs.join("n3"), &forgotten);
    rotate(&cluster, &[], &[&n1, &n2]);
    rotate(&cluster, &["--authority"], &[&n1, &n2]);
    rotate(&cluster, &[], &[&n1, &n2]);
    rotate(&cluster, &["--authority"], &[&n1, &n2]);

    // Who is new believes the new authority alone, and so do the others: it sees what they have read meanwhile.
    assert_eq!(cluster.place.host(&["cert", "issue", "n4"]).code, Some(0));
    let _n4 = cluster.start("n4", &[&n1], &[]);
    for name in ["n1", "n2", "n4"] {
        let status = cluster.await_members(name, 3);
        assert_eq!(status["counters"]["leases_lapsed"], 0, "{status}");
    }

    let args = ["--certs", "forgotten"];
    let n3 = cluster.start("n3", &[&n1], &args);
    let sides = [n3.hear(&format!("no link with {}: ", n1.address)), n1.hear("no link with 127.0.0.1:")];
    assert!(sides.iter().all(|line| line.contains("of one authority")), "{sides:?}");
    let until = Instant::now() + crate::nodes::PATIENCE;
    while !metrics(&address).contains("gc_cluster_refusals_total{reason=\"no_connection\"}") {
        assert!(Instant::now() < until, "it is not counted: {}", metrics(&address));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(cluster.status("n1")["members"].as_array().unwrap().len(), 3);
    // It comes in by itself once somebody has thought of it.
    copy(&certs.join("n3"), &forgotten);
    n3.hear("the certificates were replaced");
    cluster.await_members("n1", 4);
}
