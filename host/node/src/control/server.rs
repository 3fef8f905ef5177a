//! The answering side of the control socket: one thread that accepts, one per connection.
//!
//! Threads and not tasks: a request may take as long as a shadow run, there are at most [`CONTROL_CONNECTIONS`], and a node without metrics needs
//! no runtime for anything else.

use std::collections::BTreeMap;
use std::io::{self, BufReader, PipeReader, PipeWriter, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Uid;

use crate::control::place::{Place, PlaceError};
use crate::control::protocol::{self, Answer, Failure, Request};
use crate::error::NodeError;
use crate::limits::{CONTROL_ACCEPT_AGAIN, CONTROL_CONNECTIONS, CONTROL_LINE_BYTES, CONTROL_REQUEST_WAIT};
use crate::sync::lock;

/// What the server asks of whoever it serves.
pub(crate) trait Controlled: Send + Sync + 'static {
    fn control(&self, request: Request) -> Result<Answer, Failure>;
}

/// A control socket that is served until this is dropped.
pub(crate) struct Server {
    /// Closing it wakes the accepting thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(path: &Path, controlled: Arc<dyn Controlled>) -> Result<Server, ServeError> {
        Server::start_on(SYSTEM, path, controlled)
    }

    fn start_on(system: System, path: &Path, controlled: Arc<dyn Controlled>) -> Result<Server, ServeError> {
        let place = Place::take(path)?;
        let io = |source| PlaceError::Io { path: path.to_owned(), source };
        let (stopped, stop) = std::io::pipe().map_err(io)?;
        place.listener.set_nonblocking(true).map_err(io)?;
        let serve = move || serve(&place, &stopped, &controlled, &system);
        let thread =
            std::thread::Builder::new().name("gc-control".into()).spawn(serve).map_err(NodeError::Thread)?;
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A server that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Open connections, so that they can be closed when the server stops.
#[derive(Default)]
struct Connections {
    next: u64,
    open: BTreeMap<u64, Arc<UnixStream>>,
}

/// What the system may run out of: descriptors and threads.
struct System {
    accept: fn(&UnixListener) -> io::Result<UnixStream>,
    spawn: fn(Talk) -> io::Result<JoinHandle<()>>,
}

/// What a thread does for one connection.
type Talk = Box<dyn FnOnce() + Send>;

const SYSTEM: System = System {
    accept: |listener| Ok(listener.accept()?.0),
    spawn: |talk| std::thread::Builder::new().name("gc-control-peer".into()).spawn(talk),
};

fn serve(place: &Place, stopped: &PipeReader, controlled: &Arc<dyn Controlled>, system: &System) {
    let connections = Arc::new(Mutex::new(Connections::default()));
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while wait(Some(&place.listener), stopped) {
        let Ok(stream) = (system.accept)(&place.listener) else {
            // Out of descriptors, most often: who waits is still there, and would be found again at once.
            if !wait(None, stopped) {
                break;
            }
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        if let Some(thread) = admit(stream, &connections, controlled, system) {
            threads.push(thread);
        }
    }
    for stream in lock(&connections).open.values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Waits for a connection, or without a listener for [`CONTROL_ACCEPT_AGAIN`]. False when the server is to stop.
fn wait(listener: Option<&UnixListener>, stopped: &PipeReader) -> bool {
    let patience = Timespec::try_from(CONTROL_ACCEPT_AGAIN).ok().filter(|_| listener.is_none());
    loop {
        let waits_for = |listener| PollFd::from_borrowed_fd(listener, PollFlags::IN);
        let stops = waits_for(stopped.as_fd());
        let mut waited = vec![stops];
        waited.extend(listener.map(|listener| waits_for(listener.as_fd())));
        match poll(&mut waited, patience.as_ref()) {
            Ok(_) if !waited[0].revents().is_empty() => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn admit(
    stream: UnixStream,
    connections: &Arc<Mutex<Connections>>,
    controlled: &Arc<dyn Controlled>,
    system: &System,
) -> Option<JoinHandle<()>> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(CONTROL_REQUEST_WAIT)).ok()?;
    stream.set_write_timeout(Some(CONTROL_REQUEST_WAIT)).ok()?;
    if let Err(failure) = may_enter(&stream, rustix::process::getuid(), lock(connections).open.len()) {
        send(&stream, Err(failure));
        return None;
    }
    let stream = Arc::new(stream);
    let entered = Entered::enter(connections, &stream);
    let controlled = Arc::clone(controlled);
    let peer = Arc::clone(&stream);
    let talk = move || {
        let _entered = entered;
        talk(&peer, controlled.as_ref());
    };
    match (system.spawn)(Box::new(talk)) {
        Ok(thread) => Some(thread),
        Err(error) => {
            send(&stream, Err(Failure::new("overloaded", NodeError::Thread(error).to_string())));
            None
        }
    }
}

/// A place among the open connections. It is given up when this is dropped, however the talk ends or does not begin.
struct Entered {
    connections: Arc<Mutex<Connections>>,
    number: u64,
}

impl Entered {
    fn enter(connections: &Arc<Mutex<Connections>>, stream: &Arc<UnixStream>) -> Entered {
        let mut open = lock(connections);
        open.next += 1;
        let number = open.next;
        open.open.insert(number, Arc::clone(stream));
        Entered { connections: Arc::clone(connections), number }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.connections).open.remove(&self.number);
    }
}

/// Whether the peer may ask the node of this owner, which has so many connections open.
fn may_enter(stream: &UnixStream, owner: Uid, open: usize) -> Result<(), Failure> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|error| {
        Failure::new("refused", format!("the kernel does not say who you are: {error}: try again"))
    })?;
    if peer.uid != owner {
        return Err(Failure::new(
            "refused",
            "only the owner of the node may talk to it: ask as the user who started it",
        ));
    }
    if open >= CONTROL_CONNECTIONS {
        let message =
            format!("the node already has {CONTROL_CONNECTIONS} connections: ask again when some are closed");
        return Err(Failure::new("overloaded", message));
    }
    Ok(())
}

fn talk(stream: &UnixStream, controlled: &dyn Controlled) {
    let mut reader = BufReader::new(stream);
    loop {
        let answer = match protocol::read_line(&mut reader, CONTROL_LINE_BYTES) {
            Ok(None) => return,
            Ok(Some(line)) => protocol::read_request(&line).and_then(|request| controlled.control(request)),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                send(stream, Err(Failure::new("syntax", format!("{error}: send one short line of JSON"))));
                return;
            }
            Err(_) => return,
        };
        if !send(stream, answer) {
            return;
        }
    }
}

