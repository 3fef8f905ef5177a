//! How a node begins: as the seat of a cluster that it founds or goes on with, or as somebody who wants in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use gc_protocol::Life;
use tokio::time::Instant;

use super::gossip::Gossip;
use super::{Decides, Members, MembersConfig, MembersCounters, MembersError, Role};
use crate::coordinator::seat::Seat;
use crate::kept::{Kept, StateError};
use crate::membership::{Member, Membership};
use crate::transport::Transport;
use crate::writer::Writer;

impl Members {
    /// Begins. To be called on a tokio runtime, once per transport, before its events are taken.
    ///
    /// What is on disk comes first: who was the seat goes on as the seat, who was a member looks for the cluster where it was. Only a node without
    /// a membership on disk and without addresses to join founds a cluster.
    ///
    /// # Errors
    ///
    /// [`MembersError`]; no cluster was founded, and nothing was changed.
    pub fn start(config: MembersConfig, transport: Transport) -> Result<Members, MembersError> {
        let join = addresses(&config, &transport)?;
        let identity = transport.identity().clone();
        let (kept, found) = Kept::open(&config.state, &identity)?;
        check_who_decides(&config, &kept, found.as_ref())?;
        let life = Life::new(identity.number, transport.incarnation());
        let me = Member {
            name: identity.name.clone(),
            incarnation: transport.incarnation(),
            address: config.address,
            nonce: transport.nonce(),
            since: 0,
        };
        let role = role(&config, &kept, found.as_ref(), (identity.number, me), &identity.cluster)?;
        let mut members = Members {
            gossip: Gossip::new(life, &identity.cluster, rand::random()),
            life,
            identity,
            address: config.address,
            begun: Instant::now(),
            writer: Writer::new(kept),
            held: BTreeMap::new(),
            role,
            transport,
            membership: None,
            seen: None,
            links: BTreeMap::new(),
            dialled: BTreeSet::new(),
            notices: VecDeque::new(),
            told: None,
            asks: BTreeMap::new(),
            beat_at: 0,
            turn: 0,
            refused: None,
            counters: MembersCounters::default(),
        };
        join.into_iter().for_each(|address| members.transport.join(address));
        if let Some(found) = &found {
            members.dial(found);
        }
        members.tell_decision();
        Ok(members)
    }
}

/// The addresses to join, this node's own left out.
fn addresses(config: &MembersConfig, transport: &Transport) -> Result<Vec<SocketAddr>, MembersError> {
    let address = config.address;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err(MembersError::Unreachable(address));
    }
    let own = [Some(address), transport.address().ok()];
    let others: Vec<SocketAddr> =
        config.join.iter().copied().filter(|address| !own.contains(&Some(*address))).collect();
    if others.is_empty() && !config.join.is_empty() {
        return Err(MembersError::JoinsItself(address));
    }
    Ok(others)
}

/// A cluster does not change hands by a flag.
fn check_who_decides(
    config: &MembersConfig,
    kept: &Kept,
    found: Option<&Membership>,
) -> Result<(), MembersError> {
    let (what, seat) = match config.decides {
        Decides::Seat => ("etcd decides about its cluster: name the same etcd again", true),
        Decides::Etcd(_) => ("a seat decides about its cluster: leave etcd out", false),
    };
    match found {
        Some(found) if found.seat.is_some() != seat => {
            Err(StateError::Damaged { path: kept.path().to_owned(), what: what.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

fn role(
    config: &MembersConfig,
    kept: &Kept,
    found: Option<&Membership>,
    (number, me): (u32, Member),
    cluster: &str,
) -> Result<Role, MembersError> {
    match (&config.decides, found) {
        (Decides::Seat, Some(found)) if found.seat == Some(number) => {
            Ok(Role::Seat(Seat::resume(kept, found.clone(), (number, me))?.into()))
        }
        (Decides::Seat, None) if config.join.is_empty() => {
            let founding = (cluster, rand::random());
            Ok(Role::Seat(Seat::found(kept, founding, (number, me))?.into()))
        }
        (Decides::Seat, _) => Ok(Role::Member),
        #[cfg(feature = "etcd")]
        (Decides::Etcd(endpoints), _) => {
            let bad = |endpoint: &&String| !endpoint.starts_with("http://") || endpoint.len() < 10;
            if let Some(endpoint) = endpoints.iter().find(bad) {
                return Err(MembersError::EtcdAddress(endpoint.clone()));
            }
            if endpoints.is_empty() {
                return Err(MembersError::EtcdAddress(String::new()));
            }
            let etcd = crate::coordinator::etcd::Etcd::start(endpoints, cluster, (number, me));
            Ok(Role::Etcd(etcd))
        }
        #[cfg(not(feature = "etcd"))]
        (Decides::Etcd(_), _) => Err(MembersError::NoEtcd),
    }
}
