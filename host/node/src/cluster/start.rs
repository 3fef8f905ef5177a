//! How a node comes into its cluster, in an order that nothing may change.
//!
//! ```text
//! certificates ─▶ lives (the number of this life is on disk) ─▶ heap, whose handles carry both ─▶ transport ─▶ membership ─▶ serving
//! ```
//!
//! Whoever hears of a handle of this node hears of a life that no later process can have.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use gc_cluster::{Credentials, Lives, Members, MembersConfig, Transport, Watch};
use gc_heap::{Heap, HeapConfig};
use gc_protocol::{Config, Life, Present};
use gc_remote::Member;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};

use crate::board::Board;
use crate::cluster::answers::Answers;
use crate::cluster::clock;
use crate::cluster::config::ClusterConfig;
use crate::cluster::driver::{Driver, Parts};
use crate::cluster::error::ClusterError;
use crate::cluster::handle::{Cluster, Delivery, Order, Seat, Shared, View, digest_of};
use crate::cluster::works::Works;
use crate::limits::{DELIVERIES_PENDING, LEAVE_LOOK, ORDERS_PENDING};

/// A node that has begun a life, and has told nobody yet.
pub(crate) struct Begun {
    config: ClusterConfig,
    credentials: Credentials,
    watch: Watch,
    /// Keeps the folder locked.
    lives: Lives,
    incarnation: u64,
}

/// A cluster that is driven until this is dropped.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    driver: Option<JoinHandle<()>>,
    /// Answers questions of other nodes.
    _answers: Answers,
}

struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Begun {
    pub(crate) fn new(config: &ClusterConfig) -> Result<Begun, ClusterError> {
        let watch = Watch::new(&config.certs);
        let credentials = Credentials::load(&config.certs)?;
        if let Some(ours) = config.name.as_ref().filter(|&name| *name != credentials.identity.name) {
            return Err(ClusterError::OtherName {
                folder: config.certs.clone(),
                theirs: credentials.identity.name.clone(),
                ours: ours.clone(),
            });
        }
        let mut lives = Lives::open(&config.state)?;
        let incarnation = lives.begin(0)?;
        Ok(Begun { config: config.clone(), credentials, watch, lives, incarnation })
    }

    /// Makes the heap's handles those of this life.
    pub(crate) fn name(&self, heap: &mut HeapConfig) {
        (heap.node, heap.incarnation) = (self.credentials.identity.number, self.incarnation);
    }

    /// Listens, looks for the others, and drives. `brought` is the strategy of this node, for the others: none for a native one, which cannot be
    /// passed on.
    pub(crate) fn start(
        self,
        works: Works,
        board: Arc<Board>,
        brought: Option<Vec<u8>>,
        idle: Option<Duration>,
    ) -> Result<(Running, Seat), ClusterError> {
        let heap = works.heap().clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClusterError::Runtime)?;
        let (members, transport, events, address) = {
            let _inside = runtime.enter();
            let (transport, events) =
                Transport::start(self.config.listen, &self.credentials, self.incarnation)?;
            let listens = transport.address().map_err(ClusterError::Runtime)?;
            let address = self.config.advertise.unwrap_or(listens);
            let members = Members::start(
                MembersConfig {
                    address,
                    join: self.config.join.clone(),
                    state: self.config.state.clone(),
                    decides: self.config.decides.clone(),
                },
                transport.clone(),
            )?;
            (members, transport, events, listens)
        };
        let member = Member::new(heap.clone(), self.protocol(brought))
            .map_err(|error| ClusterError::Refused(error.to_string()))?;
        let desk = Arc::clone(member.desk());
        let bell = Arc::new(Notify::new());
        desk.set_waker(Waker::from(Arc::new(Bell(Arc::clone(&bell)))));
        let (orders, taken) = mpsc::channel(ORDERS_PENDING);
        let (deliver, deliveries) = sync_channel(DELIVERIES_PENDING);
        let cluster = self.cluster(heap, address, orders, deliveries);
        let answers = Answers::start(cluster.clone()).map_err(ClusterError::Runtime)?;
        let parts = Parts {
            shared: Arc::clone(&cluster.shared),
            member,
            members,
            transport,
            events,
            orders: taken,
            deliver,
            bell,
            works,
            board,
            answers: answers.sender(),
            watch: self.watch,
            _lives: self.lives,
            idle,
        };
        let drive = move || {
            let driver = Driver::new(parts);
            runtime.block_on(driver.run());
        };
        let driver = std::thread::Builder::new()
            .name("gc-cluster".into())
            .spawn(drive)
            .map_err(ClusterError::Runtime)?;
        let seat = Seat { desk, shared: Arc::clone(&cluster.shared) };
        Ok((Running { cluster, driver: Some(driver), _answers: answers }, seat))
    }

    fn protocol(&self, brought: Option<Vec<u8>>) -> Config {
        let identity = &self.credentials.identity;
        let life = Life::new(identity.number, self.incarnation);
        let mut config = Config::new(life, cluster_number(&identity.cluster), rand::random());
        if let Some(bytes) = brought {
            // Who is alone in the cluster says what it runs. Who joins takes that, whatever it was started with (`gc_protocol::Swap`).
            config.strategy = Present { generation: 0, digest: digest_of(&bytes) };
            config.module = Arc::new(bytes);
        }
        config
    }

    fn cluster(
        &self,
        heap: Heap,
        address: SocketAddr,
        orders: mpsc::Sender<Order>,
        deliveries: Receiver<Delivery>,
    ) -> Cluster {
        Cluster {
            shared: Arc::new(Shared {
                me: self.credentials.identity.clone(),
                incarnation: self.incarnation,
                address,
                heap,
                orders,
                deliveries: Mutex::new(deliveries),
                view: Mutex::new(View::default()),
            }),
        }
    }
}

/// The number by which nodes tell clusters apart on the wire: the certificates have been compared by name before.
fn cluster_number(name: &str) -> u64 {
    let digest = digest_of(name.as_bytes());
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

impl Running {
    pub(crate) fn stop(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        // A queue that is full is emptied: the driver waits for nothing but its own work. Whoever calls this may stand in a runtime of his own.
        while let Err(TrySendError::Full(_)) = self.cluster.shared.orders.try_send(Order::Stop) {
            std::thread::sleep(LEAVE_LOOK);
        }
        let _ = driver.join();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// For the driver's loop: how long until a time of the protocol's clock.
pub(crate) fn until(wake: u64) -> Duration {
    Duration::from_nanos(wake.saturating_sub(clock::now()))
}
