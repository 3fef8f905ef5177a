//! Talking to a running node.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use gc_node::{Answer, Client, Request};

/// How to find the node.
#[derive(Args)]
pub(crate) struct Connection {
    /// The node's control socket [default: control.sock in $XDG_RUNTIME_DIR/gc-host or /tmp/host-UID]
    #[arg(long, value_name = "PATH", env = "HOST_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl Connection {
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let path = match &self.socket {
            Some(path) => path.clone(),
            None => gc_node::default_socket()?,
        };
        Ok(Client::connect(&path)?.ask(request)?)
    }
}

/// The node answered another question.
pub(crate) fn unexpected<T>(answer: &Answer) -> anyhow::Result<T> {
    bail!("the node answered something else ({answer:?}): use the `host` of the node's own version")
}
