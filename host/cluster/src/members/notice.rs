//! What the membership tells the node, and how it answers an operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gc_protocol::{Life, MembershipEpoch};
use tokio::sync::oneshot;

use crate::refused::ChangeRefused;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The membership is another one: feed it to the protocol. Epochs rise; some may be left out. A life that is no more among the members was exiled or has
    /// left; if it is this one, the node ends or begins another life.
    MembershipChanged {
        /// Its number.
        epoch: MembershipEpoch,
        /// Its members, this node included, and where each is.
        members: BTreeMap<Life, SocketAddr>,
    },
    /// This member seems to be gone: the failure detector and the estimator of its rhythm agree. It is still a member; nothing may be freed because of this.
    Suspected {
        /// Who.
        life: Life,
        /// How sure ([`gc_protocol::phi`]).
        phi: f64,
    },
    /// It is there again.
    Recovered(Life),
    /// A proposed exile does not come to pass: feed it to the protocol.
    ExileDeclined {
        /// Who stays.
        client: Life,
        /// Why, and what an operator can do.
        why: ChangeRefused,
    },
    /// This node is not let in, or has met somebody that it does not listen to, or is the seat and cannot write down what it decides; it goes on. Told once for
    /// each reason.
    NotAdmitted(ChangeRefused),
    /// The file that says where the cluster is could not be written, and why: the node needs to be told when it starts again.
    NotKept(String),
}

/// How a change of the membership comes out: the number of the one that has it, or why not. Nothing comes when this process ends first.
pub type Answer = oneshot::Receiver<Result<MembershipEpoch, ChangeRefused>>;
