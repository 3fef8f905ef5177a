//! The cluster, for everybody on this node who is not the thread that drives it.
//!
//! Everything here asks the driver and waits for its answer: it must not be called from the driver's own thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gc_cluster::Identity;
use gc_heap::{Handle, Heap, Pin};
use gc_protocol::CycleId;
use gc_protocol::wire::ModuleDigest;
use gc_remote::Desk;
use tokio::sync::mpsc;

use crate::cluster::bundle;
use crate::cluster::error::ClusterError;
use crate::cluster::post::{Question, Reply};
use crate::cluster::record::{
    ClusterStatus, ClusterSwapReport, ExileReport, OverRecord, WithoutNode, WithoutRecord,
};
use crate::limits::{CLUSTER_SWAP_WAIT, OVER_PATIENCE, QUESTION_WAIT};
use crate::record::CycleRecord;
use crate::sync::lock;

/// A message of another node's program.
pub struct Delivery {
    /// Number of the node that sent it.
    pub from: u32,
    /// What it carried, in the order in which it was sent; each is held until its pin goes. None for what was gone by then, and for what this heap
    /// had no room for.
    pub references: Vec<Option<Pin>>,
    /// There was no room for some of that, which was let go again.
    pub no_room: bool,
    /// The message.
    pub message: Vec<u8>,
}

/// What is asked of the driver.
pub(crate) enum Order {
    /// A message of the program.
    Send {
        to: u32,
        references: Vec<Handle>,
        message: Vec<u8>,
        reply: Sender<Result<(), ClusterError>>,
    },
    /// A question to another node.
    Ask {
        to: u32,
        question: Question,
        reply: Sender<Result<Reply, ClusterError>>,
    },
    /// The answer to a question of another node.
    Answer {
        to: u32,
        id: u64,
        reply: Reply,
    },
    /// A cycle over all nodes.
    Over {
        reply: Sender<Result<OverRecord, ClusterError>>,
    },
    /// The collector is through with its part of one.
    OverHere {
        cycle: CycleId,
        record: Option<Box<CycleRecord>>,
    },
    /// Who holds an object of this node, and whether a reference to it is under way.
    HeldBy {
        handle: Handle,
        reply: Sender<(Vec<u32>, bool)>,
    },
    /// Objects that only this node holds.
    Only {
        node: u32,
        reply: Sender<Vec<Handle>>,
    },
    /// What is held, by whom and why.
    Held {
        reply: Sender<HeldSets>,
    },
    Status {
        reply: Sender<Box<ClusterStatus>>,
    },
    Ledger {
        reply: Sender<Ledger>,
    },
    Exile {
        name: String,
        reply: Sender<Result<ExileReport, ClusterError>>,
    },
    Swap {
        digest: ModuleDigest,
        bytes: Arc<Vec<u8>>,
        reply: Sender<Result<u64, ClusterError>>,
    },
    /// A strategy was loaded and rehearsed, or could not be.
    Prepared {
        digest: ModuleDigest,
        /// Why not, where it cannot be taken.
        refused: Option<String>,
    },
    Stop,
}

/// Objects of this node that others hold. No object is twice in one of the two.
#[derive(Debug, Default)]
pub(crate) struct HeldSets {
    /// Those that one life of one node holds alone.
    pub(crate) members: BTreeMap<(u32, u64), Vec<Handle>>,
    /// All of them, by the reason.
    pub(crate) reasons: BTreeMap<String, Vec<Handle>>,
}

/// What a node holds of others, and others of it.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Objects of others that this node holds.
    pub stubs: u64,
    /// Holders of objects of this node, one by one: an object that two nodes hold counts twice.
    pub scions: u64,
    /// Something was said to another node, or is to be said, that it has not acknowledged: a reference is under way, or one was let go.
    pub unsettled: bool,
}

/// A member as others on this node see it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its number in handles.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// It is this node.
    pub me: bool,
    /// There is a connection to it, and its lease is good.
    pub there: bool,
    /// When it was last heard.
    pub heard: Option<Instant>,
}

/// What the driver lets everybody see without asking.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) peers: Vec<Peer>,
    /// Why this node is no member any more.
    pub(crate) ended: Option<String>,
    /// Numbers for the metrics.
    pub(crate) status: ClusterStatus,
}

/// What the driver and everybody else share.
pub(crate) struct Shared {
    pub(crate) me: Identity,
    pub(crate) incarnation: u64,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) heap: Heap,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) deliveries: Mutex<Receiver<Delivery>>,
    pub(crate) view: Mutex<View>,
}

/// The cluster that a node is a member of. Clones are the same.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.shared.me)
    }
}

impl Cluster {
    /// Who this node is.
    #[must_use]
    pub fn me(&self) -> &Identity {
        &self.shared.me
    }

