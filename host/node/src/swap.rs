//! The decisions of a swap: which strategy serves, which is tried, which is kept for the way back.
//!
//! A pure state machine: what happened goes in, what is to be done comes out. It reads no clock, loads nothing and never fails, so that all its
//! paths can be walked by a test. The collector thread performs the effects.
//!
//! ```text
//!            Requested          Loaded              RehearsalPassed
//!   Quiet ─────────────▶ Loading ─────▶ Rehearsing ───────────────▶ Quiet, candidate serves on probation
//!     ▲                     │               │ failed                    │ N cycles passed: sound, predecessor let go
//!     └─────────────────────┴───────────────┘                           │ failed: roll back to the warm predecessor
//!                           │ Loaded, plan is a shadow run              ▼
//!                           └──────────▶ Shadowing ── N cycles ──▶ Quiet, nothing changed
//!                                            └── it is a canary ──▶ Rehearsing, as above
//! ```
//!
//! A canary is all of it in one: shadow, rehearsal, probation. Whoever asked is answered when it is decided, and not when it comes to serve.
//!
//! 1. Somebody serves at every moment. `hold`, which frees nothing, needs no code and no memory, and stands in when nobody sound is left.
//! 2. A candidate serves only after a rehearsal whose verdict passed the proof.
//! 3. While one is on probation the last sound one is kept *warm* (attached), unless there was none.
//! 4. A strategy that failed is forgotten and never asked again. When a sound one fails, the sound one before it is loaded again and must pass
//!    rehearsal and probation like any other; `hold` serves meanwhile.
//! 5. Every request is answered once. At most three strategies are attached: serving, warm, candidate.

use std::fmt;

use crate::limits::SOUND_MAX;

/// Names one strategy among those that this node has been given. Never used twice.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    /// The native strategy that frees nothing.
    pub const HOLD: Id = Id(0);

    /// The `n`-th strategy given to this node, counted from 0.
    #[must_use]
    pub fn given(n: u32) -> Id {
        Id(n.saturating_add(1))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is to become of a candidate.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It takes over after a rehearsal.
    Serve,
    /// It runs beside the serving one for this many cycles, is compared, and goes.
    Shadow {
        /// At least 1.
        cycles: u32,
    },
    /// It runs beside the serving one, takes over after a rehearsal, and stays if it keeps its budget.
    Canary {
        /// Cycles beside the serving one; none if 0.
        shadow_cycles: u32,
        /// Cycles that it serves on probation: at least 1.
        probation_cycles: u32,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants a strategy.
    Requested {
        /// An id that was never used before.
        id: Id,
        /// What for.
        plan: Plan,
    },
    /// A candidate is loaded, compiled and attached.
    Loaded {
        /// Which.
        id: Id,
    },
    /// A candidate could not be loaded or attached.
    LoadFailed {
        /// Which.
        id: Id,
        /// Why.
        reason: String,
    },
    /// The verdict of a rehearsal passed the proof.
    RehearsalPassed {
        /// Whose.
        id: Id,
    },
    /// A rehearsal ended otherwise.
    RehearsalFailed {
        /// Whose.
        id: Id,
        /// Why.
        reason: String,
    },
    /// A shadow cycle was compared.
    ShadowPassed {
        /// Whose.
        id: Id,
    },
    /// The shadow faulted or its verdict failed the proof.
    ShadowFailed {
        /// Which.
        id: Id,
        /// Why.
        reason: String,
    },
    /// The serving strategy ended a cycle well.
    CyclePassed,
    /// The serving strategy faulted, or its verdict was refused.
    CycleFailed {
        /// Why.
        reason: String,
    },
    /// The serving strategy ended a cycle well and has kept its budget so far.
    BudgetKept {
        /// Which budget, and how well.
        reason: String,
    },
    /// The serving strategy kept a mutator waiting, or took memory, beyond what was allowed.
    BudgetBroken {
        /// Which budget, and by how much.
        reason: String,
    },
    /// The node shuts down.
    Stopped,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Load, compile and attach, aside.
    Load(Id),
    /// Run a cycle of it whose verdict is proved and not carried out.
    Rehearse(Id),
    /// Let it take part in the next cycles as a shadow.
    Shadow(Id),
    /// From the next cycle on this one serves. It is attached, or it is [`Id::HOLD`].
    Exchange(Id),
    /// Detach it, keep its code.
    Cool(Id),
    /// Detach it and let its code go.
    Forget(Id),
    /// Tell whoever asked for it.
    Answer(Id, Answer),
    /// Write it down.
    Record(Id, Step, Option<String>),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The candidate serves, on probation.
    Serving,
    /// The shadow run is over.
    Shadowed,
    /// The canary served its probation, kept its budget, and stays.
    Promoted(String),
    /// The canary served, and does not any more: why, and who came back.
    RolledBack(String),
    /// It did not get that far. The strategy that served goes on.
    Failed(String),
    /// Another candidate is being tried.
    Busy,
    /// The node is shutting down.
    Stopped,
}

/// A line of the journal.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Step {
    /// A swap was asked for.
    Requested,
    /// A shadow run was asked for.
    ShadowRequested,
    /// A canary was asked for.
    CanaryRequested,
    /// Refused because another candidate is being tried.
    Busy,
    /// Loaded and attached.
    Loaded,
    /// Could not be loaded.
    LoadFailed,
    /// Its rehearsal passed the proof.
    Rehearsed,
    /// Its rehearsal failed.
    RehearsalFailed,
    /// It serves.
    Exchanged,
    /// It ended its probation well.
    Sound,
    /// It failed on probation.
    ProbationFailed,
    /// It failed when it was sound.
    Faulted,
    /// It serves again after its successor failed.
    RolledBack,
    /// `hold` serves because nobody sound is attached.
    Held,
    /// It is loaded again after its successor failed.
    Returning,
    /// It broke a budget when it was sound; it goes on.
    OverBudget,
    /// Its shadow run is over.
    ShadowEnded,
    /// It failed as a shadow.
    ShadowFailed,
    /// The node stopped before it was through.
    Withdrawn,
}

