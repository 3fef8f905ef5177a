//! Every state of three nodes and a few copies of one reference, with messages lost, repeated and overtaken in any way.
//!
//! The explorer is breadth first with a set of visited states, over the production tables themselves. In every state it asserts the invariant at the top of
//! `references.rs` and that nothing that somebody has, or can still be given, was freed. In every state in which nothing is under way it
//! lets retries and digests run, and asserts that what nobody holds is gone. The second half breaks one rule at a time and shows that it would notice.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use gc_protocol::references::{Notice, Output, References};
use gc_protocol::wire::{Copy, Message, Payload};
use gc_protocol::{Faults, Life, Object, Reference, Rule};

const OBJECT: Object = Object { cell: 7, generation: 0 };
const HOME: usize = 0;

fn life(node: usize) -> Life {
    Life::new(node as u32 + 1, 1)
}

fn reference() -> Reference {
    Reference { home: life(HOME), object: OBJECT }
}

/// What may happen, and how often.
#[derive(Clone)]
struct Scenario {
    /// Copies that may be sent: from, to. Each once, in any order, as soon as the sender can.
    copies: Vec<(usize, usize)>,
    losses: u8,
    repetitions: u8,
    /// How often a client may send its digest's buckets.
    sets: u8,
    /// Copies and their acknowledgements may be lost too: then nobody is promised that garbage goes.
    lose_copies: bool,
    /// Whether digests are compared once all is quiet, or only retries run.
    heal_by_digest: bool,
    faults: Faults,
}

impl Scenario {
    fn of(copies: &[(usize, usize)]) -> Scenario {
        Scenario {
            copies: copies.to_vec(),
            losses: 1,
            repetitions: 1,
            sets: 0,
            lose_copies: false,
            heal_by_digest: true,
            faults: Faults::default(),
        }
    }

    fn breaking(mut self, rule: Rule) -> Scenario {
        self.faults = Faults::breaking(rule);
        self
    }
}

#[derive(Clone, Hash)]
struct State {
    nodes: [References; 3],
    /// The local heap of each node has the object or a stub of it.
    has: [bool; 3],
    /// The heap has freed its stub, and the drop is not told yet: with which import.
    drops: [Option<u32>; 3],
    import: [u32; 3],
    freed: bool,
    network: BTreeSet<(usize, usize, Message)>,
    /// Copies that were admitted: the link admits each once.
    admitted: BTreeSet<(usize, u64)>,
    sent: Vec<bool>,
    losses: u8,
    repetitions: u8,
    sets: u8,
}

#[derive(Clone, Debug)]
enum Action {
    Send(usize),
    HeapFrees(usize),
    TellDrop(usize),
    SendSet(usize),
    Deliver(usize, usize, Message),
    Repeat(usize, usize, Message),
    Lose(usize, usize, Message),
}

fn is_copy_or_ack(message: &Message) -> bool {
    matches!(message, Message::Copy(_) | Message::CopyAck(_))
}

impl State {
    fn new(scenario: &Scenario) -> State {
        State {
            nodes: [0, 1, 2].map(|node| References::new(life(node), scenario.faults)),
            has: [true, false, false],
            drops: [None; 3],
            import: [0; 3],
            freed: false,
            network: BTreeSet::new(),
            admitted: BTreeSet::new(),
            sent: vec![false; scenario.copies.len()],
            losses: scenario.losses,
            repetitions: scenario.repetitions,
            sets: scenario.sets,
        }
    }

    fn can_be_admitted(&self, from: usize, message: &Message) -> bool {
        matches!(message, Message::Copy(copy) if !self.admitted.contains(&(from, copy.first)))
    }

