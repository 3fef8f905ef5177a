//! The swap as a table of steps, and as a property: whatever happens, something sound serves.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const A: Id = Id(1);
const B: Id = Id(2);
const C: Id = Id(3);

fn step(swap: &mut Swap, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    swap.step(event, &mut effects);
    effects
}

fn steps(effects: &[Effect]) -> Vec<Step> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Record(_, step, _) = effect { Some(*step) } else { None })
        .collect()
}

fn serve(swap: &mut Swap, id: Id) -> Vec<Effect> {
    let mut effects = step(swap, Event::Requested { id, plan: Plan::Serve });
    effects.extend(step(swap, Event::Loaded { id }));
    effects.extend(step(swap, Event::RehearsalPassed { id }));
    effects
}

fn failed(reason: &str) -> Event {
    Event::CycleFailed { reason: reason.into() }
}

#[test]
fn a_good_candidate_serves_and_becomes_sound_after_its_probation() {
    let mut swap = Swap::new(A, 2);
    let effects = serve(&mut swap, B);
    assert_eq!(steps(&effects), [Step::Requested, Step::Loaded, Step::Rehearsed, Step::Exchanged]);
    assert!(effects.contains(&Effect::Answer(B, Answer::Serving)));
    assert_eq!(swap.tenure(), Tenure::Probation { warm: Some(A), cycles_left: 2, canary: false });
    assert_eq!(step(&mut swap, Event::CyclePassed), []);
    assert_eq!(step(&mut swap, Event::CyclePassed), [Effect::Record(B, Step::Sound, None), Effect::Cool(A)]);
    assert_eq!((swap.serving(), swap.tenure()), (B, Tenure::Sound));
}

#[test]
fn a_candidate_that_fails_on_probation_gives_way_to_the_warm_one() {
    let mut swap = Swap::new(A, 3);
    serve(&mut swap, B);
    let effects = step(&mut swap, failed("trapped"));
    assert_eq!(
        effects,
        [
            Effect::Record(B, Step::ProbationFailed, Some("trapped".into())),
            Effect::Exchange(A),
            Effect::Record(A, Step::RolledBack, None),
            Effect::Forget(B),
        ]
    );
    assert_eq!((swap.serving(), swap.tenure()), (A, Tenure::Sound));
}

#[test]
fn a_broken_budget_rolls_back_on_probation_and_is_only_noted_later() {
    let broken = || Event::BudgetBroken { reason: "pause of 2ms".into() };
    let mut swap = Swap::new(A, 1);
    assert_eq!(steps(&step(&mut swap, broken())), [Step::OverBudget]);
    serve(&mut swap, B);
    assert_eq!(steps(&step(&mut swap, broken())), [Step::ProbationFailed, Step::RolledBack]);
    assert_eq!(swap.serving(), A);
}

#[test]
fn a_candidate_that_fails_earlier_changes_nothing() {
    for event in [
        Event::LoadFailed { id: B, reason: "no component".into() },
        Event::RehearsalFailed { id: B, reason: "refused".into() },
    ] {
        let mut swap = Swap::new(A, 3);
        step(&mut swap, Event::Requested { id: B, plan: Plan::Serve });
        if matches!(event, Event::RehearsalFailed { .. }) {
            step(&mut swap, Event::Loaded { id: B });
        }
        let effects = step(&mut swap, event);
        assert!(effects.contains(&Effect::Forget(B)));
        assert!(matches!(effects.last(), Some(Effect::Answer(B, Answer::Failed(_)))));
        assert_eq!((swap.serving(), swap.tenure(), swap.phase()), (A, Tenure::Sound, Phase::Quiet));
    }
}

#[test]
fn a_sound_one_that_fails_leaves_hold_until_the_one_before_it_is_back() {
    let mut swap = Swap::new(A, 1);
    serve(&mut swap, B);
    step(&mut swap, Event::CyclePassed);
    let effects = step(&mut swap, failed("deadline"));
    assert_eq!(steps(&effects), [Step::Faulted, Step::Held, Step::Returning]);
    assert_eq!(effects.last(), Some(&Effect::Load(A)));
    assert_eq!(swap.serving(), Id::HOLD);
    step(&mut swap, Event::Loaded { id: A });
    step(&mut swap, Event::RehearsalPassed { id: A });
    assert_eq!(
        (swap.serving(), swap.tenure()),
        (A, Tenure::Probation { warm: None, cycles_left: 1, canary: false })
    );
    step(&mut swap, Event::CyclePassed);
    let effects = step(&mut swap, failed("again"));
    assert_eq!(steps(&effects), [Step::Faulted, Step::Held]);
    assert_eq!((swap.serving(), swap.phase()), (Id::HOLD, Phase::Quiet));
}

