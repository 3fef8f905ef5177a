//! The strategy of the whole cluster, exchanged as one.
//!
//! ```text
//!  leader   offer ──▶ every member: fetch by digest, load, rehearse ──▶ all prepared? ──▶ commit: generation g+1
//!                                                              no, late, changed ──▶ withdraw: everybody stays on g
//! ```
//!
//! 1. Until the leader has heard "prepared" from every member of one membership, nobody exchanges anything.
//! 2. A commit is the fact "generation g+1 is this digest". It travels like gossip: with the commit, on every new link, and with every new membership. Who missed it, was away,
//!    or has just joined fetches that strategy, prepares it, and installs it at its own next cycle boundary.
//!    Who cannot follow a fact, because nobody answers with its module or because it cannot be prepared here, tries again after a pause that doubles, for as long as a member says it. Meanwhile it
//!    votes on the offer that comes after that fact: being behind is no veto.
//! 3. Of two facts the greater one (generation, then digest) holds, so that even two leaders, which a coordinator prevents, end in one strategy.
//! 4. A node brings its strategy as generation 0, which nobody takes from it. It becomes generation 1 while its node is the only member: then it is what the cluster runs.
//! 5. A strategy owns nothing that another node depends on: nodes with different strategies are safe meanwhile, since stubs, scions, pins and proofs are the host's.
//! 6. Bytes are known by their SHA-256. The shell checks it before it loads them; a module that does not fit its digest is not prepared.
//!
//! Two-phase commit blocks when its leader dies in between. Here it does not: an offer dies with its leader's membership, and if the leader had committed
//! and told anyone, that one tells the others (2).
//!
//! Paper: Gray, *Notes on data base operating systems*, 1978; epidemic repair as in Demers et al. 1987.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{Life, Nanos};
use crate::limits::{CHUNK_BYTES, MODULE_BYTES_MAX};
use crate::rules::{Faults, Rule};
use crate::wire::{
    Message, ModuleChunk, ModuleDigest, ModuleWanted, Payload, SwapOffer, SwapPrepared, SwapPresent,
};

/// A strategy as the cluster knows it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Present {
    /// How many exchanges there have been.
    pub generation: u64,
    /// SHA-256 of the module.
    pub digest: ModuleDigest,
}

/// How an offer ended.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SwapEnding {
    /// Everybody installs it.
    Committed,
    /// This member could not prepare it.
    NotPrepared(Life),
    /// It took too long.
    TimedOut,
    /// The membership changed.
    MembershipChanged,
    /// Its leader withdrew it.
    Withdrawn,
}

/// What a swap wants from the node around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapNotice {
    /// Check the digest, load, rehearse; then say whether it worked.
    Prepare {
        /// The module.
        digest: ModuleDigest,
        /// Its bytes.
        bytes: Arc<Vec<u8>>,
    },
    /// Install it at the next cycle boundary.
    Install(Present),
    /// What was prepared is not wanted.
    Discard(ModuleDigest),
    /// An offer that this node made has ended.
    Ended(ModuleDigest, SwapEnding),
}

/// What a step brought about.
#[derive(Debug, Clone, Default)]
pub struct SwapOutput {
    /// What is to be sent. To oneself is possible.
    pub messages: Vec<(Life, Message)>,
    /// What is to be done here.
    pub notices: Vec<SwapNotice>,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Purpose {
    /// For the vote of this leader.
    Offered(Life),
    /// It is the strategy of the cluster already.
    Adopted,
}

#[derive(Debug, Clone)]
struct Candidate {
    present: Present,
    purpose: Purpose,
    /// None while the module is being fetched.
    prepared: Option<bool>,
}

#[derive(Debug, Clone)]
struct Fetch {
    from: Life,
    bytes: Vec<u8>,
    ask_again_at: Nanos,
    /// How many were asked since a piece came.
    unanswered: usize,
}

/// The greatest fact that this node has heard and does not follow yet.
#[derive(Debug, Clone)]
struct Behind {
    present: Present,
    /// Members that have said it.
    said_by: BTreeSet<Life>,
    /// Not before this is it tried again.
    try_at: Nanos,
    /// How long the next pause is.
    pause: Nanos,
}

#[derive(Debug, Clone)]
struct Leading {
    present: Present,
    ready: BTreeSet<Life>,
    deadline: Nanos,
}

/// Times of a swap.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwapConfig {
    /// After this long a piece of a module is asked of another member.
    pub ask_again_after: Nanos,
    /// After this long an offer is withdrawn.
    pub timeout: Nanos,
}

