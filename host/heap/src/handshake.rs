//! Handshakes, the barrier, and the proof that no reachable object is missed.
//!
//! Nothing stops the world. A cycle is begun, and its verdict made safe, by *handshakes*: the collector asks every mutator to do a small thing (switch its
//! barrier, hand its log over, copy its locals out), each mutator does it at the beginning of its own next operation, and for a mutator that is
//! between operations the collector does it on its behalf. No mutator waits for another to answer. Only one that looks up a handle whose fate is being
//! decided waits for the decision, and with it for operations of others that began before it: an allocation writes its payload in one.
//!
//! # Who may touch what
//!
//! A mutator stores `BUSY` before an operation, then passes a light fence, then looks for a request. The collector posts the request, then passes a
//! heavy fence, then looks at the state. So either the collector sees `BUSY`, and waits, or the mutator sees the request, and answers it before it does
//! anything else. (Asymmetric fences: Dice, Huang, Yang 2001; Linux `membarrier(2)`.) Hence, once the collector has seen `IDLE` after the heavy fence:
//!
//! 1. *Until the request is answered, the mutator adds nothing to its log and its locals.* It may end scopes, and so hold less.
//!
//! A request is answered by one exchange of the mutator's word, from the one that asks to the one that was asked for. The mutator tries it when it has
//! copied its locals, and so does the collector for a mutator that it has seen idle. One of the two exchanges succeeds.
//!
//! 2. *Neither waits for the other's answer.* Whoever comes second finds the word changed, and goes on. So it does not matter when the kernel puts one of
//!    the two aside: nothing that the collector holds keeps a mutator from its operation.
//! 3. *An exchange that succeeds stands for copies that were complete.* The collector's: by (1) nothing was added between its look at the state and
//!    its exchange, for an answer in between would have made it fail. If it fails, the copies may be of anything, and are thrown away. The
//!    mutator's: they are its own. If its exchange fails, what it copied is there twice, as one root is often there twice.
//! 4. *No exchange answers another request than the one that was read.* A bit of the word turns over with every answer, so the word before one
//!    handshake is not the word before the next; and there cannot be two more handshakes while a mutator is inside an answer, for it is `BUSY`.
//!    A request that was overwritten between the two looks at it belongs to a word that the exchange will not find.
//!
//! What a mutator puts down (records, references snooped, objects looked up or retired) goes through lanes that it alone writes and the collector
//! alone reads, see [`crate::mutator::lane`]. Locals lie in a chain that only grows. No lock is shared.
//!
//! # A cycle
//!
//! ```text
//!  begin   young bitmap cleared
//!  H1      SNOOP on: references stored are remembered as roots; new cells are young
//!  H2      log epoch e → e+1: the first store to a cell logs its old references; the log of e is closed
//!          named roots, pins and scions are copied
//!  H3      SNOOP off; locals are copied
//!  …       the strategy works; whenever it is idle: flush (hand over what was logged and looked up; that is shaded)
//!  verdict C = proposed ∧ allocated ∧ ¬young ∧ ¬root
//!  scan    every reference of every cell outside C
//!  H4      flush; look-ups of C wait from here on
//!          in a cycle over nodes: the other nodes are asked
//!  decide  C goes, or part of it, or the verdict is refused
//!  H5      barrier off (or on, for a strategy that needs every change)
//! ```
//!
//! # Why no reachable object is in C
//!
//! Let R be all references that were copied at H3 or with the named roots, snooped, logged as old references in e+1, or looked up since H1. Let S
//! be the allocated cells outside C at the scan. Checked: R ∩ C = ∅, and no reference that the scan saw leads into C. *Claim: from H4 on, no mutator
//! holds, loads or finds a cell of C.*
//!
//! Suppose a mutator A holds X ∈ C at a time after its own H4, and take the first such event over all mutators since H3. X is not young and not in R.
//! So A did not have X as a local at its H3, and did not look it up; it loaded X, after its H3, from a slot Y.s (a named root or a pin counts as a
//! slot, with the copy between H2 and H3 in the place of the scan). Look at the last store that had put X there:
//!
//! 1. By a mutator between its H1 and its H3. Then X was snooped: X ∈ R.
//! 2. By a mutator B after its H3. Then B held X before A did, after its own H3: A's event was not the first. (B may have got X by allocating it: then it is young.)
//! 3. By a mutator before its H1. When A loads X all mutators have passed H2, because H3 begins when H2 has ended everywhere. From the end of H1 until A's load Y.s
//!    held X. Look at the scan. If the scan read X in Y.s, then X ∉ C, for Y ∉ C: A held Y before it held X. Otherwise the scan read Y.s after a
//!    later store had replaced X. The first store to Y in e+1 was logged with the old references of Y, read after the end of H1 (log epoch e+1 begins with H2) and before
//!    any store that Y's stamp could have hidden; if it came before the replacement, or was it, then X was still there: X ∈ R. The store that
//!    replaced X came after A's load, so after H2 everywhere, so it was by a mutator in e+1, so it was logged or Y had been. And the log is in R, because the
//!    operation had begun before the scan read its effect, and the flush H4 waits for the end of an operation that is under way.
//!
//! Two things are needed beside. A local is a root of its own mutator alone, so a store of a reference is always by a mutator that holds it ("B held
//! X" in case 2): locals of one mutator are refused by another. And where part of C is withheld, what mutators did to the withheld part since the scan is
//! found by flushing until nothing new in C turns up.
//!
//! Hence the proof needs no trust in whoever proposed C. Nor does it need a moment at which everything stands still.
//!
//! Young cells are never in C. That a strategy need not trace them follows in the same way: whatever was stored in them after H1 was snooped, or held by its storer.
//!
//! # Late look-ups
//!
//! A handle is weak: looking it up during a cycle can revive an object that the strategy rightly found dead. Such look-ups are remembered, and between
//! the scan and the decision they, with everything in C that they lead to, are *withheld*: taken out of C. From H4 on a look-up of a cell in C
//! waits until the decision has fallen, so that no answer is taken back. After the decision what is in C is gone, also while the collector is still
//! carrying that out cell by cell.
//!
//! # Stubs and scions
//!
//! A *stub* is a cell without references that stands for an object of another node; nobody stores to it, so it is never logged, and above it is a cell like any other. A
//! mutator gets it as it gets any object, or *imports* it: that makes a fresh cell, which is young while a cycle runs, or looks an old one up.
//!
//! A *scion* holds an object for other nodes. It is a slot that nobody can load from: there is no operation that reads it. So it never is the Y.s of the claim, and
//! holding and releasing need no barrier. What remains is that to hold an object is to look it up.
//!
//! These look-ups are not made in step with the handshakes, for their caller may be no mutator, and must not wait ([`crate::remote`]). They are made under a lock, and
//! each finds one of three things there:
//!
//! 1. *No cycle runs.* The collector takes the lock before H1. So the scion is in the table when that is copied; an import's local is in the chain that H3 copies, because
//!    the operation that put it there had begun before H1.
//! 2. *A cycle runs, and no verdict has fallen.* Then X is put down in the same step. A flush takes it, and it is in R, or withheld as a late look-up, with
//!    everything in C that it leads to. The verdict falls under the lock, and not while something in C is put down there: so each is taken before the decision.
//! 3. *The verdict has fallen.* Then what is in C is gone, as for everybody. An import makes a fresh stub, whose cell is another.
//!
//! So the claim holds with them: where it says that A did not look X up since H1, that covers look-ups in step and under the lock.
//!
//! # Cycles over nodes
//!
//! Here scions are no roots, but for those that the others name. Read the claim again: it never used that R holds the scions, only that R is what mutators can begin
//! from. So, as long as nobody looks C up through a scion, from H4 on no mutator of this heap holds, loads or finds a cell of C. When a scion may be ignored is
//! settled between the nodes; the essay of gc-protocol's `mark` module has that proof, of which this is the local part. Three things follow for this heap:
//!
//! 1. *Look-ups by mutators wait from H4 until the others have answered*, which may take long. Letting one revive X in C would take back what this node has said. The others may
//!    have swept what X leads to by then.
//! 2. *For the same reason this heap cannot give up once its verdict is out.* It can ask the others to, and wait for the answer.
//! 3. *Look-ups at once need not wait.* They are made for the protocol: a reference to X has arrived, or was mentioned. If X is in C the protocol knows that too, for it was told what
//!    C has of stubs and of held objects, and it votes against: nothing falls. Should the verdict fall all the same, X is withheld with all that it leads to here, by 2 of the
//!    section before, so no reference of this heap leads nowhere even so. A look-up by handle that the protocol has not asked for is not made at
//!    once: an event loop asks with [`Scope::try_resolve`](crate::Scope::try_resolve), which does not revive what is undecided.
//!
//! # The change log
//!
//! For counting strategies the log of e is complete when H2 has ended everywhere: one record per changed cell, with the references that it had when it was first
//! changed in e. Its references at the end of e are those that it has at the next record, or now, if it has not been logged since: read the cell, then its stamp; when the
//! stamp is e+1 by then, the record of e+1 has them (a flush brings it over). So the changes of a cell chain without a gap, whatever the mutators
//! do meanwhile, and counts that follow them are exact as of the boundary. (Levanoni and Petrank 2001, *sliding views*; the barrier with both uses: LXR, Zhao,
//! Blackburn, McKinley 2022; the snapshot: Yuasa 1990; handshakes: Doligez, Leroy, Gonthier 1993/1994.)
//!
//! A mutator still in e that stores to a cell stamped e+1 does not log: the record of e+1 is the later one and covers it. Its reference was snooped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_memory::fence;

