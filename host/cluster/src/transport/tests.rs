//! Transports on loopback, honest ones and others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;

use super::*;
use crate::authority::{Authority, NODE_DAYS};
use crate::limits::SEND_QUEUE_FRAMES;
use crate::tls::SERVER_NAME;

/// Generous: the machine may be busy. Nothing waits that long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    folder: tempfile::TempDir,
    authority: Authority,
}

struct Node {
    transport: Transport,
    events: mpsc::Receiver<Event>,
}

impl Cluster {
    fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), "shop").unwrap();
        Cluster { folder, authority }
    }

    fn credentials(&mut self, name: &str) -> Credentials {
        let folder = self.folder.path().join(name);
        self.authority.issue(name, &folder, NODE_DAYS).unwrap();
        Credentials::load(&folder).unwrap()
    }

    fn start(&mut self, name: &str, incarnation: u64) -> Node {
        let credentials = self.credentials(name);
        start(&credentials, incarnation)
    }
}

fn start(credentials: &Credentials, incarnation: u64) -> Node {
    let (transport, events) =
        Transport::start("127.0.0.1:0".parse().unwrap(), credentials, incarnation).unwrap();
    Node { transport, events }
}

impl Node {
    fn address(&self) -> SocketAddr {
        self.transport.address().unwrap()
    }

    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event comes")
            .expect("the transport lives")
    }

    async fn up(&mut self) -> (u32, u64, u64) {
        loop {
            if let Event::Up { peer, session, incarnation, .. } = self.next().await {
                return (peer.number, session, incarnation);
            }
        }
    }

    async fn frame(&mut self) -> (u32, Bytes) {
        loop {
            if let Event::Frame { peer, frame, .. } = self.next().await {
                return (peer, frame);
            }
        }
    }

    async fn down(&mut self) -> (u32, u64, String) {
        loop {
            if let Event::Down { peer, session, why } = self.next().await {
                return (peer, session, why);
            }
        }
    }

    async fn refused(&self, word: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.transport.refusal_counts().contains_key(word) {
            assert!(Instant::now() < until, "{word} is not among {:?}", self.transport.refusals());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn pair() -> (Cluster, Node, Node) {
    let mut cluster = Cluster::new();
    let (mut one, mut two) = (cluster.start("n1", 1), cluster.start("n2", 1));
    one.transport.join(two.address());
    assert_eq!(one.up().await.0, 2);
    assert_eq!(two.up().await.0, 1);
    (cluster, one, two)
}

/// A peer that says what it likes, with a right certificate.
async fn raw(
    credentials: &Credentials,
    address: SocketAddr,
    preface: &[u8],
) -> (Connection, SendStream, RecvStream) {
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = client_config(credentials).unwrap();
    let connection = endpoint.connect_with(config, address, SERVER_NAME).unwrap().await.unwrap();
    let (mut send, receive) = connection.open_bi().await.unwrap();
    send.write_all(preface).await.unwrap();
    (connection, send, receive)
}

fn preface(incarnation: u64) -> Preface {
    let unix_millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Preface { version: WIRE_VERSION, incarnation, nonce: 99, unix_millis }
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let (_cluster, mut one, mut two) = pair().await;
    let sizes = [0, 1, 63, 64, 65_536, 70_000, FRAME_BYTES_MAX, 3];
    for (at, &size) in sizes.iter().enumerate() {
        one.transport.send(2, Bytes::from(vec![at as u8; size])).unwrap();
        two.transport.send(1, Bytes::from(vec![!(at as u8); size])).unwrap();
    }
    for (at, &size) in sizes.iter().enumerate() {
        assert_eq!(two.frame().await, (1, Bytes::from(vec![at as u8; size])));
        assert_eq!(one.frame().await, (2, Bytes::from(vec![!(at as u8); size])));
    }
    let too_long = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
    assert!(matches!(one.transport.send(2, too_long), Err(SendError::TooLong { .. })));
    assert_eq!(one.transport.send(3, Bytes::new()), Err(SendError::Down(3)));
    assert!(one.transport.round_trip(2).is_some());
}

#[tokio::test]
async fn gossip_goes_beside_the_stream() {
    let (_cluster, one, mut two) = pair().await;
    assert!(one.transport.gossip(2, Bytes::from_static(b"alive")));
    assert!(!one.transport.gossip(3, Bytes::from_static(b"alive")));
    assert!(!one.transport.gossip(2, Bytes::from(vec![0; GOSSIP_BYTES_MAX + 1])));
    let Event::Gossip { peer: 1, bytes } = two.next().await else { panic!("gossip") };
    assert_eq!(bytes, "alive");
}

#[tokio::test]
async fn two_that_dial_each_other_share_one_link() {
    let mut cluster = Cluster::new();
    let (mut one, mut two) = (cluster.start("n1", 1), cluster.start("n2", 1));
    one.transport.join(two.address());
    two.transport.join(one.address());
    one.up().await;
    two.up().await;
    // Whatever came first, one connection is left on both sides, and it carries frames both ways.
    let until = Instant::now() + PATIENCE;
    loop {
        let counts = [&one, &two].map(|node| node.transport.shared.endpoint.open_connections());
        if counts == [1, 1] {
            break;
        }
        assert!(Instant::now() < until, "{counts:?} connections");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!([&one, &two].map(|node| node.transport.shared.endpoint.open_connections()), [1, 1]);
    one.transport.send(2, Bytes::from_static(b"to two")).unwrap();
    two.transport.send(1, Bytes::from_static(b"to one")).unwrap();
    assert_eq!(two.frame().await.1, "to two");
    assert_eq!(one.frame().await.1, "to one");
    assert!(one.transport.refusals().is_empty() && two.transport.refusals().is_empty());
}

#[tokio::test]
async fn a_node_that_comes_back_is_linked_again() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let two = cluster.start("n2", 1);
    let address = two.address();
    one.transport.join(address);
    let (_, first, _) = one.up().await;
    two.transport.close().await;
    drop(two);
    let (peer, session, why) = one.down().await;
    assert_eq!((peer, session), (2, first));
    assert!(why.contains("shuts down"), "{why}");
    let credentials = cluster.credentials("n2");
    // The socket is closed once the last task of the old transport has ended.
    let until = Instant::now() + PATIENCE;
    let (transport, events) = loop {
        match Transport::start(address, &credentials, 2) {
            Ok(started) => break started,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut two = Node { transport, events };
    let (_, second, incarnation) = one.up().await;
    assert!(second > first && incarnation == 2);
    two.up().await;
}

#[tokio::test]
async fn strangers_are_refused_for_what_they_are() {
    let mut cluster = Cluster::new();
    let one = cluster.start("n1", 1);

    // Another authority of the same name.
    let mut elsewhere = Cluster::new();
    let stranger = elsewhere.start("n2", 1);
    stranger.transport.join(one.address());
    stranger.refused("no_connection").await;
    one.refused("no_connection").await;

    // No certificate at all: the handshake of the client succeeds, and the link does not come up.
    let mut roots = rustls::RootCertStore::empty();
    for authority in &cluster.credentials("n9").material.authorities {
        roots.add(authority.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut bare = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    bare.alpn_protocols = vec![crate::tls::ALPN.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(bare).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    if let Ok(connection) = endpoint.connect_with(config, one.address(), SERVER_NAME).unwrap().await {
        tokio::time::timeout(PATIENCE, connection.closed()).await.expect("it is closed");
    }
    assert!(one.transport.refusal_counts()["no_connection"] >= 2);

    // Right certificates, wrong words.
    let n3 = cluster.credentials("n3");
    let fits = preface(1);
    for (words, word) in [
        (Preface { version: WIRE_VERSION + 1, ..fits }.encode(), "other_version"),
        (Preface { incarnation: 0, ..fits }.encode(), "old_incarnation"),
        (Preface { unix_millis: fits.unix_millis + 60_000, ..fits }.encode(), "clock_skew"),
        (*b"GET / HTTP/1.1\r\nHost: example.or", "not_a_node"),
    ] {
        let (connection, _send, _receive) = raw(&n3, one.address(), &words).await;
        one.refused(word).await;
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("it is closed");
        assert!(matches!(closed, quinn::ConnectionError::ApplicationClosed(_)), "{closed}");
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_although_its_authority_is_believed() {
    let mut cluster = Cluster::new();
    let one = cluster.start("n1", 1);
    // An authority that certifies for two clusters, as a company's might.
    let bank = cluster.folder.path().join("bank");
    cluster.authority.issue_for("bank", "n2", 7, &bank);
    let other = start(&Credentials::load(&bank).unwrap(), 1);
    other.transport.join(one.address());
    one.refused("other_cluster").await;
    other.refused("other_cluster").await;
}

#[tokio::test]
async fn this_node_itself_and_a_second_one_of_its_name_are_told_apart() {
    let mut cluster = Cluster::new();
    let credentials = cluster.credentials("n1");
    let one = start(&credentials, 1);
    one.transport.join(one.address());
    one.refused("myself").await;
    let twin = start(&credentials, 2);
    twin.transport.join(one.address());
    twin.refused("same_name").await;
}

#[tokio::test]
async fn a_life_that_is_over_is_not_let_in() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let credentials = cluster.credentials("n2");
    let (first, _send, _receive) = raw(&credentials, one.address(), &preface(5).encode()).await;
    assert_eq!(one.up().await.2, 5);
    // A later life takes the place of the earlier one.
    let (_second, _send, _receive) = raw(&credentials, one.address(), &preface(6).encode()).await;
    assert_eq!(one.up().await.2, 6);
    tokio::time::timeout(PATIENCE, first.closed()).await.expect("the earlier link is closed");
    let (_third, _send, _receive) = raw(&credentials, one.address(), &preface(5).encode()).await;
    one.refused("old_incarnation").await;
}

#[tokio::test]
async fn who_comes_in_a_life_that_another_process_had_is_told_what_to_do() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let credentials = cluster.credentials("n2");
    let (_first, _send, _receive) = raw(&credentials, one.address(), &preface(1).encode()).await;
    assert_eq!(one.up().await.2, 1);
    // Its folder is lost, so it counts its lives from the beginning. It has nothing against the other, and hears that the other has something against it.
    let lost = start(&credentials, 1);
    lost.transport.join(one.address());
    one.refused("twin").await;
    lost.refused("by_peer").await;
    let told = lost.transport.refusals().pop().unwrap().to_string();
    for word in ["another process was here as n2 in incarnation 1", "write 1 into the file 'incarnation'"] {
        assert!(told.contains(word), "'{word}' is not said: {told}");
    }
    lost.transport.close().await;
    let again = start(&credentials, 2);
    again.transport.join(one.address());
    assert_eq!(one.up().await.2, 2);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_link() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let credentials = cluster.credentials("n2");
    let (connection, mut send, _receive) = raw(&credentials, one.address(), &preface(1).encode()).await;
    one.up().await;
    send.write_all(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes()).await.unwrap();
    let (_, _, why) = one.down().await;
    assert!(why.contains("was announced"), "{why}");
    tokio::time::timeout(PATIENCE, connection.closed()).await.expect("it is closed");
    assert_eq!(one.transport.send(2, Bytes::new()), Err(SendError::Down(2)));
}

#[tokio::test]
async fn what_waits_for_a_peer_that_never_reads_has_a_bound() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let credentials = cluster.credentials("n2");
    let (_connection, _send, _receive) = raw(&credentials, one.address(), &preface(1).encode()).await;
    one.up().await;
    let frame = Bytes::from(vec![0; 1 << 20]);
    let until = Instant::now() + PATIENCE;
    let mut taken = 0;
    loop {
        match one.transport.send(2, frame.clone()) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error, SendError::Full(2));
                break;
            }
        }
        assert!(Instant::now() < until && taken < 4 * SEND_QUEUE_FRAMES, "{taken} frames were taken");
        tokio::task::yield_now().await;
    }
    assert!(taken >= SEND_QUEUE_FRAMES);
}

#[tokio::test]
async fn a_dead_address_is_reported_once_and_tried_again() {
    let mut cluster = Cluster::new();
    let mut one = cluster.start("n1", 1);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    one.transport.join(address);
    one.refused("silent").await;
    let credentials = cluster.credentials("n2");
    let (_two, _events) = Transport::start(address, &credentials, 1).unwrap();
    assert_eq!(one.up().await.0, 2);
    assert_eq!(one.transport.refusal_counts(), BTreeMap::from([("silent", 1)]));
}

#[tokio::test]
async fn certificates_are_replaced_while_links_are_up() {
    let (mut cluster, mut one, two) = pair().await;
    let fresh = cluster.credentials("n1");
    one.transport.renew(&fresh).unwrap();
    let other = cluster.credentials("n3");
    assert!(matches!(one.transport.renew(&other), Err(TransportError::OtherIdentity { .. })));
    two.transport.send(1, Bytes::from_static(b"still here")).unwrap();
    assert_eq!(one.frame().await.1, "still here");
    // A third node, which comes now, sees the fresh certificate.
    let three = start(&other, 1);
    three.transport.join(one.address());
    assert_eq!(one.up().await.0, 3);
}

#[tokio::test]
async fn an_address_that_is_taken_says_so() {
    let mut cluster = Cluster::new();
    let one = cluster.start("n1", 1);
    let credentials = cluster.credentials("n2");
    let Err(error) = Transport::start(one.address(), &credentials, 1) else { panic!("the address is taken") };
    assert!(error.to_string().contains("--listen"), "{error}");
}

impl Authority {
    /// A certificate for a node of another cluster.
    fn issue_for(&mut self, cluster: &str, name: &str, number: u32, folder: &Path) {
        self.issue_identity(
            &Identity { cluster: cluster.into(), name: name.into(), number },
            folder,
            NODE_DAYS,
        )
        .unwrap();
    }
}
