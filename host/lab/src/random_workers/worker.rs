//! Workers: what they are in the heap, and what they do with work.
//!
//! ```text
//!  worker [ state | contacts ]  payload: its number on this node
//!             │        └──▶ contact [ worker or stub | next ] ──▶ contact ...
//!             └──▶ payload: numbers of 32 bits
//! ```

use gc_heap::{Handle, Local, Pin, Scope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::cost::{Effort, object_bytes};
use crate::distributions::stream;
use crate::error::WorkloadError;
use crate::lives::Lives;

use super::post::Letter;
use super::spec::{AT_ONCE, Chances, RandomWorkersSpec};
use super::word::Word;

const STATE: u32 = 0;
const CONTACTS: u32 = 1;
const WHOM: u32 = 0;
const NEXT: u32 = 1;

/// What the turns of this node's workers and of its manager have in common. What they send is collected, for the scope that they work in does not wait.
pub(super) struct Shop {
    pub(super) me: u32,
    pub(super) others: Vec<u32>,
    pub(super) chances: &'static Chances,
    /// Most numbers in a piece of work.
    numbers: u64,
    acyclic: bool,
    /// All turns are done: nothing that carries a reference is sent any more.
    pub(super) closing: bool,
    pub(super) random: ChaCha8Rng,
    pub(super) effort: Effort,
    /// All workers of this node, by their numbers.
    pub(super) spawned: Vec<Handle>,
    /// Workers that were looked at and found to be what they should be.
    pub(super) verified: u64,
    /// What is to be sent.
    pub(super) out: Vec<Letter>,
    /// The lives of this node's objects, if they are to be written down.
    pub(super) lives: Option<Lives>,
}

impl Shop {
    pub(super) fn new(spec: &RandomWorkersSpec, me: u32, others: Vec<u32>) -> Shop {
        Shop {
            me,
            others,
            chances: spec.mode.chances(),
            numbers: spec.size / 4,
            acyclic: spec.acyclic,
            closing: false,
            random: stream(spec.seed, me.into()),
            effort: Effort::default(),
            spawned: Vec::new(),
            verified: 0,
            out: Vec::new(),
            lives: spec.lives.then(Lives::begin),
        }
    }

    pub(super) fn roll(&mut self, chance: f64) -> bool {
        self.random.random::<f64>() < chance
    }

    /// How often something is done in a turn: less than [`AT_ONCE`] times, as in the original.
    pub(super) fn times(&mut self) -> u32 {
        self.random.random_range(0..AT_ONCE)
    }

    pub(super) fn select<'s>(&mut self, from: &[Local<'s>]) -> Local<'s> {
        from[self.random.random_range(0..from.len())]
    }

    /// Up to [`AT_ONCE`] of them, some perhaps twice; without cycles only those that `owner` may know.
    pub(super) fn select_some<'s>(
        &mut self,
        scope: &Scope<'_>,
        from: &[Local<'s>],
        owner: Option<Local<'_>>,
    ) -> Vec<Local<'s>> {
        if from.is_empty() {
            return Vec::new();
        }
        let count = self.random.random_range(0..=AT_ONCE);
        let mut some: Vec<Local<'s>> = (0..count).map(|_| self.select(from)).collect();
        if let Some(owner) = owner.filter(|_| self.acyclic) {
            some.retain(|&whom| self.is_younger(scope, owner, whom));
        }
        some
    }

    /// Whether `whom` comes after `owner` in an order of all workers: by node, and by number on one node. False where nobody here can say.
    fn is_younger(&self, scope: &Scope<'_>, owner: Local<'_>, whom: Local<'_>) -> bool {
        let (first, second) = (scope.handle(owner).node, scope.handle(whom).node);
        if first != second {
            return first < second;
        }
        first == self.me && number(scope, owner) < number(scope, whom)
    }

    /// A piece of work.
    pub(super) fn work(&mut self) -> Vec<u8> {
        let count = self.random.random_range(0..self.numbers.max(1)) as u32;
        (0..count).flat_map(u32::to_le_bytes).collect()
    }

    pub(super) fn spawn<'s>(&mut self, scope: &Scope<'s>) -> Result<Local<'s>, WorkloadError> {
        let bytes: Vec<u8> = (0..self.numbers as u32).flat_map(u32::to_le_bytes).collect();
        let state = self.effort.alloc(scope, &[], &bytes)?;
        let number = (self.spawned.len() as u64).to_le_bytes();
        let worker = self.effort.alloc(scope, &[Some(state), None], &number)?;
        if let Some(lives) = &mut self.lives {
            lives.worker(scope.handle(worker), object_bytes(2, 8))?;
            lives.state(scope.handle(state), object_bytes(0, bytes.len() as u64), self.spawned.len())?;
        }
        self.spawned.push(scope.handle(worker));
        Ok(worker)
    }

    /// The worker that a pin keeps, on whichever node it is, once it is sure that it is one.
    pub(super) fn verified<'s>(&mut self, scope: &Scope<'s>, pin: &Pin) -> Result<Local<'s>, WorkloadError> {
        let worker = scope.pinned(pin);
        self.verify(scope, worker)?;
        Ok(worker)
    }

    /// Looks whether this is a worker of this node that is where it was made, or the stub for one of another node.
    pub(super) fn verify(&mut self, scope: &Scope<'_>, worker: Local<'_>) -> Result<(), WorkloadError> {
        let handle = scope.handle(worker);
        let sound = match scope.is_stub(worker) {
            true => self.others.contains(&handle.node),
            false => number(scope, worker).and_then(|number| self.spawned.get(number)) == Some(&handle),
        };
        if !sound {
            let what = "something else than the worker that was there".into();
            return Err(WorkloadError::Corrupted { what, object: handle.to_string() });
        }
        self.verified += 1;
        Ok(())
    }

    /// Makes a worker of this node know another one.
    pub(super) fn acquaint(
        &mut self,
        scope: &Scope<'_>,
        worker: Local<'_>,
        whom: Local<'_>,
    ) -> Result<(), WorkloadError> {
        let first = scope.load(worker, CONTACTS)?;
        self.effort.operations += 1;
        let contact = self.effort.alloc(scope, &[Some(whom), first], &[])?;
        if let (Some(lives), Some(number)) = (&mut self.lives, number(scope, worker)) {
            lives.contact(scope.handle(contact), object_bytes(2, 0), number, scope.handle(whom))?;
        }
        self.effort.store(scope, worker, CONTACTS, Some(contact))
    }

    /// Whom a worker of this node knows.
    pub(super) fn contacts<'s>(
        &mut self,
        scope: &Scope<'s>,
        worker: Local<'_>,
    ) -> Result<Vec<Local<'s>>, WorkloadError> {
        let mut contacts = Vec::new();
        let mut next = scope.load(worker, CONTACTS)?;
        while let Some(contact) = next {
            contacts.push(self.effort.load(scope, contact, WHOM, "a worker that another one knows")?);
            next = scope.load(contact, NEXT)?;
            self.effort.operations += 1;
        }
        Ok(contacts)
    }

    /// The state of a worker of this node.
    pub(super) fn state<'s>(
        &mut self,
        scope: &Scope<'s>,
        worker: Local<'_>,
    ) -> Result<Local<'s>, WorkloadError> {
        self.effort.load(scope, worker, STATE, "the state of a worker")
    }

    /// The turn of a worker that was sent work.
    pub(super) fn turn(
        &mut self,
        scope: &mut Scope<'_>,
        worker: Local<'_>,
        work: &[u8],
    ) -> Result<(), WorkloadError> {
        let mut state = Vec::new();
        scope.read(self.state(scope, worker)?, &mut state);
        let state = added(&state, work);
        let fresh = self.effort.alloc(scope, &[], &state)?;
        self.effort.store(scope, worker, STATE, Some(fresh))?;
        if let (Some(lives), Some(number)) = (&mut self.lives, number(scope, worker)) {
            lives.state(scope.handle(fresh), object_bytes(0, state.len() as u64), number)?;
        }
        if self.closing {
            return Ok(());
        }
        if self.roll(self.chances.worker_spawn) {
            for _ in 0..self.times() {
                let child = self.spawn(scope)?;
                self.acquaint(scope, worker, child)?;
            }
        }
        let (sends, acquaints) =
            (self.roll(self.chances.worker_send), self.roll(self.chances.worker_acquaint));
        if !sends && !acquaints {
            return Ok(());
        }
        let contacts = self.contacts(scope, worker)?;
        if contacts.is_empty() {
            return Ok(());
        }
        if sends {
            for _ in 0..self.times() {
                let to = self.select(&contacts);
                self.write(scope, to, &[], Word::Work(state.clone()));
            }
        }
        if acquaints {
            let owner = self.select(&contacts);
            let whom = self.select_some(scope, &contacts, Some(owner));
            self.write(scope, owner, &whom, Word::Acquaint);
        }
        Ok(())
    }

    /// This node holds a worker by itself until it lets go.
    pub(super) fn leaves(&mut self, worker: Handle) {
        if let Some(lives) = &mut self.lives {
            lives.leaves(worker);
        }
    }

    /// The last moment of a scope, or of a letter.
    pub(super) fn let_go(&mut self) {
        if let Some(lives) = &mut self.lives {
            lives.let_go();
        }
    }

    /// Writes a letter to a worker, wherever it is.
    pub(super) fn write(&mut self, scope: &Scope<'_>, to: Local<'_>, with: &[Local<'_>], word: Word) {
        let home = scope.handle(to).node;
        let references = std::iter::once(&to).chain(with).map(|&worker| scope.pin(worker)).collect();
        self.out.push(Letter { home, references, word });
    }
}