use crate::heap::Inner;
use crate::mutator::shared::{Ends, Handshake, IDLE, Shared, Taken};
use crate::sync::{back_off, lock, point};

/// Who takes part in handshakes, and what they are to know when they join.
pub(crate) struct Registry {
    /// Mutators, and those that have left something behind. Shared with the collector while it goes through them, so that whoever joins or leaves
    /// meanwhile does not wait for it.
    members: Arc<Vec<Arc<Shared>>>,
    phase: Handshake,
    /// There have been stubs: [`mode::STUBS`].
    stubs: bool,
    gone: Allocated,
}

/// What mutators have allocated.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Allocated {
    pub(crate) cells: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Allocated {
    fn add(&mut self, shared: &Shared) {
        self.cells += shared.allocated_cells.load(Ordering::Relaxed);
        self.objects += shared.allocated_objects.load(Ordering::Relaxed);
        self.bytes += shared.allocated_bytes.load(Ordering::Relaxed);
    }
}

impl Registry {
    pub(crate) fn new() -> Registry {
        let phase = Handshake { mode: 0, epoch: 1, publish: false };
        Registry { members: Arc::default(), phase, stubs: false, gone: Allocated::default() }
    }

    pub(crate) fn register(&mut self) -> (Arc<Shared>, Ends) {
        let (shared, ends) = Shared::new(self.phase);
        if self.stubs {
            shared.expect_stubs();
        }
        let shared = Arc::new(shared);
        Arc::make_mut(&mut self.members).push(Arc::clone(&shared));
        (shared, ends)
    }

