//! The options of `churn`, and the distributions behind them.

use std::time::Duration;

use crate::cost::object_bytes;
use crate::distributions::Size;
use crate::limits::{CHURN_LIVE_MAX, THREADS_MAX};
use crate::options::{Options, SpecError, share};

const KNOWN: &str = "threads, live, group, fanout, links, size, lifetime, reads, shared, rate, seed, seconds, \
                     operations and retire";

/// `churn[?key=value&...]`
///
/// | option | default | meaning |
/// |---|---|---|
/// | `threads=N` | 2 | mutator threads |
/// | `live=N` | 100k | objects that are alive at a time, all threads together |
/// | `group=MEAN` | 4 | objects that live and die together; geometric with this mean, at most 64 |
/// | `fanout=MEAN` | 2 | references of an object into its group; geometric from 1 with this mean, at most 8 |
/// | `links=N` | 1 | references of a group to other groups, removed when one of both dies |
/// | `size=...` | `lognormal:64:1` | bytes of payload: `fixed:BYTES`, `uniform:MIN:MAX` or `lognormal:MEDIAN:SIGMA` (at most 1024 medians) |
/// | `lifetime=...` | `young:0.8` | `random`, `fifo` or `young:SHARE`, see [`Lifetime`] |
/// | `reads=SHARE` | 0.5 | share of steps that read a group and check what they find |
/// | `shared=SHARE` | 0.01 | share of steps that pass a group to other threads through a named root |
/// | `rate=N` | 0 | operations per second, all threads together; 0 is as fast as it goes |
/// | `seed=N` | 1 | of the random numbers; thread `i` uses stream `i` of it |
/// | `seconds=N`, `operations=N` | none | the end, whichever comes first; without, it runs until it is stopped |
/// | `retire=BOOL` | false | groups that die are retired, for strategies that free only what was |
#[derive(Debug, Clone, PartialEq)]
pub struct ChurnSpec {
    /// Mutator threads.
    pub threads: u32,
    /// Objects alive at a time.
    pub live: u64,
    /// Mean of objects per group.
    pub group: f64,
    /// Mean of references per object into its group.
    pub fanout: f64,
    /// References per group to other groups.
    pub links: u32,
    /// Payload sizes.
    pub size: Size,
    /// Who dies when.
    pub lifetime: Lifetime,
    /// Share of steps that read.
    pub reads: f64,
    /// Share of steps that share.
    pub shared: f64,
    /// Operations per second; 0 without a bound.
    pub rate: u64,
    /// Seed of the random numbers.
    pub seed: u64,
    /// When to end.
    pub duration: Option<Duration>,
    /// After how many operations to end.
    pub operations: Option<u64>,
    /// Whether dead groups are retired.
    pub retire: bool,
}

/// Who dies when a new group comes.
///
/// Most objects die young (Ungar, *Generation Scavenging*, 1984; Jones, Hosking, Moss, *The Garbage
/// Collection Handbook*, chapter 9, reports 80 to 98 % for many programs): that is `young`. A cache or a log
/// drops the oldest: `fifo`. Ages without memory are the hard case for collectors that bet on youth:
/// `random`.
#[derive(Debug, Copy, Clone, PartialEq)]
pub enum Lifetime {
    /// Any group, equally likely: ages are geometrically distributed.
    Random,
    /// The oldest group.
    Fifo,
    /// The new group itself with this probability, otherwise any.
    Young(f64),
}

impl Default for ChurnSpec {
    fn default() -> ChurnSpec {
        ChurnSpec {
            threads: 2,
            live: 100_000,
            group: 4.0,
            fanout: 2.0,
            links: 1,
            size: Size::LogNormal(64, 1.0),
            lifetime: Lifetime::Young(0.8),
            reads: 0.5,
            shared: 0.01,
            rate: 0,
            seed: 1,
            duration: None,
            operations: None,
            retire: false,
        }
    }
}

impl ChurnSpec {
    pub(crate) fn parse(options: &mut Options<'_>) -> Result<ChurnSpec, SpecError> {
        let default = ChurnSpec::default();
        let threads = options.number("threads", 1, THREADS_MAX.into(), "1 to 256")?;
        let live =
            options.number("live", 1, CHURN_LIVE_MAX, "a number of objects from 1, for example 100k")?;
        let group = options.take("group", "a mean from 1 to 32", |text| mean(text, 32.0))?;
        let fanout = options.take("fanout", "a mean from 1 to 4", |text| mean(text, 4.0))?;
        let links = options.number("links", 0, 16, "0 to 16")?;
        let size = options.take("size", Size::WANTED, Size::parse)?;
        let lifetime = options.take(
            "lifetime",
            "random, fifo or young:SHARE, for example young:0.9",
            Lifetime::parse,
        )?;
        let reads = options.share("reads")?;
        let shared = options.share("shared")?;
        let rate = options.number("rate", 0, u64::MAX, "operations per second, 0 for no bound")?;
        let seed = options.number("seed", 0, u64::MAX, "a whole number")?;
        let seconds = options.number("seconds", 1, 1_000_000_000, "a whole number from 1")?;
        let operations = options.number("operations", 1, u64::MAX, "a number from 1, for example 10M")?;
        let retire = options.flag("retire")?.unwrap_or(false);
        options.finish(KNOWN)?;
        if retire && shared.is_some_and(|shared| shared > 0.0) {
            return Err(SpecError::Conflict {
                what: "shared and retire=true exclude each other, for a retired object may be held by no other thread",
                remedy: "leave one of them out",
            });
        }
        Ok(ChurnSpec {
            threads: threads.map_or(default.threads, |threads| threads as u32),
            live: live.unwrap_or(default.live),
            group: group.unwrap_or(default.group),
            fanout: fanout.unwrap_or(default.fanout),
            links: links.map_or(default.links, |links| links as u32),
            size: size.unwrap_or(default.size),
            lifetime: lifetime.unwrap_or(default.lifetime),
            reads: reads.unwrap_or(default.reads),
            shared: if retire { 0.0 } else { shared.unwrap_or(default.shared) },
            rate: rate.unwrap_or(default.rate),
            seed: seed.unwrap_or(default.seed),
            duration: seconds.map(Duration::from_secs),
            operations,
            retire,
        })
    }
}

impl ChurnSpec {
    /// About the bytes that are alive at a time.
    pub(crate) fn live_bytes(&self) -> u64 {
        let slots = (self.fanout + f64::from(self.links) / self.group).ceil() as u64;
        let tables = object_bytes((self.live as f64 / self.group).ceil() as u64, 0);
        self.live * object_bytes(slots, self.size.mean()) + tables
    }
}

impl Lifetime {
    fn parse(text: &str) -> Option<Lifetime> {
        match text {
            "random" => Some(Lifetime::Random),
            "fifo" => Some(Lifetime::Fifo),
            _ => share(text.strip_prefix("young:")?).map(Lifetime::Young),
        }
    }
}

fn mean(text: &str, max: f64) -> Option<f64> {
    text.parse::<f64>().ok().filter(|mean| (1.0..=max).contains(mean))
}
