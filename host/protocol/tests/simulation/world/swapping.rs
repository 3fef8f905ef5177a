//! Strategies of the whole cluster: who offers, who prepares, and whether all end in the same one.

use std::sync::Arc;

use gc_protocol::{Present, SwapEnding};

use super::*;

/// What is known of every strategy that was offered.
#[derive(Default)]
pub(super) struct Swapping {
    offered: u64,
    /// Who has prepared each.
    ready: BTreeMap<ModuleDigest, BTreeSet<Life>>,
    /// What leaders have committed.
    committed: BTreeSet<Present>,
}

impl World {
    /// Some member offers another strategy.
    pub(super) fn swap(&mut self) {
        if !self.active() {
            return;
        }
        let delay = self.random.between(40, 200);
        self.after(delay * MS, Thing::Swap);
        let host = self.random.below(self.hosts.len());
        if self.hosts[host].alive && !self.hosts[host].paused {
            self.swapping.offered += 1;
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&self.swapping.offered.to_le_bytes());
            // In one piece, or in three.
            let bytes = if self.random.percent(80) { 100 } else { 600_000 };
            let bytes = Arc::new(vec![7; bytes]);
            self.feed(host, Event::SwapRequested { digest, bytes });
        }
    }

    pub(super) fn strategy(&mut self, host: usize, effect: &Effect) {
        match effect {
            Effect::PrepareStrategy { digest, .. } => {
                let (life, digest) = (self.hosts[host].life, *digest);
                let delay = self.random.between(1, 60);
                self.after(delay * MS, Thing::Prepared { host, life, digest });
            }
            Effect::SwapEnded(digest, SwapEnding::Committed) => self.committed(host, digest),
            Effect::SwapEnded(..) => self.stats.not_exchanged += 1,
            Effect::InstallStrategy(present) if !self.swapping.committed.contains(present) => {
                self.fail(format!("host {host} installs {present:?}, and nobody has committed it"));
            }
            _ => {}
        }
    }

    fn committed(&mut self, host: usize, digest: &ModuleDigest) {
        self.stats.exchanged += 1;
        let node = &self.hosts[host].node;
        let ready = self.swapping.ready.get(digest);
        let missing =
            node.membership().members().iter().find(|life| ready.is_none_or(|it| !it.contains(life)));
        if let Some(life) = missing {
            return self.fail(format!("host {host} commits {:?}, and {life} is not prepared", digest[0]));
        }
        // The node is where its leader is: it says so before it installs it.
        let generation = node.strategy().generation;
        self.swapping.committed.insert(Present { generation, digest: *digest });
    }

    /// A member has tried to load and rehearse one. What is the strategy of the cluster already can be.
    pub(super) fn prepared(&mut self, host: usize, life: Life, digest: ModuleDigest) {
        if self.hosts[host].life != life || !self.hosts[host].alive {
            return;
        }
        if self.hosts[host].paused {
            return self.hosts[host].waiting.push(Thing::Prepared { host, life, digest });
        }
        let is_known = self.swapping.committed.iter().any(|present| present.digest == digest);
        let ready = is_known || self.random.percent(95);
        if ready {
            self.swapping.ready.entry(digest).or_default().insert(life);
        }
        self.feed(host, Event::StrategyPrepared { digest, ready });
    }

    /// All members have one strategy. A commit that died with its leader before anybody heard of it was none.
    pub(super) fn check_strategies(&mut self) {
        let first = self.hosts[0].node.strategy();
        if let Some(host) = self.hosts.iter().position(|host| host.node.strategy() != first) {
            let has = self.hosts[host].node.strategy();
            self.fail(format!("host {host} has {has:?} at the end, and host 0 has {first:?}"));
        }
    }
}
