//! Authenticated links to other nodes over QUIC: at most one per peer, made again when they break.
//!
//! ```text
//!            send(peer, frame)      queue        one stream per link        events
//! this node ──────────────────▶ ▒▒▒▒▒▒▒▒▒▒ ───────────────────────────▶ ▒▒▒▒▒▒▒▒▒▒ ──▶ the other node
//! ```
//!
//! 1. Nothing of a peer is read before its certificate was verified, its identity read from it, and its preface checked. That `connect()` succeeds
//!    says nothing: a server refuses a client's certificate later. A link is up when the other side's preface has come.
//! 2. One link per peer. When two nodes dial each other at once, both keep the connection that the lower number began. A peer that comes again, or comes
//!    in a later life, replaces its link.
//! 3. Every queue has a bound. A full queue to a peer is an answer to the sender ([`SendError::Full`]); full events stop the reading, and QUIC's flow
//!    control stops the peer.
//! 4. A frame may be lost with its link, and is never delivered twice or out of order on one link. What must arrive is sent again by the protocol
//!    above.

mod dial;
mod link;
mod peers;
mod refusals;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use crate::credentials::Credentials;
use crate::identity::Identity;
use crate::limits::{
    EVENT_QUEUE, FRAME_BYTES_MAX, GOSSIP_BYTES_MAX, HANDSHAKES_MAX, IDLE_TIMEOUT, KEEP_ALIVE,
    RECEIVE_WINDOW_BYTES,
};
use crate::preface::{Preface, Refusal, WIRE_VERSION};
use crate::tls;
use peers::Peers;
use refusals::Refusals;
pub use refusals::Refused;

/// What happens on the links.
#[derive(Debug)]
pub enum Event {
    /// A link is there.
    Up {
        /// Who is on the other side.
        peer: Identity,
        /// Its life.
        incarnation: u64,
        /// Where it is.
        address: SocketAddr,
        /// Tells this link from earlier ones to the same peer.
        session: u64,
    },
    /// A frame came.
    Frame {
        /// From whom.
        peer: u32,
        /// On which link.
        session: u64,
        /// The bytes as they were sent.
        frame: Bytes,
    },
    /// A datagram of gossip came.
    Gossip {
        /// From whom.
        peer: u32,
        /// The bytes as they were sent.
        bytes: Bytes,
    },
    /// A link is no more. A later one may be up already.
    Down {
        /// To whom it was.
        peer: u32,
        /// Which one.
        session: u64,
        /// Why, for people.
        why: String,
    },
}

/// A frame was not taken.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no link to this peer.
    #[error("there is no link to node {0}: send again when it is up")]
    Down(u32),
    /// The peer does not take what waits for it.
    #[error("too much waits for node {0}: send again later")]
    Full(u32),
    /// The frame is longer than any peer takes.
    #[error("a frame of {bytes} bytes is too long, most is {max_bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max_bytes: usize,
    },
}

/// A transport could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; give a free UDP port of this machine with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates do not make a TLS configuration.
    #[error("the certificates cannot be used: {0}")]
    Tls(String),
    /// Certificates of somebody else were given to a running node.
    #[error("the certificates are now those of {theirs}, and this node is {ours}: put the right ones back")]
    OtherIdentity {
        /// Whose they are.
        theirs: Identity,
        /// Who the node is.
        ours: Identity,
    },
}

/// Links of one node. Clones are the same transport.
#[derive(Clone)]
pub struct Transport {
    pub(crate) shared: Arc<Shared>,
}

/// Behind the transport and its tasks.
pub(crate) struct Shared {
    endpoint: quinn::Endpoint,
    identity: Identity,
    incarnation: u64,
    nonce: u64,
    client: Mutex<quinn::ClientConfig>,
    peers: Mutex<Peers>,
    refusals: Mutex<Refusals>,
    events: mpsc::Sender<Event>,
    /// Addresses that are dialled.
    dials: Mutex<BTreeMap<SocketAddr, AbortHandle>>,
    handshakes: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport {
    /// Listens on `listen` and answers the transport with the events of its links. To be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when the address is taken or the certificates make no configuration.
    pub fn start(
        listen: SocketAddr,
        credentials: &Credentials,
        incarnation: u64,
    ) -> Result<(Transport, mpsc::Receiver<Event>), TransportError> {
        let server = server_config(credentials)?;
        let endpoint = quinn::Endpoint::server(server, listen)
            .map_err(|source| TransportError::Listen { address: listen, source })?;
        let (events, taken) = mpsc::channel(EVENT_QUEUE);
        let shared = Arc::new(Shared {
            endpoint,
            identity: credentials.identity.clone(),
            incarnation,
            nonce: rand::random(),
            client: Mutex::new(client_config(credentials)?),
            peers: Mutex::default(),
            refusals: Mutex::default(),
            events,
            dials: Mutex::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            closing: watch::Sender::new(false),
        });
        tokio::spawn(dial::accept(Arc::clone(&shared)));
        Ok((Transport { shared }, taken))
    }

    /// Keeps a link to whoever is at `address`: dials until it is up, and again when it breaks. Saying it twice is saying it once.
    pub fn join(&self, address: SocketAddr) {
        self.dial(address, None);
    }

    /// The same for a peer that is known by its number: nobody is dialled while there is a link to it, whoever began that.
    pub fn keep(&self, peer: u32, address: SocketAddr) {
        self.dial(address, Some(peer));
    }

    fn dial(&self, address: SocketAddr, peer: Option<u32>) {
        let mut dials = lock(&self.shared.dials);
        if dials.get(&address).is_none_or(AbortHandle::is_finished) {
            let dial = tokio::spawn(dial::keep(Arc::clone(&self.shared), address, peer));
            dials.insert(address, dial.abort_handle());
        }
    }

    /// Stops dialling an address. A link that is up stays up.
    pub fn forget(&self, address: SocketAddr) {
        if let Some(dial) = lock(&self.shared.dials).remove(&address) {
            dial.abort();
        }
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// In which life.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.shared.incarnation
    }

    /// Drawn when the transport was started: tells two processes of one life apart.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.shared.nonce
    }

