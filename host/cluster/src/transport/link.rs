//! One link: the exchange of prefaces, and the tasks that write and read.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use super::{Event, Shared, code, lock};
use crate::identity::Identity;
use crate::limits::{FAREWELL, FRAME_BYTES_MAX, PREFACE_TIMEOUT, SEND_QUEUE_FRAMES};
use crate::preface::{self, Preface, Refusal};
use crate::tls;
use crate::transport::peers::Link;

/// Who began a connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    Here,
    There,
}

/// A link that is up.
pub(super) struct Up {
    pub(super) peer: Identity,
    /// Ends with the link, and says whether that was because the other side does not want this node.
    pub(super) ended: tokio::task::JoinHandle<Option<Refusal>>,
}

/// What became of a connection.
pub(super) enum Outcome {
    Up(Up),
    /// There is another link to this peer, and it stays.
    Duplicate(u32),
    Refused(Option<Identity>, Refusal),
}

/// Finds out who is there, and takes the link up.
pub(super) async fn establish(shared: &Arc<Shared>, connection: Connection, begun: Begun) -> Outcome {
    let peer = match tls::peer_of(connection.peer_identity()) {
        Ok(peer) => peer,
        Err(what) => {
            return Outcome::Refused(None, turn_away(connection, (), Refusal::NoIdentity(what)));
        }
    };
    let exchanged = tokio::time::timeout(PREFACE_TIMEOUT, exchange(shared, &connection, begun)).await;
    let exchanged = exchanged.unwrap_or(Err(Refusal::Silent(PREFACE_TIMEOUT)));
    let (theirs, streams) = match exchanged {
        Ok(exchanged) => exchanged,
        // It has another link to this node, or has just made one: its side came first.
        Err(_) if is_superseded(&connection) => return Outcome::Duplicate(peer.number),
        Err(refusal) => return Outcome::Refused(Some(peer), turn_away(connection, (), refusal)),
    };
    match judge(shared, &peer, &theirs) {
        Ok(()) => take_up(shared, connection, peer, theirs, begun, streams).await,
        Err(_) if is_superseded(&connection) => Outcome::Duplicate(peer.number),
        Err(refusal) => Outcome::Refused(Some(peer), turn_away(connection, streams, refusal)),
    }
}

/// Closes a connection that does not become a link, after the other side has had a moment to read our preface and to judge by itself. It may have nothing against this
/// node, and take the end of a stream for the end of the link: `streams` stay open until it is told why.
fn turn_away(connection: Connection, streams: impl Send + 'static, refusal: Refusal) -> Refusal {
    let reason = refusal.to_string();
    tokio::spawn(async move {
        let _ = tokio::time::timeout(FAREWELL, connection.closed()).await;
        connection.close(code::REFUSED.into(), reason.as_bytes());
        drop(streams);
    });
    refusal
}

/// Whether the other side has closed the connection for another one with this node.
fn is_superseded(connection: &Connection) -> bool {
    let Some(ConnectionError::ApplicationClosed(close)) = connection.close_reason() else { return false };
    [code::DUPLICATE, code::REPLACED].map(Into::into).contains(&close.error_code)
}

/// What the other side has against this node, if it has closed the connection for that.
fn refused(connection: &Connection) -> Option<Refusal> {
    let Some(ConnectionError::ApplicationClosed(close)) = connection.close_reason() else { return None };
    let reason = String::from_utf8_lossy(&close.reason).chars().take(400).collect();
    (close.error_code == code::REFUSED.into()).then_some(Refusal::ByPeer(reason))
}

/// Why a connection ended before it was a link.
fn broken(connection: &Connection, error: &dyn std::fmt::Display) -> Refusal {
    let other = || connection.close_reason().map_or_else(|| error.to_string(), |reason| reason.to_string());
    refused(connection).unwrap_or_else(|| Refusal::NoConnection(other()))
}

async fn exchange(
    shared: &Shared,
    connection: &Connection,
    begun: Begun,
) -> Result<(Preface, (SendStream, RecvStream)), Refusal> {
    let opened = match begun {
        Begun::Here => connection.open_bi().await,
        Begun::There => connection.accept_bi().await,
    };
    let (mut send, mut receive) = opened.map_err(|error| broken(connection, &error))?;
    let ours = shared.preface();
    // Both speak before they judge, so that each can say what is wrong with the other.
    send.write_all(&ours.encode()).await.map_err(|error| broken(connection, &error))?;
    let mut bytes = [0; preface::BYTES];
    receive.read_exact(&mut bytes).await.map_err(|error| broken(connection, &error))?;
    Ok((Preface::decode(&bytes)?, (send, receive)))
}

