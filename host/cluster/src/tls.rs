//! TLS between nodes: version 1.3, both sides show a certificate of the cluster's authority.
//!
//! The name that a client asks for is the same for every node: who somebody is stands in the URI of the certificate, which is read after the
//! handshake ([`peer_of`]). A chain that verifies says only that the authority knows the peer, not that it is the one that was meant.

use std::any::Any;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::Identity;
use crate::x509::{identity_of, parse};

/// What a node shows to others, and whom it believes.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What every node's certificate has as its DNS name.
pub(crate) const SERVER_NAME: &str = "node.gc.internal";

/// Spoken over the connection: the number is the version of what stands above the frames.
pub(crate) const ALPN: &[u8] = b"gc/1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(material: &Material) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for authority in &material.authorities {
        roots.add(authority.clone()).map_err(|error| format!("authority.pem: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// Whether the node would be believed by a node with the same authorities, just now.
pub(crate) fn check(material: &Material) -> Result<(), String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(material)?, provider())
        .build()
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| error.to_string())?;
    let (leaf, rest) = material.chain.split_first().ok_or("there is no certificate")?;
    verifier
        .verify_server_cert(leaf, rest, &name, &[], UnixTime::now())
        .map_err(|error| error.to_string())?;
    server(material).map(drop)
}

pub(crate) fn server(material: &Material) -> Result<ServerConfig, String> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(material)?, provider())
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

pub(crate) fn client(material: &Material) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(material)?)
        .with_client_auth_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Who the other side of a finished handshake is. Its chain has been verified by then.
pub(crate) fn peer_of(shown: Option<Box<dyn Any>>) -> Result<Identity, String> {
    let chain = shown
        .and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or("it showed no certificate")?;
    let leaf = chain.first().ok_or("it showed no certificate")?;
    identity_of(&parse(leaf)?)
}
