//! What a marking cycle costs in small clusters: the counts themselves, because they do not depend on the machine.

use gc_protocol::limits::CYCLE_FAN_OUT;
use gc_sim::scaling::{Cost, NODES_MIN, Plan, measure};

fn cost(nodes: usize, chain: bool) -> Cost {
    measure(Plan { seed: 1, nodes, chain }).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Eight steps and eight wide objects of each of three homes, and with a chain one object more.
fn pairs(nodes: usize, chain: bool) -> u64 {
    nodes as u64 * (3 * (8 + 8) + u64::from(chain))
}

#[test]
fn each_pair_of_node_and_object_gets_exactly_one_mark() {
    for (nodes, chain) in [(4, false), (7, false), (16, false), (8, true)] {
        let cost = cost(nodes, chain);
        assert_eq!(cost.pairs, pairs(nodes, chain), "{cost:?}");
        assert_eq!(cost.marks, cost.pairs, "{cost:?}");
        assert_eq!((cost.marks_per_pair_max, cost.pairs_unmarked), (1, 0), "{cost:?}");
    }
}

#[test]
fn each_home_gets_one_list_and_each_node_deals_with_its_parent_and_its_children() {
    for nodes in [4, 16] {
        let cost = cost(nodes, false);
        assert_eq!(cost.node.lists, 3.0, "{cost:?}");
        // Down: waves, decide, call for votes, sweep. Up: answers, proved, agreement. Each over every edge of the tree.
        let (edges, waves) = (nodes as u64 - 1, u64::from(cost.waves));
        let (down, up) = (waves + 3, waves + 2);
        assert_eq!(cost.node.control * nodes as f64, (edges * (down + up)) as f64, "{cost:?}");
        let children = CYCLE_FAN_OUT.min(nodes - 1) as u64;
        assert_eq!(cost.coordinator_control, children * down, "{cost:?}");
        assert!(cost.busiest_control <= children * down + up, "{cost:?}");
    }
}

#[test]
fn a_node_pays_the_same_in_a_larger_cluster() {
    let (small, large) = (cost(4, false), cost(32, false));
    let ratio = |bytes: fn(&Cost) -> f64| bytes(&large) / bytes(&small);
    assert!(ratio(|cost| cost.node.bytes) < 1.5, "{small:?} {large:?}");
    assert!(ratio(|cost| cost.busiest_bytes as f64) < 1.5, "{small:?} {large:?}");
    assert!(large.coordinator_bytes <= large.busiest_bytes, "{large:?}");
}

#[test]
fn waves_are_few_however_long_marking_takes() {
    let (short, long) = (cost(8, true), cost(64, true));
    assert!(long.took_us > 2 * short.took_us, "{short:?} {long:?}");
    assert!(long.waves <= short.waves + 4, "{short:?} {long:?}");
}

#[test]
fn the_same_seed_gives_the_same_counts() {
    assert_eq!(cost(8, false), cost(8, false));
}

#[test]
fn too_few_nodes_are_refused() {
    let refused = measure(Plan { seed: 1, nodes: NODES_MIN - 1, chain: false });
    assert_eq!(refused, Err("3 nodes cannot be measured: take 4 to 1024".to_owned()));
}
