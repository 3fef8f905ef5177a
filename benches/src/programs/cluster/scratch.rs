//! A folder for certificates and state, gone at the end, and what every part takes from it.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gc_cluster::Credentials;
use gc_cluster::authority::Authority;

/// Any free port of this machine.
pub(super) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A cluster's certificates in a folder that goes with this.
pub(super) struct Scratch {
    folder: PathBuf,
    authority: Authority,
}

impl Scratch {
    pub(super) fn new() -> Result<Scratch, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("goals-cluster-{}", std::process::id()));
        let authority = Authority::init(&folder, "goals")?;
        Ok(Scratch { folder, authority })
    }

    /// A new node's certificates: the first is number 1, the next 2.
    pub(super) fn issue(&mut self, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let certs = self.folder.join(name);
        self.authority.issue(name, &certs, 1)?;
        Ok(certs)
    }

    pub(super) fn credentials(&mut self, name: &str) -> Result<Credentials, Box<dyn Error>> {
        Ok(Credentials::load(&self.issue(name)?)?)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
