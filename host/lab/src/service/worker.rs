//! One thread of the service.

use std::time::Duration;

use gc_heap::{Local, Mutator, Scope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::spec::{Arrivals, ServiceSpec};
use super::{sessions, table};
use crate::cost::Effort;
use crate::crew::Post;
use crate::distributions::{Zipf, exponential, stream};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::limits::{NAP_MAX, STEPS_PER_LOOK};

/// Bytes of a temporary object.
const TEMPORARY_BYTES: usize = 40;

/// Streams from here on draw arrivals, so that what is asked for does not depend on how requests come.
const ARRIVAL_STREAMS: u64 = 1 << 32;

/// One object that was once a field.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(super) struct Version {
    /// Key times fields plus number of the field.
    pub(super) field: u64,
    /// Thread and a count of its own.
    pub(super) number: u64,
}

/// Makes and reads fields. A payload repeats the field and the number of its version.
pub(super) struct Fields<'s> {
    spec: &'s ServiceSpec,
    next: u64,
    random: ChaCha8Rng,
    buffer: Vec<u8>,
    pub(super) effort: Effort,
}

impl<'w> Fields<'w> {
    pub(super) fn new(spec: &'w ServiceSpec, thread: u32) -> Fields<'w> {
        let random = stream(spec.seed, thread.into());
        let next = u64::from(thread) << 48;
        Fields { spec, next, random, buffer: Vec::new(), effort: Effort::default() }
    }

    /// A record with all its fields, put into the table.
    pub(super) fn record(
        &mut self,
        scope: &Scope<'_>,
        table: Local<'_>,
        key: u64,
    ) -> Result<(), WorkloadError> {
        let fields = (0..self.spec.fields).map(|field| {
            let (made, _) = self.make(scope, key * self.spec.fields + field)?;
            Ok(Some(made))
        });
        let fields: Vec<_> = fields.collect::<Result<_, WorkloadError>>()?;
        let record = self.effort.alloc(scope, &fields, &[])?;
        self.effort.store(scope, table, key as u32, Some(record))
    }

    /// A fresh version of a field.
    fn make<'s>(&mut self, scope: &Scope<'s>, field: u64) -> Result<(Local<'s>, Version), WorkloadError> {
        self.next += 1;
        let version = Version { field, number: self.next };
        let bytes = ServiceSpec::field_bytes(self.spec.size.sample(&mut self.random) as u64);
        let pair = [field.to_le_bytes(), version.number.to_le_bytes()];
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend(pair.as_flattened().iter().cycle().take(bytes as usize));
        let made = self.effort.alloc(scope, &[], &buffer);
        self.buffer = buffer;
        Ok((made?, version))
    }

    /// Reads all fields of a record, and checks them.
    pub(super) fn read<'s>(
        &mut self,
        scope: &Scope<'s>,
        record: Local<'_>,
        key: u64,
        mut found: impl FnMut(Local<'s>, Version),
    ) -> Result<(), WorkloadError> {
        for at in 0..self.spec.fields {
            let object = scope.load(record, at as u32)?.ok_or_else(|| WorkloadError::lost("a field"))?;
            self.effort.operations += 2;
            self.buffer.clear();
            scope.read(object, &mut self.buffer);
            let field = key * self.spec.fields + at;
            let number = self.buffer.as_chunks::<8>().0.get(1).copied().map_or(0, u64::from_le_bytes);
            let pair = [field.to_le_bytes(), number.to_le_bytes()];
            let mut right = pair.as_flattened().iter().cycle();
            if self.buffer.len() < 16 || !self.buffer.iter().all(|byte| Some(byte) == right.next()) {
                let what = format!("another payload than that of field {at} of record {key} was found");
                return Err(WorkloadError::Corrupted { what, object: scope.handle(object).to_string() });
            }
            found(object, Version { field, number });
        }
        Ok(())
    }
}

/// What a thread knows of one of its sessions.
#[derive(Default)]
struct Session {
    /// It has an object in the heap.
    exists: bool,
    /// What its responses hold, by place in the ring.
    ring: Vec<Vec<Version>>,
    next: usize,
}

pub(super) struct Worker<'w> {
    spec: &'w ServiceSpec,
    zipf: &'w Zipf,
    post: Post<'w>,
    recorder: Recorder,
    fields: Fields<'w>,
    sessions: Vec<Session>,
    served: u64,
    arrivals: ChaCha8Rng,
    /// When the next request is to come, in nanoseconds since the begin.
    due_ns: f64,
}

/// What a thread brings home.
pub(super) struct Served {
    pub(super) effort: Effort,
    /// Sessions that have an object at the end.
    pub(super) sessions: u64,
    /// What the responses of its sessions hold.
    pub(super) responses: Vec<Vec<Version>>,
}

