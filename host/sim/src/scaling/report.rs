//! The table for people.

use std::fmt::Write;

use super::Cost;

/// A table of these costs, and how they grow from the first to the last.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    let mut text = String::from(
        "| nodes | marks per pair: mean, most | waves | ms | sent by a node: marks | control | lists | frames | acks | bytes, mean | busiest node but the coordinator, bytes both ways | coordinator: control sent | bytes both ways | not of the cycle, bytes per node: let go | background |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cost in costs {
        let node = &cost.node;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {:.3}, {} | {} | {:.1} | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.1} ({:.0} B) | {:.0} | {} | {} | {} | {:.0} | {:.0} |",
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
            cost.busiest_bytes,
            cost.coordinator_control,
            cost.coordinator_bytes,
            node.released_bytes,
            node.background_bytes,
        );
    }
    if let (Some(least), Some(most)) = spread(costs) {
        let _ = writeln!(
            text,
            "bytes per node: {:.2}x between the cheapest and the dearest cluster; goal 1.5x",
            most / least
        );
    }
    text
}

/// The least and the most that an average node sent.
fn spread(costs: &[Cost]) -> (Option<f64>, Option<f64>) {
    let bytes = || costs.iter().map(|cost| cost.node.bytes);
    (bytes().min_by(f64::total_cmp), bytes().max_by(f64::total_cmp))
}