#[test]
fn a_candidate_on_its_way_takes_over_from_hold() {
    let mut swap = Swap::new(A, 1);
    step(&mut swap, Event::Requested { id: B, plan: Plan::Serve });
    assert_eq!(steps(&step(&mut swap, failed("trap"))), [Step::Faulted, Step::Held]);
    step(&mut swap, Event::Loaded { id: B });
    step(&mut swap, Event::RehearsalPassed { id: B });
    assert_eq!(swap.serving(), B);
}

#[test]
fn a_swap_during_probation_keeps_the_sound_one_warm() {
    let mut swap = Swap::new(A, 5);
    serve(&mut swap, B);
    let effects = serve(&mut swap, C);
    assert!(effects.contains(&Effect::Forget(B)));
    assert_eq!(swap.tenure(), Tenure::Probation { warm: Some(A), cycles_left: 5, canary: false });
    step(&mut swap, failed("refused"));
    assert_eq!(swap.serving(), A);
}

#[test]
fn one_candidate_at_a_time() {
    let mut swap = Swap::new(A, 5);
    step(&mut swap, Event::Requested { id: B, plan: Plan::Serve });
    let effects = step(&mut swap, Event::Requested { id: C, plan: Plan::Shadow { cycles: 2 } });
    assert!(effects.contains(&Effect::Answer(C, Answer::Busy)));
    assert_eq!(swap.phase(), Phase::Loading { id: B, plan: Plan::Serve });
}

#[test]
fn a_shadow_runs_its_cycles_and_goes() {
    let mut swap = Swap::new(A, 5);
    step(&mut swap, Event::Requested { id: B, plan: Plan::Shadow { cycles: 2 } });
    assert!(step(&mut swap, Event::Loaded { id: B }).contains(&Effect::Shadow(B)));
    assert_eq!(step(&mut swap, Event::ShadowPassed { id: B }), []);
    let effects = step(&mut swap, Event::ShadowPassed { id: B });
    assert!(effects.contains(&Effect::Answer(B, Answer::Shadowed)) && effects.contains(&Effect::Forget(B)));
    assert_eq!((swap.serving(), swap.phase()), (A, Phase::Quiet));
}

fn canary(swap: &mut Swap, id: Id, shadow_cycles: u32) -> Vec<Effect> {
    let plan = Plan::Canary { shadow_cycles, probation_cycles: 2 };
    let mut effects = step(swap, Event::Requested { id, plan });
    effects.extend(step(swap, Event::Loaded { id }));
    for _ in 0..shadow_cycles {
        effects.extend(step(swap, Event::ShadowPassed { id }));
    }
    effects.extend(step(swap, Event::RehearsalPassed { id }));
    effects
}

