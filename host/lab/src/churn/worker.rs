//! One thread of the churn workload.

use std::time::Duration;

use gc_heap::{Local, Mutator, Scope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::spec::{ChurnSpec, Lifetime};
use crate::cost::Effort;
use crate::crew::Post;
use crate::distributions::{geometric, stream};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::limits::{CHURN_BOARD, CHURN_GROUP_MAX, STEPS_PER_LOOK};

/// References of an object into its group, at most.
const FANOUT_MAX: u64 = 8;

/// Groups of other threads that a thread keeps.
const BORROWED: u32 = 16;

/// The reference from each member of a group to the one before it, and from the first, in a cyclic group, to
/// the head.
const CHAIN: u32 = 0;

/// What a thread did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) effort: Effort,
    /// Objects that are live at the end: those of the groups in the table, the table itself, and what keeps
    /// the groups of others.
    pub(super) live: u64,
}

/// What the thread knows of a group in its table.
#[derive(Default)]
struct Group {
    /// Payloads of its members repeat this, the number of the member added.
    stamp: u64,
    members: u32,
    /// Slot of the head in which links begin.
    links_at: u32,
    /// The groups that it is linked to, by place in the table.
    to: Vec<u32>,
    /// The groups that are linked to it, with the number of the link.
    from: Vec<(u32, u32)>,
}

pub(super) struct Worker<'w> {
    spec: &'w ChurnSpec,
    post: Post<'w>,
    recorder: Recorder,
    thread: u32,
    random: ChaCha8Rng,
    groups: Vec<Group>,
    /// Place of the group that a `fifo` lifetime ends next.
    oldest: u32,
    made: u64,
    counts: Counts,
    buffer: Vec<u8>,
}

