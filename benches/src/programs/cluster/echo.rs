//! Requests and answers of 64 bytes over a link between nodes, against a bare quinn connection, in turn. Both servers are in one thread and both
//! clients in another, each thread with a runtime of its own, as a node's driver has. Prints a JSON line per round.
//!
//! The bare one writes the bytes to a stream that stays open, and reads as many: no frames, no queues, quinn's own settings, one certificate.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use gc_cluster::{Credentials, Event, Transport};
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

use super::scratch::{LOOPBACK, Scratch};

const REQUEST_BYTES: usize = 64;
const NAME: &str = "bare";

/// Echoes over a link against a bare quinn echo.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of rounds
    #[arg(default_value_t = 15)]
    rounds: u32,
    /// Requests to each of the two per round
    #[arg(default_value_t = 4000, value_parser = clap::value_parser!(u32).range(100..))]
    requests: u32,
}

/// A client of each of the two.
struct Clients {
    transport: Transport,
    events: Receiver<Event>,
    server: u32,
    // Ends the connection when it goes.
    _bare: Endpoint,
    send: SendStream,
    receive: RecvStream,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut scratch = Scratch::new()?;
    let (ours, theirs) = (scratch.credentials("client")?, scratch.credentials("server")?);
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let bare = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;

    let (tell, told) = channel();
    std::thread::spawn(move || serve(&theirs, bare, &tell));
    let (at, bare_at) = told.recv()??;
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut clients = connect(&ours, at, bare_at, certificate).await?;
        for round in 0..=arguments.rounds {
            let (mut link, mut bare) = (Vec::new(), Vec::new());
            // Who is first changes, and so does what a moment of other work on the machine falls on.
            for part in 0..4 {
                let count = arguments.requests / 4;
                if (round + part) % 2 == 0 {
                    clients.over_link(count, &mut link).await?;
                    clients.over_bare(count, &mut bare).await?;
                } else {
                    clients.over_bare(count, &mut bare).await?;
                    clients.over_link(count, &mut link).await?;
                }
            }
            if round > 0 {
                let ((p50, p99), (bare_p50, bare_p99)) = (percentiles(link), percentiles(bare));
                println!(
                    "{{\"p50_ns\":{p50},\"p99_ns\":{p99},\"bare_p50_ns\":{bare_p50},\"bare_p99_ns\":{bare_p99}}}"
                );
            }
        }
        Ok(())
    })
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

type Addresses = Result<(SocketAddr, SocketAddr), String>;

/// Echoes on both until the process ends.
fn serve(credentials: &Credentials, bare: ServerConfig, tell: &Sender<Addresses>) {
    let failed = |error: &dyn Error| {
        let _ = tell.send(Err(error.to_string()));
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        let (transport, events) = match Transport::start(LOOPBACK, credentials, 1) {
            Ok(started) => started,
            Err(error) => return failed(&error),
        };
        let endpoint = match Endpoint::server(bare, LOOPBACK) {
            Ok(endpoint) => endpoint,
            Err(error) => return failed(&error),
        };
        match (transport.address(), endpoint.local_addr()) {
            (Ok(at), Ok(bare_at)) => drop(tell.send(Ok((at, bare_at)))),
            (Err(error), _) | (_, Err(error)) => return failed(&error),
        }
        tokio::spawn(echo_bare(endpoint));
        echo_link(transport, events).await;
    });
}

async fn echo_link(transport: Transport, mut events: Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Event::Frame { peer, frame, .. } = event {
            // One request at a time: there is always room.
            let _ = transport.send(peer, frame);
        }
    }
}

async fn echo_bare(endpoint: Endpoint) -> Option<()> {
    let connection = endpoint.accept().await?.await.ok()?;
    let (mut send, mut receive) = connection.accept_bi().await.ok()?;
    let mut bytes = [0; REQUEST_BYTES];
    loop {
        receive.read_exact(&mut bytes).await.ok()?;
        send.write_all(&bytes).await.ok()?;
    }
}

async fn connect(
    credentials: &Credentials,
    at: SocketAddr,
    bare_at: SocketAddr,
    certificate: CertificateDer<'static>,
) -> Result<Clients, Box<dyn Error>> {
    let (transport, mut events) = Transport::start(LOOPBACK, credentials, 1)?;
    transport.join(at);
    let server = loop {
        match events.recv().await.ok_or("the transport ended")? {
            Event::Up { peer, .. } => break peer.number,
            _ => continue,
        }
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut endpoint = Endpoint::client(LOOPBACK)?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let (send, receive) = endpoint.connect(bare_at, NAME)?.await?.open_bi().await?;
    Ok(Clients { transport, events, server, _bare: endpoint, send, receive })
}

impl Clients {
    async fn over_link(&mut self, count: u32, took: &mut Vec<u64>) -> Result<(), Box<dyn Error>> {
        let request = Bytes::from_static(&[7; REQUEST_BYTES]);
        for _ in 0..count {
            let (transport, events, server) = (&self.transport, &mut self.events, self.server);
            let answer = timed(took, async {
                transport.send(server, request.clone())?;
                loop {
                    match events.recv().await.ok_or("the transport ended")? {
                        Event::Frame { frame, .. } => return Ok(frame),
                        Event::Down { why, .. } => return Err(why.into()),
                        _ => continue,
                    }
                }
            });
            if answer.await? != request {
                return Err("the link echoes something else".into());
            }
        }
        Ok(())
    }

    async fn over_bare(&mut self, count: u32, took: &mut Vec<u64>) -> Result<(), Box<dyn Error>> {
        let request = [7; REQUEST_BYTES];
        for _ in 0..count {
            let (send, receive) = (&mut self.send, &mut self.receive);
            let answer = timed(took, async {
                let mut answer = [0; REQUEST_BYTES];
                send.write_all(&request).await?;
                receive.read_exact(&mut answer).await?;
                Ok(answer)
            });
            if answer.await? != request {
                return Err("the bare connection echoes something else".into());
            }
        }
        Ok(())
    }
}

async fn timed<T>(
    took: &mut Vec<u64>,
    work: impl Future<Output = Result<T, Box<dyn Error>>>,
) -> Result<T, Box<dyn Error>> {
    let begun = Instant::now();
    let done = work.await;
    took.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    done
}

/// The median and the 99th percentile.
fn percentiles(mut took: Vec<u64>) -> (u64, u64) {
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}
