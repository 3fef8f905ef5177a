//! Why an object is alive, over as many nodes as it takes.
//!
//! On one node the answer is a path from a root. Here a path may begin at an object that is held for other nodes; then the question is why *they*
//! hold it, and it is asked there, until somebody has a root, somebody does not answer, or nobody is left to ask.

use std::collections::{BTreeSet, VecDeque};

use gc_heap::{Handle, RootKind, Why};

use crate::cluster::error::ClusterError;
use crate::cluster::handle::{Cluster, Order, Peer, misunderstood};
use crate::cluster::post::{Question, Reply, WhyHere};
use crate::control::WhyRecord;
use crate::limits::{QUESTION_WAIT, WHY_HOPS_MAX};

/// What is to be asked next: whom, about what, and the way from that to the object that the whole is about.
struct Step {
    node: u32,
    handle: String,
    /// From `handle` on.
    path: Vec<String>,
    left_out: u64,
}

impl Cluster {
    /// Why an object is alive, or gone, as far as this node knows.
    pub(crate) fn why_here(&self, handle: Handle) -> Result<WhyHere, ClusterError> {
        let why = self.shared.heap.why(handle);
        let mut here =
            WhyHere { record: WhyRecord::new(handle, &why), scion: None, holders: Vec::new(), pinned: false };
        if let Why::Alive { root: RootKind::Held, path } = &why
            && let Some(&head) = path.first()
        {
            here.scion = Some(head.to_string());
            (here.holders, here.pinned) =
                self.ask(QUESTION_WAIT, |reply| Order::HeldBy { handle: head, reply })?;
        }
        Ok(here)
    }

    /// Why an object anywhere in the cluster is alive, or which decision freed it.
    ///
    /// # Errors
    ///
    /// When this node is no member any more. A node that cannot be asked is no error: the answer says since when nothing is known of it.
    pub fn why(&self, handle: Handle) -> Result<WhyRecord, ClusterError> {
        let text = handle.to_string();
        let mut seen = BTreeSet::from([(handle.node, text.clone())]);
        let mut steps =
            VecDeque::from([Step { node: handle.node, handle: text.clone(), path: Vec::new(), left_out: 0 }]);
        let mut unknown: Option<WhyRecord> = None;
        let mut last: Option<WhyRecord> = None;
        for _ in 0..WHY_HOPS_MAX {
            let Some(step) = steps.pop_front() else { break };
            let here = match self.why_at(&step)? {
                Ok(here) => here,
                Err(why) => {
                    unknown.get_or_insert_with(|| unknown_record(&text, &step, &why));
                    continue;
                }
            };
            let record = joined(&text, &here, &step);
            let Some(scion) = here.scion.filter(|_| !here.pinned) else {
                // A root, a copy under way, or the end of the object that was asked about.
                if here.record.alive || step.path.is_empty() {
                    return Ok(record);
                }
                continue;
            };
            for holder in here.holders {
                if seen.insert((holder, scion.clone())) {
                    let (path, left_out) = (record.path.clone(), record.left_out);
                    steps.push_back(Step { node: holder, handle: scion.clone(), path, left_out });
                }
            }
            last.get_or_insert(record);
        }
        Ok(unknown
            .or(last.map(|record| held_in_a_ring(record, steps.is_empty())))
            .unwrap_or_else(|| WhyRecord::short(handle, format!("{text} is of no node that can be asked"))))
    }

    /// Asks a node; the error inside says why it cannot be asked.
    fn why_at(&self, step: &Step) -> Result<Result<WhyHere, Unknown>, ClusterError> {
        if step.node == self.me().number {
            let handle = step.handle.parse().map_err(|error| ClusterError::Refused(format!("{error}")))?;
            return Ok(Ok(self.why_here(handle)?));
        }
        let peers = self.peers();
        let in_a_cluster = !peers.is_empty();
        let Some(peer) = peers.into_iter().find(|peer| peer.number == step.node) else {
            return Ok(Err(Unknown {
                name: format!("n{}", step.node),
                since_s: None,
                why: "it is no member".into(),
                has_left: in_a_cluster,
            }));
        };
        if !peer.there {
            return Ok(Err(Unknown::of(&peer, "it is not reached")));
        }
        match self.question(step.node, Question::Why { handle: step.handle.clone() }) {
            Ok(Reply::Why(here)) => Ok(Ok(here)),
            Ok(other) => Ok(Err(Unknown::of(&peer, &misunderstood(&other).to_string()))),
            Err(ClusterError::Ended) => Err(ClusterError::Ended),
            Err(error) => Ok(Err(Unknown::of(&peer, &error.to_string()))),
        }
    }
}

/// A node that cannot be asked.
struct Unknown {
    name: String,
    since_s: Option<f64>,
    why: String,
    /// It is no member, and what it had is gone.
    has_left: bool,
}

impl Unknown {
    fn of(peer: &Peer, why: &str) -> Unknown {
        let since_s = peer.heard.map(|heard| heard.elapsed().as_secs_f64());
        Unknown { name: peer.name.clone(), since_s, why: why.into(), has_left: false }
    }
}

/// The answer of one node, with the way from there.
fn joined(asked: &str, here: &WhyHere, step: &Step) -> WhyRecord {
    let mut record = here.record.clone();
    if step.path.is_empty() {
        return record;
    }
    // The last of one path is the first of the next: the same object, there as a stub and here as itself.
    record.path.pop();
    record.path.extend(step.path.iter().cloned());
    record.left_out += step.left_out;
    record.handle = asked.into();
    record.text = format!("{asked} is alive: on node n{}, {}", step.node, here.record.text);
    record
}

fn unknown_record(asked: &str, step: &Step, unknown: &Unknown) -> WhyRecord {
    let Unknown { name, since_s, why, has_left } = unknown;
    if *has_left && step.path.is_empty() {
        let text = format!("{asked} is gone: {name} is no member, and what a node has goes with it");
        let (path, left_out) = (Vec::new(), 0);
        return WhyRecord { handle: asked.into(), alive: false, text, path, left_out, unknown_since_s: None };
    }
    let since =
        since_s.map_or("for as long as this node runs".into(), |seconds| format!("since {seconds:.1} s"));
    let text = if step.path.is_empty() {
        format!("{asked} belongs to {name}: unknown {since}: {why}")
    } else {
        format!(
            "{asked} is held for {name}, and why is unknown {since}: {why}; it stays until that is known, or {name} is exiled"
        )
    };
    WhyRecord {
        handle: asked.into(),
        alive: !step.path.is_empty(),
        text,
        path: step.path.clone(),
        left_out: step.left_out,
        unknown_since_s: Some(since_s.unwrap_or(0.0)),
    }
}

/// No root was found by any of the nodes that hold it.
fn held_in_a_ring(mut record: WhyRecord, all_asked: bool) -> WhyRecord {
    record.text = if all_asked {
        format!(
            "{} is held by other nodes only, and no root was found on the shortest way on any of them: garbage over nodes goes in a cycle over all of them (`host collect`)",
            record.handle
        )
    } else {
        format!(
            "{} is held over more than {WHY_HOPS_MAX} nodes: ask about an object nearer to a root",
            record.handle
        )
    };
    record
}
