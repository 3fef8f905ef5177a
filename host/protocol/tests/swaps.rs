//! Members that cannot follow the strategy of the cluster, or not yet: they do not stay behind for good, and do not hold the others up.

use std::collections::BTreeSet;
use std::sync::Arc;

use gc_protocol::swap::{Present, Swap, SwapConfig, SwapNotice, SwapOutput};
use gc_protocol::wire::{Message, ModuleChunk, Payload, SwapOffer, SwapPrepared, SwapPresent};
use gc_protocol::{Faults, Life, Nanos};

const SECOND: Nanos = 1_000_000_000;

fn life(node: u32) -> Life {
    Life::new(node, 1)
}

/// The strategy of a generation, and what its module is called.
fn present(generation: u8) -> Present {
    Present { generation: generation.into(), digest: [generation; 32] }
}

/// Node 2 of three, which runs generation 3.
struct One {
    swap: Swap,
    now: Nanos,
}

impl One {
    fn new() -> One {
        let config = SwapConfig { ask_again_after: 2 * SECOND, timeout: 120 * SECOND };
        let swap = Swap::new(life(2), config, present(3), Arc::new(vec![3]), Faults::default());
        let mut one = One { swap, now: 0 };
        one.members(&[1, 2, 3]);
        one
    }

    fn members(&mut self, nodes: &[u32]) {
        let members: BTreeSet<Life> = nodes.iter().copied().map(life).collect();
        self.swap.membership_changed(&members, &mut SwapOutput::default());
    }

    fn told(&mut self, from: u32, generation: u8) -> SwapOutput {
        let Present { generation, digest } = present(generation);
        let mut out = SwapOutput::default();
        self.swap.told(self.now, life(from), &SwapPresent { generation, digest }, &mut out);
        out
    }

    fn offered(&mut self, from: u32, generation: u8) -> SwapOutput {
        let Present { generation, digest } = present(generation);
        let mut out = SwapOutput::default();
        self.swap.offered(self.now, life(from), &SwapOffer { generation, digest }, &mut out);
        out
    }

    /// The module comes from this node, and is tried.
    fn tries(&mut self, from: u32, generation: u8, ready: bool) -> SwapOutput {
        let (digest, bytes) = ([generation; 32], vec![generation]);
        let chunk = ModuleChunk { digest, offset: 0, total: 1, bytes: Payload(bytes.clone()) };
        let mut out = SwapOutput::default();
        self.swap.chunk(self.now, life(from), &chunk, &mut out);
        assert_eq!(out.notices, [SwapNotice::Prepare { digest, bytes: Arc::new(bytes) }]);
        let mut out = SwapOutput::default();
        self.swap.prepared(self.now, digest, ready, &mut out);
        out
    }

    /// Lets time pass until something is to be done, and does it.
    fn wait(&mut self) -> SwapOutput {
        self.now = self.now.max(self.swap.next_wake().expect("nothing is left to do"));
        let mut out = SwapOutput::default();
        self.swap.tick(self.now, &mut out);
        out
    }

    fn may_propose(&self) -> bool {
        let (digest, module) = ([9; 32], Arc::new(vec![9]));
        self.swap.clone().propose(self.now, digest, module, &mut SwapOutput::default())
    }
}

/// Who is asked for a module.
fn asked(out: &SwapOutput) -> Vec<Life> {
    let asked = out.messages.iter().filter(|(_, message)| matches!(message, Message::ModuleWanted(_)));
    asked.map(|&(to, _)| to).collect()
}

#[test]
fn who_could_not_prepare_a_strategy_of_the_cluster_tries_again() {
    let mut one = One::new();
    assert_eq!(asked(&one.told(1, 4)), [life(1)]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        one.tries(1, 4, false);
        assert!(one.may_propose(), "it holds nobody up meanwhile");
        let failed_at = one.now;
        assert_eq!(asked(&one.wait()), [life(1)]);
        pauses.push((one.now - failed_at) / SECOND);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120]);
    assert_eq!(one.tries(1, 4, true).notices, [SwapNotice::Install(present(4))]);
    assert_eq!((one.swap.present(), one.swap.next_wake()), (present(4), None));
}

#[test]
fn who_is_behind_is_no_veto_against_the_next_strategy() {
    let mut one = One::new();
    one.told(1, 4);
    one.tries(1, 4, false);
    assert_eq!(asked(&one.offered(3, 5)), [life(3)]);
    // A link comes up, and its other end says what the cluster runs.
    assert_eq!(asked(&one.told(1, 4)), []);
    let ready = SwapPrepared { generation: 5, digest: [5; 32], ready: true };
    assert_eq!(one.tries(3, 5, true).messages, [(life(3), Message::SwapPrepared(ready))]);
    assert_eq!(one.told(3, 5).notices, [SwapNotice::Install(present(5))]);
    assert_eq!((one.swap.present(), one.swap.next_wake()), (present(5), None));
    // Nobody leads from a generation that nobody is at.
    let not_ready = SwapPrepared { generation: 7, digest: [7; 32], ready: false };
    assert_eq!(one.offered(3, 7).messages, [(life(3), Message::SwapPrepared(not_ready))]);
}

#[test]
fn a_strategy_that_left_with_the_only_member_that_had_it_is_forgotten() {
    let mut one = One::new();
    one.told(1, 4);
    assert!(!one.may_propose());
    one.members(&[2, 3]);
    assert_eq!(asked(&one.wait()), [life(3)], "it may have it too");
    assert_eq!(one.wait().notices, [SwapNotice::Discard([4; 32])]);
    assert!(one.may_propose());
    assert_eq!((one.swap.present(), one.swap.next_wake()), (present(3), None));
}

#[test]
fn a_strategy_that_nobody_hands_out_holds_nobody_up() {
    let mut one = One::new();
    one.told(1, 4);
    assert_eq!([asked(&one.wait()), asked(&one.wait())], [[life(3)], [life(1)]]);
    assert_eq!(one.wait().notices, [SwapNotice::Discard([4; 32])]);
    assert!(one.may_propose());
    assert_eq!(asked(&one.wait()), [life(1)], "it says so still");
    assert_eq!(one.tries(1, 4, true).notices, [SwapNotice::Install(present(4))]);
}
