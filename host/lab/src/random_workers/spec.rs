//! The options of `random-workers`.

use std::time::Duration;

use crate::limits::{PAYLOAD_DRAWN_MAX, WORKER_NODES_MAX, WORKER_NODES_MIN, WORKERS_RATE_MAX};
use crate::options::{Options, SpecError};

const KNOWN: &str = "nodes, turns, seconds, rate, mode, size, acyclic, seed and quick";

/// Workers that one message introduces at most, that are sent work, are made or are forgotten in one turn at most (`max-acqs-per-msg` and its
/// neighbours).
pub(super) const AT_ONCE: u32 = 3;

/// Workers that a manager knows at most: at more it forgets them all (`manager-max-acquaintances`).
pub(super) const KNOWN_MAX: u32 = 50;

/// The three settings that the original is published with.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Mode {
    /// `torture-small`: many small workers, forgotten soon.
    TortureSmall,
    /// `torture-large`: the same with work of up to 5120 bytes.
    TortureLarge,
    /// `streaming`: few workers, made known to other nodes at every turn, which send them work of up to 5120 bytes.
    Streaming,
}

impl Mode {
    fn parse(text: &str) -> Option<Mode> {
        match text {
            "torture-small" => Some(Mode::TortureSmall),
            "torture-large" => Some(Mode::TortureLarge),
            "streaming" => Some(Mode::Streaming),
            _ => None,
        }
    }

    /// `max-work-size-in-bytes`.
    fn size(self) -> u64 {
        match self {
            Mode::TortureSmall => 50,
            Mode::TortureLarge | Mode::Streaming => 5120,
        }
    }

    pub(super) fn chances(self) -> &'static Chances {
        match self {
            Mode::TortureSmall | Mode::TortureLarge => &TORTURE,
            Mode::Streaming => &STREAMING,
        }
    }
}

/// How likely a manager and a worker do what in one turn: `mgr-probabilities` and `wrk-probabilities`. A worker forgets nobody (0 in all published
/// settings).
#[derive(Debug, PartialEq)]
pub(super) struct Chances {
    pub(super) spawn: f64,
    pub(super) local_send: f64,
    pub(super) remote_send: f64,
    pub(super) local_acquaint: f64,
    pub(super) remote_acquaint: f64,
    pub(super) publish: f64,
    pub(super) forget: f64,
    pub(super) forget_all: f64,
    pub(super) worker_spawn: f64,
    pub(super) worker_send: f64,
    pub(super) worker_acquaint: f64,
}

const TORTURE: Chances = Chances {
    spawn: 0.5,
    local_send: 0.7,
    remote_send: 0.5,
    local_acquaint: 0.5,
    remote_acquaint: 0.2,
    publish: 0.2,
    forget: 0.3,
    forget_all: 0.1,
    worker_spawn: 0.3,
    worker_send: 0.7,
    worker_acquaint: 0.3,
};

const STREAMING: Chances = Chances {
    spawn: 0.01,
    local_acquaint: 0.0,
    publish: 1.0,
    forget: 0.0,
    worker_spawn: 0.0,
    worker_acquaint: 0.0,
    ..TORTURE
};

/// `random-workers[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `nodes=N` | 3 | 3 | nodes, 2 to 64 |
/// | `turns=N`, `seconds=N` | 50k turns | 5k | pings of each node's manager, or the end in time, whichever comes first |
/// | `rate=N` | 0 | 0 | pings per second and node; 0 is one after the other |
/// | `mode=...` | `torture-small` | | `torture-small`, `torture-large` or `streaming`, the published settings |
/// | `size=BYTES` | of the mode | | most bytes of a piece of work: 50, or 5120 |
/// | `acyclic=BOOL` | false | | workers only come to know younger ones, so that there are no cycles |
/// | `seed=N` | 1 | | of the random numbers; node `i` uses stream `i` of it |
#[derive(Debug, Clone, PartialEq)]
pub struct RandomWorkersSpec {
    /// How many nodes.
    pub nodes: u32,
    /// Pings of each manager.
    pub turns: Option<u64>,
    /// The end in time.
    pub duration: Option<Duration>,
    /// Pings per second and node; 0 is as fast as it goes.
    pub rate: u64,
    /// The published setting.
    pub mode: Mode,
    /// Most bytes of a piece of work.
    pub size: u64,
    /// Whether workers only come to know younger ones.
    pub acyclic: bool,
    /// Of the random numbers.
    pub seed: u64,
    /// Whether the lives of the objects are written down. No option: who measures asks for it.
    pub lives: bool,
}