/// Whether this node wants a link with somebody who says this of itself.
fn judge(shared: &Shared, peer: &Identity, theirs: &Preface) -> Result<(), Refusal> {
    let seen = lock(&shared.peers).seen(peer.number);
    // The clock is read again: the other side may have taken its time.
    preface::check((&shared.identity, &shared.preface()), (peer, theirs), seen)
}

async fn take_up(
    shared: &Arc<Shared>,
    connection: Connection,
    peer: Identity,
    theirs: Preface,
    begun: Begun,
    (send, receive): (SendStream, RecvStream),
) -> Outcome {
    let (queue, queued) = mpsc::channel(SEND_QUEUE_FRAMES);
    let initiator = if begun == Begun::Here { shared.identity.number } else { peer.number };
    let session = {
        let mut peers = lock(&shared.peers);
        let session = peers.next_session();
        let link = Link {
            connection: connection.clone(),
            queue,
            initiator,
            incarnation: theirs.incarnation,
            nonce: theirs.nonce,
            session,
        };
        if !peers.take_up(shared.identity.number, peer.number, link) {
            return Outcome::Duplicate(peer.number);
        }
        session
    };
    let up = Event::Up {
        peer: peer.clone(),
        incarnation: theirs.incarnation,
        address: connection.remote_address(),
        session,
    };
    tokio::spawn(write(connection.clone(), send, queued));
    let ended = tokio::spawn(serve(
        Arc::clone(shared),
        connection,
        peer.number,
        session,
        up,
        BufReader::new(receive),
    ));
    Outcome::Up(Up { peer, ended })
}

/// Tells what happens on a link, from its beginning to its end. The other side may judge later than this one: a link may be up here for a moment that never was one there.
async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    peer: u32,
    session: u64,
    up: Event,
    receive: BufReader<RecvStream>,
) -> Option<Refusal> {
    // An error of `send` means that nobody takes events any more: the node shuts down.
    let why = if shared.events.send(up).await.is_err() {
        "the node shuts down".to_owned()
    } else {
        tokio::select! {
            why = read(&shared, peer, session, receive) => why,
            why = read_gossip(&shared, &connection, peer) => why,
        }
    };
    let refused = refused(&connection);
    // What QUIC says is more to the point than what the stream says.
    let why = connection.close_reason().map_or(why, |reason| reason.to_string());
    connection.close(code::MISBEHAVED.into(), why.as_bytes());
    lock(&shared.peers).drop_link(peer, session);
    let _ = shared.events.send(Event::Down { peer, session, why }).await;
    refused
}

async fn read(shared: &Shared, peer: u32, session: u64, mut receive: BufReader<RecvStream>) -> String {
    loop {
        match read_frame(&mut receive).await {
            Ok(frame) => {
                if shared.events.send(Event::Frame { peer, session, frame }).await.is_err() {
                    return "the node shuts down".into();
                }
            }
            Err(error) => return error.to_string(),
        }
    }
}

async fn read_frame(receive: &mut BufReader<RecvStream>) -> io::Result<Bytes> {
    let len = receive.read_u32_le().await? as usize;
    if len > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a frame of {len} bytes was announced, most is {FRAME_BYTES_MAX}"
        )));
    }
    // Grown as bytes come: an announcement alone takes no memory.
    let mut frame = BytesMut::with_capacity(len.min(64 * 1024));
    while frame.len() < len {
        let left = len - frame.len();
        if (&mut *receive).take(left as u64).read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

async fn read_gossip(shared: &Shared, connection: &Connection, peer: u32) -> String {
    loop {
        match connection.read_datagram().await {
            // Gossip may be lost: when nobody takes events, it is.
            Ok(bytes) => drop(shared.events.try_send(Event::Gossip { peer, bytes })),
            Err(error) => return error.to_string(),
        }
    }
}

async fn write(connection: Connection, mut send: SendStream, mut queued: mpsc::Receiver<Bytes>) {
    let mut batch = Vec::new();
    loop {
        // Everything that waits goes out together, in as few packets as QUIC needs.
        if queued.recv_many(&mut batch, SEND_QUEUE_FRAMES).await == 0 {
            break;
        }
        let mut chunks = Vec::with_capacity(batch.len() * 2);
        for frame in batch.drain(..) {
            chunks.push(Bytes::copy_from_slice(&(frame.len() as u32).to_le_bytes()));
            chunks.push(frame);
        }
        if send.write_all_chunks(&mut chunks).await.is_err() {
            break;
        }
    }
    // Either the connection is closed already, or the link was dropped: a moment for what is on its way.
    let _ = tokio::time::timeout(FAREWELL, async {
        let _ = send.finish();
        let _ = send.stopped().await;
    })
    .await;
    drop(connection);
}