/// The swaps of one node.
#[derive(Debug, Clone)]
pub struct Swap {
    me: Life,
    config: SwapConfig,
    members: BTreeSet<Life>,
    present: Present,
    modules: BTreeMap<ModuleDigest, Arc<Vec<u8>>>,
    candidate: Option<Candidate>,
    fetch: Option<Fetch>,
    behind: Option<Behind>,
    leading: Option<Leading>,
    faults: Faults,
}

impl Swap {
    /// A node that runs this strategy. Generation 0 for one that does not know what the cluster runs, with the digest of what it brought, or with
    /// the default one where that cannot be passed on.
    #[must_use]
    pub fn new(me: Life, config: SwapConfig, present: Present, bytes: Arc<Vec<u8>>, faults: Faults) -> Swap {
        Swap {
            me,
            config,
            members: BTreeSet::new(),
            present,
            modules: BTreeMap::from([(present.digest, bytes)]),
            candidate: None,
            fetch: None,
            behind: None,
            leading: None,
            faults,
        }
    }

    /// The strategy that this node runs, or installs at its next boundary.
    #[must_use]
    pub fn present(&self) -> Present {
        self.present
    }

    /// The generation of the cluster, as far as this node has heard.
    fn generation(&self) -> u64 {
        self.behind.as_ref().map_or(self.present, |behind| behind.present).generation
    }

    fn broadcast(&self, message: &Message, out: &mut SwapOutput) {
        let others = self.members.iter().filter(|&&member| member != self.me);
        out.messages.extend(others.map(|&member| (member, message.clone())));
    }

    fn fact(present: Present) -> SwapPresent {
        SwapPresent { generation: present.generation, digest: present.digest }
    }

    /// Offers a strategy to the cluster. False while another swap is under way, or for a module that is too large.
    pub fn propose(
        &mut self,
        now: Nanos,
        digest: ModuleDigest,
        bytes: Arc<Vec<u8>>,
        out: &mut SwapOutput,
    ) -> bool {
        if self.candidate.is_some() || self.leading.is_some() || bytes.len() > MODULE_BYTES_MAX {
            return false;
        }
        // A peer may have said any generation.
        let Some(generation) = self.generation().checked_add(1) else { return false };
        let present = Present { generation, digest };
        self.modules.insert(digest, bytes);
        let deadline = now.saturating_add(self.config.timeout);
        self.leading = Some(Leading { present, ready: BTreeSet::new(), deadline });
        self.broadcast(&Message::SwapOffer(SwapOffer { generation: present.generation, digest }), out);
        self.consider(now, present, Purpose::Offered(self.me), self.me, out);
        true
    }

    /// Gets hold of a module, then has it prepared.
    fn consider(
        &mut self,
        now: Nanos,
        present: Present,
        purpose: Purpose,
        source: Life,
        out: &mut SwapOutput,
    ) {
        self.candidate = Some(Candidate { present, purpose, prepared: None });
        self.fetch = None;
        if let Some(bytes) = self.modules.get(&present.digest) {
            out.notices.push(SwapNotice::Prepare { digest: present.digest, bytes: Arc::clone(bytes) });
        } else {
            self.fetch = Some(Fetch { from: source, bytes: Vec::new(), ask_again_at: 0, unanswered: 0 });
            self.ask(now, out);
        }
    }

    fn ask(&mut self, now: Nanos, out: &mut SwapOutput) {
        if let (Some(fetch), Some(candidate)) = (&mut self.fetch, &self.candidate) {
            fetch.ask_again_at = now.saturating_add(self.config.ask_again_after);
            fetch.unanswered += 1;
            let wanted = ModuleWanted { digest: candidate.present.digest, offset: fetch.bytes.len() as u64 };
            out.messages.push((fetch.from, Message::ModuleWanted(wanted)));
        }
    }

    /// A leader offers a strategy.
    pub fn offered(&mut self, now: Nanos, from: Life, offer: &SwapOffer, out: &mut SwapOutput) {
        let present = Present { generation: offer.generation, digest: offer.digest };
        if self.candidate.is_some() || offer.generation.checked_sub(1) != Some(self.generation()) {
            let answer = SwapPrepared { generation: offer.generation, digest: offer.digest, ready: false };
            out.messages.push((from, Message::SwapPrepared(answer)));
            return;
        }
        self.consider(now, present, Purpose::Offered(from), from, out);
    }

    /// Somebody wants a piece of a module.
    pub fn wanted(&self, from: Life, wanted: &ModuleWanted, out: &mut SwapOutput) {
        let Some(module) = self.modules.get(&wanted.digest) else { return };
        let start = usize::try_from(wanted.offset).unwrap_or(usize::MAX).min(module.len());
        let piece = &module[start..module.len().min(start + CHUNK_BYTES)];
        let chunk = ModuleChunk {
            digest: wanted.digest,
            offset: wanted.offset,
            total: module.len() as u64,
            bytes: Payload(piece.to_vec()),
        };
        out.messages.push((from, Message::ModuleChunk(chunk)));
    }