    /// Which life of the node this is.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.shared.incarnation
    }

    /// Where this node listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// All members, by number. Empty before the first membership.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        lock(&self.shared.view).peers.clone()
    }

    /// Why this node is no member any more, once it is none.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        lock(&self.shared.view).ended.clone()
    }

    /// Sends a message with references to the program on another node. The caller holds what they name until this returns: in a scope, by a
    /// pin or a root. What is taken arrives once, after what was sent to the same node before, unless one of the two leaves the cluster
    /// or the program there takes nothing while 8,192 messages wait for it: then it is dropped, and counted (`gc_cluster_deliveries_dropped_total`).
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotSent`] when nothing of it was sent: the node is no member, too much waits for it, a reference is not held here, the
    /// message is too large, or this node is fenced.
    pub fn send(&self, to: u32, references: &[Handle], message: &[u8]) -> Result<(), ClusterError> {
        let (references, message) = (references.to_vec(), message.to_vec());
        self.ask(QUESTION_WAIT, |reply| Order::Send { to, references, message, reply })?
    }

    /// The next message for this program, if one comes within `patience`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Ended`] when none will come any more.
    pub fn receive(&self, patience: Duration) -> Result<Option<Delivery>, ClusterError> {
        match lock(&self.shared.deliveries).recv_timeout(patience) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ClusterError::Ended),
        }
    }

    /// Runs a cycle over all nodes and waits for its end. It finds garbage that spans nodes if the strategies of all mark over nodes.
    ///
    /// # Errors
    ///
    /// When nobody can begin one, or none ends in time. A cycle that was given up is no error: see [`OverRecord::ending`].
    pub fn collect(&self) -> Result<OverRecord, ClusterError> {
        self.ask(OVER_PATIENCE, |reply| Order::Over { reply })?
    }

    /// The cluster as this node sees it.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Ended`].
    pub fn status(&self) -> Result<ClusterStatus, ClusterError> {
        self.ask(QUESTION_WAIT, |reply| Order::Status { reply }).map(|status| *status)
    }

    /// The same, with what each member and each reason alone keeps alive ([`MemberRecord::retained_bytes`](super::MemberRecord::retained_bytes)). Walks the heap, twice, on
    /// the thread that asks; nobody is stopped for that.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Ended`].
    pub fn status_with_retained(&self) -> Result<ClusterStatus, ClusterError> {
        let mut status = self.status()?;
        let HeldSets { members, reasons } = self.ask(QUESTION_WAIT, |reply| Order::Held { reply })?;
        let retained = |groups: Vec<Vec<Handle>>| self.shared.heap.retained(&groups).into_iter();
        let (lives, groups): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let mut by_life: BTreeMap<_, _> = lives.into_iter().zip(retained(groups)).collect();
        for member in status.members.iter_mut().filter(|member| !member.me) {
            let retained = by_life.remove(&(member.number, member.incarnation)).unwrap_or_default();
            (member.retained_objects, member.retained_bytes) = (Some(retained.objects), Some(retained.bytes));
        }
        let (words, groups): (Vec<_>, Vec<_>) = reasons.into_iter().unzip();
        let by_reason: BTreeMap<_, _> = words.into_iter().zip(retained(groups)).collect();
        for held in &mut status.held {
            held.retained_bytes = Some(by_reason.get(&held.reason).map_or(0, |retained| retained.bytes));
        }
        Ok(status)
    }

    /// What [`Cluster::status`] was a second ago at most, without asking anybody.
    #[must_use]
    pub fn seen(&self) -> ClusterStatus {
        lock(&self.shared.view).status.clone()
    }

    /// What this node holds of others, and others of it.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Ended`].
    pub fn ledger(&self) -> Result<Ledger, ClusterError> {
        self.ask(QUESTION_WAIT, |reply| Order::Ledger { reply })
    }

    /// Takes a member that is gone for good out of the cluster: what only it held is let go. It must come back with another life.
    ///
    /// # Errors
    ///
    /// When there is no such member, or whoever decides refuses.
    pub fn exile(&self, name: &str) -> Result<ExileReport, ClusterError> {
        self.ask(QUESTION_WAIT, |reply| Order::Exile { name: name.into(), reply })?
    }

    /// Replaces the strategy of all nodes: all load and rehearse it, then all install it at their next cycle boundary, or none does.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Refused`] says who could not prepare it; everybody goes on with the old one.
    pub fn swap(&self, strategy: &str, component: Vec<u8>) -> Result<ClusterSwapReport, ClusterError> {
        self.swap_with(strategy, component, BTreeMap::new())
    }

    /// [`Cluster::swap`] with options for the new strategy. Whoever joins later takes it with them.
    ///
    /// # Errors
    ///
    /// As [`Cluster::swap`]; also for options that the strategy does not have.
    pub fn swap_with(
        &self,
        strategy: &str,
        component: Vec<u8>,
        options: BTreeMap<String, String>,
    ) -> Result<ClusterSwapReport, ClusterError> {
        let bytes =
            bundle::pack(component, &options).map_err(|error| ClusterError::Refused(error.to_string()))?;
        let (digest, bytes) = (digest_of(&bytes), Arc::new(bytes));
        let generation =
            self.ask(CLUSTER_SWAP_WAIT, |reply| Order::Swap { digest, bytes: Arc::clone(&bytes), reply })??;
        Ok(ClusterSwapReport { strategy: strategy.into(), digest: hex(&digest), generation, options })
    }

    /// What would go, on each of the other nodes, if a node were gone: objects that it alone holds and nothing there keeps, with what only those lead to there. Each walks
    /// its heap for that. What would go on one node because of what goes on another is not in it.
    ///
    /// # Errors
    ///
    /// When there is no such member.
    pub fn without(&self, name: &str) -> Result<WithoutRecord, ClusterError> {
        let peers = self.peers();
        let node = peers
            .iter()
            .find(|peer| peer.name == name)
            .ok_or_else(|| {
                ClusterError::Refused(format!("'{name}' is no member: `host cluster status` names them"))
            })?
            .number;
        let mut record = WithoutRecord { without: name.into(), nodes: Vec::new() };
        for peer in peers.iter().filter(|peer| peer.number != node) {
            let found = match peer.me {
                true => self.only_here(node),
                false => self.question(peer.number, Question::Only { node }),
            };
            let found = found.and_then(|reply| match reply {
                Reply::Only { objects, bytes, held } => Ok((objects, bytes, held)),
                other => Err(misunderstood(&other)),
            });
            record.nodes.push(match found {
                Ok((objects, bytes, held)) => {
                    WithoutNode { node: peer.name.clone(), objects, bytes, held, unknown: None }
                }
                Err(error) => WithoutNode {
                    node: peer.name.clone(),
                    unknown: Some(error.to_string()),
                    ..WithoutNode::default()
                },
            });
        }
        Ok(record)
    }

    /// What would go here if a node were gone.
    pub(crate) fn only_here(&self, node: u32) -> Result<Reply, ClusterError> {
        let held = self.ask(QUESTION_WAIT, |reply| Order::Only { node, reply })?;
        let count = held.len() as u64;
        let retained = self.shared.heap.retained(&[held]).pop().unwrap_or_default();
        Ok(Reply::Only { objects: retained.objects, bytes: retained.bytes, held: count })
    }

    /// Asks another node, and waits for its answer.
    pub(crate) fn question(&self, to: u32, question: Question) -> Result<Reply, ClusterError> {
        self.ask(QUESTION_WAIT, |reply| Order::Ask { to, question, reply })?
    }

    /// Asks the driver, and waits for its answer.
    pub(crate) fn ask<T>(
        &self,
        patience: Duration,
        order: impl FnOnce(Sender<T>) -> Order,
    ) -> Result<T, ClusterError> {
        let (reply, answer) = channel();
        self.shared.order(order(reply))?;
        match answer.recv_timeout(patience) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                Err(ClusterError::Refused("nothing came of it in time: ask again".into()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(ClusterError::Ended),
        }
    }
}

