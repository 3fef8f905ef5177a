//! The thread that drives this node's part of the cluster: links, membership, references, and cycles over nodes.
//!
//! ```text
//!             frames, links              memberships             orders               bell
//!  Transport ──────────────┐   Members ───────────┐   everybody ─────────┐  collector ─────┐
//!                          ▼                      ▼                      ▼                 ▼
//!                     ┌──────────────────────── Driver ── Member (protocol and heap) ────────────┐
//!                          │                      │                      │                 │
//!   frames to send ◀───────┘  proposals, exile ◀──┘  answers, messages ◀─┘   cycles, ◀─────┘
//!                                                                            candidates for the collector
//! ```
//!
//! 1. One thread, one event at a time, and nothing in it waits: what takes long goes to the collector thread or to [`super::answers`].
//! 2. It decides nothing. What a message means the protocol says, who is a member the coordinator, when a cycle over nodes is due
//!    [`super::pace`].
//! 3. Everybody who asks is answered: by what came of it, or by the end of this thread, which drops all replies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use gc_cluster::{Event as LinkEvent, Lives, Members, Notice, Transport, Watch};
use gc_heap::Handle;
use gc_protocol::wire::ModuleDigest;
use gc_protocol::{CycleEnding, CycleId, Effect, Event, Life, NodeId, Refusal, SwapEnding};
use gc_remote::{Lost, Member, Outward, reference_of};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, mpsc};

use crate::ask::Ask;
use crate::board::Board;
use crate::cluster::answers::{Asked, Questions};
use crate::cluster::clock;
use crate::cluster::error::ClusterError;
use crate::cluster::handle::{Delivery, Order, Peer, Shared};
use crate::cluster::over::Overs;
use crate::cluster::pace::{Held, Pace};
use crate::cluster::post::{self, Opened, Post, Question, Reply};
use crate::cluster::record::{ClusterCounters, ExileReport, OverRecord};
use crate::cluster::start::until;
use crate::cluster::works::Works;
use crate::limits::{CLUSTER_TICK, FIGURES_REST, LEAVE_LOOK, LEAVE_WAIT, OVER_ABSENT_WAIT, QUESTION_WAIT};
use crate::record::CycleRecord;
use crate::sync::lock;

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) member: Member,
    pub(crate) members: Members,
    pub(crate) transport: Transport,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) deliver: SyncSender<Delivery>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) works: Works,
    pub(crate) board: Arc<Board>,
    pub(crate) answers: Questions,
    pub(crate) watch: Watch,
    /// Keeps the state folder locked for as long as this life lasts.
    pub(crate) _lives: Lives,
    pub(crate) idle: Option<Duration>,
}

/// A question that waits for the answer of another node.
struct Waiting {
    to: u32,
    reply: Sender<Result<Reply, ClusterError>>,
    until: Instant,
}

