//! What goes between the nodes: letters, which carry references and are taken a few at a time, and what the nodes tell each other of their progress.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use gc_heap::{Handle, Pin};

use crate::driver::{Driver, Phase, Progress};
use crate::error::WorkloadError;
use crate::limits::{LETTERS_OPEN, LETTERS_TOLD, RECEIVE_PATIENCE, SEND_AGAIN, SEND_PATIENCE};
use crate::peers::{Peers, PeersFailed, Received};

use super::spec::RandomWorkersSpec;
use super::word::{Stage, Stand, Word};

/// Why the work does not go on.
pub(super) enum Halt {
    /// The driver asked for it.
    Stopped,
    Failed(WorkloadError),
}

impl<E: Into<WorkloadError>> From<E> for Halt {
    fn from(error: E) -> Halt {
        Halt::Failed(error.into())
    }
}

/// Something for a worker or a manager, with what it carries: the worker that it is for comes first.
pub(super) struct Letter {
    /// The node that it is for.
    pub(super) home: u32,
    pub(super) references: Vec<Pin>,
    pub(super) word: Word,
}

/// See the module.
pub(super) struct Post<'d> {
    driver: &'d dyn Driver,
    peers: &'d dyn Peers,
    pub(super) me: u32,
    pub(super) others: Vec<u32>,
    /// Letters that wait to be dealt with here.
    pub(super) inbox: VecDeque<Letter>,
    /// Letters sent to other nodes.
    pub(super) sent: u64,
    /// Letters that a node has not said to have taken.
    open: BTreeMap<u32, u32>,
    /// Letters of a node that it was not told to be taken.
    taken: BTreeMap<u32, u32>,
    greeted: BTreeSet<u32>,
    begun: bool,
    reached: BTreeSet<(Stage, u32)>,
    /// How others stood when they last said so.
    pub(super) stands: BTreeMap<u32, Stand>,
    /// A round that this node is to run.
    pub(super) asked: Option<u32>,
    pub(super) ended: bool,
    /// Of what all are to do.
    digest: u64,
}

