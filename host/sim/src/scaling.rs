//! What a marking cycle over all nodes costs as the cluster grows and the work of each node stays the same.
//!
//! Every node has the same objects, refers to three others and is referred to by three (`shape`). All are members, connected, with default settings over a
//! wire of one millisecond. When nobody has anything left to say, one cycle runs; every frame that is sent until it is swept everywhere is taken apart and
//! counted (`ledger`). No chance but the seed, so a count is the same each time.
//!
//! ```text
//!  for N in 4, 16, 64, 256:   build ──▶ quiet ──▶ cycle, counted ──▶ what can be reached is there, what cannot is gone ──▶ Cost
//! ```
//!
//! 1. The sender says what a message is, not the moment: hellos, leases and digests are counted apart, whenever they come.
//! 2. The header of a frame belongs to the cycle if anything in the frame does. Acknowledgements that travel alone all belong to it: before it began nothing was open.
//! 3. A measurement counts only if the cycle did its work: exactly the garbage has gone, at every node.

mod crowd;
mod ledger;
mod report;
mod shape;

use serde::Serialize;

use crowd::Crowd;
use ledger::{Kind, Ledger, Tally};

pub use report::table;

/// Fewest nodes: each refers to three others.
pub const NODES_MIN: usize = shape::WAYS + 1;

/// Which cluster is measured.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who refers to whom, and how long collectors take for a step.
    pub seed: u64,
    /// How many nodes, at least [`NODES_MIN`].
    pub nodes: usize,
    /// A chain of references leads through every node, one object on each: as many steps one after another as there are nodes.
    pub chain: bool,
}

/// What one cycle cost. Counts are exact; those of a node are what it *sent*, on the average of all nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Whether a chain led through all of them.
    pub chain: bool,
    /// Objects that can be reached from another node, once for each such node.
    pub pairs: u64,
    /// Marks, each counted by itself however many share a message.
    pub marks: u64,
    /// The most for one pair.
    pub marks_per_pair_max: u64,
    /// Pairs without a mark.
    pub pairs_unmarked: u64,
    /// Waves.
    pub waves: u32,
    /// From the request until the last node had swept, in microseconds of the simulated time.
    pub took_us: u64,
    /// What an average node sent.
    pub node: Sent,
    /// Bytes of the cycle sent and received by the busiest node.
    pub busiest_bytes: u64,
    /// Most control messages that a node sent.
    pub busiest_control: u64,
    /// Bytes of the cycle that the coordinator sent and received.
    pub coordinator_bytes: u64,
    /// Control messages that the coordinator sent.
    pub coordinator_control: u64,
}

/// What an average node sent in one cycle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    /// Marks.
    pub marks: f64,
    /// Bytes of marks.
    pub mark_bytes: f64,
    /// Waves and their answers, decide, proved, votes, sweep.
    pub control: f64,
    /// Bytes of those.
    pub control_bytes: f64,
    /// Lists of condemned stubs, one for each home.
    pub lists: f64,
    /// Bytes of lists.
    pub list_bytes: f64,
    /// Frames that carried any of these.
    pub frames: f64,
    /// Bytes of their headers.
    pub header_bytes: f64,
    /// Acknowledgements that travelled alone.
    pub acknowledgements: f64,
    /// Bytes of those.
    pub acknowledgement_bytes: f64,
    /// All bytes of the cycle: the sum of the above.
    pub bytes: f64,
    /// What the sweep let go of: cleans and their answers, with the headers of their frames. Not of the cycle.
    pub released_bytes: f64,
    /// Hellos, leases, digests, in the same time. Not of the cycle.
    pub background_bytes: f64,
}

/// Builds the cluster, runs one cycle, counts.
///
/// # Errors
///
/// What went wrong, when: then there is nothing to count. Also when there are fewer than [`NODES_MIN`] nodes.
pub fn measure(plan: Plan) -> Result<Cost, String> {
    if plan.nodes < NODES_MIN || plan.nodes > gc_protocol::limits::NODES_MAX {
        let max = gc_protocol::limits::NODES_MAX;
        return Err(format!("{} nodes cannot be measured: take {NODES_MIN} to {max}", plan.nodes));
    }
    let mut crowd = Crowd::new(plan)?;
    crowd.build()?;
    let took_us = crowd.cycle()?;
    crowd.judge()?;
    Ok(cost(plan, took_us, &crowd))
}

fn cost(plan: Plan, took_us: u64, crowd: &Crowd) -> Cost {
    let ledger = crowd.ledger();
    let pairs = crowd.pairs();
    let unmarked = pairs.iter().filter(|pair| !ledger.marked().contains_key(pair)).count();
    let both = |place: usize| ledger.sent(place).cycle_bytes() + ledger.received(place).cycle_bytes();
    let control = |place: usize| ledger.sent(place).of(Kind::Control).count;
    Cost {
        seed: plan.seed,
        nodes: plan.nodes,
        chain: plan.chain,
        pairs: pairs.len() as u64,
        marks: ledger.marked().values().sum(),
        marks_per_pair_max: ledger.marked().values().copied().max().unwrap_or(0),
        pairs_unmarked: unmarked as u64,
        waves: ledger.waves(),
        took_us,
        node: sent(plan.nodes, ledger),
        busiest_bytes: (0..plan.nodes).map(both).max().unwrap_or(0),
        busiest_control: (0..plan.nodes).map(control).max().unwrap_or(0),
        // The first member coordinates.
        coordinator_bytes: both(0),
        coordinator_control: control(0),
    }
}

fn sent(nodes: usize, ledger: &Ledger) -> Sent {
    let all = |kind: Kind| {
        let sum = (0..nodes).map(|place| ledger.sent(place).of(kind)).fold(Tally::default(), Tally::plus);
        (sum.count as f64 / nodes as f64, sum.bytes as f64 / nodes as f64)
    };
    let (marks, mark_bytes) = all(Kind::Mark);
    let (control, control_bytes) = all(Kind::Control);
    let (lists, list_bytes) = all(Kind::List);
    let (frames, header_bytes) = all(Kind::Header);
    let (acknowledgements, acknowledgement_bytes) = all(Kind::Acknowledgement);
    Sent {
        marks,
        mark_bytes,
        control,
        control_bytes,
        lists,
        list_bytes,
        frames,
        header_bytes,
        acknowledgements,
        acknowledgement_bytes,
        bytes: mark_bytes + control_bytes + list_bytes + header_bytes + acknowledgement_bytes,
        released_bytes: all(Kind::Release).1,
        background_bytes: all(Kind::Background).1,
    }
}
