//! One repository over the nodes of a cluster: every node reads all of it, has the objects that are placed with it, and holds those of
//! others that its own refer to.
//!
//! ```text
//!  all nodes    greet ──▶ build what is ours, slots to others empty ──▶ give others what theirs refer to, fill our slots ──▶ root
//!  first node   ──▶ rounds: a cycle over all nodes, a cycle on each ──▶ nothing has changed for some rounds ──▶ end
//! ```
//!
//! 1. The nodes know which of them has an object without asking: the id says it. What is said between them is the ranks of ids, which
//!    are the same on all nodes because all have read the same objects, packed as they may be; the greeting compares a digest of that.
//! 2. A node gives each of the others a reference to every object of its own that objects there refer to, once. Until a reference is in
//!    its slots the pin that it came with holds it; until it has come its sender's holder does.
//! 3. Roots are set by the node that has the object. What no root reaches, over however many nodes, is garbage from then on: the union of
//!    what the nodes reclaim is what one node alone would have reclaimed.
//! 4. A node that leaves the cluster once everything is built takes its objects with it; the others go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use gc_heap::{Handle, Mutator, Pin};

use super::objects::ObjectTable;
use crate::driver::{Driver, Phase, Progress, Ticker};
use crate::error::WorkloadError;
use crate::import::{ELSEWHERE, Handles, InputGraph, kept};
use crate::limits::{
    FAREWELL, QUIET_ROUNDS, RECEIVE_PATIENCE, ROUND_REST, ROUNDS_MAX, SEND_AGAIN, SPREAD_REFERENCES,
    STAY_REST,
};
use crate::peers::{Ledger, Peers, Received};

/// What one node has of the graph.
pub(super) struct Part {
    /// Its objects, numbered anew, with references to others left empty.
    pub(super) graph: InputGraph,
    /// The numbers that its objects have in the whole.
    pub(super) ours: Vec<u32>,
    /// Objects of others that ours refer to, by rank, with the slots (object of ours, slot) that are to be filled.
    wanted: BTreeMap<u32, Vec<(u32, u32)>>,
    /// For each other node the objects of ours that its objects refer to: numbered as ours, and by rank.
    given: BTreeMap<u32, Vec<(u32, u32)>>,
}

/// The same name for every object on all nodes: its place among all ids in their order.
pub(super) struct Ranks {
    of: Vec<u32>,
    /// Of all ids, in that order, and of all roots.
    pub(super) digest: u64,
}

impl Ranks {
    pub(super) fn new(graph: &InputGraph, table: &ObjectTable) -> Ranks {
        let mut order: Vec<u32> = (0..graph.len() as u32).collect();
        order.sort_unstable_by_key(|&object| table.id(object));
        let mut of = vec![0; order.len()];
        let mut digest = Digest::default();
        for (rank, &object) in order.iter().enumerate() {
            of[object as usize] = rank as u32;
            digest.add(table.id(object).as_bytes());
        }
        let mut roots: Vec<(&str, u32)> = graph
            .roots
            .iter()
            .map(|(name, object)| (name.as_deref().unwrap_or(""), of[*object as usize]))
            .collect();
        roots.sort_unstable();
        for (name, rank) in roots {
            digest.add(name.as_bytes());
            digest.add(&rank.to_le_bytes());
        }
        Ranks { of, digest: digest.0 }
    }
}

/// FNV-1a: to notice that two nodes have read different things by mistake, not by intent.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u32).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Which of the members has an object.
fn home(table: &ObjectTable, object: u32, members: &[u32]) -> u32 {
    let id = table.id(object);
    let id = u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("object ids have 20 bytes or more"));
    members[(id % members.len() as u64) as usize]
}