fn send(mut stream: &UnixStream, answer: Result<Answer, Failure>) -> bool {
    let mut line = protocol::answer(answer);
    line.push('\n');
    stream.write_all(line.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt;

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::control::client::{Client, ControlError};
    use crate::control::protocol::WhyRecord;

    struct Echo;

    impl Controlled for Echo {
        fn control(&self, request: Request) -> Result<Answer, Failure> {
            match request {
                Request::Why { handle } => Ok(Answer::Why(WhyRecord {
                    handle,
                    alive: true,
                    text: "because".into(),
                    path: vec![],
                    left_out: 0,
                    unknown_since_s: None,
                })),
                Request::Exile { .. } => panic!("on purpose"),
                _ => Err(Failure::new("refused", "only why")),
            }
        }
    }

    fn server() -> (tempfile::TempDir, std::path::PathBuf, Server) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let server = Server::start(&path, Arc::new(Echo)).unwrap();
        (folder, path, server)
    }

    #[test]
    fn requests_are_answered_in_order_on_one_connection() {
        let (_folder, path, server) = server();
        let mut client = Client::connect(&path).unwrap();
        for n in 0..3 {
            let answer = client.ask(&Request::Why { handle: n.to_string() }).unwrap();
            assert!(matches!(answer, Answer::Why(why) if why.handle == n.to_string()));
        }
        let refused = client.ask(&Request::Cluster { retained: false }).unwrap_err();
        assert_eq!(refused.to_string(), "only why");
        drop(server);
        assert!(matches!(Client::connect(&path), Err(ControlError::NobodyRunning { .. })));
    }

    /// A user that is nobody of ours.
    fn stranger() -> Uid {
        Uid::from_raw(65_534)
    }

    #[test]
    fn who_the_kernel_names_must_be_the_owner() {
        let (_ours, stream) = UnixStream::pair().unwrap();
        let us = rustix::process::getuid();
        assert_eq!(may_enter(&stream, us, 0), Ok(()));
        for other in [stranger(), Uid::from_raw(us.as_raw() ^ 1)] {
            let refused = may_enter(&stream, other, 0).unwrap_err();
            assert!(refused.kind == "refused" && refused.message.contains("only the owner"), "{refused:?}");
        }
    }

    /// What the test above does with a number is done here by somebody else who connects; only root can become that.
    #[test]
    fn another_user_is_refused_even_where_the_file_would_let_him_in() {
        if !rustix::process::getuid().is_root() {
            eprintln!("not root: nobody else can be played");
            return;
        }
        let (folder, path, _server) = server();
        let as_stranger = || {
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    // Of this thread alone.
                    rustix::thread::set_thread_res_uid(stranger(), stranger(), stranger()).unwrap();
                    Client::connect(&path)?.ask(&Request::Why { handle: String::new() })
                });
                asking.join().unwrap().unwrap_err()
            })
        };
        let kept_out = as_stranger();
        assert!(
            matches!(&kept_out, ControlError::Broken { source, .. } if source.kind() == ErrorKind::PermissionDenied)
        );
        for (open, mode) in [(folder.path(), 0o755), (&path, 0o666)] {
            std::fs::set_permissions(open, Permissions::from_mode(mode)).unwrap();
        }
        let refused = as_stranger();
        assert!(
            matches!(&refused, ControlError::Refused(_)) && refused.to_string().contains("only the owner"),
            "{refused}"
        );
        // Who may is still answered.
        Client::connect(&path).unwrap().ask(&Request::Why { handle: String::new() }).unwrap();
    }

    #[test]
    fn without_descriptors_it_waits_and_does_not_spin() {
        static TRIED: AtomicU32 = AtomicU32::new(0);
        let accept = |_: &UnixListener| {
            TRIED.fetch_add(1, Ordering::Relaxed);
            Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()))
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let server = Server::start_on(System { accept, ..SYSTEM }, &path, Arc::new(Echo)).unwrap();
        let _waits = UnixStream::connect(&path).unwrap();
        std::thread::sleep(3 * CONTROL_ACCEPT_AGAIN);
        let began = std::time::Instant::now();
        drop(server);
        assert!(began.elapsed() < CONTROL_REQUEST_WAIT / 2);
        let tried = TRIED.load(Ordering::Relaxed);
        assert!((1..=5).contains(&tried), "{tried} times");
    }

    #[test]
    fn without_threads_each_is_told_so_and_keeps_no_place() {
        static THREADS: AtomicU32 = AtomicU32::new(0);
        let spawn = |talk: Talk| match THREADS.fetch_add(1, Ordering::Relaxed) {
            n if n < CONTROL_CONNECTIONS as u32 + 1 => Err(io::ErrorKind::WouldBlock.into()),
            _ => (SYSTEM.spawn)(talk),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _server = Server::start_on(System { spawn, ..SYSTEM }, &path, Arc::new(Echo)).unwrap();
        let ask = || Client::connect(&path).unwrap().ask(&Request::Why { handle: String::new() });
        for _ in 0..=CONTROL_CONNECTIONS {
            let refused = ask().unwrap_err().to_string();
            assert!(refused.contains("cannot start a thread"), "{refused}");
        }
        ask().unwrap();
    }

    #[test]
    fn a_request_that_panics_keeps_no_place() {
        let (_folder, path, _server) = server();
        for _ in 0..=CONTROL_CONNECTIONS {
            let broken = Client::connect(&path).unwrap().ask(&Request::Exile { node: "n1".into() });
            assert!(matches!(broken, Err(ControlError::Broken { .. })), "{broken:?}");
        }
        Client::connect(&path).unwrap().ask(&Request::Why { handle: String::new() }).unwrap();
    }

    #[test]
    fn stopping_does_not_wait_for_a_silent_peer() {
        let (_folder, path, server) = server();
        let _silent = UnixStream::connect(&path).unwrap();
        let began = std::time::Instant::now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(server);
        assert!(began.elapsed() < CONTROL_REQUEST_WAIT / 2);
    }

    #[test]
    fn connections_are_bounded() {
        let (_folder, path, _server) = server();
        let mut open = Vec::new();
        for _ in 0..CONTROL_CONNECTIONS {
            let mut client = Client::connect(&path).unwrap();
            client.ask(&Request::Why { handle: String::new() }).unwrap();
            open.push(client);
        }
        let refused =
            Client::connect(&path).unwrap().ask(&Request::Why { handle: String::new() }).unwrap_err();
        assert!(refused.to_string().contains("connections"), "{refused}");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (_folder, path, _server) = server();
        let stream = UnixStream::connect(&path).unwrap();
        let _ = (&stream).write_all(&vec![b'x'; CONTROL_LINE_BYTES + 2]);
        let answer = protocol::read_line(&mut BufReader::new(&stream), 1 << 20).unwrap().unwrap();
        assert_eq!(protocol::read_answer(&answer).unwrap_err().kind, "syntax");
    }
}
