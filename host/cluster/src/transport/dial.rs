//! Making connections: taking in who comes, and dialling who is to be joined.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Incoming;
use rand::RngExt;

use super::link::{Begun, Outcome, establish};
use super::{Shared, lock};
use crate::limits::{BACK_OFF_FIRST, BACK_OFF_MAX, PREFACE_TIMEOUT};
use crate::preface::Refusal;
use crate::tls::SERVER_NAME;

/// Takes in who comes, until the endpoint closes.
pub(super) async fn accept(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        let address = incoming.remote_address();
        let Ok(permit) = Arc::clone(&shared.handshakes).try_acquire_owned() else {
            incoming.refuse();
            shared.refuse(address, None, Refusal::Busy);
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let outcome = take_in(&shared, incoming).await;
            drop(permit);
            if let Outcome::Refused(peer, why) = outcome {
                shared.refuse(address, peer, why);
            }
        });
    }
}

async fn take_in(shared: &Arc<Shared>, incoming: Incoming) -> Outcome {
    match tokio::time::timeout(PREFACE_TIMEOUT, incoming).await {
        Ok(Ok(connection)) => establish(shared, connection, Begun::There).await,
        Ok(Err(error)) => Outcome::Refused(None, Refusal::NoConnection(error.to_string())),
        Err(_) => Outcome::Refused(None, Refusal::Silent(PREFACE_TIMEOUT)),
    }
}

/// Keeps a link to whoever is at `address`. If it is known who should be there, a link that there is already will do.
pub(super) async fn keep(shared: Arc<Shared>, address: SocketAddr, peer: Option<u32>) {
    let mut closing = shared.closing.subscribe();
    let stop = closing.wait_for(|closing| *closing);
    tokio::select! {
        _ = stop => {}
        () = dial_again(&shared, address, peer) => {}
    }
}

async fn dial_again(shared: &Arc<Shared>, address: SocketAddr, peer: Option<u32>) {
    let mut wait = BACK_OFF_FIRST;
    let mut last: Option<&'static str> = None;
    while !shared.is_closing() {
        if let Some(peer) = peer {
            linked(shared, peer).await;
        }
        let refused = match dial(shared, address).await {
            Outcome::Up(up) => {
                let refused = up.ended.await.ok().flatten();
                // The link may have been replaced by one that the peer began.
                linked(shared, up.peer.number).await;
                refused.map(|why| (Some(up.peer), why))
            }
            Outcome::Duplicate(peer) => {
                linked(shared, peer).await;
                None
            }
            Outcome::Refused(peer, why) => Some((peer, why)),
        };
        match refused {
            None => (wait, last) = (BACK_OFF_FIRST, None),
            Some((peer, why)) => {
                // A node that is away is refused once, not ten times a second.
                let word = why.word();
                let final_answer = matches!(why, Refusal::Myself);
                if last != Some(word) {
                    shared.refuse(address, peer, why);
                }
                if final_answer {
                    return;
                }
                last = Some(word);
            }
        }
        let jitter: f64 = rand::rng().random_range(0.75..1.25);
        tokio::time::sleep(wait.mul_f64(jitter)).await;
        wait = (wait * 2).min(BACK_OFF_MAX);
    }
}

async fn dial(shared: &Arc<Shared>, address: SocketAddr) -> Outcome {
    let config = lock(&shared.client).clone();
    let connecting = match shared.endpoint.connect_with(config, address, SERVER_NAME) {
        Ok(connecting) => connecting,
        Err(error) => return Outcome::Refused(None, Refusal::NoConnection(error.to_string())),
    };
    match tokio::time::timeout(PREFACE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => establish(shared, connection, Begun::Here).await,
        Ok(Err(error)) => Outcome::Refused(None, Refusal::NoConnection(error.to_string())),
        Err(_) => Outcome::Refused(None, Refusal::Silent(PREFACE_TIMEOUT)),
    }
}

/// Waits while there is a link to a peer, whoever began it.
async fn linked(shared: &Shared, peer: u32) {
    loop {
        let connection = lock(&shared.peers).connection(peer);
        let Some(connection) = connection else { return };
        connection.closed().await;
        // Its reader takes it out of the table in a moment.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
