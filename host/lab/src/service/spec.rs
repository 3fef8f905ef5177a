//! The options of `service`.

use std::time::Duration;

use crate::cost::object_bytes;
use crate::distributions::Size;
use crate::limits::{SERVICE_KEYS_MAX, SERVICE_SESSIONS_MAX, THREADS_MAX};
use crate::options::{Options, SpecError};

const KNOWN: &str = "threads, keys, fields, size, theta, updates, temporaries, sessions, ring, length, rate, \
                     arrivals, requests, seconds, seed and quick";

/// `service[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `threads=N` | 2 | 2 | threads that serve; each has its share of sessions and arrivals |
/// | `keys=N` | 50k | 5k | records |
/// | `fields=N` | 4 | 4 | fields of a record, objects with a payload each |
/// | `size=...` | `fixed:100` | | bytes of a field, at least 16: `fixed:BYTES`, `uniform:MIN:MAX` or `lognormal:MEDIAN:SIGMA` |
/// | `theta=T` | 0.99 | | skew of the keys, from 0 (none) to below 1 |
/// | `updates=SHARE` | 0.5 | | share of requests that write a field |
/// | `temporaries=N` | 8 | | objects that a request makes for itself |
/// | `sessions=N` | 1000 | 100 | sessions, all threads together |
/// | `ring=N` | 8 | | responses that a session remembers |
/// | `length=MEAN` | 100 | | requests of a session, geometric with this mean |
/// | `rate=N` | 0 | | requests per second, all threads together; 0 is one after the other (a closed loop) |
/// | `arrivals=KIND` | `poisson` | | with a rate: `poisson` or `uniform` |
/// | `requests=N`, `seconds=N` | 300k requests | 30k | the end, whichever comes first |
/// | `seed=N` | 1 | | of the random numbers; thread `i` uses stream `i` of it |
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Threads that serve.
    pub threads: u32,
    /// Records.
    pub keys: u64,
    /// Fields of a record.
    pub fields: u64,
    /// Bytes of a field.
    pub size: Size,
    /// Skew of the keys.
    pub theta: f64,
    /// Share of requests that write.
    pub updates: f64,
    /// Objects that a request makes for itself.
    pub temporaries: u64,
    /// Sessions.
    pub sessions: u64,
    /// Responses that a session remembers.
    pub ring: u64,
    /// Mean of requests of a session.
    pub length: u64,
    /// Requests per second; 0 for a closed loop.
    pub rate: u64,
    /// How requests come.
    pub arrivals: Arrivals,
    /// After how many requests to end.
    pub requests: Option<u64>,
    /// When to end.
    pub duration: Option<Duration>,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// How requests come when there is a rate.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Arrivals {
    /// At random, independent of each other.
    Poisson,
    /// Evenly.
    Uniform,
}

impl Default for ServiceSpec {
    fn default() -> ServiceSpec {
        ServiceSpec {
            threads: 2,
            keys: 50_000,
            fields: 4,
            size: Size::Fixed(100),
            theta: 0.99,
            updates: 0.5,
            temporaries: 8,
            sessions: 1000,
            ring: 8,
            length: 100,
            rate: 0,
            arrivals: Arrivals::Poisson,
            requests: Some(300_000),
            duration: None,
            seed: 1,
        }
    }
}

impl ServiceSpec {
    /// The same with a tenth of the work and of the records.
    #[must_use]
    pub fn quick() -> ServiceSpec {
        ServiceSpec { keys: 5000, sessions: 100, requests: Some(30_000), ..ServiceSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<ServiceSpec, SpecError> {
        let base = if options.quick()? { ServiceSpec::quick() } else { ServiceSpec::default() };
        let (requests, duration) = options.extent("requests", base.requests.unwrap_or(1))?;
        let arrivals = options.take("arrivals", "poisson or uniform", |text| match text {
            "poisson" => Some(Arrivals::Poisson),
            "uniform" => Some(Arrivals::Uniform),
            _ => None,
        })?;
        let spec = ServiceSpec {
            threads: options.or("threads", base.threads.into(), 1, THREADS_MAX.into(), "1 to 256")? as u32,
            keys: options.or("keys", base.keys, 1, SERVICE_KEYS_MAX, "1 to 16M")?,
            fields: options.or("fields", base.fields, 1, 64, "1 to 64")?,
            size: options.take("size", Size::WANTED, Size::parse)?.unwrap_or(base.size),
            theta: options.theta()?.unwrap_or(base.theta),
            updates: options.share("updates")?.unwrap_or(base.updates),
            temporaries: options.or("temporaries", base.temporaries, 0, 1000, "0 to 1000")?,
            sessions: options.or("sessions", base.sessions, 1, SERVICE_SESSIONS_MAX, "1 to 1M")?,
            ring: options.or("ring", base.ring, 1, 1000, "1 to 1000")?,
            length: options.or("length", base.length, 1, 1_000_000, "1 to 1M requests")?,
            rate: options.or("rate", base.rate, 0, 1_000_000_000, "requests per second, 0 for no bound")?,
            arrivals: arrivals.unwrap_or(base.arrivals),
            requests,
            duration,
            seed: options.or("seed", base.seed, 0, u64::MAX, "a whole number")?,
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    pub(crate) fn sessions_per_thread(&self) -> u64 {
        self.sessions.div_ceil(self.threads.into())
    }

    /// Length of the payload of a field for which this was drawn: long enough to say whose it is.
    pub(crate) fn field_bytes(drawn: u64) -> u64 {
        drawn.max(16)
    }

    /// About the most bytes that are alive at once: records, and sessions whose responses hold old versions.
    pub(crate) fn live_bytes(&self) -> u64 {
        let field = object_bytes(0, ServiceSpec::field_bytes(self.size.mean()));
        let records =
            object_bytes(self.keys, 0) + self.keys * (object_bytes(self.fields, 0) + self.fields * field);
        let old = (self.updates * self.fields as f64 * field as f64) as u64;
        let session = object_bytes(self.ring, 0) + self.ring * (object_bytes(self.fields, 0) + old);
        records + self.sessions * (session + 32)
    }
}
