//! Nodes that run in this process, each driven by a task of its own as a real one is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gc_protocol::Life;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::authority::{Authority, NODE_DAYS};
use crate::credentials::Credentials;
use crate::identity::Identity;
use crate::incarnation::Lives;
use crate::members::{Decides, Members, MembersConfig, MembersError, Notice};
use crate::transport::{Event, Transport};

/// Generous: the machine may be busy. Nothing waits that long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct World {
    folder: tempfile::TempDir,
    authority: Authority,
    pub(super) decides: Decides,
    elsewhere: u32,
}

type Command = Box<dyn FnOnce(&mut Members) + Send>;

pub(super) struct Node {
    pub(super) life: Life,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) notices: Arc<Mutex<Vec<Notice>>>,
    commands: mpsc::UnboundedSender<Command>,
    paused: watch::Sender<bool>,
    task: JoinHandle<()>,
}

pub(super) fn free_address() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let late = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < late, "it does not come to pass that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All nodes have the same membership, of these lives.
pub(super) async fn agreed(nodes: &[Node], lives: &[(u32, u64)]) {
    let lives: Vec<Life> = lives.iter().map(|&(number, life)| Life::new(number, life)).collect();
    let mut seen = Vec::new();
    let late = Instant::now() + PATIENCE;
    loop {
        let present: Vec<_> = nodes.iter().map(Node::last).collect();
        let first = present[0].clone();
        let alike = present.iter().all(|membership| *membership == first);
        let members = first.map(|(_, members)| members.into_keys().collect::<Vec<_>>());
        if alike && members.as_deref() == Some(&lives) {
            return;
        }
        if seen != present {
            seen = present;
        }
        assert!(Instant::now() < late, "they do not agree on {lives:?}: {seen:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), "shop").unwrap();
        World { folder, authority, decides: Decides::Seat, elsewhere: 0 }
    }

    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("state-{name}"))
    }

    fn credentials(&mut self, name: &str) -> Credentials {
        let folder = self.folder.path().join(name);
        self.authority.issue(name, &folder, NODE_DAYS).unwrap();
        Credentials::load(&folder).unwrap()
    }

    pub(super) async fn start(&mut self, name: &str, join: &[SocketAddr]) -> Node {
        self.start_at(name, free_address(), join).await
    }

    pub(super) async fn start_at(&mut self, name: &str, address: SocketAddr, join: &[SocketAddr]) -> Node {
        self.try_start(name, address, join).await.unwrap()
    }

    pub(super) async fn try_start(
        &mut self,
        name: &str,
        address: SocketAddr,
        join: &[SocketAddr],
    ) -> Result<Node, MembersError> {
        let (credentials, state) = (self.credentials(name), self.state(name));
        self.run(&credentials, address, state, join).await
    }

    /// A node with a certificate for another cluster of the same authority.
    pub(super) async fn start_as(
        &mut self,
        cluster: &str,
        name: &str,
        number: u32,
        join: &[SocketAddr],
    ) -> Node {
        let folder = self.folder.path().join(format!("{cluster}-{name}"));
        let identity = Identity { cluster: cluster.into(), name: name.into(), number };
        self.authority.issue_identity(&identity, &folder, NODE_DAYS).unwrap();
        let credentials = Credentials::load(&folder).unwrap();
        let state = self.state(&format!("{cluster}-{name}"));
        self.run(&credentials, free_address(), state, join).await.unwrap()
    }

    /// A node with a folder that knows nothing of its earlier lives.
    pub(super) async fn start_elsewhere(&mut self, name: &str, join: &[SocketAddr]) -> Node {
        self.elsewhere += 1;
        let state = self.state(&format!("{name}-elsewhere-{}", self.elsewhere));
        let credentials = self.credentials(name);
        self.run(&credentials, free_address(), state, join).await.unwrap()
    }

    pub(super) async fn transport(
        &mut self,
        name: &str,
        address: SocketAddr,
    ) -> (Transport, mpsc::Receiver<Event>) {
        let credentials = self.credentials(name);
        listen(&credentials, address, 1).await
    }

    async fn run(
        &self,
        credentials: &Credentials,
        address: SocketAddr,
        state: PathBuf,
        join: &[SocketAddr],
    ) -> Result<Node, MembersError> {
        let mut lives = Lives::open(&state).unwrap();
        let incarnation = lives.begin(0).unwrap();
        let (transport, events) = listen(credentials, address, incarnation).await;
        let config = MembersConfig { address, join: join.to_vec(), state, decides: self.decides.clone() };
        let members = Members::start(config, transport.clone())?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let (commands, asked) = mpsc::unbounded_channel();
        let paused = watch::Sender::new(false);
        let task =
            tokio::spawn(drive((members, lives), events, asked, Arc::clone(&notices), paused.subscribe()));
        let life = Life::new(credentials.identity.number, incarnation);
        Ok(Node { life, address, transport, notices, commands, paused, task })
    }
}

/// The socket of a transport that was closed is free once its last task has ended.
async fn listen(
    credentials: &Credentials,
    address: SocketAddr,
    incarnation: u64,
) -> (Transport, mpsc::Receiver<Event>) {
    let late = Instant::now() + PATIENCE;
    loop {
        match Transport::start(address, credentials, incarnation) {
            Ok(started) => return started,
            Err(error) => assert!(Instant::now() < late, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn drive(
    (mut members, _lives): (Members, Lives),
    mut events: mpsc::Receiver<Event>,
    mut asked: mpsc::UnboundedReceiver<Command>,
    notices: Arc<Mutex<Vec<Notice>>>,
    mut paused: watch::Receiver<bool>,
) {
    loop {
        if *paused.borrow() && paused.wait_for(|paused| !*paused).await.is_err() {
            return;
        }
        tokio::select! {
            Some(event) = events.recv() => members.handle(&event),
            notice = members.next() => notices.lock().unwrap().push(notice),
            Some(command) = asked.recv() => command(&mut members),
            Ok(()) = paused.changed() => {}
        }
    }
}

impl Node {
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Members) -> T + Send + 'static,
    ) -> T {
        let (answer, wait) = oneshot::channel();
        let sent = self.commands.send(Box::new(move |members| {
            let _ = answer.send(question(members));
        }));
        assert!(sent.is_ok(), "the node has ended");
        wait.await.unwrap()
    }

    /// The last membership that it told.
    pub(super) fn last(&self) -> Option<(u64, BTreeMap<Life, SocketAddr>)> {
        let notices = self.notices.lock().unwrap();
        notices.iter().rev().find_map(|notice| match notice {
            Notice::MembershipChanged { epoch, members } => Some((epoch.0, members.clone())),
            _ => None,
        })
    }

    pub(super) fn epoch(&self) -> u64 {
        self.last().map_or(0, |(epoch, _)| epoch)
    }

    pub(super) fn epochs(&self) -> Vec<u64> {
        let notices = self.notices.lock().unwrap();
        let epochs = notices.iter().filter_map(|notice| match notice {
            Notice::MembershipChanged { epoch, .. } => Some(epoch.0),
            _ => None,
        });
        epochs.collect()
    }

    /// Its links stay up, and it says and hears nothing: as a process that is stopped.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    pub(super) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        self.transport.close().await;
    }
}
