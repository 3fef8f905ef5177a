//! A relay of datagrams between nodes on loopback: it delays, reorders, repeats, damages and loses them, and lets through only so many at a time.
//!
//! ```text
//!  n1 127.0.0.1:a ◀──▶ A ┐          Each node is told to say that it is where its socket of the relay is (--advertise). What n1 sends to B
//!  n2 127.0.0.1:b ◀──▶ B ┤ relay    comes to n2 from A: no node ever knows where another one really is, and every packet goes through here.
//!  n3 127.0.0.1:c ◀──▶ C ┘
//! ```
//!
//! Needs neither root nor namespaces. What becomes of a datagram is drawn from the seed, the two nodes and its place among those that went that way: which
//! datagrams there are is up to the nodes.

use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the relay does to datagrams. Shares are of one.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Weather {
    /// How long each is on its way, at least.
    pub(crate) delay: Duration,
    /// How long beyond that on average: mostly shorter, at times much longer. Later ones overtake those.
    pub(crate) jitter: Duration,
    /// So many come twice, each with a delay of its own.
    pub(crate) repeated: f64,
    /// Of so many one bit is another one.
    pub(crate) damaged: f64,
    /// So many do not come.
    pub(crate) lost: f64,
    /// Bytes a second from one node to another. None: as many as they send. What would wait for longer than [`QUEUE`] does not come.
    pub(crate) rate: Option<u32>,
}

/// How long a datagram may wait because others are before it.
const QUEUE: Duration = Duration::from_millis(500);

/// The longest datagram there can be.
const DATAGRAM_BYTES_MAX: usize = 1 << 16;

/// How often a thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What has become of datagrams from one node to another.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) taken: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
    pub(crate) lost: u64,
    /// Others were before them on their way.
    pub(crate) held_up: u64,
    /// Too many were.
    pub(crate) crowded_out: u64,
    /// Sent on after one that was taken later.
    pub(crate) overtaken: u64,
}

/// Ends with what is on its way when it goes.
pub(crate) struct Relay {
    names: Vec<String>,
    inside: Arc<Inside>,
    threads: Vec<JoinHandle<()>>,
}

struct Inside {
    /// One for each node: the others reach it there.
    sockets: Vec<UdpSocket>,
    state: Mutex<State>,
    /// There is something new to wait for.
    changed: Condvar,
}

struct State {
    weather: Weather,
    /// Where the nodes really are.
    nodes: Vec<Option<SocketAddr>>,
    /// From each node to each.
    ways: Vec<Vec<Way>>,
    waiting: BinaryHeap<Datagram>,
    ended: bool,
}

/// From one node to another.
struct Way {
    draws: Draws,
    figures: Figures,
    /// When everything before has gone out, at its rate.
    free: Instant,
    /// The latest that was sent on, by its place.
    newest: u64,
}

struct Datagram {
    due: Instant,
    /// Its place among those of its way.
    place: u64,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

impl Relay {
    pub(crate) fn new(names: &[&str], weather: Weather, seed: u64) -> Relay {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            socket
        };
        let count = names.len();
        let way = |from: usize, to: usize| Way {
            draws: Draws(seed ^ (((from * count + to) as u64 + 1) << 32)),
            figures: Figures::default(),
            free: Instant::now(),
            newest: 0,
        };
        let state = State {
            weather,
            nodes: vec![None; count],
            ways: (0..count).map(|from| (0..count).map(|to| way(from, to)).collect()).collect(),
            waiting: BinaryHeap::new(),
            ended: false,
        };
        let sockets = names.iter().map(|_| socket()).collect();
        let inside = Arc::new(Inside { sockets, state: Mutex::new(state), changed: Condvar::new() });
        let mut threads: Vec<_> = (0..count).map(|to| inside.work(move |inside| inside.take(to))).collect();
        threads.push(inside.work(|inside| inside.send_on()));
        Relay { names: names.iter().map(|&name| name.to_owned()).collect(), inside, threads }
    }

