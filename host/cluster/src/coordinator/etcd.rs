//! Memberships in etcd: one key, changed by transaction; every node does so itself.
//!
//! ```text
//! /gc/CLUSTER/membership      the membership, the proposals in it, and who has left: JSON
//! /gc/CLUSTER/taken/NUMBER    the last membership that a node has taken: LIFE EPOCH
//! ```
//!
//! 1. A change is a function of what was read, and is written only if the key has not been written since. Done twice it is done once, so whatever came of a
//!    transaction that was not answered, it is done again.
//! 2. What a node has taken is written after it was taken, and only rises: who reads something old is more careful, never less.
//! 3. A proposal stands for [`PROPOSAL_STANDS`], then it is withdrawn, and only after that declined: the home renews no lease while its proposal counts. If etcd
//!    cannot be reached it is not declined either.
//! 4. Watches and connections break, and do not mend themselves. Both tasks begin anew at the next address, by reading.
//! 5. Nothing here is on a lease of etcd: a node that is slow, or cut off from etcd, stays a member.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
use gc_protocol::{Life, MembershipEpoch};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{ASK_FOR, ASKS_MAX, PROPOSAL_STANDS};
use crate::membership::{Member, Membership, Proposed, Taken};
use crate::refused::ChangeRefused;

/// How long etcd may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often what is left to do is looked at, and how long to wait after a failure.
const AGAIN: Duration = Duration::from_millis(200);
/// How long to wait before asking anew to be let in.
const REFUSED_AGAIN: Duration = Duration::from_secs(2);
/// What is told and not yet heard.
const SAYS_MAX: usize = 64;

/// What comes from etcd.
#[derive(Debug)]
pub(crate) enum EtcdSays {
    Membership(Membership),
    NotAdmitted(ChangeRefused),
    Declined(Life, ChangeRefused),
}

type Outcome = Result<MembershipEpoch, ChangeRefused>;

/// The two tasks that talk to etcd for one node. They end with this.
pub(crate) struct Etcd {
    shared: Arc<Shared>,
    says: mpsc::Receiver<EtcdSays>,
    exiles: mpsc::Sender<Exile>,
    _tasks: JoinSet<()>,
}

struct Exile {
    life: Life,
    until: Instant,
    answer: oneshot::Sender<Outcome>,
}

struct Shared {
    endpoints: Vec<String>,
    cluster: String,
    number: u32,
    me: Member,
    wanted: Mutex<Wanted>,
    /// Something is wanted.
    act: Notify,
    /// The membership should be read again.
    look: Notify,
    says: mpsc::Sender<EtcdSays>,
}

#[derive(Default)]
struct Wanted {
    /// The last membership that was taken, until it is written down.
    taken: Option<u64>,
    /// Clients that this home proposes to exile, with the membership it said so in. One for each member at most.
    proposals: BTreeMap<Life, u64>,
    trouble: Option<String>,
}

impl Etcd {
    /// Begins to talk to etcd for a node: lets it in, and goes on for as long as this is kept.
    pub(crate) fn start(endpoints: &[String], cluster: &str, (number, me): (u32, Member)) -> Etcd {
        let (says, heard) = mpsc::channel(SAYS_MAX);
        let (exiles, asked) = mpsc::channel(ASKS_MAX);
        let shared = Arc::new(Shared {
            endpoints: endpoints.to_vec(),
            cluster: cluster.to_owned(),
            number,
            me,
            wanted: Mutex::default(),
            act: Notify::new(),
            look: Notify::new(),
            says,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(Arc::clone(&shared)));
        tasks.spawn(act(Arc::clone(&shared), asked));
        Etcd { shared, says: heard, exiles, _tasks: tasks }
    }

    /// What comes next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> EtcdSays {
        match self.says.recv().await {
            Some(said) => said,
            None => std::future::pending().await,
        }
    }

    /// This node proposes an exile. Answered by a membership without the client, or [`EtcdSays::Declined`].
    pub(crate) fn propose(&self, client: Life, epoch: u64) {
        self.shared.wanted().proposals.insert(client, epoch);
        self.shared.act.notify_one();
    }

    /// This node has taken a membership.
    pub(crate) fn taken(&self, epoch: u64) {
        self.shared.wanted().taken = Some(epoch);
        self.shared.act.notify_one();
    }