impl<'d> Post<'d> {
    /// Waits until all nodes are there and know of each other.
    pub(super) fn meet(
        spec: &RandomWorkersSpec,
        driver: &'d dyn Driver,
        peers: &'d dyn Peers,
    ) -> Result<Post<'d>, Halt> {
        let wanted = spec.nodes as usize;
        let members = loop {
            let members = peers.members();
            if members.len() >= wanted {
                break members;
            }
            let (done, total) = (members.len() as u64, Some(spec.nodes.into()));
            driver.progress(Progress { phase: Phase::Meet, done, total });
            if driver.stop_requested() {
                return Err(Halt::Stopped);
            }
            std::thread::sleep(RECEIVE_PATIENCE);
        };
        let me = peers.me();
        if members.len() > wanted {
            let what = format!("is one of {} members, and the load is for {wanted}", members.len());
            return Err(WorkloadError::Peer { node: me, what }.into());
        }
        let mut post = Post {
            driver,
            peers,
            me,
            others: members.iter().copied().filter(|&member| member != me).collect(),
            inbox: VecDeque::new(),
            sent: 0,
            open: BTreeMap::new(),
            taken: BTreeMap::new(),
            greeted: BTreeSet::new(),
            begun: false,
            reached: BTreeSet::new(),
            stands: BTreeMap::new(),
            asked: None,
            ended: false,
            digest: spec.digest(),
        };
        post.greet()?;
        Ok(post)
    }

    /// Whether this is the first node.
    pub(super) fn leads(&self) -> bool {
        self.others.iter().all(|&other| self.me < other)
    }

    /// All greet the first node, which answers when all have: so nobody speaks to one that is not there yet.
    fn greet(&mut self) -> Result<(), Halt> {
        if self.leads() {
            self.wait(|post| post.greeted.len() == post.others.len())?;
            return self.say_all(&Word::Begin);
        }
        let mut members = self.others.clone();
        members.push(self.me);
        members.sort_unstable();
        let first = members[0];
        self.say(first, &[], &Word::Greet { members, digest: self.digest })?;
        self.wait(|post| post.begun)
    }

    /// Sends a letter, or keeps it if it is for here.
    pub(super) fn send(&mut self, letter: Letter) -> Result<(), Halt> {
        if letter.home == self.me {
            self.inbox.push_back(letter);
            return Ok(());
        }
        while self.open.get(&letter.home).is_some_and(|&open| open >= LETTERS_OPEN) {
            self.go_on()?;
            self.pump(SEND_AGAIN)?;
        }
        let handles: Vec<Handle> = letter.references.iter().map(Pin::handle).collect();
        self.say(letter.home, &handles, &letter.word)?;
        *self.open.entry(letter.home).or_default() += 1;
        self.sent += 1;
        Ok(())
    }

    /// Says something to a node. Waits for room, and takes in what comes meanwhile.
    fn say(&mut self, to: u32, references: &[Handle], word: &Word) -> Result<(), Halt> {
        let message = word.encode();
        let until = Instant::now() + SEND_PATIENCE;
        while let Err(error) = self.peers.send(to, references, &message) {
            self.may_try_again(error, until)?;
            self.pump(SEND_AGAIN)?;
        }
        Ok(())
    }

    /// A node that is stopped for a while, or a queue that is full, passes; what lasts is an error.
    fn may_try_again(&self, error: PeersFailed, until: Instant) -> Result<(), Halt> {
        self.go_on()?;
        if Instant::now() < until { Ok(()) } else { Err(error.into()) }
    }

    pub(super) fn say_all(&mut self, word: &Word) -> Result<(), Halt> {
        for other in self.others.clone() {
            self.say(other, &[], word)?;
        }
        Ok(())
    }

    /// Says the last thing there is to say. Takes nothing in: what comes after this is for whatever the others do next.
    pub(super) fn say_end(&mut self) -> Result<(), Halt> {
        let (message, until) = (Word::End.encode(), Instant::now() + SEND_PATIENCE);
        for &other in &self.others {
            while let Err(error) = self.peers.send(other, &[], &message) {
                self.may_try_again(error, until)?;
                std::thread::sleep(SEND_AGAIN);
            }
        }
        Ok(())
    }

    /// Answers the first node.
    pub(super) fn stand(&mut self, stand: Stand) -> Result<(), Halt> {
        let Some(&first) = self.others.iter().min() else { return Ok(()) };
        self.say(first, &[], &Word::Stand(stand))
    }

    /// Tells all that this node has come so far.
    pub(super) fn reach(&mut self, stage: Stage) -> Result<(), Halt> {
        self.say_all(&Word::Reached(stage))
    }

    /// Whether all others have come so far.
    pub(super) fn all_reached(&self, stage: Stage) -> bool {
        self.others.iter().all(|&other| self.reached.contains(&(stage, other)))
    }

    /// Takes in what comes until something is so.
    pub(super) fn wait(&mut self, until: impl Fn(&Post<'_>) -> bool) -> Result<(), Halt> {
        while !until(self) {
            self.go_on()?;
            self.pump(RECEIVE_PATIENCE)?;
        }
        Ok(())
    }

    /// Whether there is any point in waiting.
    pub(super) fn go_on(&self) -> Result<(), Halt> {
        if self.driver.stop_requested() {
            return Err(Halt::Stopped);
        }
        let present = self.peers.members();
        if self.others.iter().all(|other| present.contains(other)) {
            return Ok(());
        }
        let what = "sees a node leave before the end".into();
        Err(WorkloadError::Peer { node: self.me, what }.into())
    }

    /// Takes in the next message, if one comes; says whether one did.
    pub(super) fn pump(&mut self, patience: Duration) -> Result<bool, Halt> {
        for (&node, taken) in self.taken.iter_mut().filter(|(_, taken)| **taken >= LETTERS_TOLD) {
            // If there is no room for this there will be soon.
            if self.peers.send(node, &[], &Word::Took(*taken).encode()).is_ok() {
                *taken = 0;
            }
        }
        let Some(received) = self.peers.receive(patience)? else { return Ok(false) };
        self.sort(received)?;
        Ok(true)
    }

    fn sort(&mut self, received: Received) -> Result<(), Halt> {
        let Received { from, references, no_room, message } = received;
        let wrong = |what: &str| WorkloadError::Peer { node: from, what: what.into() };
        let word = Word::decode(&message).ok_or_else(|| wrong("says something that is not understood"))?;
        match word {
            word if word.is_letter() => {
                let references =
                    references.into_iter().map(|pin| pin.ok_or_else(|| self.lost(from, no_room)));
                let references = references.collect::<Result<Vec<Pin>, WorkloadError>>()?;
                *self.taken.entry(from).or_default() += 1;
                self.inbox.push_back(Letter { home: self.me, references, word });
            }
            Word::Greet { members, digest } => {
                let ours = members.len() == self.others.len() + 1 && members.contains(&self.me);
                if !ours || digest != self.digest {
                    return Err(wrong("does something else, or counts other members").into());
                }
                self.greeted.insert(from);
            }
            Word::Took(count) => {
                let open = self.open.entry(from).or_default();
                *open = open.saturating_sub(count);
            }
            Word::Begin => self.begun = true,
            Word::Reached(stage) => {
                self.reached.insert((stage, from));
            }
            Word::Round(round) => self.asked = Some(round),
            Word::Stand(stand) => {
                self.stands.insert(from, stand);
            }
            Word::End => self.ended = true,
            // Letters, which were taken above.
            Word::Work(_) | Word::Acquaint | Word::Publish | Word::Check => {}
        }
        Ok(())
    }

    /// A reference arrived that leads nowhere: there was no room for a stub of it, or what whoever sent it held was freed in use.
    fn lost(&self, from: u32, no_room: bool) -> WorkloadError {
        match no_room {
            true => WorkloadError::NoRoom { from, to: self.me },
            false => WorkloadError::lost(&format!("a worker that n{from} held and sent to n{}", self.me)),
        }
    }
}