    fn actions(&self, scenario: &Scenario) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, &(from, _)) in scenario.copies.iter().enumerate() {
            if !self.sent[index] && self.has[from] && self.nodes[from].may_leave(reference()) {
                actions.push(Action::Send(index));
            }
        }
        for node in 0..3 {
            if self.has[node] {
                actions.push(Action::HeapFrees(node));
            }
            if self.drops[node].is_some() {
                actions.push(Action::TellDrop(node));
            }
            if self.sets > 0 && node != HOME {
                actions.push(Action::SendSet(node));
            }
        }
        for (from, to, message) in &self.network {
            actions.push(Action::Deliver(*from, *to, message.clone()));
            if self.repetitions > 0 {
                actions.push(Action::Repeat(*from, *to, message.clone()));
            }
            if self.losses > 0 && (scenario.lose_copies || !is_copy_or_ack(message)) {
                actions.push(Action::Lose(*from, *to, message.clone()));
            }
        }
        actions
    }

    fn apply(&mut self, scenario: &Scenario, action: &Action) {
        match action {
            Action::Send(index) => {
                let (from, to) = scenario.copies[*index];
                self.sent[*index] = true;
                let mut out = Output::default();
                let first = self.nodes[from].pin(life(to), &[reference()], &mut out).expect("it is held");
                let copy = Copy { first, references: vec![reference()], payload: Payload::default() };
                out.messages.push((life(to), Message::Copy(copy)));
                self.put(from, out);
            }
            Action::HeapFrees(node) => {
                self.has[*node] = false;
                if *node != HOME {
                    self.drops[*node] = Some(self.import[*node]);
                }
            }
            Action::TellDrop(node) => {
                let import = self.drops[*node].take().expect("a drop waits");
                let mut out = Output::default();
                self.nodes[*node].dropped(reference(), import, &mut out);
                self.put(*node, out);
            }
            Action::SendSet(node) => {
                self.sets -= 1;
                self.send_sets(*node);
            }
            Action::Deliver(from, to, message) => {
                self.network.remove(&(*from, *to, message.clone()));
                self.deliver(*from, *to, message);
            }
            Action::Repeat(from, to, message) => {
                self.repetitions -= 1;
                self.deliver(*from, *to, message);
            }
            Action::Lose(from, to, message) => {
                self.losses -= 1;
                self.network.remove(&(*from, *to, message.clone()));
            }
        }
        // The home's heap is quick: what nothing keeps is freed at once.
        self.freed |= !self.has[HOME] && !self.nodes[HOME].is_exported(OBJECT);
    }

    fn deliver(&mut self, from: usize, to: usize, message: &Message) {
        let mut out = Output::default();
        let sender = life(from);
        let node = &mut self.nodes[to];
        match message {
            Message::Copy(copy) => {
                if !self.admitted.insert((from, copy.first)) {
                    return;
                }
                let delivered = node.admit(sender, copy, |_| true, &mut out);
                self.has[to] = true;
                self.import[to] = delivered[0].import;
            }
            Message::Dirty(list) => list.iter().for_each(|it| node.mentioned(sender, it, true, &mut out)),
            Message::Clean(list) => list.iter().for_each(|it| node.mentioned(sender, it, false, &mut out)),
            Message::DirtyAck(list) => {
                list.iter().for_each(|it| node.dirty_acknowledged(sender, it, &mut out))
            }
            Message::CleanAck(list) => {
                list.iter().for_each(|it| node.clean_acknowledged(sender, it, &mut out))
            }
            Message::Gone(list) => list.iter().for_each(|it| node.gone(sender, it, &mut out)),
            Message::CopyAck(list) => {
                list.iter().for_each(|&it| node.copy_acknowledged(sender, it, &mut out))
            }
            Message::BucketSet(set) => {
                node.take_buckets(sender, std::slice::from_ref(set), &mut out);
            }
            other => panic!("the tables do not say {other:?}"),
        }
        self.put(to, out);
    }

    fn put(&mut self, from: usize, out: Output) {
        for (to, message) in out.messages {
            self.network.insert((from, to.node.0 as usize - 1, message));
        }
        for notice in out.notices {
            if notice == Notice::Root(OBJECT) && self.freed {
                let mut refused = Output::default();
                self.nodes[HOME].root_refused(OBJECT, &mut refused);
                self.put(HOME, refused);
            }
        }
    }

    /// The buckets that the object is in, as if all hashes had differed.
    fn send_sets(&mut self, node: usize) {
        let mut out = Output::default();
        self.nodes[node].send_buckets(life(HOME), &[], &mut out);
        let bucket = gc_protocol::digest::bucket_of(OBJECT);
        out.messages
            .retain(|(_, message)| matches!(message, Message::BucketSet(set) if set.bucket == bucket));
        self.put(node, out);
    }

    /// The invariant of `references.rs`, and what it is for.
    fn check(&self) -> Result<(), String> {
        let home = &self.nodes[HOME];
        let listed_pin = |node: usize| home.lists(OBJECT, life(node)) && self.nodes[node].pins(reference());
        let covered = home.pins(reference()) || listed_pin(1) || listed_pin(2);
        for node in 1..3 {
            let carried = self
                .network
                .iter()
                .any(|(from, to, message)| *to == node && self.can_be_admitted(*from, message));
            let holds = self.nodes[node].holds(reference());
            if (holds || carried) && !covered && !home.lists(OBJECT, life(node)) {
                return Err(format!("node {node} holds it (or is being sent it) and nobody covers for it"));
            }
            if self.freed && (self.has[node] || carried) {
                return Err(format!("it was freed although node {node} has it or is being sent it"));
            }
            if self.has[node] && self.nodes[node].import(reference()).is_none() {
                return Err(format!("the heap of node {node} has a stub that the tables have let go"));
            }
        }
        self.check_counts()
    }

    /// What the tables count is what there is of the one object.
    fn check_counts(&self) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            let scions = (0..3).filter(|&client| node.lists(OBJECT, life(client))).count();
            let stubs = usize::from(node.holds(reference()));
            let cleaning = usize::from(node.mention(reference()).is_some()) - stubs;
            let counted = (node.scion_count(), node.stub_count(), node.cleaning_count());
            if counted != (scions, stubs, cleaning) {
                return Err(format!(
                    "node {number} counts {counted:?} scions, stubs and stubs being cleaned; there are {scions}, {stubs} and {cleaning}"
                ));
            }
        }
        Ok(())
    }

    /// Lets everything arrive, and asserts that nothing is kept for nobody.
    fn check_quiet(&self, scenario: &Scenario) -> Result<(), String> {
        let mut state = self.clone();
        let mut none = scenario.clone();
        none.losses = 0;
        for round in 0..6 {
            while let Some((from, to, message)) = state.network.pop_first() {
                state.deliver(from, to, &message);
            }
            for node in 1..3 {
                let mut out = Output::default();
                state.nodes[node].retry(life(HOME), &mut out);
                state.put(node, out);
                if scenario.heal_by_digest && round % 2 == 1 {
                    state.send_sets(node);
                }
            }
        }
        while let Some((from, to, message)) = state.network.pop_first() {
            state.deliver(from, to, &message);
        }
        state.check()?;
        for node in 1..3 {
            let listed = state.nodes[HOME].lists(OBJECT, life(node));
            if listed != state.has[node] {
                return Err(format!(
                    "all is quiet; node {node} has it: {}, and is listed: {listed}",
                    state.has[node]
                ));
            }
        }
        match state.nodes.iter().map(References::pin_count).sum::<usize>() {
            0 => Ok(()),
            pins => Err(format!("all is quiet and {pins} pins are left")),
        }
    }
}

