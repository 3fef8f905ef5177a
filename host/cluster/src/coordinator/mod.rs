//! Who decides about the membership: the seat, or etcd. Without either, nothing is decided; there is no consensus of our own.
//!
//! | | seat | etcd |
//! |---|---|---|
//! | where the membership is | a file of the node that founded the cluster | one key |
//! | a node comes in | the seat admits it | it writes itself in, by transaction |
//! | a home proposes an exile | declined: an operator decides | done when members that make half of it propose it |
//! | an operator exiles | the seat does it | any node does it, by transaction |
//! | while it is away | everything goes on; nobody comes in or goes | the same |

#[cfg(feature = "etcd")]
pub(crate) mod etcd;
pub(crate) mod seat;