/// The number of a worker of this node; none if this is something else.
fn number(scope: &Scope<'_>, worker: Local<'_>) -> Option<usize> {
    if scope.payload_len(worker) != 8 {
        return None;
    }
    let mut bytes = Vec::with_capacity(8);
    scope.read(worker, &mut bytes);
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// Both added number by number, as far as both go.
fn added(state: &[u8], work: &[u8]) -> Vec<u8> {
    let (state, _) = state.as_chunks::<4>();
    let (work, _) = work.as_chunks::<4>();
    let sum = |(a, b): (&[u8; 4], &[u8; 4])| u32::from_le_bytes(*a).wrapping_add(u32::from_le_bytes(*b));
    state.iter().zip(work).map(sum).flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use gc_heap::{Heap, HeapConfig};

    use super::*;

    #[test]
    fn work_is_added_to_the_state_as_far_as_both_go() {
        assert_eq!(added(&[1, 0, 0, 0, 2, 0, 0, 0], &[5, 0, 0, 0]), [6, 0, 0, 0]);
        assert_eq!(added(&[255, 255, 255, 255], &[1, 0, 0, 0, 9]), [0, 0, 0, 0]);
    }

    #[test]
    fn workers_are_told_from_anything_else_and_work_makes_letters() {
        let heap = Heap::new(HeapConfig { node: 1, ..HeapConfig::with_limit(1 << 20) }).unwrap();
        let mut shop = Shop::new(&RandomWorkersSpec::default(), 1, vec![2]);
        heap.mutator().scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| shop.spawn(scope).unwrap()).collect();
            for &worker in &workers {
                shop.verify(scope, worker).unwrap();
                shop.acquaint(scope, workers[0], worker).unwrap();
            }
            assert_eq!(shop.contacts(scope, workers[0]).unwrap().len(), 4);
            let contact = scope.load(workers[0], CONTACTS).unwrap().unwrap();
            let forged = scope.alloc(&[None, None], &2_u64.to_le_bytes()).unwrap();
            for other in [contact, forged] {
                let error = shop.verify(scope, other).unwrap_err();
                assert!(matches!(error, WorkloadError::Corrupted { .. }), "{error}");
            }
            for _ in 0..100 {
                shop.turn(scope, workers[0], &[1; 40]).unwrap();
            }
            assert!(shop.out.iter().all(|letter| letter.home == 1 && !letter.references.is_empty()));
            let letters = std::mem::take(&mut shop.out).len();
            assert!((50..200).contains(&letters), "{letters}");
            shop.closing = true;
            shop.turn(scope, workers[0], &[1; 40]).unwrap();
            assert!(shop.out.is_empty());
        });
    }

    #[test]
    fn without_cycles_nobody_comes_to_know_an_older_one() {
        let heap = Heap::new(HeapConfig { node: 1, ..HeapConfig::with_limit(1 << 20) }).unwrap();
        let spec = RandomWorkersSpec { acyclic: true, ..RandomWorkersSpec::default() };
        let mut shop = Shop::new(&spec, 1, vec![2]);
        heap.mutator().scope(|scope| {
            let workers: Vec<_> = (0..9).map(|_| shop.spawn(scope).unwrap()).collect();
            let mut seen = 0;
            for _ in 0..200 {
                for whom in shop.select_some(scope, &workers, Some(workers[4])) {
                    assert!(number(scope, whom) > Some(4));
                    seen += 1;
                }
            }
            assert!(seen > 50, "{seen}");
        });
    }
}