    /// Where others reach a node.
    pub(crate) fn address(&self, node: &str) -> SocketAddr {
        self.inside.sockets[self.at(node)].local_addr().unwrap()
    }

    /// Says where a node really is. What it sends before that is lost.
    pub(crate) fn node_is_at(&self, node: &str, address: SocketAddr) {
        self.inside.state().nodes[self.at(node)] = Some(address);
    }

    /// What has become of datagrams from one node to another.
    pub(crate) fn figures(&self, from: &str, to: &str) -> Figures {
        self.inside.state().ways[self.at(from)][self.at(to)].figures
    }

    fn at(&self, node: &str) -> usize {
        self.names.iter().position(|name| name == node).unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.inside.state().ended = true;
        self.inside.changed.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Inside {
    fn work(self: &Arc<Inside>, work: impl FnOnce(&Inside) + Send + 'static) -> JoinHandle<()> {
        let inside = Arc::clone(self);
        std::thread::spawn(move || work(&inside))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is sent to a node.
    fn take(&self, to: usize) {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // Nothing has come for a while; or a node that was sent something has ended.
            let taken = self.sockets[to].recv_from(&mut bytes).ok();
            let mut state = self.state();
            if state.ended {
                return;
            }
            let Some((count, source)) = taken else { continue };
            if let Some(from) = state.nodes.iter().position(|&node| node == Some(source)) {
                state.put(from, to, &bytes[..count]);
                self.changed.notify_all();
            }
        }
    }

    /// Sends on what is due.
    fn send_on(&self) {
        let mut state = self.state();
        while !state.ended {
            let now = Instant::now();
            let wait = state.waiting.peek().map_or(LOOK, |next| next.due.saturating_duration_since(now));
            if wait > Duration::ZERO {
                (state, _) = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(next) = state.waiting.pop() else { continue };
            let way = &mut state.ways[next.from][next.to];
            way.figures.overtaken += u64::from(next.place < way.newest);
            way.newest = way.newest.max(next.place);
            if let Some(node) = state.nodes[next.to] {
                // Whoever has ended takes nothing any more.
                let _ = self.sockets[next.from].send_to(&next.bytes, node);
            }
        }
    }
}

impl State {
    /// Draws what becomes of a datagram.
    fn put(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let (weather, now) = (self.weather, Instant::now());
        let way = &mut self.ways[from][to];
        way.figures.taken += 1;
        if way.draws.one_of(weather.lost) {
            way.figures.lost += 1;
            return;
        }
        let mut bytes = bytes.to_vec();
        if way.draws.one_of(weather.damaged) {
            way.figures.damaged += 1;
            let bit = way.draws.below(8 * bytes.len().max(1) as u64);
            bytes.iter_mut().skip(bit as usize / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
        }
        let mut goes = now;
        if let Some(rate) = weather.rate {
            way.figures.held_up += u64::from(way.free > now);
            goes = way.free.max(now) + Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate));
            if goes > now + QUEUE {
                way.figures.crowded_out += 1;
                return;
            }
            way.free = goes;
        }
        let twice = way.draws.one_of(weather.repeated);
        way.figures.repeated += u64::from(twice);
        let place = way.figures.taken;
        for _ in 0..1 + u32::from(twice) {
            let due = goes + weather.delay + weather.jitter.mul_f64(way.draws.exponential());
            self.waiting.push(Datagram { due, place, from, to, bytes: bytes.clone() });
        }
    }
}

/// The one that is due first is the greatest.
impl Ord for Datagram {
    fn cmp(&self, other: &Datagram) -> std::cmp::Ordering {
        (other.due, other.place).cmp(&(self.due, self.place))
    }
}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Datagram) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Datagram) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Datagram {}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        drawn ^ (drawn >> 31)
    }

    /// From 0 to less than 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.part() * bound as f64) as u64
    }

    fn one_of(&mut self, share: f64) -> bool {
        self.part() < share
    }

    /// 1 on average.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }
}