    /// Takes a life out.
    pub(crate) fn exile(&self, life: Life) -> oneshot::Receiver<Outcome> {
        let (answer, wait) = oneshot::channel();
        let exile = Exile { life, until: Instant::now() + ASK_FOR, answer };
        if let Err(refused) = self.exiles.try_send(exile) {
            let _ = refused.into_inner().answer.send(Err(no_answer()));
        }
        wait
    }

    /// Reads the membership again.
    pub(crate) fn look_again(&self) {
        self.shared.look.notify_one();
    }

    /// Why etcd cannot be reached.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.wanted().trouble.clone()
    }
}

fn no_answer() -> ChangeRefused {
    ChangeRefused::NoAnswer("etcd".to_owned())
}

/// What went wrong with etcd. It is tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Etcd(#[from] Error),
    #[error("no answer for {PATIENCE:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("the watch has ended: {0}")]
    Unwatched(String),
    #[error("{key} is damaged ({what}): restore it from a copy of etcd")]
    Damaged { key: String, what: String },
}

impl Shared {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> String {
        format!("/gc/{}/membership", self.cluster)
    }

    fn taken_keys(&self) -> String {
        format!("/gc/{}/taken/", self.cluster)
    }

    fn life(&self) -> Life {
        Life::new(self.number, self.me.incarnation)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Membership, Trouble> {
        let damaged = |what: String| Trouble::Damaged { key: self.key(), what };
        let membership: Membership =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let elsewhere = membership.cluster != self.cluster || membership.seat.is_some();
        match membership.fault().or(elsewhere.then_some("it is of another cluster")) {
            Some(what) => Err(damaged(what.to_owned())),
            None => Ok(membership),
        }
    }

    async fn connect(&self, attempt: usize) -> Result<Client, Trouble> {
        let options = ConnectOptions::new()
            .with_connect_timeout(PATIENCE)
            .with_keep_alive(PATIENCE, PATIENCE)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        // One at a time: of several, a dead one would go on answering for the others.
        let endpoint = &self.endpoints[attempt % self.endpoints.len()];
        Ok(timeout(PATIENCE, Client::connect([endpoint], Some(options))).await??)
    }

    /// Keeps what went wrong for people; says it in the log once.
    fn troubled(&self, trouble: &Trouble) {
        let text = format!("etcd does not answer ({trouble}): nobody comes in or goes until it does");
        let mut wanted = self.wanted();
        if wanted.trouble.is_none() {
            tracing::warn!("{text}");
        }
        wanted.trouble = Some(text);
    }

    fn calm(&self) {
        if self.wanted().trouble.take().is_some() {
            tracing::info!("etcd answers again");
        }
    }
}

/// Tells every membership that there is.
async fn watch(shared: Arc<Shared>) {
    let mut attempt = 0;
    loop {
        let Err(trouble) = watch_once(&shared, attempt).await else { return };
        shared.troubled(&trouble);
        attempt += 1;
        sleep(AGAIN).await;
    }
}

/// Ends without an error when nobody listens any more.
async fn watch_once(shared: &Shared, attempt: usize) -> Result<(), Trouble> {
    let mut client = shared.connect(attempt).await?;
    let mut epoch = 0;
    loop {
        let got = timeout(PATIENCE, client.get(shared.key(), None)).await??;
        shared.calm();
        if let Some(found) = got.kvs().first()
            && !tell(shared, found.value(), &mut epoch).await?
        {
            return Ok(());
        }
        let revision = got.header().map_or(0, |header| header.revision());
        let options = WatchOptions::new().with_start_revision(revision + 1);
        let mut stream = timeout(PATIENCE, client.watch(shared.key(), Some(options))).await??;
        loop {
            let message = tokio::select! {
                () = shared.look.notified() => break,
                message = stream.message() => message?,
            };
            let Some(message) = message else { return Err(Trouble::Unwatched("closed".to_owned())) };
            if message.canceled() {
                return Err(Trouble::Unwatched(message.cancel_reason().to_owned()));
            }
            let put = message.events().iter().rfind(|event| event.event_type() == EventType::Put);
            if let Some(found) = put.and_then(|event| event.kv())
                && !tell(shared, found.value(), &mut epoch).await?
            {
                return Ok(());
            }
        }
    }
}

/// Tells a membership, unless it was told. Answers whether somebody listens.
async fn tell(shared: &Shared, bytes: &[u8], epoch: &mut u64) -> Result<bool, Trouble> {
    let membership = shared.parse(bytes)?;
    if membership.epoch <= *epoch {
        return Ok(true);
    }
    *epoch = membership.epoch;
    Ok(shared.says.send(EtcdSays::Membership(membership)).await.is_ok())
}

/// What this node still has to do in etcd.
struct Work {
    shared: Arc<Shared>,
    exiles: mpsc::Receiver<Exile>,
    asked: VecDeque<Exile>,
    /// When this node asks to be let in. None when it was.
    admit_at: Option<Instant>,
    /// Proposals that count, and when they are withdrawn.
    standing: BTreeMap<Life, (u64, Instant)>,
}

async fn act(shared: Arc<Shared>, exiles: mpsc::Receiver<Exile>) {
    let (asked, standing) = (VecDeque::new(), BTreeMap::new());
    let mut work = Work { shared, exiles, asked, admit_at: Some(Instant::now()), standing };
    let mut attempt = 0;
    loop {
        if let Ok(mut client) = work.shared.connect(attempt).await {
            // Goes on as long as nothing fails.
            while let Ok(()) = work.round(&mut client).await.map_err(|trouble| work.shared.troubled(&trouble))
            {
                tokio::select! {
                    () = work.shared.act.notified() => {}
                    exile = work.exiles.recv() => match exile {
                        Some(exile) => work.asked.push_back(exile),
                        None => return,
                    },
                    () = sleep(AGAIN) => {}
                }
            }
        }
        work.give_up_late();
        attempt += 1;
        sleep(AGAIN).await;
    }
}

impl Work {
    /// Does what there is to do. What was not done because of an error is done the next time.
    async fn round(&mut self, client: &mut Client) -> Result<(), Trouble> {
        self.admit(client).await?;
        self.write_taken(client).await?;
        self.give_up_late();
        while let Some(exile) = self.asked.front() {
            let life = exile.life;
            let done = update(&self.shared, client, |present, _| present.exile(life)).await?;
            if let Some(exile) = self.asked.pop_front() {
                let _ = exile.answer.send(done.map(MembershipEpoch));
            }
        }
        self.propose(client).await?;
        self.withdraw(client).await
    }