impl<'w> Worker<'w> {
    pub(super) fn new(spec: &'w ChurnSpec, post: Post<'w>) -> Worker<'w> {
        let places = (spec.live as f64 / f64::from(spec.threads) / spec.group).ceil().max(1.0) as usize;
        Worker {
            spec,
            post,
            recorder: post.recorder(),
            thread: post.thread,
            random: stream(spec.seed, post.thread.into()),
            groups: std::iter::repeat_with(Group::default).take(places).collect(),
            oldest: 0,
            made: 0,
            counts: Counts::default(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn run(mut self, mutator: &mut Mutator) -> Result<(Counts, Recorder), WorkloadError> {
        self.work(mutator)?;
        self.counts.live = 2 + self.groups.iter().map(|group| u64::from(group.members)).sum::<u64>();
        self.post.tell(self.counts.effort.operations);
        Ok((self.counts, self.recorder))
    }

    fn work(&mut self, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        mutator.scope(|scope| self.set_up(scope))?;
        let places = self.groups.len() as u64;
        let mut filled = 0;
        while filled < places && !self.is_over() {
            let count = STEPS_PER_LOOK.min(places - filled);
            self.steps(mutator, count, |worker, scope, table| {
                let place = filled as u32;
                filled += 1;
                worker.make_at(scope, table, place)
            })?;
        }
        while !self.is_over() {
            self.recorder.restart();
            self.steps(mutator, STEPS_PER_LOOK, |worker, scope, table| {
                worker.step(scope, table)?;
                worker.recorder.lap();
                Ok(())
            })?;
            self.pace();
        }
        if !self.post.is_stopped() {
            self.check_all(mutator)?;
        }
        mutator.scope(|scope| self.let_go_of_others(scope))
    }

    fn root(&self, what: &str) -> String {
        root(what, self.thread)
    }

    fn set_up(&mut self, scope: &mut Scope<'_>) -> Result<(), WorkloadError> {
        let table = scope.alloc(&vec![None; self.groups.len()], &[])?;
        scope.set_root(&self.root("table"), Some(table));
        let borrowed = scope.alloc(&[None; BORROWED as usize], &[])?;
        scope.set_root(&self.root("borrowed"), Some(borrowed));
        self.counts.effort.objects += 2;
        self.counts.effort.operations += 4;
        Ok(())
    }

    /// Does some steps, each in a scope of its own inside one that holds the table.
    fn steps(
        &mut self,
        mutator: &mut Mutator,
        count: u64,
        mut step: impl FnMut(&mut Worker<'w>, &mut Scope<'_>, Local<'_>) -> Result<(), WorkloadError>,
    ) -> Result<(), WorkloadError> {
        mutator.scope(|scope| {
            let name = self.root("table");
            let table = scope.root(&name).ok_or_else(|| corrupted("a root is empty", name))?;
            for _ in 0..count {
                scope.scope(|inner| step(self, inner, table))?;
            }
            Ok::<(), WorkloadError>(())
        })?;
        self.post.tell(self.counts.effort.operations);
        Ok(())
    }

    fn is_over(&self) -> bool {
        let share = self.spec.operations.map(|all| all.div_ceil(self.spec.threads.into()));
        share.is_some_and(|share| self.counts.effort.operations >= share) || self.post.is_over()
    }

    /// Sleeps while this thread is ahead of its share of the rate.
    fn pace(&self) {
        if self.spec.rate == 0 {
            return;
        }
        let share = self.spec.rate as f64 / f64::from(self.spec.threads);
        let due = Duration::try_from_secs_f64(self.counts.effort.operations as f64 / share)
            .unwrap_or(Duration::MAX);
        while let Some(ahead) = due.checked_sub(self.post.begun.elapsed()).filter(|ahead| !ahead.is_zero()) {
            if self.is_over() {
                return;
            }
            std::thread::sleep(ahead.min(Duration::from_millis(50)));
        }
    }

    /// One step. All random numbers are drawn whatever other threads do.
    fn step(&mut self, scope: &mut Scope<'_>, table: Local<'_>) -> Result<(), WorkloadError> {
        let places = self.groups.len() as u32;
        let place = match self.spec.lifetime {
            Lifetime::Fifo => {
                self.oldest = (self.oldest + 1) % places;
                Some(self.oldest)
            }
            Lifetime::Random => Some(self.random.random_range(0..places)),
            Lifetime::Young(share) => {
                let dies = self.random.random_bool(share);
                let place = self.random.random_range(0..places);
                (!dies).then_some(place)
            }
        };
        match place {
            Some(place) => self.make_at(scope, table, place)?,
            None => {
                let (head, group) = self.make(scope)?;
                self.retire(scope, head, group.members)?;
            }
        }
        if self.random.random_bool(self.spec.reads) {
            let place = self.random.random_range(0..places);
            self.read(scope, table, place)?;
        }
        if self.random.random_bool(self.spec.shared) {
            let place = self.random.random_range(0..places);
            self.share(scope, table, place)?;
        }
        Ok(())
    }

    /// Makes a group and gives it a place in the table.
    fn make_at(&mut self, scope: &mut Scope<'_>, table: Local<'_>, place: u32) -> Result<(), WorkloadError> {
        let (head, group) = self.make(scope)?;
        self.drop_at(scope, table, place)?;
        scope.store(table, place, Some(head))?;
        self.counts.effort.operations += 1;
        self.groups[place as usize] = group;
        for link in 0..self.spec.links {
            let other = self.random.random_range(0..self.groups.len() as u32);
            self.link(scope, table, (place, link), head, other)?;
        }
        Ok(())
    }

    fn make<'s>(&mut self, scope: &Scope<'s>) -> Result<(Local<'s>, Group), WorkloadError> {
        let members = geometric(self.spec.group, CHURN_GROUP_MAX, &mut self.random) as u32;
        self.made += 1;
        let stamp = u64::from(self.thread) << 48 | self.made << 8;
        let mut group = Group { stamp, members, ..Group::default() };
        let mut made: Vec<Local<'s>> = Vec::with_capacity(members as usize);
        let mut slots: Vec<Option<Local<'s>>> = Vec::new();
        for member in 0..members {
            slots.clear();
            slots.push(made.last().copied());
            let fanout = geometric(self.spec.fanout, FANOUT_MAX, &mut self.random);
            for _ in 1..if member == 0 { 1 } else { fanout } {
                slots.push(Some(made[self.random.random_range(0..made.len())]));
            }
            self.counts.effort.references += slots.iter().flatten().count() as u64;
            if member + 1 == members {
                group.links_at = slots.len() as u32;
                slots.resize(slots.len() + self.spec.links as usize, None);
            }
            self.fill_payload(stamp + u64::from(member));
            made.push(scope.alloc(&slots, &self.buffer)?);
            self.counts.effort.payload_bytes += self.buffer.len() as u64;
        }
        let head = made[members as usize - 1];
        self.counts.effort.objects += u64::from(members);
        self.counts.effort.operations += u64::from(members);
        if self.random.random_bool(0.5) {
            scope.store(made[0], CHAIN, Some(head))?;
            self.counts.effort.references += 1;
            self.counts.effort.operations += 1;
        }
        Ok((head, group))
    }

    fn fill_payload(&mut self, stamp: u64) {
        let len = self.spec.size.sample(&mut self.random);
        self.buffer.clear();
        self.buffer.extend(stamp.to_le_bytes().into_iter().cycle().take(len));
    }

    /// Links a group to another one, unless that place is empty or its own.
    fn link(
        &mut self,
        scope: &Scope<'_>,
        table: Local<'_>,
        (place, link): (u32, u32),
        head: Local<'_>,
        other: u32,
    ) -> Result<(), WorkloadError> {
        // A link that is not made is noted all the same, so that the number of a link is its place in `to`.
        self.groups[place as usize].to.push(other);
        if other == place || self.groups[other as usize].members == 0 {
            return Ok(());
        }
        let target = self.head(scope, table, other)?;
        scope.store(head, self.groups[place as usize].links_at + link, Some(target))?;
        self.groups[other as usize].from.push((place, link));
        self.counts.effort.references += 1;
        self.counts.effort.operations += 1;
        Ok(())
    }

    /// Ends the group at a place of the table: removes its links both ways, and retires it where that is
    /// asked for.
    fn drop_at(&mut self, scope: &Scope<'_>, table: Local<'_>, place: u32) -> Result<(), WorkloadError> {
        let dead = std::mem::take(&mut self.groups[place as usize]);
        if dead.members == 0 {
            return Ok(());
        }
        let head = self.head_of(scope, table, place, &dead)?;
        for &(other, link) in &dead.from {
            let slot = self.groups[other as usize].links_at + link;
            scope.store(self.head(scope, table, other)?, slot, None)?;
            self.counts.effort.operations += 1;
        }
        for (link, &other) in (0..).zip(&dead.to) {
            let from = &mut self.groups[other as usize].from;
            if let Some(at) = from.iter().position(|&linked| linked == (place, link)) {
                from.swap_remove(at);
                scope.store(head, dead.links_at + link, None)?;
                self.counts.effort.operations += 1;
            }
        }
        scope.store(table, place, None)?;
        self.counts.effort.operations += 1;
        self.retire(scope, head, dead.members)
    }

    fn retire(&mut self, scope: &Scope<'_>, head: Local<'_>, members: u32) -> Result<(), WorkloadError> {
        if !self.spec.retire {
            return Ok(());
        }
        let mut member = self.next(scope, head, members)?;
        scope.retire(head);
        for left in (1..members).rev() {
            let Some(object) = member else {
                return Err(corrupted("a reference is missing", scope.handle(head)));
            };
            member = self.next(scope, object, left)?;
            scope.retire(object);
        }
        self.counts.effort.operations += u64::from(members);
        Ok(())
    }

    /// The next member in the chain of a group of which `left` members are left, this one included.
    fn next<'s>(
        &mut self,
        scope: &Scope<'s>,
        member: Local<'_>,
        left: u32,
    ) -> Result<Option<Local<'s>>, WorkloadError> {
        if left == 1 {
            return Ok(None);
        }
        self.counts.effort.operations += 1;
        let next = scope.load(member, CHAIN)?;
        next.map(Some).ok_or_else(|| corrupted("a reference is missing", scope.handle(member)))
    }

