//! A small certificate authority, for development and small teams: one folder with the authority and one for each node.
//!
//! ```text
//! certs/authority/   authority.pem  authority.key  nodes.txt     stays with whoever runs the cluster
//! certs/n1/          authority.pem  node.pem  node.key           goes to the machine of n1
//! ```
//!
//! 1. A name keeps its number for good: `nodes.txt` is written before the certificate.
//! 2. Replacing the authority takes two steps, so that at any time every node believes every other: first all nodes learn to believe the new one
//!    ([`Authority::renew`]), then certificates are signed by it ([`Authority::issue`]).
//!
//! Larger teams have an authority already; any that writes the URI of [`Identity`] into certificates for both client and server use will do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::credentials::{AUTHORITY_PEM, Credentials, NODE_KEY, NODE_PEM};
use crate::error::{AuthorityError, CredentialsError};
use crate::files;
use crate::identity::{Identity, is_name};
use crate::tls::SERVER_NAME;

const AUTHORITY_KEY: &str = "authority.key";
const NODES: &str = "nodes.txt";
const FOLDER: &str = "authority";

/// How long an authority is believed.
pub const AUTHORITY_DAYS: i64 = 3650;
/// How long a node's certificate is good, if nothing else is said.
pub const NODE_DAYS: i64 = 90;

/// An authority on disk.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    cluster: String,
    /// All that are believed, newest first.
    bundle: String,
    key: KeyPair,
    nodes: BTreeMap<String, u32>,
}

impl Authority {
    /// Makes an authority for a cluster, below `certs`.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Exists`] when there is one already; a bad name; what the file system says.
    pub fn init(certs: &Path, cluster: &str) -> Result<Authority, AuthorityError> {
        if !is_name(cluster) {
            return Err(AuthorityError::BadName(cluster.to_owned()));
        }
        let folder = certs.join(FOLDER);
        if folder.join(AUTHORITY_PEM).exists() || folder.join(AUTHORITY_KEY).exists() {
            return Err(AuthorityError::Exists(folder));
        }
        make_folder(&folder)?;
        let (bundle, key) = self_signed(cluster)?;
        write(&folder.join(AUTHORITY_KEY), key.serialize_pem().as_bytes(), 0o600)?;
        write(&folder.join(AUTHORITY_PEM), bundle.as_bytes(), 0o644)?;
        Ok(Authority { folder, cluster: cluster.to_owned(), bundle, key, nodes: BTreeMap::new() })
    }

    /// The authority below `certs`.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Missing`], [`AuthorityError::Damaged`], or what the file system says.
    pub fn open(certs: &Path) -> Result<Authority, AuthorityError> {
        let folder = certs.join(FOLDER);
        if !folder.join(AUTHORITY_PEM).exists() {
            return Err(AuthorityError::Missing(folder));
        }
        let bundle = read(&folder.join(AUTHORITY_PEM))?;
        let path = folder.join(AUTHORITY_KEY);
        let key = KeyPair::from_pem(&read(&path)?)
            .map_err(|error| AuthorityError::Damaged { path, what: error.to_string() })?;
        let cluster = cluster_of(&folder.join(AUTHORITY_PEM), &bundle)?;
        let path = folder.join(NODES);
        let nodes = if path.exists() { parse_nodes(&path, &read(&path)?)? } else { BTreeMap::new() };
        Ok(Authority { folder, cluster, bundle, key, nodes })
    }