fn answers(effects: &[Effect]) -> Vec<(Id, Answer)> {
    let answer = |effect: &Effect| match effect {
        Effect::Answer(id, answer) => Some((*id, answer.clone())),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

#[test]
fn a_canary_is_shadowed_rehearsed_and_promoted_for_a_reason() {
    let mut swap = Swap::new(A, 5);
    let effects = canary(&mut swap, B, 2);
    let way = [Step::CanaryRequested, Step::Loaded, Step::ShadowEnded, Step::Rehearsed, Step::Exchanged];
    assert_eq!(steps(&effects), way);
    assert_eq!(answers(&effects), [], "it is not decided");
    assert_eq!(swap.tenure(), Tenure::Probation { warm: Some(A), cycles_left: 2, canary: true });
    let kept = || Event::BudgetKept { reason: "p999 of 2us".into() };
    assert_eq!(step(&mut swap, kept()), []);
    let effects = step(&mut swap, kept());
    assert_eq!(effects[0], Effect::Record(B, Step::Sound, Some("p999 of 2us".into())));
    assert_eq!(answers(&effects), [(B, Answer::Promoted("p999 of 2us".into()))]);
    assert_eq!((swap.serving(), swap.tenure()), (B, Tenure::Sound));
}

#[test]
fn a_canary_that_breaks_its_budget_is_rolled_back_and_that_is_the_answer() {
    let mut swap = Swap::new(A, 5);
    let effects = canary(&mut swap, B, 0);
    assert_eq!(steps(&effects), [Step::CanaryRequested, Step::Loaded, Step::Rehearsed, Step::Exchanged]);
    let effects = step(&mut swap, Event::BudgetBroken { reason: "max of 2ms".into() });
    assert_eq!(steps(&effects), [Step::ProbationFailed, Step::RolledBack]);
    assert_eq!(answers(&effects), [(B, Answer::RolledBack("max of 2ms".into()))]);
    assert_eq!((swap.serving(), swap.tenure()), (A, Tenure::Sound));
}

#[test]
fn a_canary_that_is_not_decided_is_answered_all_the_same() {
    let mut swap = Swap::new(A, 5);
    canary(&mut swap, B, 1);
    let effects = serve(&mut swap, C);
    assert!(matches!(&answers(&effects)[0], (B, Answer::RolledBack(why)) if why.contains("took its place")));
    assert_eq!(swap.tenure(), Tenure::Probation { warm: Some(A), cycles_left: 5, canary: false });
    let mut swap = Swap::new(A, 5);
    canary(&mut swap, B, 1);
    assert_eq!(answers(&step(&mut swap, Event::Stopped)), [(B, Answer::Stopped)]);
    assert_eq!(answers(&step(&mut swap, failed("late"))), [], "it was answered");
}

#[test]
fn a_probation_of_no_cycles_is_over_at_once() {
    let mut swap = Swap::new(A, 0);
    let effects = serve(&mut swap, B);
    assert!(effects.contains(&Effect::Cool(A)));
    assert_eq!(swap.tenure(), Tenure::Sound);
}

/// Does what the machine says, and checks that it can be done.
#[derive(Default)]
struct Performer {
    serving: Option<Id>,
    attached: BTreeSet<Id>,
    forgotten: BTreeSet<Id>,
    due: Vec<Effect>,
    asked: BTreeMap<Id, u32>,
    answered: BTreeMap<Id, u32>,
}

impl Performer {
    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match &effect {
                Effect::Load(id) => {
                    assert!(!self.attached.contains(id), "{id} is attached and is loaded again");
                    assert!(!self.forgotten.contains(id), "{id} was forgotten and is loaded again");
                    self.due.push(effect);
                }
                Effect::Rehearse(id) | Effect::Shadow(id) => {
                    assert!(self.attached.contains(id));
                    self.due.push(effect);
                }
                Effect::Exchange(id) => {
                    assert!(*id == Id::HOLD || self.attached.contains(id), "{id} serves and is not attached");
                    self.serving = Some(*id);
                }
                Effect::Cool(id) => assert!(self.attached.remove(id), "{id} is cooled and was not attached"),
                Effect::Forget(id) => {
                    self.attached.remove(id);
                    self.forgotten.insert(*id);
                }
                Effect::Answer(id, _) => *self.answered.entry(*id).or_default() += 1,
                Effect::Record(..) => {}
            }
        }
    }

    fn check(&self, swap: &Swap) {
        assert_eq!(self.serving, Some(swap.serving()));
        let serving = swap.serving();
        assert!(
            serving == Id::HOLD || self.attached.contains(&serving),
            "{serving} serves and is not attached"
        );
        assert!(!self.forgotten.contains(&serving));
        assert_eq!(serving == Id::HOLD, swap.tenure() == Tenure::Held);
        assert!(self.attached.len() <= 3, "attached: {:?}", self.attached);
        if let Tenure::Probation { warm: Some(warm), .. } = swap.tenure() {
            assert!(self.attached.contains(&warm), "the warm one {warm} is cold");
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Request {
        plan: Plan,
    },
    /// The oldest thing that is due comes about, well or not.
    Due {
        well: bool,
    },
    Cycle {
        well: bool,
    },
    OverBudget,
    Stray {
        id: u32,
        which: u8,
    },
}

fn plans() -> impl Strategy<Value = Plan> {
    prop_oneof![
        2 => Just(Plan::Serve),
        1 => (1..4u32).prop_map(|cycles| Plan::Shadow { cycles }),
        2 => (0..3u32, 1..4u32)
            .prop_map(|(shadow_cycles, probation_cycles)| Plan::Canary { shadow_cycles, probation_cycles }),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => plans().prop_map(|plan| Move::Request { plan }),
        6 => prop::bool::weighted(0.8).prop_map(|well| Move::Due { well }),
        6 => prop::bool::weighted(0.8).prop_map(|well| Move::Cycle { well }),
        1 => Just(Move::OverBudget),
        1 => (0..12u32, 0..6u8).prop_map(|(id, which)| Move::Stray { id, which }),
    ]
}

fn due(performer: &mut Performer, well: bool) -> Option<Event> {
    if performer.due.is_empty() {
        return None;
    }
    let reason = "bad luck".to_owned();
    Some(match performer.due.remove(0) {
        Effect::Load(id) if well => {
            performer.attached.insert(id);
            Event::Loaded { id }
        }
        Effect::Load(id) => Event::LoadFailed { id, reason },
        Effect::Rehearse(id) if well => Event::RehearsalPassed { id },
        Effect::Rehearse(id) => Event::RehearsalFailed { id, reason },
        Effect::Shadow(id) if well => {
            performer.due.push(Effect::Shadow(id));
            Event::ShadowPassed { id }
        }
        Effect::Shadow(id) => Event::ShadowFailed { id, reason },
        other => unreachable!("{other:?} is never due"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens in whatever order: somebody attached serves, the warm one is warm, every request is answered.
    #[test]
    fn any_order_of_events_keeps_the_invariants(
        probation in 0..4u32,
        moves in prop::collection::vec(moves(), 1..60),
    ) {
        let initial = Id::given(0);
        let mut given = 1;
        let mut swap = Swap::new(initial, probation);
        let mut performer =
            Performer { serving: Some(initial), attached: [initial].into(), ..Performer::default() };
        for next in moves {
            let event = match next {
                Move::Request { plan } => {
                    let id = Id::given(given);
                    given += 1;
                    performer.asked.insert(id, 1);
                    Some(Event::Requested { id, plan })
                }
                Move::Due { well } => due(&mut performer, well),
                Move::Cycle { well: true } => Some(Event::CyclePassed),
                Move::Cycle { well: false } => Some(failed("bad luck")),
                Move::OverBudget => Some(Event::BudgetBroken { reason: "too long".into() }),
                Move::Stray { id, which } => {
                    // Only ids that are not the candidate's: nobody else can speak for the candidate.
                    let id = Id::given(id);
                    let candidate = match swap.phase() {
                        Phase::Quiet => None,
                        Phase::Loading { id, .. } | Phase::Rehearsing { id, .. } | Phase::Shadowing { id, .. } => Some(id),
                    };
                    let reason = "late".to_owned();
                    let unused = id >= Id::given(given);
                    (candidate != Some(id) && !unused).then_some(match which {
                        0 => Event::Loaded { id },
                        1 => Event::LoadFailed { id, reason },
                        2 => Event::RehearsalPassed { id },
                        3 => Event::RehearsalFailed { id, reason },
                        4 => Event::ShadowPassed { id },
                        _ => Event::ShadowFailed { id, reason },
                    })
                }
            };
            let Some(event) = event else { continue };
            let effects = step(&mut swap, event);
            // A shadow run that is over leaves nothing due.
            if !matches!(swap.phase(), Phase::Shadowing { .. }) {
                performer.due.retain(|effect| !matches!(effect, Effect::Shadow(_)));
            }
            performer.perform(effects);
            performer.check(&swap);
        }
        performer.perform(step(&mut swap, Event::Stopped));
        prop_assert_eq!(swap.phase(), Phase::Quiet);
        for (id, asked) in &performer.asked {
            prop_assert!(performer.answered.get(id).copied().unwrap_or(0) >= *asked, "{} was never answered", id);
        }
        let late = Id::given(given);
        let effects = step(&mut swap, Event::Requested { id: late, plan: Plan::Serve });
        prop_assert_eq!(effects.last(), Some(&Effect::Answer(late, Answer::Stopped)));
    }
}