    fn give_up_late(&mut self) {
        let now = Instant::now();
        while self.asked.front().is_some_and(|exile| exile.until <= now) {
            if let Some(exile) = self.asked.pop_front() {
                let _ = exile.answer.send(Err(no_answer()));
            }
        }
    }

    async fn admit(&mut self, client: &mut Client) -> Result<(), Trouble> {
        if self.admit_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let (number, me) = (self.shared.number, self.shared.me.clone());
        found(&self.shared, client).await?;
        match update(&self.shared, client, |present, _| present.admit(number, &me)).await? {
            Ok(_) => self.admit_at = None,
            Err(why) => {
                self.admit_at = Some(Instant::now() + REFUSED_AGAIN);
                let _ = self.shared.says.send(EtcdSays::NotAdmitted(why)).await;
            }
        }
        Ok(())
    }

    async fn write_taken(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let Some(epoch) = self.shared.wanted().taken else { return Ok(()) };
        let key = format!("{}{}", self.shared.taken_keys(), self.shared.number);
        let value = format!("{} {epoch}", self.shared.me.incarnation);
        timeout(PATIENCE, client.put(key, value, None)).await??;
        self.shared.wanted().taken.take_if(|taken| *taken == epoch);
        Ok(())
    }

    async fn propose(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let by = self.shared.life();
        let wanted: Vec<(Life, u64)> =
            self.shared.wanted().proposals.iter().map(|(&life, &epoch)| (life, epoch)).collect();
        for (life, epoch) in wanted {
            let mut counts = false;
            update(&self.shared, client, |present, taken| {
                let proposed = present.propose(life, epoch, by, taken);
                counts = matches!(proposed, Proposed::Counted(_));
                match proposed {
                    Proposed::Moot => Ok(None),
                    Proposed::Counted(next) | Proposed::Exiled(next) => Ok(Some(next)),
                }
            })
            .await?
            .ok();
            if counts {
                self.standing.insert(life, (epoch, Instant::now() + PROPOSAL_STANDS));
            }
            let mut still = self.shared.wanted();
            if still.proposals.get(&life) == Some(&epoch) {
                still.proposals.remove(&life);
            }
        }
        Ok(())
    }