    /// A mutator goes. It holds no locals any more. What it has put down and nobody has taken stays, and so does its place among the members until then.
    pub(crate) fn leave(&mut self, shared: &Arc<Shared>) {
        shared.leave();
        if shared.is_empty() {
            self.remove(|member| Arc::ptr_eq(member, shared));
        }
    }

    /// There will be stubs from here on.
    pub(crate) fn expect_stubs(&mut self) {
        if !self.stubs {
            self.stubs = true;
            self.members.iter().for_each(|member| member.expect_stubs());
        }
    }

    fn remove(&mut self, is_gone: impl Fn(&Arc<Shared>) -> bool) {
        let gone = &mut self.gone;
        Arc::make_mut(&mut self.members).retain(|member| {
            let stays = !is_gone(member);
            if !stays {
                gone.add(member);
            }
            stays
        });
    }

    pub(crate) fn members(&self) -> Arc<Vec<Arc<Shared>>> {
        Arc::clone(&self.members)
    }

    /// What was allocated since the start, and how many mutators there are.
    pub(crate) fn allocated(&self) -> (Allocated, u64) {
        let mut sum = self.gone;
        self.members.iter().for_each(|member| sum.add(member));
        (sum, self.members.iter().filter(|member| !member.has_left()).count() as u64)
    }
}

impl Inner {
    /// Carries a handshake out with every mutator, and returns when each has answered. One at a time: only the collector calls this. What was published
    /// on behalf of mutators is added to `roots`; what they publish themselves lies in their lanes.
    pub(crate) fn handshake(&self, wanted: Handshake, roots: &mut Vec<u32>) {
        let members = {
            let mut registry = lock(&self.registry);
            // Whoever joins from here on is where the others are to get.
            registry.phase = Handshake { publish: false, ..wanted };
            registry.members()
        };
        members.iter().for_each(|member| member.post(wanted));
        point();
        // Pairs with the light fence at the beginning of every operation.
        fence::heavy();
        for member in members.iter() {
            let mut round = 0;
            while member.word().is_pending() {
                // Acquire: pairs with the Release store at the end of an operation.
                if member.state.load(Ordering::Acquire) == IDLE {
                    point();
                    member.answer_for(roots);
                } else {
                    back_off(&mut round);
                }
            }
        }
    }

    /// The mode and epoch that mutators are in.
    pub(crate) fn phase(&self) -> Handshake {
        lock(&self.registry).phase
    }

    /// Takes what mutators have put down. Only the collector calls this.
    pub(crate) fn take(&self) -> Taken {
        let members = lock(&self.registry).members();
        let mut taken = Taken::default();
        let mut left = false;
        for member in members.iter() {
            left |= member.has_left();
            member.take(&mut taken);
        }
        if left {
            lock(&self.registry).remove(|member| member.has_left() && member.is_empty());
        }
        lock(&self.remote).take_late(&mut taken.acquired);
        taken
    }

    /// The oldest grace epoch in which a scope began that was open when locals were last published.
    pub(crate) fn oldest_scope(&self) -> u64 {
        let members = lock(&self.registry).members();
        members.iter().map(|member| member.published_grace()).min().unwrap_or(u64::MAX)
    }
}