    /// Sends a frame to a peer. It is on its way or waits in the queue when this returns.
    ///
    /// # Errors
    ///
    /// [`SendError`]; the frame was not taken then.
    pub fn send(&self, peer: u32, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLong { bytes: frame.len(), max_bytes: FRAME_BYTES_MAX });
        }
        let queue = lock(&self.shared.peers).queue(peer).ok_or(SendError::Down(peer))?;
        queue.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full(peer),
            mpsc::error::TrySendError::Closed(_) => SendError::Down(peer),
        })
    }

    /// Sends a datagram that may be lost. Answers whether there was a link and room for it.
    pub fn gossip(&self, peer: u32, bytes: Bytes) -> bool {
        let connection = lock(&self.shared.peers).connection(peer);
        bytes.len() <= GOSSIP_BYTES_MAX
            && connection.is_some_and(|connection| connection.send_datagram(bytes).is_ok())
    }

    /// Shows other certificates from the next connection on. Links that are up stay up.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; the present certificates stay then.
    pub fn renew(&self, credentials: &Credentials) -> Result<(), TransportError> {
        if credentials.identity != self.shared.identity {
            let (theirs, ours) = (credentials.identity.clone(), self.shared.identity.clone());
            return Err(TransportError::OtherIdentity { theirs, ours });
        }
        let (server, client) = (server_config(credentials)?, client_config(credentials)?);
        self.shared.endpoint.set_server_config(Some(server));
        *lock(&self.shared.client) = client;
        Ok(())
    }

    /// The address that the node listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// Round-trip time of a peer's link as QUIC measures it.
    #[must_use]
    pub fn round_trip(&self, peer: u32) -> Option<Duration> {
        lock(&self.shared.peers).connection(peer).map(|connection| connection.rtt())
    }

    /// UDP packets that a peer's link has sent, those that carry nothing of ours included.
    #[must_use]
    pub fn packets_sent(&self, peer: u32) -> Option<u64> {
        lock(&self.shared.peers).connection(peer).map(|connection| connection.stats().udp_tx.datagrams)
    }

    /// The peers that were refused last, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refused> {
        lock(&self.shared.refusals).last().iter().cloned().collect()
    }

    /// How often a peer was refused, by [`Refusal::word`].
    #[must_use]
    pub fn refusal_counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.shared.refusals).counts().clone()
    }

    /// The peers that were refused since this was last asked, for people: each that is like one before it once in a while only, and not too many.
    #[must_use]
    pub fn news_of_refusals(&self) -> Vec<Refused> {
        lock(&self.shared.refusals).take_news()
    }

    /// Cuts the link to a peer, if there is one: it sends what it must not.
    pub fn disconnect(&self, peer: u32, why: &str) {
        if let Some(connection) = lock(&self.shared.peers).connection(peer) {
            connection.close(code::MISBEHAVED.into(), why.as_bytes());
        }
    }

    /// Closes all links and stops listening.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.endpoint.close(code::CLOSING.into(), b"the node shuts down");
        self.shared.endpoint.wait_idle().await;
    }
}

/// Why a connection is closed, for the other side.
mod code {
    pub(super) const CLOSING: u32 = 0;
    pub(super) const DUPLICATE: u32 = 1;
    pub(super) const REPLACED: u32 = 2;
    pub(super) const REFUSED: u32 = 3;
    pub(super) const MISBEHAVED: u32 = 4;
}

impl Shared {
    fn preface(&self) -> Preface {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Preface {
            version: WIRE_VERSION,
            incarnation: self.incarnation,
            nonce: self.nonce,
            unix_millis: since.as_millis() as u64,
        }
    }

    fn refuse(&self, address: SocketAddr, peer: Option<Identity>, why: Refusal) {
        let word = why.word();
        let refused = Refused { at: SystemTime::now(), address, peer, why };
        tracing::warn!(reason = word, "{refused}");
        lock(&self.refusals).push(Instant::now(), refused);
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}

fn server_config(credentials: &Credentials) -> Result<quinn::ServerConfig, TransportError> {
    let tls = tls::server(&credentials.material).map_err(TransportError::Tls)?;
    let quic = QuicServerConfig::try_from(tls).map_err(|error| TransportError::Tls(error.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    config.transport_config(transport_config()).max_incoming(HANDSHAKES_MAX);
    Ok(config)
}

fn client_config(credentials: &Credentials) -> Result<quinn::ClientConfig, TransportError> {
    let tls = tls::client(&credentials.material).map_err(TransportError::Tls)?;
    let quic = QuicClientConfig::try_from(tls).map_err(|error| TransportError::Tls(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(transport_config());
    Ok(config)
}

fn transport_config() -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(1u32.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(RECEIVE_WINDOW_BYTES.into())
        .receive_window(RECEIVE_WINDOW_BYTES.into())
        .send_window(u64::from(RECEIVE_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(64 * GOSSIP_BYTES_MAX))
        .datagram_send_buffer_size(64 * GOSSIP_BYTES_MAX)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("ten seconds fit")));
    Arc::new(config)
}

#[cfg(test)]
mod tests;