impl Part {
    /// Cuts out what is placed with `me`.
    pub(super) fn cut(
        whole: &InputGraph,
        table: &ObjectTable,
        ranks: &Ranks,
        members: &[u32],
        me: u32,
    ) -> Part {
        let homes: Vec<u32> = (0..whole.len() as u32).map(|object| home(table, object, members)).collect();
        let ours: Vec<u32> = (0..whole.len() as u32).filter(|&object| homes[object as usize] == me).collect();
        let mut numbers = vec![ELSEWHERE; whole.len()];
        for (number, &object) in ours.iter().enumerate() {
            numbers[object as usize] = number as u32;
        }
        let mut graph = InputGraph { begins: vec![0], ..InputGraph::default() };
        let mut wanted: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for (number, &object) in ours.iter().enumerate() {
            for (slot, &target) in whole.targets_of(object).iter().enumerate() {
                let here = numbers[target as usize];
                graph.targets.push(here);
                if here == ELSEWHERE {
                    let rank = ranks.of[target as usize];
                    wanted.entry(rank).or_default().push((number as u32, slot as u32));
                }
            }
            graph.begins.push(graph.targets.len() as u64);
        }
        let mut given: BTreeMap<u32, BTreeSet<(u32, u32)>> = BTreeMap::new();
        for object in (0..whole.len() as u32).filter(|&object| homes[object as usize] != me) {
            let ours = whole.targets_of(object).iter();
            let ours = ours.map(|&target| (numbers[target as usize], ranks.of[target as usize]));
            let given = given.entry(homes[object as usize]).or_default();
            given.extend(ours.filter(|&(ours, _)| ours != ELSEWHERE));
        }
        let ours_of = |object: u32| Some(numbers[object as usize]).filter(|&number| number != ELSEWHERE);
        graph.roots =
            whole.roots.iter().filter_map(|(name, object)| Some((name.clone(), ours_of(*object)?))).collect();
        let given = given.into_iter().map(|(node, objects)| (node, objects.into_iter().collect())).collect();
        Part { graph, ours, wanted, given }
    }
}

/// What nodes say to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Who takes part, and a digest of what was read.
    Greet { members: Vec<u32>, digest: u64 },
    /// The objects that come with this message, by rank.
    Give { objects: Vec<u32> },
    /// Everything of ours is given, everything of others in its place.
    Built,
    /// Run a cycle and say what has changed.
    Round { round: u32 },
    /// How things stand after that.
    Stand { round: u32, condemned: u64, ledger: Ledger },
    /// It is over: see what is left.
    End,
    /// Seen.
    Bye,
    /// All have seen: whoever goes takes nothing from anybody.
    Leave,
}

impl Word {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let numbers = |out: &mut Vec<u8>, numbers: &[u32]| {
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        };
        match self {
            Word::Greet { members, digest } => {
                out.push(0);
                out.extend_from_slice(&digest.to_le_bytes());
                numbers(&mut out, members);
            }
            Word::Give { objects } => {
                out.push(1);
                numbers(&mut out, objects);
            }
            Word::Built => out.push(2),
            Word::Round { round } => {
                out.push(3);
                numbers(&mut out, &[*round]);
            }
            Word::Stand { round, condemned, ledger } => {
                out.push(4);
                numbers(&mut out, &[*round, u32::from(ledger.unsettled)]);
                for number in [*condemned, ledger.stubs, ledger.scions] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Word::End => out.push(5),
            Word::Bye => out.push(6),
            Word::Leave => out.push(7),
        }
        out
    }

    fn decode(message: &[u8]) -> Option<Word> {
        let (&kind, rest) = message.split_first()?;
        let long = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let numbers = |rest: &[u8]| -> Option<Vec<u32>> {
            let (fours, left) = rest.as_chunks::<4>();
            left.is_empty().then(|| fours.iter().map(|four| u32::from_le_bytes(*four)).collect())
        };
        let one = || numbers(rest).filter(|all| all.len() == 1).map(|all| all[0]);
        Some(match kind {
            0 => Word::Greet { digest: long(0)?, members: numbers(&rest[8..])? },
            1 => Word::Give { objects: numbers(rest)? },
            2 if rest.is_empty() => Word::Built,
            3 => Word::Round { round: one()? },
            4 if rest.len() == 32 => {
                let head = numbers(&rest[..8])?;
                let ledger = Ledger { stubs: long(16)?, scions: long(24)?, unsettled: head[1] != 0 };
                Word::Stand { round: head[0], condemned: long(8)?, ledger }
            }
            5 if rest.is_empty() => Word::End,
            6 if rest.is_empty() => Word::Bye,
            7 if rest.is_empty() => Word::Leave,
            _ => return None,
        })
    }
}

