//! Why a membership stays as it is, as people and other nodes are told.

/// A change of the membership was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum ChangeRefused {
    /// Without etcd, only people exile.
    #[error(
        "{name} is silent, and nobody here may decide that it is dead: if it is, run `host cluster exile {name}`; what only it holds stays until then"
    )]
    AsksAnOperator {
        /// The silent node.
        name: String,
    },
    /// Too few proposed it.
    #[error("too few members gave {name} up: it stays")]
    TooFew {
        /// The node that stays.
        name: String,
    },
    /// There is no such member.
    #[error("'{0}' is no member: `host cluster status` names them")]
    NoSuchMember(String),
    /// The seat cannot be exiled.
    #[error(
        "{0} is the seat, which decides about the membership: it cannot leave or be exiled; start it again with its --state folder"
    )]
    IsTheSeat(String),
    /// This life is over.
    #[error(
        "{name} has left the cluster in life {left}, and comes with {theirs}: start it again with its own --state folder, or write {left} into the file 'incarnation' of a new one"
    )]
    LifeOver {
        /// The node.
        name: String,
        /// The highest life that has left.
        left: u64,
        /// The life that it has.
        theirs: u64,
    },
    /// There is a later life of the node.
    #[error(
        "{name} is a member in life {present}, and comes with {theirs}: its --state folder was lost or is an old copy; start it with its own, or write {present} into the file 'incarnation' of a new one"
    )]
    OlderLife {
        /// The node.
        name: String,
        /// The life that is a member.
        present: u64,
        /// The life that it has.
        theirs: u64,
    },
    /// Two processes run as one life.
    #[error(
        "two processes run as {0} in the same life: one was started from a copy of the other's state; stop it"
    )]
    Twin(String),
    /// Another member has the name or the number.
    #[error("{name} has the name or number of {other}: give every node a certificate of its own")]
    SameName {
        /// Who wants in.
        name: String,
        /// Who has it.
        other: String,
    },
    /// There is no room.
    #[error("a cluster has at most 1024 nodes: exile one first")]
    Full,
    /// It belongs to a cluster that was founded somewhere else.
    #[error(
        "{0} belongs to a cluster that was founded separately: to move it here, start it with an empty --state folder and --join"
    )]
    FoundedElsewhere(String),
    /// Nobody decides at the moment.
    #[error(
        "there is no membership yet: start one node without --join to found the cluster, or look at why this one is not let in"
    )]
    NoMembership,
    /// The seat has forgotten something.
    #[error(
        "the seat has membership {present}, and others have {later}: its --state folder is an old copy; stop it, and start it with the folder as it was last"
    )]
    SeatIsBehind {
        /// The seat's membership.
        present: u64,
        /// A later one that the seat made once.
        later: u64,
    },
    /// The decision could not be made durable.
    #[error(
        "the seat could not write the membership down ({0}): nothing was changed; give it room on its disk"
    )]
    NotWritten(String),
    /// The coordinator does not answer.
    #[error("{0} does not answer: nothing is known to have changed; ask again")]
    NoAnswer(String),
    /// Somebody says that the seat has forgotten something.
    #[error(
        "{by} says that there is membership {later}, and the seat has {present}: it finds out, and decides nothing for some seconds; ask again"
    )]
    Doubted {
        /// Who says so.
        by: String,
        /// The seat's membership.
        present: u64,
        /// The one that there is said to be.
        later: u64,
    },
    /// The seat has no membership any more, or one of another cluster that it has founded since.
    #[error(
        "{0} is the seat of this cluster, and has lost the membership: stop it, and start it with its --state folder as it was last, or a copy of that; nobody comes in or goes until then"
    )]
    SeatIsLost(String),
}