    /// A piece of a module has come. It counts only from whom it was asked of.
    pub fn chunk(&mut self, now: Nanos, from: Life, chunk: &ModuleChunk, out: &mut SwapOutput) {
        let (Some(candidate), Some(fetch)) = (&self.candidate, &mut self.fetch) else { return };
        let fits = fetch.from == from
            && chunk.digest == candidate.present.digest
            && chunk.offset == fetch.bytes.len() as u64
            && chunk.total <= MODULE_BYTES_MAX as u64
            && chunk.offset + chunk.bytes.0.len() as u64 <= chunk.total
            && (!chunk.bytes.0.is_empty() || chunk.total == 0);
        if !fits {
            return;
        }
        fetch.bytes.extend_from_slice(&chunk.bytes.0);
        fetch.unanswered = 0;
        if (fetch.bytes.len() as u64) < chunk.total {
            return self.ask(now, out);
        }
        let bytes = Arc::new(std::mem::take(&mut fetch.bytes));
        self.fetch = None;
        self.modules.insert(chunk.digest, Arc::clone(&bytes));
        out.notices.push(SwapNotice::Prepare { digest: chunk.digest, bytes });
    }

    /// The node has loaded and rehearsed a module, or could not.
    pub fn prepared(&mut self, now: Nanos, digest: ModuleDigest, ready: bool, out: &mut SwapOutput) {
        let Some(candidate) = &mut self.candidate else { return };
        if candidate.present.digest != digest || candidate.prepared.is_some() {
            return;
        }
        candidate.prepared = Some(ready);
        let present = candidate.present;
        match candidate.purpose {
            Purpose::Offered(leader) => {
                let answer = SwapPrepared { generation: present.generation, digest, ready };
                out.messages.push((leader, Message::SwapPrepared(answer)));
            }
            Purpose::Adopted if ready => self.install(present, out),
            Purpose::Adopted => self.put_off(now),
        }
    }

    /// What was to be adopted could not be: it is tried again later, if anybody still says it.
    fn put_off(&mut self, now: Nanos) {
        self.drop_candidate();
        self.behind = self.behind.take().filter(|behind| !behind.said_by.is_empty());
        if let Some(behind) = &mut self.behind {
            behind.try_at = now.saturating_add(behind.pause);
            behind.pause = behind.pause.saturating_mul(2).min(self.config.timeout);
        }
    }

    /// A member is prepared, or is not.
    pub fn member_prepared(&mut self, from: Life, answer: &SwapPrepared, out: &mut SwapOutput) {
        let unanimous = self.faults.keeps(Rule::SwapIsUnanimous);
        let Some(leading) = &mut self.leading else { return };
        if (answer.generation, answer.digest) != (leading.present.generation, leading.present.digest) {
            return;
        }
        if !answer.ready && unanimous {
            return self.withdraw(SwapEnding::NotPrepared(from), out);
        }
        leading.ready.insert(from);
        if leading.ready == self.members {
            let present = leading.present;
            self.leading = None;
            self.broadcast(&Message::SwapPresent(Self::fact(present)), out);
            out.notices.push(SwapNotice::Ended(present.digest, SwapEnding::Committed));
            self.install(present, out);
        }
    }

    fn withdraw(&mut self, why: SwapEnding, out: &mut SwapOutput) {
        let Some(leading) = self.leading.take() else { return };
        self.broadcast(&Message::SwapWithdrawn(Self::fact(leading.present)), out);
        out.notices.push(SwapNotice::Ended(leading.present.digest, why));
        self.withdrawn(self.me, &Self::fact(leading.present), out);
    }

    /// A leader has withdrawn its offer.
    pub fn withdrawn(&mut self, from: Life, fact: &SwapPresent, out: &mut SwapOutput) {
        let of_this = self.candidate.as_ref().is_some_and(|candidate| {
            candidate.purpose == Purpose::Offered(from) && candidate.present.digest == fact.digest
        });
        if of_this {
            self.drop_candidate();
            out.notices.push(SwapNotice::Discard(fact.digest));
        }
    }

    /// Somebody says what the cluster runs.
    pub fn told(&mut self, now: Nanos, from: Life, fact: &SwapPresent, out: &mut SwapOutput) {
        let theirs = Present { generation: fact.generation, digest: fact.digest };
        // Generation 0 is what a node brought, of which the cluster knows nothing.
        if theirs.generation == 0 || theirs <= self.present {
            return;
        }
        self.heard_of(theirs, from);
        match &mut self.candidate {
            Some(candidate) if candidate.present == theirs => {
                candidate.purpose = Purpose::Adopted;
                match candidate.prepared {
                    Some(true) => self.install(theirs, out),
                    Some(false) => self.put_off(now),
                    None => {}
                }
            }
            Some(candidate) if candidate.purpose == Purpose::Adopted && candidate.present > theirs => {}
            // It is the one after this.
            Some(candidate) if candidate.present.generation > theirs.generation => {}
            _ => {
                let before = self.candidate.take();
                out.notices.extend(before.map(|before| SwapNotice::Discard(before.present.digest)));
                self.consider(now, theirs, Purpose::Adopted, from, out);
            }
        }
    }