/// The same work on all nodes, seen from one.
pub(super) struct Together<'d> {
    driver: &'d dyn Driver,
    peers: &'d dyn Peers,
    pub(super) members: Vec<u32>,
    /// Goes on until it is stopped.
    stay: bool,
    /// What came before we were ready for it.
    early: VecDeque<Said>,
    /// Who has said that everything is in its place.
    built: BTreeSet<u32>,
    /// How the others stood when they last said so.
    standing: BTreeMap<u32, (u32, u64, Ledger)>,
    /// Who was asked to run a cycle, and in which round.
    asked: Option<(u32, u32)>,
    /// Who has said that it is over.
    ended: Option<u32>,
    may_leave: bool,
    byes: BTreeSet<u32>,
    condemned: u64,
}

/// A message with what it carried.
type Said = (u32, Word, Vec<Option<Pin>>);

impl<'d> Together<'d> {
    /// Waits until there are `nodes` members, and until all of them have read the same.
    pub(super) fn meet(
        driver: &'d dyn Driver,
        peers: &'d dyn Peers,
        (nodes, stay): (u32, bool),
        digest: u64,
    ) -> Result<Option<Together<'d>>, WorkloadError> {
        let members = loop {
            let members = peers.members();
            if members.len() >= nodes as usize {
                break members;
            }
            driver.progress(Progress {
                phase: Phase::Meet,
                done: members.len() as u64,
                total: Some(nodes.into()),
            });
            if driver.stop_requested() {
                return Ok(None);
            }
            std::thread::sleep(RECEIVE_PATIENCE);
        };
        let mut together = Together {
            driver,
            peers,
            members,
            stay,
            early: VecDeque::new(),
            built: BTreeSet::new(),
            standing: BTreeMap::new(),
            asked: None,
            ended: None,
            may_leave: false,
            byes: BTreeSet::new(),
            condemned: 0,
        };
        if together.members.len() > nodes as usize {
            let what = format!("is one of {} members, and the load is for {nodes}", together.members.len());
            return Err(WorkloadError::Peer { node: peers.me(), what });
        }
        Ok(together.greet(digest)?.then_some(together))
    }

    /// Those who began with us and are still members.
    fn others(&self) -> Vec<u32> {
        let (me, present) = (self.peers.me(), self.peers.members());
        let others = self.members.iter().filter(|&&member| member != me);
        others.copied().filter(|member| present.contains(member)).collect()
    }

    fn leads(&self) -> bool {
        self.others().first().is_none_or(|&first| self.peers.me() < first)
    }

    /// False when the driver asked to stop.
    fn greet(&mut self, digest: u64) -> Result<bool, WorkloadError> {
        let greeting = Word::Greet { members: self.members.clone(), digest };
        for other in self.others() {
            if !self.say(other, &[], &greeting)? {
                return Ok(false);
            }
        }
        let mut missing: BTreeSet<u32> = self.others().into_iter().collect();
        while !missing.is_empty() {
            if self.driver.stop_requested() {
                return Ok(false);
            }
            let Some((from, word, pins)) = self.listen()? else { continue };
            let Word::Greet { members, digest: theirs } = word else {
                // Who was greeted by all goes on before others have greeted us.
                self.early.push_back((from, word, pins));
                continue;
            };
            let differs = |what: &str| WorkloadError::Peer { node: from, what: what.into() };
            if members != self.members {
                return Err(differs("counts other members"));
            }
            if theirs != digest {
                return Err(differs("has read another repository, or another state of it"));
            }
            missing.remove(&from);
        }
        Ok(true)
    }

    /// Waits for room, so that nothing is lost. Who is no member any more needs to hear nothing. False when the driver asked to stop.
    fn say(&self, to: u32, references: &[Handle], word: &Word) -> Result<bool, WorkloadError> {
        let message = word.encode();
        loop {
            match self.peers.send(to, references, &message) {
                Ok(()) => return Ok(true),
                Err(_) if self.driver.stop_requested() => return Ok(false),
                Err(_) if !self.peers.members().contains(&to) => return Ok(true),
                // A node that is stopped, or a queue that is full: both pass, or somebody ends it.
                Err(_) => std::thread::sleep(SEND_AGAIN),
            }
        }
    }

    fn hear(&mut self) -> Result<Option<Said>, WorkloadError> {
        match self.early.pop_front() {
            Some(said) => Ok(Some(said)),
            None => self.listen(),
        }
    }

    fn listen(&self) -> Result<Option<Said>, WorkloadError> {
        let Some(Received { from, references, message, .. }) = self.peers.receive(RECEIVE_PATIENCE)? else {
            return Ok(None);
        };
        let word = Word::decode(&message).ok_or_else(|| WorkloadError::Peer {
            node: from,
            what: "says something that is not understood".into(),
        })?;
        Ok(Some((from, word, references)))
    }

    /// Gives others what theirs refer to, and fills the slots of ours. True when the driver asked to stop.
    pub(super) fn exchange(
        &mut self,
        mutator: &mut Mutator,
        part: &Part,
        handles: &Handles,
    ) -> Result<bool, WorkloadError> {
        for (&node, objects) in &part.given {
            for some in objects.chunks(SPREAD_REFERENCES) {
                let references: Vec<Handle> =
                    some.iter().filter_map(|&(object, _)| handles.of(object)).collect();
                let objects = some.iter().map(|&(_, rank)| rank).collect();
                if !self.say(node, &references, &Word::Give { objects })? {
                    return Ok(true);
                }
            }
        }
        let mut missing = part.wanted.len();
        let mut ticker = Ticker::new(self.driver, Phase::Link, Some(missing as u64));
        while missing > 0 {
            if self.others().len() + 1 < self.members.len() {
                let what = "sees a node leave before everything was built".into();
                return Err(WorkloadError::Peer { node: self.peers.me(), what });
            }
            if ticker.tick((part.wanted.len() - missing) as u64) {
                return Ok(true);
            }
            match self.hear()? {
                None => {}
                Some((_, Word::Give { objects }, pins)) => {
                    missing = missing.saturating_sub(fill(mutator, part, handles, &objects, &pins)?);
                }
                Some((from, word, _)) => self.note(from, word)?,
            }
        }
        for other in self.others() {
            if !self.say(other, &[], &Word::Built)? {
                return Ok(true);
            }
        }
        self.built.insert(self.peers.me());
        Ok(false)
    }

    /// What can be said at any time.
    fn note(&mut self, from: u32, word: Word) -> Result<(), WorkloadError> {
        match word {
            Word::Built => {
                self.built.insert(from);
            }
            Word::Round { round } => self.asked = Some((from, round)),
            Word::Stand { round, condemned, ledger } => {
                self.standing.insert(from, (round, condemned, ledger));
            }
            Word::End => self.ended = Some(from),
            Word::Bye => {
                self.byes.insert(from);
            }
            Word::Leave => self.may_leave = true,
            Word::Greet { .. } | Word::Give { .. } => return Err(out_of_place(from, &word)),
        }
        Ok(())
    }

    /// Rounds of cycles until nothing changes any more on any node. True when the driver asked to stop.
    pub(super) fn settle(&mut self) -> Result<bool, WorkloadError> {
        loop {
            if self.leads() {
                if self.lead()? {
                    return Ok(!self.stay);
                }
                break;
            }
            match self.follow()? {
                Followed::Stopped => return Ok(!self.stay),
                Followed::Alone => {}
                Followed::Ended => return Ok(false),
            }
        }
        for other in self.others() {
            self.say(other, &[], &Word::End)?;
        }
        Ok(false)
    }

    /// Goes when all have seen what is left: a node that goes earlier lets go what it holds, and with it what others have still to look at.
    pub(super) fn part(&mut self) -> Result<(), WorkloadError> {
        let until = Instant::now() + FAREWELL;
        if let Some(leader) = self.ended {
            self.say(leader, &[], &Word::Bye)?;
            return self.hear_until(until, |together| together.may_leave);
        }
        if self.leads() {
            self.hear_until(until, |together| {
                together.others().iter().all(|other| together.byes.contains(other))
            })?;
            for other in self.others() {
                self.say(other, &[], &Word::Leave)?;
            }
        }
        Ok(())
    }

    fn hear_until(
        &mut self,
        until: Instant,
        done: impl Fn(&Together<'_>) -> bool,
    ) -> Result<(), WorkloadError> {
        while !done(self) && Instant::now() < until {
            if let Some((from, word, _)) = self.hear()? {
                self.note(from, word)?;
            }
        }
        Ok(())
    }

    fn lead(&mut self) -> Result<bool, WorkloadError> {
        if self.wait(|together| together.others().iter().all(|other| together.built.contains(other)))? {
            return Ok(true);
        }
        let (mut quiet, mut before) = (0, None);
        for round in 1..=ROUNDS_MAX {
            self.driver.progress(Progress { phase: Phase::Collect, done: round.into(), total: None });
            // The others begin when it is over: what they would have to say in it were under way when they look how they stand.
            let swept = self.peers.collect()?;
            // Who is told to stop changes nothing any more: others who leave with it take what they hold along.
            if self.driver.stop_requested() {
                return Ok(true);
            }
            for other in self.others() {
                if !self.say(other, &[], &Word::Round { round })? {
                    return Ok(true);
                }
            }
            let condemned = self.cycle()?;
            let stands = |together: &Together<'_>, other: &u32| {
                together.standing.get(other).is_some_and(|standing| standing.0 == round)
            };
            if self.wait(|together| together.others().iter().all(|other| stands(together, other)))? {
                return Ok(true);
            }
            // What this node has said in this round has arrived: it is answered.
            let ledger = self.peers.ledger();
            let here = self.standing.iter().filter(|(_, standing)| standing.0 == round);
            let theirs = here.map(|(&node, &(_, condemned, ledger))| (node, condemned, ledger));
            let stand: Vec<(u32, u64, Ledger)> =
                theirs.chain([(self.peers.me(), condemned, ledger)]).collect();
            let unsettled = stand.iter().any(|(_, _, ledger)| ledger.unsettled);
            // A cycle that was given up, because somebody was away for a while, has found nothing: that nothing changed says nothing.
            quiet = if swept && !unsettled && before.as_ref() == Some(&stand) { quiet + 1 } else { 0 };
            before = Some(stand);
            if quiet >= QUIET_ROUNDS && !self.stay {
                break;
            }
            std::thread::sleep(if quiet >= QUIET_ROUNDS { STAY_REST } else { ROUND_REST });
        }
        Ok(false)
    }

    fn follow(&mut self) -> Result<Followed, WorkloadError> {
        loop {
            if self
                .wait(|together| together.asked.is_some() || together.ended.is_some() || together.leads())?
            {
                return Ok(Followed::Stopped);
            }
            if self.ended.is_some() {
                return Ok(Followed::Ended);
            }
            let Some((who, round)) = self.asked.take() else { return Ok(Followed::Alone) };
            let condemned = self.cycle()?;
            let ledger = self.peers.ledger();
            if !self.say(who, &[], &Word::Stand { round, condemned, ledger })? {
                return Ok(Followed::Stopped);
            }
        }
    }

    /// A cycle of this node. Answers what all of them have condemned.
    fn cycle(&mut self) -> Result<u64, WorkloadError> {
        self.condemned += self.driver.collect()?;
        Ok(self.condemned)
    }

    /// True when the driver asked to stop.
    fn wait(&mut self, until: impl Fn(&Together<'_>) -> bool) -> Result<bool, WorkloadError> {
        loop {
            if self.driver.stop_requested() {
                return Ok(true);
            }
            if until(self) {
                return Ok(false);
            }
            if let Some((from, word, _)) = self.hear()? {
                self.note(from, word)?;
            }
        }
    }
}