impl Default for RandomWorkersSpec {
    fn default() -> RandomWorkersSpec {
        RandomWorkersSpec {
            nodes: 3,
            turns: Some(50_000),
            duration: None,
            rate: 0,
            mode: Mode::TortureSmall,
            size: Mode::TortureSmall.size(),
            acyclic: false,
            seed: 1,
            lives: false,
        }
    }
}

impl RandomWorkersSpec {
    /// The same with a tenth of the turns.
    #[must_use]
    pub fn quick() -> RandomWorkersSpec {
        RandomWorkersSpec { turns: Some(5000), ..RandomWorkersSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<RandomWorkersSpec, SpecError> {
        let base = if options.quick()? { RandomWorkersSpec::quick() } else { RandomWorkersSpec::default() };
        let nodes = options.or(
            "nodes",
            base.nodes.into(),
            WORKER_NODES_MIN.into(),
            WORKER_NODES_MAX.into(),
            "2 to 64 nodes",
        )?;
        let (turns, duration) = options.extent("turns", base.turns.unwrap_or(0))?;
        let rate = options.or("rate", base.rate, 0, WORKERS_RATE_MAX, "0 to 1M pings per second")?;
        let mode = options.take("mode", "torture-small, torture-large or streaming", Mode::parse)?;
        let mode = mode.unwrap_or(base.mode);
        let size = options.or("size", mode.size(), 4, PAYLOAD_DRAWN_MAX.min(256 << 10), "4 to 256k bytes")?;
        let spec = RandomWorkersSpec {
            nodes: nodes as u32,
            turns,
            duration,
            rate,
            mode,
            size,
            acyclic: options.flag("acyclic")?.unwrap_or(base.acyclic),
            seed: options.or("seed", base.seed, 0, u64::MAX, "a whole number")?,
            lives: false,
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// The same on all nodes that do the same work.
    pub(super) fn digest(&self) -> u64 {
        // FNV-1a: to notice a mistake, not intent.
        let text = format!("{self:?}");
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::WorkloadSpec;

    use super::*;

    fn read(text: &str) -> Result<RandomWorkersSpec, SpecError> {
        match text.parse()? {
            WorkloadSpec::RandomWorkers(spec) => Ok(spec),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn modes_bring_their_sizes_and_seconds_replace_turns() {
        assert_eq!(read("random-workers"), Ok(RandomWorkersSpec::default()));
        let large = read("random-workers?mode=streaming&nodes=64").unwrap();
        assert_eq!((large.size, large.nodes, large.mode.chances().publish), (5120, 64, 1.0));
        assert_eq!(read("random-workers?mode=torture-large&size=80").unwrap().size, 80);
        let timed = read("random-workers?seconds=3").unwrap();
        assert_eq!((timed.turns, timed.duration), (None, Some(Duration::from_secs(3))));
    }

    #[test]
    fn what_cannot_be_is_named_with_what_can() {
        for (text, says) in [
            ("nodes=0", "nodes=0 cannot be: write 2 to 64 nodes"),
            ("nodes=1", "nodes=1 cannot be: write 2 to 64 nodes"),
            ("nodes=65", "nodes=65 cannot be: write 2 to 64 nodes"),
            ("nodes=3&nodes=4", "option 'nodes' is given twice"),
            ("mode=gentle", "mode=gentle cannot be: write torture-small, torture-large or streaming"),
            ("turns=0", "turns=0 cannot be: write a number from 1"),
            ("size=1M", "size=1M cannot be: write 4 to 256k bytes"),
            ("workers=7", "random-workers has no option 'workers': it has nodes, turns,"),
        ] {
            let error = read(&format!("random-workers?{text}")).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_ne!(read("random-workers").unwrap().digest(), read("random-workers?seed=2").unwrap().digest());
    }
}
