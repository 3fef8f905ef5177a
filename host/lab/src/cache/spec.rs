//! The options of `cache`.

use std::time::Duration;

use crate::cost::object_bytes;
use crate::distributions::Size;
use crate::limits::{CACHE_ENTRIES_MAX, CACHE_KEYS_MAX, THREADS_MAX};
use crate::options::{Options, SpecError};

const KNOWN: &str = "threads, keys, capacity, policy, ttl, size, theta, updates, retire, operations, seconds, \
                     seed and quick";

/// `cache[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `threads=N` | 2 | 2 | threads, each with a shard of its own |
/// | `keys=N` | 400k | 40k | keys that are asked for |
/// | `capacity=N` | 40k | 4k | entries that fit, all shards together |
/// | `policy=lru\|fifo` | `lru` | | who is evicted: who was used least recently, or who came first |
/// | `ttl=N` | 100k | 10k | operations of its thread that an entry lives |
/// | `size=...` | `lognormal:200:1` | | bytes of a value, at least 16: `fixed:BYTES`, `uniform:MIN:MAX` or `lognormal:MEDIAN:SIGMA` |
/// | `theta=T` | 0.99 | | skew of the keys, from 0 (none) to below 1 |
/// | `updates=SHARE` | 0.1 | | share of operations that write a value |
/// | `retire=BOOL` | true | | whether what leaves the cache is retired |
/// | `operations=N`, `seconds=N` | 1M operations | 100k | the end, whichever comes first |
/// | `seed=N` | 1 | | of the random numbers; thread `i` uses stream `i` of it |
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSpec {
    /// Threads.
    pub threads: u32,
    /// Keys that are asked for.
    pub keys: u64,
    /// Entries that fit.
    pub capacity: u64,
    /// Who is evicted.
    pub policy: Policy,
    /// Operations that an entry lives.
    pub ttl: u64,
    /// Bytes of a value.
    pub size: Size,
    /// Skew of the keys.
    pub theta: f64,
    /// Share of operations that write.
    pub updates: f64,
    /// Whether what leaves is retired.
    pub retire: bool,
    /// After how many operations to end.
    pub operations: Option<u64>,
    /// When to end.
    pub duration: Option<Duration>,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// Who is evicted when the cache is full.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Who was used least recently.
    Lru,
    /// Who came first.
    Fifo,
}

impl Default for CacheSpec {
    fn default() -> CacheSpec {
        CacheSpec {
            threads: 2,
            keys: 400_000,
            capacity: 40_000,
            policy: Policy::Lru,
            ttl: 100_000,
            size: Size::LogNormal(200, 1.0),
            theta: 0.99,
            updates: 0.1,
            retire: true,
            operations: Some(1_000_000),
            duration: None,
            seed: 1,
        }
    }
}

impl CacheSpec {
    /// The same with a tenth of the work and of the entries.
    #[must_use]
    pub fn quick() -> CacheSpec {
        CacheSpec {
            keys: 40_000,
            capacity: 4000,
            ttl: 10_000,
            operations: Some(100_000),
            ..CacheSpec::default()
        }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<CacheSpec, SpecError> {
        let base = if options.quick()? { CacheSpec::quick() } else { CacheSpec::default() };
        let (operations, duration) = options.extent("operations", base.operations.unwrap_or(1))?;
        let policy = options.take("policy", "lru or fifo", |text| match text {
            "lru" => Some(Policy::Lru),
            "fifo" => Some(Policy::Fifo),
            _ => None,
        })?;
        let spec = CacheSpec {
            threads: options.or("threads", base.threads.into(), 1, THREADS_MAX.into(), "1 to 256")? as u32,
            keys: options.or("keys", base.keys, 1, CACHE_KEYS_MAX, "1 to 1G")?,
            capacity: options.or("capacity", base.capacity, 1, CACHE_ENTRIES_MAX, "1 to 64M")?,
            policy: policy.unwrap_or(base.policy),
            ttl: options.or("ttl", base.ttl, 1, CACHE_ENTRIES_MAX, "1 to 64M operations")?,
            size: options.take("size", Size::WANTED, Size::parse)?.unwrap_or(base.size),
            theta: options.theta()?.unwrap_or(base.theta),
            updates: options.share("updates")?.unwrap_or(base.updates),
            retire: options.flag("retire")?.unwrap_or(base.retire),
            operations,
            duration,
            seed: options.or("seed", base.seed, 0, u64::MAX, "a whole number")?,
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    pub(crate) fn keys_per_thread(&self) -> u64 {
        self.keys.div_ceil(self.threads.into())
    }

    pub(crate) fn capacity_per_thread(&self) -> u64 {
        self.capacity.div_ceil(self.threads.into())
    }

    /// Length of a value for which this was drawn: long enough to say whose it is.
    pub(crate) fn value_bytes(drawn: u64) -> u64 {
        drawn.max(16)
    }

    /// About the most bytes that are alive at once. Fewer where entries expire before the cache is full.
    pub(crate) fn live_bytes(&self) -> u64 {
        let entry = object_bytes(4, 8) + object_bytes(0, CacheSpec::value_bytes(self.size.mean()));
        let entries = self.capacity.min(self.keys).min(self.ttl * u64::from(self.threads));
        entries * entry + object_bytes(self.capacity, 0)
    }
}