    /// The cluster that this is the authority of.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The nodes that have had a certificate, with their numbers.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<String, u32> {
        &self.nodes
    }

    /// Writes a fresh certificate and key for a node into `folder`; one that it has is replaced. Running nodes read it within seconds.
    ///
    /// # Errors
    ///
    /// A bad name, [`AuthorityError::OtherNode`], or what the file system says.
    pub fn issue(&mut self, name: &str, folder: &Path, days: i64) -> Result<Identity, AuthorityError> {
        if !is_name(name) || name == FOLDER {
            return Err(AuthorityError::BadName(name.to_owned()));
        }
        refuse_other(folder, name)?;
        let number = self.number_of(name)?;
        let identity = Identity { cluster: self.cluster.clone(), name: name.to_owned(), number };
        self.issue_identity(&identity, folder, days)?;
        Ok(identity)
    }

    pub(crate) fn issue_identity(
        &self,
        identity: &Identity,
        folder: &Path,
        days: i64,
    ) -> Result<(), AuthorityError> {
        let key = KeyPair::generate().map_err(making)?;
        let issuer = Issuer::from_ca_cert_pem(&self.bundle, &self.key).map_err(|error| {
            AuthorityError::Damaged { path: self.folder.join(AUTHORITY_PEM), what: error.to_string() }
        })?;
        let certificate = params(identity, days)?.signed_by(&key, &issuer).map_err(making)?;
        make_folder(folder)?;
        // The authority first, so that a node which reads in between believes both, and the key before the certificate.
        write(&folder.join(AUTHORITY_PEM), self.bundle.as_bytes(), 0o644)?;
        write(&folder.join(NODE_KEY), key.serialize_pem().as_bytes(), 0o600)?;
        write(&folder.join(NODE_PEM), certificate.pem().as_bytes(), 0o644)
    }

    /// Makes a new authority beside the present one. Both are believed; [`issue`](Authority::issue) signs with the new one. Give
    /// [`bundle`](Authority::bundle) to all nodes before you issue anything, and renew again to stop believing the old one.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn renew(&mut self) -> Result<(), AuthorityError> {
        let (fresh, key) = self_signed(&self.cluster)?;
        let last = self.bundle.find(END).map_or(self.bundle.len(), |at| at + END.len());
        let bundle = format!("{fresh}{}\n", self.bundle[..last].trim_end());
        // Should the machine stop between the two, `open` finds a key that does not go with the certificate, and `issue` makes certificates that nobody
        // loads: rotate the authority once more.
        write(&self.folder.join(AUTHORITY_PEM), bundle.as_bytes(), 0o644)?;
        write(&self.folder.join(AUTHORITY_KEY), key.serialize_pem().as_bytes(), 0o600)?;
        (self.bundle, self.key) = (bundle, key);
        Ok(())
    }

    /// Lets the node of a folder believe the present authorities.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn bundle(&self, folder: &Path) -> Result<(), AuthorityError> {
        write(&folder.join(AUTHORITY_PEM), self.bundle.as_bytes(), 0o644)
    }

    fn number_of(&mut self, name: &str) -> Result<u32, AuthorityError> {
        if let Some(&number) = self.nodes.get(name) {
            return Ok(number);
        }
        let number = self.nodes.values().max().map_or(1, |last| last + 1);
        self.nodes.insert(name.to_owned(), number);
        let text: String = self.nodes.iter().map(|(name, number)| format!("{number} {name}\n")).collect();
        let written = write(&self.folder.join(NODES), text.as_bytes(), 0o644);
        if written.is_err() {
            self.nodes.remove(name);
        }
        written.map(|()| number)
    }
}

const END: &str = "-----END CERTIFICATE-----";

fn self_signed(cluster: &str) -> Result<(String, KeyPair), AuthorityError> {
    let key = KeyPair::generate().map_err(making)?;
    let mut params = CertificateParams::default();
    valid_for(&mut params, AUTHORITY_DAYS);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{PREFIX}{cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(making)?;
    Ok((certificate.pem(), key))
}

const PREFIX: &str = "gc authority of ";

fn params(identity: &Identity, days: i64) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    valid_for(&mut params, days);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, identity.name.clone());
    params.subject_alt_names = vec![
        SanType::DnsName(SERVER_NAME.try_into().map_err(making)?),
        SanType::URI(identity.to_string().try_into().map_err(making)?),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// From five minutes ago: clocks of other machines differ a little.
fn valid_for(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + Duration::days(days);
}

fn making(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Making(error.to_string())
}

fn refuse_other(folder: &Path, name: &str) -> Result<(), AuthorityError> {
    match Credentials::load(folder) {
        Ok(held) if held.identity.name != name => Err(AuthorityError::OtherNode {
            path: folder.to_owned(),
            held: held.identity.name,
            wanted: name.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn cluster_of(path: &Path, bundle: &str) -> Result<String, AuthorityError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let damaged = |what: String| AuthorityError::Damaged { path: path.to_owned(), what };
    let newest =
        CertificateDer::from_pem_slice(bundle.as_bytes()).map_err(|error| damaged(error.to_string()))?;
    let parsed = crate::x509::parse(&newest).map_err(damaged)?;
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let cluster = name.and_then(|name| name.strip_prefix(PREFIX)).filter(|cluster| is_name(cluster));
    cluster.map(str::to_owned).ok_or_else(|| damaged("its subject names no cluster".into()))
}

fn parse_nodes(path: &Path, text: &str) -> Result<BTreeMap<String, u32>, AuthorityError> {
    let mut nodes = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let damaged = || AuthorityError::Damaged { path: path.to_owned(), what: format!("line {}", at + 1) };
        let (number, name) = line.split_once(' ').ok_or_else(damaged)?;
        let number: u32 = number.parse().map_err(|_| damaged())?;
        let fits =
            number != 0 && number != u32::MAX && is_name(name) && !nodes.values().any(|&n| n == number);
        if !fits || nodes.insert(name.to_owned(), number).is_some() {
            return Err(damaged());
        }
    }
    Ok(nodes)
}

fn make_folder(folder: &Path) -> Result<(), AuthorityError> {
    std::fs::create_dir_all(folder).map_err(|source| AuthorityError::File {
        what: "make",
        path: folder.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    files::replace(path, bytes, mode).map_err(|source| AuthorityError::File {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path)
        .map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source }.into())
}