    /// Notes who says a fact that is greater than what this node runs.
    fn heard_of(&mut self, theirs: Present, from: Life) {
        match &mut self.behind {
            Some(behind) if behind.present > theirs => {}
            Some(behind) if behind.present == theirs => {
                behind.said_by.insert(from);
            }
            _ => {
                let (said_by, pause) = (BTreeSet::from([from]), self.config.ask_again_after);
                self.behind = Some(Behind { present: theirs, said_by, try_at: 0, pause });
            }
        }
    }

    fn install(&mut self, present: Present, out: &mut SwapOutput) {
        self.present = present;
        self.behind = self.behind.take().filter(|behind| behind.present > present);
        self.drop_candidate();
        self.modules.retain(|&digest, _| digest == present.digest);
        out.notices.push(SwapNotice::Install(present));
    }

    fn drop_candidate(&mut self) {
        self.candidate = None;
        self.fetch = None;
        let present = self.present.digest;
        self.modules.retain(|&digest, _| digest == present);
    }

    /// A link to this member is up: it is told what runs here.
    pub fn linked(&self, peer: Life, out: &mut SwapOutput) {
        out.messages.push((peer, Message::SwapPresent(Self::fact(self.present))));
    }

    /// Who is alone is the cluster: what it brought is what the cluster runs, and who joins takes it. Everybody else waits to be told (generation 0), so that
    /// no node changes the strategy of the others by being started with another one.
    fn speak_for_oneself(&mut self) {
        let alone = self.members.len() == 1 && self.members.contains(&self.me);
        let brought = self.present.digest != ModuleDigest::default();
        if alone && brought && self.present.generation == 0 {
            self.present.generation = 1;
        }
    }

    /// Another membership.
    pub fn membership_changed(&mut self, members: &BTreeSet<Life>, out: &mut SwapOutput) {
        self.withdraw(SwapEnding::MembershipChanged, out);
        self.members.clone_from(members);
        if let Some(behind) = &mut self.behind {
            behind.said_by.retain(|life| members.contains(life));
        }
        self.speak_for_oneself();
        if let Some(candidate) = &self.candidate
            && let Purpose::Offered(leader) = candidate.purpose
            && !members.contains(&leader)
        {
            let digest = candidate.present.digest;
            self.drop_candidate();
            out.notices.push(SwapNotice::Discard(digest));
        }
        // Who has left may have led a swap, and have told this node alone of its end.
        if self.present.generation > 0 {
            self.broadcast(&Message::SwapPresent(Self::fact(self.present)), out);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, out: &mut SwapOutput) {
        if self.leading.as_ref().is_some_and(|leading| leading.deadline <= now) {
            self.withdraw(SwapEnding::TimedOut, out);
        }
        self.fetch_on(now, out);
        if self.candidate.is_none()
            && let Some(behind) = self.behind.as_ref().filter(|behind| behind.try_at <= now)
        {
            let (present, source) = (behind.present, behind.said_by.first().copied());
            match source {
                Some(source) => self.consider(now, present, Purpose::Adopted, source, out),
                None => self.behind = None,
            }
        }
    }

    /// Asks the next member for the module where the last one has not answered. An adoption that all were asked about in vain is put off.
    fn fetch_on(&mut self, now: Nanos, out: &mut SwapOutput) {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.ask_again_at <= now) else { return };
        let adopted = self.candidate.as_ref().filter(|candidate| candidate.purpose == Purpose::Adopted);
        if let Some(adopted) = adopted.filter(|_| fetch.unanswered >= self.members.len()) {
            out.notices.push(SwapNotice::Discard(adopted.present.digest));
            return self.put_off(now);
        }
        let others = || self.members.iter().copied().filter(|&member| member != self.me);
        let next = others().find(|&member| member > fetch.from).or_else(|| others().next());
        fetch.from = next.unwrap_or(fetch.from);
        self.ask(now, out);
    }

    /// When something is to be done next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let leading = self.leading.as_ref().map(|leading| leading.deadline);
        let fetch = self.fetch.as_ref().map(|fetch| fetch.ask_again_at);
        let behind = self.behind.as_ref().filter(|_| self.candidate.is_none()).map(|behind| behind.try_at);
        leading.into_iter().chain(fetch).chain(behind).min()
    }
}