/// See the module.
pub(crate) struct Driver {
    pub(crate) parts: Parts,
    /// The link to each peer that the protocol knows as connected.
    sessions: BTreeMap<u32, u64>,
    /// When each peer was last heard.
    pub(crate) heard: BTreeMap<u32, Instant>,
    /// Whose lease lapsed, who was not exiled for that, and who has not been heard since. The protocol begins another lease each time.
    pub(crate) silent: BTreeSet<u32>,
    tokens: u64,
    questions: BTreeMap<u64, Waiting>,
    /// Questions of other nodes that came in this turn.
    asked: Vec<(u32, u64, Question)>,
    pub(crate) overs: Overs,
    swap: Option<(ModuleDigest, Sender<Result<u64, ClusterError>>)>,
    /// Why this node could not take the last strategy for all nodes.
    refused: Option<String>,
    exiles: Vec<tokio::task::JoinHandle<()>>,
    pace: Pace,
    pub(crate) counters: ClusterCounters,
    looked: Instant,
    figures_due: Instant,
    /// Peers look different since they were shown.
    peers_changed: bool,
    /// Entries that digests have healed in this turn, and one of them for people.
    healed: Option<(u64, String)>,
    /// It is to end, and waits at most so long for the word that the others know.
    leaving: Option<(gc_cluster::Answer, Instant)>,
    ended: bool,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let pace = Pace::new(parts.idle, clock::now());
        Driver {
            parts,
            sessions: BTreeMap::new(),
            heard: BTreeMap::new(),
            silent: BTreeSet::new(),
            tokens: 0,
            questions: BTreeMap::new(),
            asked: Vec::new(),
            overs: Overs::default(),
            swap: None,
            refused: None,
            exiles: Vec::new(),
            pace,
            counters: ClusterCounters::default(),
            looked: Instant::now(),
            figures_due: Instant::now(),
            peers_changed: false,
            healed: None,
            leaving: None,
            ended: false,
        }
    }

    /// Drives until it is told to stop, or this life is not a member any more.
    pub(crate) async fn run(mut self) {
        self.look();
        while !self.ended {
            let most = if self.leaving.is_some() { LEAVE_LOOK } else { CLUSTER_TICK };
            let wake = self.parts.member.next_wake().map_or(most, until).min(most);
            tokio::select! {
                Some(event) = self.parts.events.recv() => self.link(event),
                notice = self.parts.members.next() => self.notice(notice),
                Some(order) = self.parts.orders.recv() => self.order(order),
                () = self.parts.bell.notified() => self.hear_collector(),
                () = tokio::time::sleep(wake) => self.feed(Event::Ticked),
            }
            if self.looked.elapsed() >= CLUSTER_TICK {
                self.look();
            }
            self.leave();
        }
        self.parts.transport.close().await;
    }

    // What comes in.

    fn link(&mut self, event: LinkEvent) {
        self.parts.members.handle(&event);
        match event {
            LinkEvent::Up { peer, session, .. } => {
                if self.sessions.insert(peer.number, session).is_some() {
                    self.feed(Event::Disconnected { peer: NodeId(peer.number) });
                }
                self.heard.insert(peer.number, Instant::now());
                self.feed(Event::Connected { peer: NodeId(peer.number), wall_ms: clock::wall_ms() });
            }
            LinkEvent::Frame { peer, session, frame } => {
                // What is left of a link that has been replaced is lost, as anything may be with its link.
                if self.sessions.get(&peer) == Some(&session) {
                    self.heard.insert(peer, Instant::now());
                    self.silent.remove(&peer);
                    self.feed(Event::Received { peer: NodeId(peer), frame: frame.into() });
                }
            }
            LinkEvent::Gossip { .. } => {}
            LinkEvent::Down { peer, session, .. } => {
                if self.sessions.get(&peer) == Some(&session) {
                    self.sessions.remove(&peer);
                    self.feed(Event::Disconnected { peer: NodeId(peer) });
                }
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::MembershipChanged { epoch, members } => {
                let members = members.into_keys().collect();
                self.feed(Event::MembershipChanged { epoch, members });
                self.forget_questions();
                self.look();
            }
            Notice::Suspected { life, phi } => {
                let name = self.name(life.node.0);
                self.say("warn", format!("{name} seems to be gone (phi {phi:.1}): what it holds stays"));
            }
            Notice::Recovered(life) => {
                let name = self.name(life.node.0);
                self.say("info", format!("{name} is there again"));
            }
            Notice::ExileDeclined { client, why } => {
                if self.silent.insert(client.node.0) {
                    self.say("warn", why.to_string());
                }
                self.feed(Event::ExileDeclined { client });
            }
            Notice::NotAdmitted(why) => {
                let node = self.parts.member.node();
                let is_member = node.membership().is_member(node.me());
                let what = if is_member { "" } else { "this node is not let in: " };
                self.say("warn", format!("{what}{why}"));
            }
            Notice::NotKept(why) => self.say(
                "warn",
                format!("the membership is not kept ({why}): make room, or give --join when this node starts again"),
            ),
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Send { to, references, message, reply } => {
                let _ = reply.send(self.send(to, &references, post::of_application(&message)));
            }
            Order::Ask { to, question, reply } => self.ask(to, question, reply),
            Order::Answer { to, id, reply } => self.post(to, &Post::Reply { id, reply }),
            Order::Over { reply } => self.want_over(reply),
            Order::OverHere { cycle, record } => self.over_here(cycle, record),
            Order::HeldBy { handle, reply } => {
                let (holders, pinned) = self.parts.member.node().held_by(reference_of(handle).object);
                let _ = reply.send((holders.into_iter().map(|life| life.node.0).collect(), pinned));
            }
            Order::Only { node, reply } => {
                let _ = reply.send(self.only(node));
            }
            Order::Held { reply } => {
                let _ = reply.send(self.held_sets());
            }
            Order::Status { reply } => {
                let _ = reply.send(Box::new(self.status()));
            }
            Order::Ledger { reply } => {
                let _ = reply.send(self.ledger());
            }
            Order::Exile { name, reply } => self.exile(name, reply),
            Order::Swap { digest, bytes, reply } => {
                if self.swap.is_some() {
                    let _ = reply.send(Err(ClusterError::Refused(
                        "another swap of the cluster is under way: wait for its end".into(),
                    )));
                    return;
                }
                if let Some(name) = self.absent() {
                    let _ = reply.send(Err(ClusterError::Refused(format!(
                        "a swap of the cluster needs all of its nodes, and {name} is not there: wait for it, or, if it is gone for good, `host cluster exile {name}`"
                    ))));
                    return;
                }
                self.swap = Some((digest, reply));
                self.feed(Event::SwapRequested { digest, bytes });
            }
            Order::Prepared { digest, refused } => {
                let ready = refused.is_none();
                self.refused = refused;
                self.feed(Event::StrategyPrepared { digest, ready });
            }
            Order::Stop => {
                // What it has is gone with this process: the others need not wait for it. The seat, which cannot leave, is refused.
                let answer = self.parts.members.leave();
                self.leaving.get_or_insert((answer, Instant::now() + LEAVE_WAIT));
            }
        }
    }

    fn hear_collector(&mut self) {
        let outward = self.parts.member.poll(clock::now());
        self.perform(outward);
    }

    // What goes out.

    fn feed(&mut self, event: Event) {
        let outward = self.parts.member.step(clock::now(), event);
        self.perform(outward);
    }

    fn perform(&mut self, outward: Vec<Outward>) {
        for outward in outward {
            match outward {
                Outward::Delivered(delivery) => self.delivered(delivery),
                Outward::Effect(effect) => self.effect(effect),
            }
        }
        // After the frames of this turn: an answer that overtook one of them would be dropped, and sent again a second later.
        for (from, id, question) in std::mem::take(&mut self.asked) {
            self.asked(from, id, question);
        }
        if std::mem::take(&mut self.peers_changed) {
            self.show_peers();
        }
        if let Some((count, example)) = self.healed.take() {
            self.say("warn", format!("digests healed {count} entries, as {example}: messages were lost"));
        }
    }

    fn delivered(&mut self, delivery: gc_remote::Delivery) {
        let from = delivery.from.node.0;
        match post::open(delivery.payload) {
            Opened::Application(message) => {
                let no_room = delivery.references.iter().any(|one| matches!(one.pin, Err(Lost::NoRoom)));
                let references = delivery.references.into_iter().map(|arrival| arrival.pin.ok()).collect();
                let delivery = Delivery { from, references, no_room, message };
                if let Err(TrySendError::Full(_)) = self.parts.deliver.try_send(delivery) {
                    self.counters.deliveries_dropped += 1;
                    if self.counters.deliveries_dropped == 1 {
                        self.say(
                            "warn",
                            "messages for this node's program are dropped: it takes none".into(),
                        );
                    }
                }
            }
            Opened::Node(Post::Question { id, question }) => self.asked.push((from, id, question)),
            Opened::Node(Post::Reply { id, reply }) => {
                if let Some(waiting) = self.questions.remove(&id).filter(|waiting| waiting.to == from) {
                    let _ = waiting.reply.send(Ok(reply));
                }
            }
            // Of a later release. Whoever asked gives up by himself.
            Opened::Unknown => {}
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Transmit { peer, frame } => {
                // What there is no room for is sent again by the protocol.
                let _ = self.parts.transport.send(peer.0, frame.into());
            }
            Effect::Close { peer, reason } => self.close(peer, reason),
            Effect::NotSent { .. } => {}
            // A use of it answers so. There may be a million in one turn, when their home has left.
            Effect::StubDead { .. } => {}
            Effect::Suspect(_) | Effect::Trust(_) | Effect::Forgotten(_) => self.peers_changed = true,
            Effect::Fence => {
                self.counters.fences += 1;
                self.say(
                    "warn",
                    "this node reaches less than half of the members: it hands out nothing until it does"
                        .into(),
                );
                self.peers_changed = true;
            }
            Effect::Unfence => self.say("info", "this node reaches more than half of the members".into()),
            Effect::LeaseLapsed(client) => {
                self.counters.leases_lapsed += u64::from(!self.silent.contains(&client.node.0));
            }
            Effect::ProposeExile { client, epoch } => self.parts.members.propose_exile(client, epoch),
            Effect::MembershipRefused(why) => self.say("warn", why.to_string()),
            Effect::Exiled => self.exiled(),
            Effect::Healed { client, object, added } => {
                let what = if added { "was listed too little" } else { "was listed too much" };
                let healed = self.healed.get_or_insert_with(|| (0, format!("{client} {what} for {object}")));
                healed.0 += 1;
            }
            Effect::CycleRefused { ask } => self.over_refused(ask),
            Effect::BeginCycle(cycle) => {
                self.overs.begun(cycle);
                self.parts.works.give(Ask::OverNodes { cycle });
            }
            Effect::CycleEnded(cycle, why) => self.over_ended(cycle, why),
            Effect::PrepareStrategy { digest, bytes } => {
                self.parts.works.give(Ask::Prepare { digest, bytes });
            }
            Effect::InstallStrategy(present) => {
                self.parts.works.give(Ask::Install { digest: present.digest });
            }
            Effect::DiscardStrategy(digest) => self.parts.works.give(Ask::Discard { digest }),
            Effect::SwapEnded(digest, why) => self.swap_ended(digest, Some(why)),
            Effect::SwapRefused(digest) => self.swap_ended(digest, None),
            // Done by the member.
            Effect::Deliver { .. }
            | Effect::Root(_)
            | Effect::Unroot(_)
            | Effect::Shade { .. }
            | Effect::StrategySaid { .. }
            | Effect::DecideCycle(_)
            | Effect::Sweep(_) => {}
        }
    }

    fn close(&mut self, peer: NodeId, reason: Refusal) {
        self.sessions.remove(&peer.0);
        self.parts.transport.disconnect(peer.0, &reason.to_string());
        let of_membership = matches!(
            reason,
            Refusal::NotAMember | Refusal::ExiledLife | Refusal::ReplayedIncarnation | Refusal::ByPeer(6..=8)
        );
        if of_membership {
            // One of the two has another membership than the other; which of them is behind, whoever decides knows.
            self.parts.members.ask_again();
        } else {
            let name = self.name(peer.0);
            self.say("warn", format!("the link to {name} is closed: {reason}"));
        }
    }

    fn exiled(&mut self) {
        let why = format!(
            "{} is not a member any more: what it held of others is void; start it again, and it comes back empty in another life",
            self.parts.shared.me.name
        );
        self.say("error", why.clone());
        lock(&self.parts.shared.view).ended = Some(why);
        self.ended = true;
    }

    // Messages of programs, and questions between nodes.

    fn send(&mut self, to: u32, references: &[Handle], payload: Vec<u8>) -> Result<(), ClusterError> {
        self.tokens += 1;
        let token = self.tokens;
        let references = references.iter().map(|&handle| reference_of(handle)).collect();
        let event = Event::SendRequested { to: NodeId(to), references, payload, token };
        let mut outward = self.parts.member.step(clock::now(), event);
        let refused = outward.iter().position(
            |outward| matches!(outward, Outward::Effect(Effect::NotSent { token: which, .. }) if *which == token),
        );
        let refused = refused.map(|at| outward.remove(at));
        self.perform(outward);
        match refused {
            Some(Outward::Effect(Effect::NotSent { reason, .. })) => {
                Err(ClusterError::NotSent(reason.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn ask(&mut self, to: u32, question: Question, reply: Sender<Result<Reply, ClusterError>>) {
        self.tokens += 1;
        let id = self.tokens;
        let payload = post::of_node(&Post::Question { id, question });
        match self.send(to, &[], payload) {
            Ok(()) => {
                let until = Instant::now() + QUESTION_WAIT;
                self.questions.insert(id, Waiting { to, reply, until });
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn post(&mut self, to: u32, post: &Post) {
        // A node that takes nothing gets no answer, and gives up by itself.
        let _ = self.send(to, &[], post::of_node(post));
    }

    fn asked(&mut self, from: u32, id: u64, question: Question) {
        match question {
            Question::Over => {
                let node = self.parts.member.node();
                if node.membership().members().first() == Some(&node.me()) {
                    self.overs.want_one();
                    self.request_over();
                }
            }
            Question::Why { .. } | Question::Only { .. } => {
                if let Err(Asked { from, id, .. }) = self.parts.answers.put(Asked { from, id, question }) {
                    let reply = Reply::Refused("too many questions wait there: ask again".into());
                    self.post(from, &Post::Reply { id, reply });
                }
            }
        }
    }

    /// Who is no member any more does not answer; who takes too long is not waited for.
    fn forget_questions(&mut self) {
        let node = self.parts.member.node();
        let gone = |waiting: &Waiting| node.membership().member(NodeId(waiting.to)).is_none();
        let now = Instant::now();
        self.questions.retain(|_, waiting| {
            let why = match () {
                () if gone(waiting) => "it is no member any more",
                () if waiting.until <= now => "it does not answer",
                () => return true,
            };
            let node = format!("n{}", waiting.to);
            let _ = waiting.reply.send(Err(ClusterError::Unreachable { node, why: why.into() }));
            false
        });
    }

    // Cycles over nodes.

    fn want_over(&mut self, reply: Sender<Result<OverRecord, ClusterError>>) {
        if self.parts.member.node().is_fenced() {
            let why = "this node reaches less than half of the members, or is none yet: look at `host cluster status`";
            let _ = reply.send(Err(ClusterError::Refused(why.into())));
            return;
        }
        self.overs.want(reply);
        self.request_over();
    }

    /// A member that is not there.
    fn absent(&self) -> Option<String> {
        lock(&self.parts.shared.view).peers.iter().find(|peer| !peer.there).map(|peer| peer.name.clone())
    }

    /// Asks for a cycle over nodes unless one runs: when that has ended somebody asks again.
    fn request_over(&mut self) {
        if !self.overs.is_wanted() || self.overs.is_running() {
            return;
        }
        match self.absent() {
            Some(absent) => self.overs.put_off(&absent, OVER_ABSENT_WAIT),
            None => self.feed(Event::CycleRequested),
        }
    }

    /// Another node begins cycles, or there is no membership yet. If it does not hear of this, it is asked again at the next tick.
    fn over_refused(&mut self, ask: Option<Life>) {
        if let Some(first) = ask {
            self.post(first.node.0, &Post::Question { id: 0, question: Question::Over });
            self.overs.asked_elsewhere();
        }
    }

    fn over_ended(&mut self, cycle: CycleId, why: CycleEnding) {
        let swept = why == CycleEnding::Swept;
        if swept {
            self.counters.cycles_swept += 1;
        } else {
            self.counters.cycles_given_up += 1;
        }
        let scions = self.parts.member.node().references().scion_count() as u64;
        self.pace.ended(clock::now(), swept, scions);
        self.overs.ended(cycle, why);
        // A collector with nothing to say to the others is through before them.
        self.overs.answer();
    }

    fn over_here(&mut self, cycle: CycleId, record: Option<Box<CycleRecord>>) {
        self.overs.here(cycle, record);
        // What the collector has freed is said first: who is answered can rely on that.
        self.hear_collector();
        self.overs.answer();
        self.request_over();
    }

    // Swaps and exiles.

    fn swap_ended(&mut self, digest: ModuleDigest, why: Option<SwapEnding>) {
        let Some((_, reply)) = self.swap.take_if(|(swapping, _)| *swapping == digest) else { return };
        let refused = match why {
            Some(SwapEnding::Committed) => {
                let _ = reply.send(Ok(self.parts.member.node().strategy().generation));
                return;
            }
            Some(SwapEnding::NotPrepared(life)) if life == self.parts.member.node().me() => {
                let why = self.refused.take().unwrap_or_else(|| "another strategy is being tried".into());
                format!("this node could not load and rehearse it: {why}")
            }
            Some(SwapEnding::NotPrepared(life)) => {
                format!("{} could not load and rehearse it, as its messages say", self.name(life.node.0))
            }
            Some(SwapEnding::TimedOut) => "not all members were ready in time".into(),
            Some(SwapEnding::MembershipChanged) => "the membership changed meanwhile: ask again".into(),
            Some(SwapEnding::Withdrawn) => "it was withdrawn".into(),
            None => "another swap of the cluster is under way, or the strategy is too large to be passed on"
                .into(),
        };
        let message = format!("{refused}: all nodes go on with the strategy that they have");
        let _ = reply.send(Err(ClusterError::Refused(message)));
    }

    fn exile(&mut self, name: String, reply: Sender<Result<ExileReport, ClusterError>>) {
        let answer = self.parts.members.exile(&name);
        self.exiles.retain(|exile| !exile.is_finished());
        self.exiles.push(tokio::spawn(async move {
            let answer = match answer.await {
                Ok(Ok(epoch)) => Ok(ExileReport { node: name, epoch: epoch.0 }),
                Ok(Err(why)) => Err(ClusterError::Refused(why.to_string())),
                Err(_) => Err(ClusterError::Ended),
            };
            let _ = reply.send(answer);
        }));
    }

    // Now and then.

    /// Looks at what nothing tells of itself.
    fn look(&mut self) {
        self.looked = Instant::now();
        self.parts.works.push();
        self.forget_questions();
        self.renew();
        for refused in self.parts.transport.news_of_refusals() {
            self.say("warn", refused.to_string());
        }
        let node = self.parts.member.node();
        let first = node.membership().members().first() == Some(&node.me());
        let held = Held {
            scions: node.references().scion_count() as u64,
            stubs: node.references().stub_count() as u64,
            first: first && !node.is_fenced(),
        };
        if self.pace.is_due(clock::now(), held) {
            self.overs.want_one();
        }
        self.request_over();
        self.show_peers();
        self.show_figures();
    }

    /// Figures for the metrics. They are read off the whole table of scions, so what that may take is bounded: a fiftieth of this thread's time.
    fn show_figures(&mut self) {
        let begun = Instant::now();
        if begun < self.figures_due {
            return;
        }
        let status = self.status();
        lock(&self.parts.shared.view).status = status;
        self.figures_due = begun + begun.elapsed() * FIGURES_REST;
    }

    /// Ends when the others know, and have what was sent to them; or when that takes too long.
    fn leave(&mut self) {
        let Some((answer, until)) = &mut self.leaving else { return };
        let answered = !matches!(answer.try_recv(), Err(TryRecvError::Empty));
        let late = Instant::now() >= *until;
        let sent =
            self.parts.member.node().peers(clock::now()).all(|peer| !peer.up || peer.pending_bytes == 0);
        self.ended |= late || (answered && sent);
    }

    /// Shows other certificates when they were replaced.
    fn renew(&mut self) {
        let renewed = match self.parts.watch.changed() {
            None => return,
            Some(Ok(credentials)) => {
                self.parts.transport.renew(&credentials).map_err(|error| error.to_string())
            }
            Some(Err(error)) => Err(error.to_string()),
        };
        match renewed {
            Ok(()) => {
                self.say("info", "the certificates were replaced: links made from here on show them".into())
            }
            Err(why) => self.say(
                "warn",
                format!("the certificates were changed and cannot be used: {why}; the old ones stay"),
            ),
        }
    }

    pub(crate) fn name(&self, number: u32) -> String {
        let view = lock(&self.parts.shared.view);
        let peer = view.peers.iter().find(|peer| peer.number == number);
        peer.map_or_else(|| format!("n{number}"), |peer| peer.name.clone())
    }

    fn say(&self, level: &str, text: String) {
        self.parts.board.say(level, text);
    }

    fn show_peers(&mut self) {
        let node = self.parts.member.node();
        let members = self.parts.members.status().members;
        let is_member = |life: Life| node.membership().is_member(life);
        let peers = members.into_iter().filter(|member| is_member(member.life)).map(|member| Peer {
            number: member.life.node.0,
            name: member.name,
            me: member.me,
            there: member.me || (member.linked && node.trusts(member.life)),
            heard: self.heard.get(&member.life.node.0).copied(),
        });
        let peers = peers.collect();
        lock(&self.parts.shared.view).peers = peers;
    }
}