impl<'w> Worker<'w> {
    pub(super) fn new(spec: &'w ServiceSpec, zipf: &'w Zipf, post: Post<'w>) -> Worker<'w> {
        let arrivals = stream(spec.seed, ARRIVAL_STREAMS + u64::from(post.thread));
        let mut worker = Worker {
            spec,
            zipf,
            post,
            recorder: post.recorder(),
            fields: Fields::new(spec, post.thread),
            sessions: Vec::new(),
            served: 0,
            arrivals,
            due_ns: 0.0,
        };
        worker.sessions.resize_with(spec.sessions_per_thread() as usize, Session::default);
        // Evenly spread arrivals of the threads fall between each other.
        worker.due_ns = worker.between_ns() * f64::from(post.thread) / f64::from(post.threads);
        worker
    }

    pub(super) fn run(mut self, mutator: &mut Mutator) -> Result<(Served, Recorder), WorkloadError> {
        let share = self.post.share(self.spec.requests);
        while self.served < share && !self.post.is_over() && self.wait() {
            let end = share.min(self.served + STEPS_PER_LOOK);
            mutator.scope(|scope| self.serve_some(scope, end))?;
            self.post.tell(self.served);
        }
        let sessions = self.sessions.iter().filter(|session| session.exists).count() as u64;
        let responses = self.sessions.into_iter().flat_map(|session| session.ring).collect();
        Ok((Served { effort: self.fields.effort, sessions, responses }, self.recorder))
    }

    /// Serves until `end`, or until no request is due. A scope stays open no longer than that, so that what is
    /// retired elsewhere need not wait for a thread that sleeps.
    fn serve_some(&mut self, scope: &mut Scope<'_>, end: u64) -> Result<(), WorkloadError> {
        let table = scope.root(&table()).ok_or_else(|| WorkloadError::lost("the table"))?;
        let sessions =
            scope.root(&sessions(self.post.thread)).ok_or_else(|| WorkloadError::lost("the sessions"))?;
        self.recorder.restart();
        while self.served < end {
            if self.spec.rate == 0 {
                scope.scope(|inner| self.request(inner, table, sessions))?;
                self.recorder.lap();
            } else {
                let start_ns = self.recorder.now_ns();
                let due_ns = self.due_ns as u64;
                if start_ns < due_ns {
                    return Ok(());
                }
                scope.scope(|inner| self.request(inner, table, sessions))?;
                self.recorder.done(due_ns, start_ns);
                self.due_ns += match self.spec.arrivals {
                    Arrivals::Uniform => self.between_ns(),
                    Arrivals::Poisson => exponential(self.between_ns(), &mut self.arrivals),
                };
            }
            self.served += 1;
        }
        Ok(())
    }

    /// Mean time between two requests of this thread.
    fn between_ns(&self) -> f64 {
        1e9 * f64::from(self.post.threads) / self.spec.rate.max(1) as f64
    }

    /// Sleeps until a request is due; false when the end comes before.
    fn wait(&self) -> bool {
        loop {
            let ahead = self.due_ns as u64;
            let ahead = ahead.saturating_sub(self.recorder.now_ns());
            if self.spec.rate == 0 || ahead == 0 {
                return true;
            }
            if self.post.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_nanos(ahead).min(NAP_MAX));
        }
    }

    /// One request. All random numbers are drawn whatever other threads do.
    fn request(
        &mut self,
        scope: &Scope<'_>,
        table: Local<'_>,
        sessions: Local<'_>,
    ) -> Result<(), WorkloadError> {
        let key = self.zipf.sample_strewn(&mut self.fields.random);
        let session = self.fields.random.random_range(0..self.sessions.len());
        let writes = self.fields.random.random_bool(self.spec.updates);
        let at = self.fields.random.random_range(0..self.spec.fields);
        let ends = self.fields.random.random_ratio(1, self.spec.length as u32);
        self.temporaries(scope)?;
        let record = self.fields.effort.load(scope, table, key as u32, "a record")?;
        let (mut objects, mut versions) = (Vec::new(), Vec::new());
        if writes {
            let (field, version) = self.fields.make(scope, key * self.spec.fields + at)?;
            self.fields.effort.store(scope, record, at as u32, Some(field))?;
            objects.push(Some(field));
            versions.push(version);
        } else {
            self.fields.read(scope, record, key, |object, version| {
                objects.push(Some(object));
                versions.push(version);
            })?;
        }
        let response = self.fields.effort.alloc(scope, &objects, &[])?;
        self.remember(scope, sessions, session, (response, versions))?;
        if ends {
            self.end(scope, sessions, session)?;
        }
        Ok(())
    }

    fn temporaries(&mut self, scope: &Scope<'_>) -> Result<(), WorkloadError> {
        let mut last = None;
        for _ in 0..self.spec.temporaries {
            last = Some(self.fields.effort.alloc(scope, &[last], &[0; TEMPORARY_BYTES])?);
        }
        Ok(())
    }

    fn remember(
        &mut self,
        scope: &Scope<'_>,
        sessions: Local<'_>,
        at: usize,
        (response, versions): (Local<'_>, Vec<Version>),
    ) -> Result<(), WorkloadError> {
        let session = &mut self.sessions[at];
        if !session.exists {
            *session = Session { exists: true, ring: Vec::new(), next: 0 };
            let empty = self.fields.effort.alloc(scope, &vec![None; self.spec.ring as usize], &[])?;
            self.fields.effort.store(scope, sessions, at as u32, Some(empty))?;
        }
        let object = self.fields.effort.load(scope, sessions, at as u32, "a session")?;
        self.fields.effort.store(scope, object, session.next as u32, Some(response))?;
        match session.ring.get_mut(session.next) {
            Some(old) => *old = versions,
            None => session.ring.push(versions),
        }
        session.next = (session.next + 1) % self.spec.ring as usize;
        Ok(())
    }

    fn end(&mut self, scope: &Scope<'_>, sessions: Local<'_>, at: usize) -> Result<(), WorkloadError> {
        self.sessions[at] = Session::default();
        self.fields.effort.store(scope, sessions, at as u32, None)
    }
}
