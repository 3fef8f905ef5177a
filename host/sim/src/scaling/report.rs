//! The table for people.

use std::fmt::Write;

use super::Cost;

/// A table of these costs, and how they grow from the first to the last.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    let mut text = String::from(
        "| nodes | marks per pair: mean, most | waves | ms | sent by a node: marks | control | lists | frames | acks | bytes, mean | busiest node: control sent | bytes both ways | coordinator: control sent | bytes both ways | not of the cycle, bytes per node: let go | background |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cost in costs {
        let node = &cost.node;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {:.3}, {} | {} | {:.1} | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.0} | {} | {} | {} | {} | {:.0} | {:.0} |",
            cost.nodes,
            cost.marks as f64 / cost.pairs as f64,
            cost.marks_per_pair_max,
            cost.waves,
            cost.took_us as f64 / 1e3,
            node.marks,
            node.mark_bytes,
            node.control,
            node.control_bytes,
            node.lists,
            node.list_bytes,
            node.frames,
            node.header_bytes,
            node.acknowledgements,
            node.acknowledgement_bytes,
            node.bytes,
            cost.busiest_control,
            cost.busiest_bytes,
            cost.coordinator_control,
            cost.coordinator_bytes,
            node.released_bytes,
            node.background_bytes,
        );
    }
    for (what, bytes) in [
        ("bytes sent by an average node", (|cost| cost.node.bytes) as fn(&Cost) -> f64),
        ("bytes of the busiest node, both ways", |cost| cost.busiest_bytes as f64),
    ] {
        if let (Some(least), Some(most)) = spread(costs, bytes) {
            let ratio = most / least;
            let _ =
                writeln!(text, "{what}: {ratio:.2}x between the cheapest and the dearest cluster; goal 1.5x");
        }
    }
    text
}

/// The least and the most of all clusters.
fn spread(costs: &[Cost], bytes: fn(&Cost) -> f64) -> (Option<f64>, Option<f64>) {
    let bytes = || costs.iter().map(bytes);
    (bytes().min_by(f64::total_cmp), bytes().max_by(f64::total_cmp))
}