    async fn withdraw(&mut self, client: &mut Client) -> Result<(), Trouble> {
        let by = self.shared.life();
        let now = Instant::now();
        let due: Vec<(Life, u64)> = (self.standing.iter())
            .filter(|(_, (_, until))| *until <= now)
            .map(|(&life, &(epoch, _))| (life, epoch))
            .collect();
        for (life, epoch) in due {
            let mut declined = None;
            update(&self.shared, client, |present, _| {
                let stands = present.epoch == epoch;
                // Also when it is not there: an earlier attempt, whose answer was lost, took it away.
                declined = stands.then(|| present.name_of(life.node.0));
                Ok(stands.then(|| present.withdraw(life, by)).flatten())
            })
            .await?
            .ok();
            self.standing.remove(&life);
            // Otherwise there is another membership, which settles it.
            if let Some(name) = declined {
                let _ = self.shared.says.send(EtcdSays::Declined(life, ChangeRefused::TooFew { name })).await;
            }
        }
        Ok(())
    }
}

/// Founds the cluster if there is none, with this node alone in it.
async fn found(shared: &Shared, client: &mut Client) -> Result<(), Trouble> {
    let founding = (shared.cluster.as_str(), rand::random());
    let first = Membership::found(founding, false, shared.number, shared.me.clone());
    let nobody = Compare::create_revision(shared.key(), CompareOp::Equal, 0);
    let put = TxnOp::put(shared.key(), encode(&first), None);
    timeout(PATIENCE, client.txn(Txn::new().when([nobody]).and_then([put]))).await??;
    Ok(())
}

/// Changes the membership: reads, decides, and writes if nobody has written meanwhile; else again. Answers the epoch that there is then.
async fn update(
    shared: &Shared,
    client: &mut Client,
    mut decide: impl FnMut(&Membership, &Taken) -> Result<Option<Membership>, ChangeRefused>,
) -> Result<Result<u64, ChangeRefused>, Trouble> {
    let all = Some(GetOptions::new().with_prefix());
    loop {
        let read = [TxnOp::get(shared.key(), None), TxnOp::get(shared.taken_keys(), all.clone())];
        let got = timeout(PATIENCE, client.txn(Txn::new().and_then(read))).await??;
        let mut answers = got.op_responses().into_iter().map(|answer| match answer {
            TxnOpResponse::Get(got) => got.kvs().to_vec(),
            _ => Vec::new(),
        });
        let (membership, taken) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        let Some(found) = membership.first() else {
            return Err(Trouble::Damaged { key: shared.key(), what: "it is gone".to_owned() });
        };
        let present = shared.parse(found.value())?;
        let taken = taken.iter().filter_map(|entry| read_taken(entry.key(), entry.value())).collect();
        let next = match decide(&present, &taken) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(Ok(present.epoch)),
            Err(why) => return Ok(Err(why)),
        };
        let unchanged = Compare::mod_revision(shared.key(), CompareOp::Equal, found.mod_revision());
        let put = TxnOp::put(shared.key(), encode(&next), None);
        let done = timeout(PATIENCE, client.txn(Txn::new().when([unchanged]).and_then([put]))).await??;
        if done.succeeded() {
            return Ok(Ok(next.epoch));
        }
    }
}

fn encode(membership: &Membership) -> Vec<u8> {
    // Plain data with keys that are numbers or texts: there is nothing that JSON has no form for.
    serde_json::to_vec(membership).unwrap_or_default()
}

/// `…/taken/NUMBER` with `LIFE EPOCH`. What is not that says nothing.
fn read_taken(key: &[u8], value: &[u8]) -> Option<(u32, (u64, u64))> {
    let number = std::str::from_utf8(key).ok()?.rsplit('/').next()?.parse().ok()?;
    let (life, epoch) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((number, (life.parse().ok()?, epoch.parse().ok()?)))
}