impl Shared {
    pub(crate) fn order(&self, order: Order) -> Result<(), ClusterError> {
        self.orders.try_send(order).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ClusterError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ClusterError::Ended,
        })
    }
}

pub(crate) fn misunderstood(reply: &Reply) -> ClusterError {
    match reply {
        Reply::Refused(why) => ClusterError::Refused(why.clone()),
        Reply::Why(_) | Reply::Only { .. } => {
            ClusterError::Refused("it answered something else: bring all nodes to one release".into())
        }
    }
}

pub(crate) fn hex(digest: &ModuleDigest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn digest_of(bytes: &[u8]) -> ModuleDigest {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// The collector thread's end of the cluster.
#[derive(Clone)]
pub(crate) struct Seat {
    /// Where it sits down for cycles over nodes.
    pub(crate) desk: Arc<Desk>,
    pub(crate) shared: Arc<Shared>,
}

impl Seat {
    /// The collector is through with a cycle over nodes, or has not taken part.
    pub(crate) fn over(&self, cycle: CycleId, record: Option<Box<CycleRecord>>) {
        self.tell(Order::OverHere { cycle, record });
    }

    /// A strategy for all nodes was loaded and rehearsed, or could not be.
    pub(crate) fn prepared(&self, digest: ModuleDigest, refused: Option<String>) {
        self.tell(Order::Prepared { digest, refused });
    }

    /// Waits for room, which the driver makes without waiting for anybody. A driver that has ended needs to hear nothing.
    fn tell(&self, order: Order) {
        let _ = self.shared.orders.blocking_send(order);
    }
}