impl Step {
    /// The word used in the journal and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Step::Requested => "requested",
            Step::ShadowRequested => "shadow-requested",
            Step::CanaryRequested => "canary-requested",
            Step::Busy => "busy",
            Step::Loaded => "loaded",
            Step::LoadFailed => "load-failed",
            Step::Rehearsed => "rehearsed",
            Step::RehearsalFailed => "rehearsal-failed",
            Step::Exchanged => "exchanged",
            Step::Sound => "sound",
            Step::ProbationFailed => "probation-failed",
            Step::Faulted => "faulted",
            Step::RolledBack => "rolled-back",
            Step::Held => "held",
            Step::Returning => "returning",
            Step::OverBudget => "over-budget",
            Step::ShadowEnded => "shadow-ended",
            Step::ShadowFailed => "shadow-failed",
            Step::Withdrawn => "withdrawn",
        }
    }
}

/// How far the candidate is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Quiet,
    /// Being loaded aside.
    Loading {
        /// Which.
        id: Id,
        /// What for.
        plan: Plan,
    },
    /// Its rehearsal is due.
    Rehearsing {
        /// Which.
        id: Id,
        /// What for.
        plan: Plan,
    },
    /// Runs beside the serving one.
    Shadowing {
        /// Which.
        id: Id,
        /// What for.
        plan: Plan,
        /// Cycles to go.
        cycles_left: u32,
    },
}

/// How far the serving strategy is trusted.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Tenure {
    /// It has served its probation, or was there from the start.
    Sound,
    /// It is watched.
    Probation {
        /// Who comes back if it fails.
        warm: Option<Id>,
        /// Cycles to go.
        cycles_left: u32,
        /// Whether somebody waits for the end of it.
        canary: bool,
    },
    /// It is `hold`, because nobody sound is attached.
    Held,
}