/// How it ended for a node that does what another says.
enum Followed {
    Ended,
    Stopped,
    /// Whoever led is gone, and this node is the first of those that are left.
    Alone,
}

fn out_of_place(from: u32, word: &Word) -> WorkloadError {
    let what = match word {
        Word::Give { .. } => "gives objects that nobody waits for",
        Word::Greet { .. } => "begins anew",
        _ => "is ahead of the others",
    };
    WorkloadError::Peer { node: from, what: what.into() }
}

/// Puts what has come into the slots that wait for it. Answers how many objects have come.
fn fill(
    mutator: &mut Mutator,
    part: &Part,
    handles: &Handles,
    objects: &[u32],
    pins: &[Option<Pin>],
) -> Result<usize, WorkloadError> {
    for (object, pin) in objects.iter().zip(pins) {
        let (Some(slots), Some(pin)) = (part.wanted.get(object), pin) else { continue };
        for some in slots.chunks(SPREAD_REFERENCES) {
            mutator.scope(|scope| {
                let target = scope.pinned(pin);
                for &(from, slot) in some {
                    let from =
                        handles.of(from).ok_or_else(|| WorkloadError::lost("an object that was built"))?;
                    scope.store(kept(scope, from)?, slot, Some(target))?;
                }
                Ok::<(), WorkloadError>(())
            })?;
        }
    }
    Ok(objects.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        let ledger = Ledger { stubs: 3, scions: 1 << 40, unsettled: true };
        for word in [
            Word::Greet { members: vec![1, 2, 7], digest: u64::MAX - 1 },
            Word::Give { objects: vec![0, 5, u32::MAX - 1] },
            Word::Give { objects: vec![] },
            Word::Built,
            Word::Round { round: 9 },
            Word::Stand { round: 9, condemned: 1 << 33, ledger },
            Word::End,
            Word::Bye,
            Word::Leave,
        ] {
            let message = word.encode();
            assert_eq!(Word::decode(&message), Some(word));
            for len in 0..message.len() {
                let _ = Word::decode(&message[..len]);
            }
        }
        assert_eq!(Word::decode(&[9]), None);
        assert_eq!(Word::decode(&[2, 0]), None);
    }

    #[test]
    fn the_parts_of_a_graph_are_the_graph() {
        let mut table = ObjectTable::default();
        let whole = InputGraph {
            begins: vec![0, 2, 3, 5, 5, 6],
            targets: vec![1, 2, 3, 3, 4, 0],
            roots: vec![(Some("a".into()), 0), (None, 3)],
        };
        for object in 0..5u8 {
            let mut id = [0; 20];
            id[7] = object;
            table.number(gix::ObjectId::from_bytes_or_panic(&id));
        }
        let members = [2, 5];
        let ranks = Ranks::new(&whole, &table);
        let parts = members.map(|me| Part::cut(&whole, &table, &ranks, &members, me));
        assert_eq!([&parts[0].ours[..], &parts[1].ours[..]], [&[0, 2, 4][..], &[1, 3]]);
        // Object 0 refers to 1 (elsewhere) and 2; 2 to 3 (elsewhere) and 4; 4 to 0.
        assert_eq!(parts[0].graph.targets, [ELSEWHERE, 1, ELSEWHERE, 2, 0]);
        assert_eq!(parts[0].wanted, BTreeMap::from([(1, vec![(0, 0)]), (3, vec![(1, 0)])]));
        assert_eq!(parts[1].given, BTreeMap::from([(2, vec![(0, 1), (1, 3)])]));
        assert_eq!(parts[0].given, BTreeMap::from([(5, vec![])]));
        assert_eq!(parts[0].graph.roots, [(Some("a".to_owned()), 0)]);
        assert_eq!(parts[1].graph.roots, [(None, 1)]);
    }
}