/// Visits every state. Answers how many there are, or how the first wrong one was reached.
fn explore(scenario: &Scenario) -> Result<usize, String> {
    let key = |state: &State| {
        let mut hashers = [DefaultHasher::new(), DefaultHasher::new()];
        hashers[1].write_u64(1);
        hashers.each_mut().map(|hasher| {
            state.hash(hasher);
            hasher.finish()
        })
    };
    let first = State::new(scenario);
    let mut visited = HashSet::from([key(&first)]);
    let mut parents: Vec<Option<(usize, Action)>> = vec![None];
    let mut queue = VecDeque::from([(0, first)]);
    while let Some((index, state)) = queue.pop_front() {
        let mut checked = state.check();
        // The drops that the heap has not told yet are told before everything is quiet.
        if checked.is_ok() && !scenario.lose_copies && state.network.is_empty() && state.drops == [None; 3] {
            checked = state.check_quiet(scenario);
        }
        if let Err(wrong) = checked {
            let mut path = Vec::new();
            let mut at = index;
            while let Some((parent, action)) = &parents[at] {
                path.push(format!("{action:?}"));
                at = *parent;
            }
            path.reverse();
            return Err(format!("{wrong}\n  {}", path.join("\n  ")));
        }
        for action in state.actions(scenario) {
            let mut next = state.clone();
            next.apply(scenario, &action);
            if visited.insert(key(&next)) {
                parents.push(Some((index, action)));
                queue.push_back((parents.len() - 1, next));
            }
        }
    }
    Ok(visited.len())
}

