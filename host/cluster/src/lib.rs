//! Links between nodes: certificates, QUIC, membership. A thin shell: what a message means is decided elsewhere.
//!
//! Modules in reading order; each imports only what stands above it.
//!
//! Architecture invariant: this crate moves bytes between nodes that have shown who they are. It knows nothing of heaps and strategies.

#![forbid(unsafe_code)]

pub mod limits;

mod error;
mod files;
mod identity;
mod incarnation;
mod refused;

mod preface;

mod tls;
mod x509;

mod credentials;

pub mod authority;

mod transport;

mod membership;

mod kept;
mod writer;

mod coordinator;
mod members;

pub use credentials::{Credentials, Watch};
pub use error::{AuthorityError, CredentialsError};
pub use identity::{Identity, IdentitySyntax, NAME_MAX, is_name};
pub use incarnation::{Lives, LivesError};
pub use kept::StateError;
pub use members::{
    Answer, Decides, MemberStatus, Members, MembersConfig, MembersCounters, MembersError, MembersStatus,
    Notice,
};
pub use preface::{Refusal, WIRE_VERSION};
pub use refused::ChangeRefused;
pub use transport::{Event, Refused, SendError, Transport, TransportError};