    fn head<'s>(
        &mut self,
        scope: &Scope<'s>,
        table: Local<'_>,
        place: u32,
    ) -> Result<Local<'s>, WorkloadError> {
        self.counts.effort.operations += 1;
        scope.load(table, place)?.ok_or_else(|| corrupted("a reference is missing", scope.handle(table)))
    }

    fn head_of<'s>(
        &mut self,
        scope: &Scope<'s>,
        table: Local<'_>,
        place: u32,
        group: &Group,
    ) -> Result<Local<'s>, WorkloadError> {
        let head = self.head(scope, table, place)?;
        self.check(scope, head, Some(group.stamp + u64::from(group.members) - 1))?;
        Ok(head)
    }

    /// Reads a group from its head to its last member, and checks every payload.
    fn read(&mut self, scope: &Scope<'_>, table: Local<'_>, place: u32) -> Result<(), WorkloadError> {
        let (stamp, members) = (self.groups[place as usize].stamp, self.groups[place as usize].members);
        if members == 0 {
            return Ok(());
        }
        let mut member = Some(self.head(scope, table, place)?);
        for left in (1..=members).rev() {
            let Some(object) = member else { break };
            self.check(scope, object, Some(stamp + u64::from(left) - 1))?;
            member = self.next(scope, object, left)?;
        }
        Ok(())
    }

    /// A payload must repeat one number, and the right one where it is known which.
    fn check(
        &mut self,
        scope: &Scope<'_>,
        object: Local<'_>,
        stamp: Option<u64>,
    ) -> Result<(), WorkloadError> {
        self.counts.effort.operations += 1;
        self.buffer.clear();
        scope.read(object, &mut self.buffer);
        let mut words = self.buffer.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let Some(first) = words.next() else { return Ok(()) };
        if first == stamp.unwrap_or(first) && words.all(|word| word == first) {
            return Ok(());
        }
        let what = match stamp {
            Some(stamp) => format!("{first:#x} was found where {stamp:#x} must be"),
            None => "a payload of two parts was found".to_owned(),
        };
        Err(corrupted(what, scope.handle(object)))
    }

    /// Passes a group on through a named root, and keeps one that was passed on.
    fn share(&mut self, scope: &Scope<'_>, table: Local<'_>, place: u32) -> Result<(), WorkloadError> {
        let (give, take) =
            (self.random.random_range(0..CHURN_BOARD), self.random.random_range(0..CHURN_BOARD));
        let keep = self.random.random_range(0..BORROWED);
        if self.groups[place as usize].members > 0 {
            let head = self.head(scope, table, place)?;
            scope.set_root(&board(give), Some(head));
        }
        let taken = scope.root(&board(take));
        if let Some(head) = taken {
            self.check(scope, head, None)?;
            // Counted below, found or not.
            self.counts.effort.operations -= 1;
        }
        let name = self.root("borrowed");
        let borrowed = scope.root(&name).ok_or_else(|| corrupted("a root is empty", name))?;
        scope.store(borrowed, keep, taken)?;
        self.counts.effort.operations += 5;
        Ok(())
    }

    /// What the threads have passed to each other is let go, so that what is live is what the tables hold.
    fn let_go_of_others(&mut self, scope: &Scope<'_>) -> Result<(), WorkloadError> {
        if let Some(borrowed) = scope.root(&self.root("borrowed")) {
            (0..BORROWED).try_for_each(|slot| scope.store(borrowed, slot, None))?;
        }
        let_go_of_board(scope);
        Ok(())
    }

    fn check_all(&mut self, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        let operations = self.counts.effort.operations;
        let mut place = 0;
        while place < self.groups.len() as u32 {
            let count = STEPS_PER_LOOK.min(self.groups.len() as u64 - u64::from(place));
            self.steps(mutator, count, |worker, scope, table| {
                place += 1;
                worker.read(scope, table, place - 1)
            })?;
        }
        self.counts.effort.operations = operations;
        Ok(())
    }
}

/// Name of a root of a thread.
fn root(what: &str, thread: u32) -> String {
    format!("churn {what} {thread}")
}

/// Removes every root that threads of this workload may have set.
pub(super) fn let_go(scope: &Scope<'_>, threads: u32) {
    for thread in 0..threads {
        ["table", "borrowed"].iter().for_each(|what| scope.set_root(&root(what, thread), None));
    }
    let_go_of_board(scope);
}

fn let_go_of_board(scope: &Scope<'_>) {
    (0..CHURN_BOARD).for_each(|place| scope.set_root(&board(place), None));
}

/// The root through which groups are passed on at this place.
fn board(place: usize) -> String {
    format!("churn board {place}")
}

fn corrupted(what: impl Into<String>, object: impl std::fmt::Display) -> WorkloadError {
    WorkloadError::Corrupted { what: what.into(), object: object.to_string() }
}