/// The machine.
#[derive(Debug)]
pub struct Swap {
    probation_cycles: u32,
    serving: Id,
    tenure: Tenure,
    phase: Phase,
    /// Who served soundly, oldest first; the last is the present one or the one to return to.
    sound: Vec<Id>,
    stopped: bool,
}

impl Swap {
    /// `initial` is attached, and trusted because the operator chose it.
    #[must_use]
    pub fn new(initial: Id, probation_cycles: u32) -> Swap {
        Swap {
            probation_cycles,
            serving: initial,
            tenure: Tenure::Sound,
            phase: Phase::Quiet,
            sound: vec![initial],
            stopped: false,
        }
    }

    /// Who serves.
    #[must_use]
    pub fn serving(&self) -> Id {
        self.serving
    }

    /// How far it is trusted.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// How far the candidate is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes in what happened; appends what is to be done.
    pub fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        use Phase::{Loading, Quiet, Rehearsing, Shadowing};
        match (self.phase, event) {
            (Quiet, Event::Requested { id, plan }) => self.requested(id, plan, effects),
            (Loading { .. } | Rehearsing { .. } | Shadowing { .. }, Event::Requested { id, .. }) => {
                effects.push(Effect::Record(id, Step::Busy, None));
                effects.push(Effect::Forget(id));
                effects.push(Effect::Answer(id, Answer::Busy));
            }

            (Loading { id, plan }, Event::Loaded { id: which }) if which == id => {
                self.loaded(id, plan, effects)
            }
            (Loading { id, .. }, Event::LoadFailed { id: which, reason }) if which == id => {
                self.candidate_failed(id, Step::LoadFailed, reason, effects);
            }
            (Rehearsing { id, plan }, Event::RehearsalPassed { id: which }) if which == id => {
                self.rehearsed(id, plan, effects)
            }
            (Rehearsing { id, .. }, Event::RehearsalFailed { id: which, reason }) if which == id => {
                self.candidate_failed(id, Step::RehearsalFailed, reason, effects);
            }
            (Shadowing { id, plan, cycles_left }, Event::ShadowPassed { id: which }) if which == id => {
                self.shadowed(id, plan, cycles_left, effects);
            }
            (Shadowing { id, .. }, Event::ShadowFailed { id: which, reason }) if which == id => {
                self.candidate_failed(id, Step::ShadowFailed, reason, effects);
            }

            // News of somebody who is no candidate any more, such as one that was being loaded when the node stopped.
            (
                Quiet | Loading { .. } | Rehearsing { .. } | Shadowing { .. },
                Event::Loaded { id }
                | Event::LoadFailed { id, .. }
                | Event::RehearsalPassed { id }
                | Event::RehearsalFailed { id, .. }
                | Event::ShadowPassed { id }
                | Event::ShadowFailed { id, .. },
            ) => self.stray(id, effects),

            (Quiet | Loading { .. } | Rehearsing { .. } | Shadowing { .. }, Event::CyclePassed) => {
                self.cycle_passed(None, effects);
            }
            (Quiet | Loading { .. } | Rehearsing { .. } | Shadowing { .. }, Event::BudgetKept { reason }) => {
                self.cycle_passed(Some(reason), effects);
            }
            (
                Quiet | Loading { .. } | Rehearsing { .. } | Shadowing { .. },
                Event::CycleFailed { reason },
            ) => {
                self.serving_failed(reason, effects);
            }
            (
                Quiet | Loading { .. } | Rehearsing { .. } | Shadowing { .. },
                Event::BudgetBroken { reason },
            ) => {
                self.budget_broken(reason, effects);
            }

            (Quiet, Event::Stopped) => self.stop(effects),
            (Loading { id, .. } | Rehearsing { id, .. } | Shadowing { id, .. }, Event::Stopped) => {
                self.stop(effects);
                self.phase = Quiet;
                effects.push(Effect::Record(id, Step::Withdrawn, None));
                effects.push(Effect::Forget(id));
                effects.push(Effect::Answer(id, Answer::Stopped));
            }
        }
        self.return_to_sound(effects);
    }

    fn requested(&mut self, id: Id, plan: Plan, effects: &mut Vec<Effect>) {
        if self.stopped {
            effects.push(Effect::Forget(id));
            effects.push(Effect::Answer(id, Answer::Stopped));
            return;
        }
        let step = match plan {
            Plan::Serve => Step::Requested,
            Plan::Shadow { .. } => Step::ShadowRequested,
            Plan::Canary { .. } => Step::CanaryRequested,
        };
        self.phase = Phase::Loading { id, plan };
        effects.push(Effect::Record(id, step, None));
        effects.push(Effect::Load(id));
    }

    fn loaded(&mut self, id: Id, plan: Plan, effects: &mut Vec<Effect>) {
        effects.push(Effect::Record(id, Step::Loaded, None));
        match plan {
            Plan::Serve | Plan::Canary { shadow_cycles: 0, .. } => self.rehearse(id, plan, effects),
            Plan::Shadow { cycles } | Plan::Canary { shadow_cycles: cycles, .. } => {
                self.phase = Phase::Shadowing { id, plan, cycles_left: cycles.max(1) };
                effects.push(Effect::Shadow(id));
            }
        }
    }

    fn rehearse(&mut self, id: Id, plan: Plan, effects: &mut Vec<Effect>) {
        self.phase = Phase::Rehearsing { id, plan };
        effects.push(Effect::Rehearse(id));
    }

    /// Whoever waits for the end of a probation that does not come to its end.
    fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.stopped = true;
        if let Tenure::Probation { canary, .. } = &mut self.tenure
            && std::mem::take(canary)
        {
            effects.push(Effect::Answer(self.serving, Answer::Stopped));
        }
    }

    fn candidate_failed(&mut self, id: Id, step: Step, reason: String, effects: &mut Vec<Effect>) {
        self.phase = Phase::Quiet;
        effects.push(Effect::Record(id, step, Some(reason.clone())));
        effects.push(Effect::Forget(id));
        effects.push(Effect::Answer(id, Answer::Failed(reason)));
    }

    fn rehearsed(&mut self, id: Id, plan: Plan, effects: &mut Vec<Effect>) {
        self.phase = Phase::Quiet;
        let warm = match self.tenure {
            Tenure::Sound => Some(self.serving),
            Tenure::Held => None,
            // The one on probation has not earned that anybody returns to it.
            Tenure::Probation { warm, canary, .. } => {
                if canary {
                    let reason = "another strategy took its place before it was decided";
                    effects.push(Effect::Answer(self.serving, Answer::RolledBack(reason.into())));
                }
                effects.push(Effect::Forget(self.serving));
                warm
            }
        };
        self.serving = id;
        effects.push(Effect::Record(id, Step::Rehearsed, None));
        effects.push(Effect::Exchange(id));
        effects.push(Effect::Record(id, Step::Exchanged, None));
        let (cycles_left, canary) = match plan {
            Plan::Canary { probation_cycles, .. } => (probation_cycles.max(1), true),
            Plan::Serve | Plan::Shadow { .. } => (self.probation_cycles, false),
        };
        self.tenure = Tenure::Probation { warm, cycles_left, canary };
        if !canary {
            effects.push(Effect::Answer(id, Answer::Serving));
        }
        if cycles_left == 0 {
            self.become_sound(warm, None, effects);
        }
    }

    fn shadowed(&mut self, id: Id, plan: Plan, cycles_left: u32, effects: &mut Vec<Effect>) {
        if cycles_left > 1 {
            self.phase = Phase::Shadowing { id, plan, cycles_left: cycles_left - 1 };
            return;
        }
        effects.push(Effect::Record(id, Step::ShadowEnded, None));
        if let Plan::Canary { .. } = plan {
            self.rehearse(id, plan, effects);
            return;
        }
        self.phase = Phase::Quiet;
        effects.push(Effect::Answer(id, Answer::Shadowed));
        effects.push(Effect::Forget(id));
    }

    fn stray(&self, id: Id, effects: &mut Vec<Effect>) {
        let warm = match self.tenure {
            Tenure::Probation { warm, .. } => warm,
            Tenure::Sound | Tenure::Held => None,
        };
        let candidate = match self.phase {
            Phase::Quiet => None,
            Phase::Loading { id, .. } | Phase::Rehearsing { id, .. } | Phase::Shadowing { id, .. } => {
                Some(id)
            }
        };
        let known =
            id == self.serving || warm == Some(id) || candidate == Some(id) || self.sound.contains(&id);
        if !known {
            effects.push(Effect::Forget(id));
        }
    }

    fn cycle_passed(&mut self, kept: Option<String>, effects: &mut Vec<Effect>) {
        match self.tenure {
            Tenure::Sound | Tenure::Held => {}
            Tenure::Probation { warm, cycles_left, canary } if cycles_left <= 1 => {
                self.become_sound(warm, kept.clone(), effects);
                if canary {
                    let why = kept.unwrap_or_default();
                    effects.push(Effect::Answer(self.serving, Answer::Promoted(why)));
                }
            }
            Tenure::Probation { warm, cycles_left, canary } => {
                self.tenure = Tenure::Probation { warm, cycles_left: cycles_left - 1, canary };
            }
        }
    }

    fn become_sound(&mut self, warm: Option<Id>, why: Option<String>, effects: &mut Vec<Effect>) {
        self.tenure = Tenure::Sound;
        self.sound.push(self.serving);
        effects.push(Effect::Record(self.serving, Step::Sound, why));
        if let Some(warm) = warm {
            effects.push(Effect::Cool(warm));
        }
        if self.sound.len() > SOUND_MAX {
            effects.push(Effect::Forget(self.sound.remove(0)));
        }
    }

    fn serving_failed(&mut self, reason: String, effects: &mut Vec<Effect>) {
        let failed = self.serving;
        match self.tenure {
            // `hold` cannot fail.
            Tenure::Held => return,
            Tenure::Sound => {
                self.sound.pop();
                effects.push(Effect::Record(failed, Step::Faulted, Some(reason)));
                self.hold(effects);
            }
            Tenure::Probation { warm, canary, .. } => {
                effects.push(Effect::Record(failed, Step::ProbationFailed, Some(reason.clone())));
                match warm {
                    Some(warm) => {
                        self.serving = warm;
                        self.tenure = Tenure::Sound;
                        effects.push(Effect::Exchange(warm));
                        effects.push(Effect::Record(warm, Step::RolledBack, None));
                    }
                    None => self.hold(effects),
                }
                if canary {
                    effects.push(Effect::Answer(failed, Answer::RolledBack(reason)));
                }
            }
        }
        effects.push(Effect::Forget(failed));
    }

    fn hold(&mut self, effects: &mut Vec<Effect>) {
        self.serving = Id::HOLD;
        self.tenure = Tenure::Held;
        effects.push(Effect::Exchange(Id::HOLD));
        effects.push(Effect::Record(Id::HOLD, Step::Held, None));
    }

    fn budget_broken(&mut self, reason: String, effects: &mut Vec<Effect>) {
        match self.tenure {
            Tenure::Held => {}
            Tenure::Sound => effects.push(Effect::Record(self.serving, Step::OverBudget, Some(reason))),
            Tenure::Probation { .. } => self.serving_failed(reason, effects),
        }
    }

    /// Invariant 4: `hold` is no place to stay while somebody sound is left and the way is free.
    fn return_to_sound(&mut self, effects: &mut Vec<Effect>) {
        if self.tenure != Tenure::Held || self.phase != Phase::Quiet || self.stopped {
            return;
        }
        if let Some(id) = self.sound.pop() {
            self.phase = Phase::Loading { id, plan: Plan::Serve };
            effects.push(Effect::Record(id, Step::Returning, None));
            effects.push(Effect::Load(id));
        }
    }
}

#[cfg(test)]
#[path = "swap_tests.rs"]
mod tests;
