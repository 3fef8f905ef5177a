//! What each of several nodes sent: messages and bytes, a group of bars for each node, a bar for each strategy.

use std::collections::BTreeMap;

use crate::answer::units::show;
use crate::bench::metric::Unit;
use crate::bench::model::NodeShare;
use crate::page::figures::{Figure, Source, class, row};
use crate::page::plot::{Axis, Plot, Scale, Swatch};
use crate::stats::median;

/// Nodes that are drawn; what further ones sent is in the data.
const NODES_MAX: usize = 16;

/// Height of a bar, and the room between two groups of bars.
const BAR: f64 = 12.0;
const BETWEEN: f64 = 8.0;

/// What is counted, and how it is told.
struct Way {
    id: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    working: fn(&NodeShare) -> u64,
    settling: fn(&NodeShare) -> u64,
}

const WAYS: [Way; 2] = [
    Way {
        id: "messages",
        title: "Messages that each node sent",
        axis: "messages",
        unit: Unit::Count,
        working: |node| node.messages,
        settling: |node| node.settle_messages,
    },
    Way {
        id: "message-bytes",
        title: "Bytes that each node sent",
        axis: "bytes of frames",
        unit: Unit::Bytes,
        working: |node| node.message_bytes,
        settling: |node| node.settle_message_bytes,
    },
];

/// What one node sent in the rounds of one strategy.
type Bars<'a> = BTreeMap<(u32, usize), Vec<&'a NodeShare>>;

pub(super) fn figures(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let Some(heap) = source.usual_heap(workload) else { return Vec::new() };
    let mut bars = Bars::new();
    for subject in source.subjects() {
        for (_, measures) in source.timed(workload, subject, heap) {
            for share in &measures.nodes {
                bars.entry((share.node, subject)).or_default().push(share);
            }
        }
    }
    if bars.is_empty() {
        return Vec::new();
    }
    WAYS.iter().map(|way| figure(source, workload, heap, &bars, way)).collect()
}

fn figure(source: &Source<'_>, workload: usize, heap: f64, bars: &Bars<'_>, way: &Way) -> Figure {
    let mut nodes: Vec<u32> = bars.keys().map(|&(node, _)| node).collect();
    nodes.dedup();
    let left_out = nodes.len().saturating_sub(NODES_MAX);
    let subjects = source.subjects();
    let middle = |of: fn(&NodeShare) -> u64, shares: &[&NodeShare]| {
        median(&shares.iter().map(|share| of(share) as f64).collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let sent = |shares: &[&NodeShare]| (middle(way.working, shares), middle(way.settling, shares));
    let most = bars.values().map(|shares| sent(shares)).map(|(working, settling)| working + settling);
    let most = most.fold(1.0, f64::max);
    let shown = &nodes[..nodes.len() - left_out];
    let group = BAR * subjects.len() as f64 + BETWEEN;
    let mut plot = Plot::new(
        Axis::of(way.axis, Scale::Linear { low: 0.0, high: most * 1.04 }, way.unit),
        Axis::rows(shown.iter().map(|node| format!("n{node}")).collect()),
        56.0 + group * shown.len() as f64,
    );
    let mut csv = format!("node,strategy,heap_multiple,{0},settle_{0},rounds\n", way.id.replace('-', "_"));
    for (&(node, subject), shares) in bars {
        let (working, settling) = sent(shares);
        let name = source.label(subject);
        csv += &row(&[&node, &name, &heap, &working, &settling, &shares.len()]);
        let (Some(at), Some(turn)) = (
            shown.iter().position(|&other| other == node),
            subjects.iter().position(|&other| other == subject),
        ) else {
            continue;
        };
        let (thick, turn) = (BAR / group, turn as f64 - (subjects.len() - 1) as f64 / 2.0);
        let at = at as f64 + turn * thick;
        let (top, bottom) = (at - 0.42 * thick, at + 0.42 * thick);
        plot.bar(&class(subject), (0.0, top), (working, bottom));
        plot.bar(&format!("{} see", class(subject)), (working, top), (working + settling, bottom));
        let told = |value| show(value, way.unit);
        let text = format!("n{node}, {name}: {} while working, {} after that", told(working), told(settling));
        plot.tip(working + settling, at, text);
    }
    for &subject in &subjects {
        plot.legend(source.label(subject), &class(subject), Swatch::Block);
    }
    let (id, title) = (format!("{}-{workload}", way.id), format!("{} at {heap}x heap", way.title));
    let mut note = "Medians over rounds. Pale: after the work, until nothing changed any more. The workload's own messages, and all that keeps references and the cluster going.".to_owned();
    if left_out > 0 {
        note += &format!(" The last {left_out} nodes are in the data only.");
    }
    Figure { svg: plot.finish(&id, &title), id, title, note, csv, wide: false }
}