fn all_states_are_right(scenario: &Scenario, at_least: usize) {
    match explore(scenario) {
        Ok(count) => {
            println!("{count} states");
            assert!(count >= at_least, "only {count} states: the explorer does not look");
        }
        Err(wrong) => panic!("{wrong}"),
    }
}

#[test]
fn the_home_gives_it_to_one_who_gives_it_to_another() {
    all_states_are_right(&Scenario::of(&[(0, 1), (1, 2)]), 4_000);
}

#[test]
fn the_home_gives_it_twice_to_the_same() {
    all_states_are_right(&Scenario::of(&[(0, 1), (0, 1)]), 5_000);
}

#[test]
fn the_home_gives_it_to_two() {
    all_states_are_right(&Scenario::of(&[(0, 1), (0, 2)]), 10_000);
}

#[test]
fn two_copies_and_much_that_goes_wrong_with_them() {
    let scenario = Scenario { losses: 2, repetitions: 2, ..Scenario::of(&[(0, 1), (1, 2)]) };
    all_states_are_right(&scenario, 10_000);
}

#[test]
fn it_is_handed_on_and_back() {
    let scenario = Scenario { losses: 0, ..Scenario::of(&[(0, 1), (1, 2), (2, 1)]) };
    all_states_are_right(&scenario, 10_000);
}

#[test]
fn copies_and_their_acknowledgements_may_be_lost() {
    let scenario = Scenario { lose_copies: true, ..Scenario::of(&[(0, 1), (1, 2)]) };
    all_states_are_right(&scenario, 5_000);
}

#[test]
fn buckets_may_come_late() {
    let scenario = Scenario { sets: 1, losses: 0, ..Scenario::of(&[(0, 1), (0, 1)]) };
    all_states_are_right(&scenario, 5_000);
}

#[test]
fn retries_alone_heal_what_was_lost() {
    let scenario = Scenario { heal_by_digest: false, ..Scenario::of(&[(0, 1), (0, 1)]) };
    all_states_are_right(&scenario, 5_000);
}

fn goes_wrong(scenario: &Scenario) {
    match explore(scenario) {
        Ok(count) => panic!("{count} states, and none is wrong"),
        Err(wrong) => println!("{wrong}"),
    }
}

#[test]
fn without_pins_it_goes_wrong() {
    goes_wrong(&Scenario::of(&[(0, 1), (1, 2)]).breaking(Rule::SenderPins));
}

#[test]
fn acknowledged_before_registration_it_goes_wrong() {
    goes_wrong(&Scenario::of(&[(0, 1), (1, 2)]).breaking(Rule::AcknowledgeAfterRegistration));
}

/// The rule is kept because it makes the proof of a marking cycle shorter; the pins of a chain would cover for each other without it.
#[test]
fn forwarded_before_registration_it_would_be_right_too() {
    let scenario = Scenario::of(&[(0, 1), (1, 2)]).breaking(Rule::ForwardWhenRegistered);
    all_states_are_right(&scenario, 10_000);
}

#[test]
fn with_old_mentions_it_goes_wrong() {
    goes_wrong(&Scenario::of(&[(0, 1), (0, 1)]).breaking(Rule::IgnoreOldMentions));
}

#[test]
fn without_tombstones_it_leaks() {
    let scenario = Scenario { heal_by_digest: false, ..Scenario::of(&[(0, 1), (0, 1)]) };
    goes_wrong(&scenario.breaking(Rule::CleansLeaveTombstones));
}

#[test]
fn reacquired_without_registration_it_goes_wrong() {
    goes_wrong(&Scenario::of(&[(0, 1), (0, 1)]).breaking(Rule::ReacquireRegisters));
}

#[test]
fn with_drops_that_crossed_an_arrival_it_goes_wrong() {
    goes_wrong(&Scenario::of(&[(0, 1), (0, 1)]).breaking(Rule::DropCarriesImport));
}

#[test]
fn healed_by_a_set_that_is_too_old_it_goes_wrong() {
    let scenario = Scenario { sets: 1, losses: 0, ..Scenario::of(&[(0, 1), (0, 1)]) };
    goes_wrong(&scenario.breaking(Rule::HealingHasWatermark));
}
