//! What came of it, in lines for people, and the reports of several nodes of one process put together.

use std::time::Duration;

use crate::peers::Traffic;
use crate::report::{NodeWork, WorkloadReport};

/// A line for each node, and one for all.
pub(super) fn lines(nodes: &[NodeWork]) -> Vec<String> {
    let mut lines: Vec<String> = nodes.iter().map(line).collect();
    if nodes.len() > 1 {
        lines.push(all(nodes));
    }
    lines
}

fn line(node: &NodeWork) -> String {
    let reclaimed = match node.lag {
        Some(lag) => format!("none left after {}", milliseconds(lag)),
        None => format!("{} workers left over", node.left_workers),
    };
    format!(
        "n{}: {} turns, {} workers, {} letters; {}; {} workers verified, {} of its own reached at the end; {reclaimed}",
        node.node,
        node.turns,
        node.workers,
        node.letters,
        sent(node.working, node.settling),
        node.verified,
        node.known,
    )
}

fn all(nodes: &[NodeWork]) -> String {
    let sum = |of: fn(&NodeWork) -> u64| nodes.iter().map(of).sum::<u64>();
    let working = nodes.iter().fold(Traffic::default(), |sum, node| sum.and(node.working));
    let settling = nodes.iter().fold(Traffic::default(), |sum, node| sum.and(node.settling));
    let (workers, left) = (sum(|node| node.workers), sum(|node| node.left_workers));
    let lag = nodes.iter().map(|node| node.lag).collect::<Option<Vec<_>>>();
    let reclaimed = match lag.and_then(|lags| lags.into_iter().max()) {
        Some(lag) => {
            format!("all {workers} workers reclaimed {} after they were forgotten", milliseconds(lag))
        }
        None => format!("{left} of {workers} workers left over, which this strategy does not find"),
    };
    format!(
        "all: {} turns; {}; no worker in use was lost; {reclaimed}",
        sum(|node| node.turns),
        sent(working, settling)
    )
}

fn sent(working: Traffic, settling: Traffic) -> String {
    format!(
        "sent {} messages, {} bytes at work and {} messages, {} bytes after it",
        working.messages, working.bytes, settling.messages, settling.bytes
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", 1e3 * time.as_secs_f64())
}

impl WorkloadReport {
    /// With those of other nodes that did the same work together with this one, in the same process.
    #[must_use]
    pub fn together(mut self, others: impl IntoIterator<Item = WorkloadReport>) -> WorkloadReport {
        for other in others {
            self.objects += other.objects;
            self.references += other.references;
            self.payload_bytes += other.payload_bytes;
            self.operations += other.operations;
            self.threads += other.threads;
            self.requests += other.requests;
            self.mutate_time = self.mutate_time.max(other.mutate_time);
            self.settle_time = self.settle_time.max(other.settle_time);
            self.stopped |= other.stopped;
            self.expected_live = self.expected_live.zip(other.expected_live).map(|(one, more)| one + more);
            self.nodes.extend(other.nodes);
        }
        self.nodes.sort_by_key(|node| node.node);
        if !self.nodes.is_empty() {
            self.checks = lines(&self.nodes);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: u32, lag: Option<u64>, left_workers: u64) -> WorkloadReport {
        let traffic = |messages, bytes| Traffic { messages, frames: 1, bytes };
        let work = NodeWork {
            node,
            turns: 10,
            workers: 7,
            working: traffic(5, 500),
            settling: traffic(2, 20),
            lag: lag.map(Duration::from_millis),
            left_workers,
            ..NodeWork::default()
        };
        WorkloadReport {
            requests: 10,
            expected_live: Some(1),
            nodes: vec![work],
            ..WorkloadReport::default()
        }
    }

    #[test]
    fn the_slowest_node_says_when_everything_was_gone() {
        let whole = report(2, Some(30), 0).together([report(1, Some(40), 0)]);
        assert_eq!((whole.requests, whole.expected_live, whole.nodes[0].node), (20, Some(2), 1));
        let last = whole.checks.last().unwrap();
        assert!(last.contains("all 14 workers reclaimed 40 ms after"), "{last}");
        assert!(last.contains("sent 10 messages, 1000 bytes at work and 4 messages, 40 bytes"), "{last}");
        let partly = report(1, Some(30), 0).together([report(2, None, 3)]);
        assert!(partly.checks.last().unwrap().contains("3 of 14 workers left over"), "{:?}", partly.checks);
    }
}
