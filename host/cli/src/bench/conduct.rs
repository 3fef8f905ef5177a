//! Makes one run in a process of its own, and comes back whatever becomes of that process.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gc_lab::bench::environment::Ticks;
use gc_lab::bench::model::Failure;
use gc_lab::bench::protocol::{Answer, Order};

use crate::run::place;

/// Time between two looks at whether the process has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes of what a process that died wrote that are shown.
const SHOWN_BYTES: usize = 600;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
    /// Share of the processors that others used meanwhile.
    pub(crate) others_cpu_share: Option<f64>,
}

/// Makes the run. `turn` is called every few milliseconds; the process is killed when it says so, or when `timeout` is over.
pub(crate) fn run(order: &Order, timeout: Duration, turn: &mut dyn FnMut() -> bool) -> Ran {
    let begun = Instant::now();
    let ticks = Ticks::now();
    let answer = attempt(order, timeout, turn).unwrap_or_else(|error| {
        Answer::failed(
            Failure::Crashed,
            format!("cannot start a process ({error}): raise the limit on processes"),
        )
    });
    let others = |answer: &Answer| ticks?.others(Ticks::now()?, answer.process_cpu_ns);
    Ran { others_cpu_share: others(&answer), answer, took: begun.elapsed() }
}

fn attempt(order: &Order, timeout: Duration, turn: &mut dyn FnMut() -> bool) -> std::io::Result<Answer> {
    let begun = Instant::now();
    // The file that runs, even if another one has its name by now.
    let mut child = Command::new("/proc/self/exe")
        .arg("bench-run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C at the terminal is for us: we end the run in our own time.
        .process_group(0)
        .spawn()?;
    let text = serde_json::to_string(order)?;
    if let Some(mut input) = child.stdin.take() {
        // A process that died before it had read this says more by how it ended.
        let _ = input.write_all(text.as_bytes());
    }
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let ended = wait(&mut child, begun, timeout, turn)?;
    let (out, err) = (joined(out), joined(err));
    Ok(match ended {
        Ended::Killed(answer) => answer,
        Ended::Itself(status) => read(&out, &err, status),
    })
}

enum Ended {
    Itself(ExitStatus),
    Killed(Answer),
}

fn wait(
    child: &mut Child,
    begun: Instant,
    timeout: Duration,
    turn: &mut dyn FnMut() -> bool,
) -> std::io::Result<Ended> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Itself(status));
        }
        let stop = turn();
        if stop || begun.elapsed() >= timeout {
            let _ = child.kill();
            child.wait()?;
            // Its nodes had certificates, which it cannot remove any more.
            place::sweep(&std::env::temp_dir());
            return Ok(Ended::Killed(match stop {
                true => Answer::failed(Failure::Interrupted, "it was interrupted"),
                false => Answer::failed(
                    Failure::Timeout,
                    format!("it was not done after {:.1} s", timeout.as_secs_f64()),
                ),
            }));
        }
        std::thread::sleep(LOOK);
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut pipe = pipe?;
    Some(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    }))
}

fn joined(thread: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer, or how the process ended without one.
fn read(out: &str, err: &str, status: ExitStatus) -> Answer {
    if status.success()
        && let Some(answer) = out.lines().last().and_then(|line| serde_json::from_str(line).ok())
    {
        return answer;
    }
    let mut shown = err.trim();
    if shown.len() > SHOWN_BYTES {
        let from =
            (shown.len() - SHOWN_BYTES..).find(|&at| shown.is_char_boundary(at)).unwrap_or(shown.len());
        shown = &shown[from..];
    }
    let said = if shown.is_empty() { "it said nothing".to_owned() } else { shown.replace('\n', " ") };
    Answer::failed(Failure::Crashed, format!("the process ended with {status}: {said}"))
}
