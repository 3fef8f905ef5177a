//! The asking side of the control socket.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::control::protocol::{self, Answer, Failure, Request};
use crate::limits::CONTROL_ANSWER_BYTES;

/// A request that got no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens.
    #[error(
        "no node is running on {}: start one with `host run --strategy tracing`, or name its socket with --socket PATH",
        path.display()
    )]
    NobodyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the connection to the node on {} broke: {source}: see whether the node still runs", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node said no.
    #[error("{}", .0.message)]
    Refused(Failure),
}

/// A connection to a running node.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ControlError::NobodyRunning`], or [`ControlError::Broken`] when the socket may not be used.
    pub fn connect(path: &Path) -> Result<Client, ControlError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NobodyRunning { path: path.to_owned() }
            }
            _ => ControlError::Broken { path: path.to_owned(), source },
        })?;
        Ok(Client { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer for as long as it takes.
    ///
    /// # Errors
    ///
    /// When the node refuses, or goes away.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ControlError> {
        let broken = |source| ControlError::Broken { path: self.path.clone(), source };
        let mut line = protocol::ask(request);
        line.push('\n');
        let written = self.stream.get_mut().write_all(line.as_bytes());
        // A node that refuses a connection says why and closes it, maybe before we have written: what it said is worth more than that.
        let answer = match protocol::read_line(&mut self.stream, CONTROL_ANSWER_BYTES) {
            Ok(Some(answer)) => answer,
            answer => {
                let failed = written.err().or_else(|| answer.err());
                return Err(broken(failed.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())));
            }
        };
        protocol::read_answer(&answer).map_err(ControlError::Refused)
    }
}
