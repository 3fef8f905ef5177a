//! Any order of changes, against a naive model and against what the protocol takes.

use std::collections::BTreeSet;

use gc_protocol::Faults;
use gc_protocol::exile::Exile;
use proptest::prelude::*;

use super::*;

fn member(number: u32, incarnation: u64) -> Member {
    Member {
        name: format!("n{number}"),
        incarnation,
        address: format!("127.0.0.1:{}", 7000 + number).parse().unwrap(),
        nonce: u64::from(number) << 32 | incarnation,
        since: 0,
    }
}

fn founded(seat: bool) -> Membership {
    Membership::found(("shop", 9), seat, 1, member(1, 1))
}

#[derive(Debug, Clone)]
enum Change {
    Admit(u32, u64),
    Exile(u32, u64),
    Propose { client: u32, by: u32 },
    Withdraw { client: u32, by: u32 },
    Take(u32),
}

fn change() -> impl Strategy<Value = Change> {
    let number = 1..6u32;
    prop_oneof![
        3 => (number.clone(), 1..4u64).prop_map(|(number, life)| Change::Admit(number, life)),
        1 => (number.clone(), 1..4u64).prop_map(|(number, life)| Change::Exile(number, life)),
        4 => (number.clone(), number.clone()).prop_map(|(client, by)| Change::Propose { client, by }),
        1 => (number.clone(), number.clone()).prop_map(|(client, by)| Change::Withdraw { client, by }),
        3 => number.prop_map(Change::Take),
    ]
}

/// Everything that ever was, kept for good.
#[derive(Default)]
struct Model {
    memberships: Vec<(u64, BTreeSet<Life>)>,
    proposals: BTreeSet<(Life, Life)>,
    taken: Taken,
    out: BTreeSet<Life>,
}

impl Model {
    fn note(&mut self, membership: &Membership) {
        let lives: BTreeSet<Life> = membership.lives().into_keys().collect();
        if let Some((_, before)) = self.memberships.last() {
            self.out.extend(before.difference(&lives));
        }
        self.memberships.push((membership.epoch, lives));
        self.proposals.clear();
    }

    fn may_exile(&self, client: Life) -> bool {
        let first = self.memberships.iter().find(|(_, lives)| lives.contains(&client)).unwrap().0;
        let taken = self.taken.get(&client.node.0).filter(|(life, _)| *life == client.incarnation.0);
        let believes = taken.map_or(first, |&(_, epoch)| epoch.max(first));
        self.memberships.iter().filter(|(epoch, _)| *epoch >= believes).all(|(_, lives)| {
            let by = |life: &&Life| self.proposals.contains(&(client, **life));
            2 * lives.iter().filter(by).count() >= lives.len()
        })
    }
}

fn apply(membership: &Membership, model: &mut Model, change: &Change) -> Option<Membership> {
    match *change {
        Change::Admit(number, life) => membership.admit(number, &member(number, life)).ok()?,
        Change::Exile(number, life) => membership.exile(Life::new(number, life)).ok()?,
        Change::Propose { client, by } => {
            let (client, by) = (membership.life_of(client)?, membership.life_of(by)?);
            if client != by {
                model.proposals.insert((client, by));
            }
            match membership.propose(client, membership.epoch, by, &model.taken) {
                Proposed::Moot => None,
                Proposed::Counted(next) => {
                    assert!(!model.may_exile(client), "{client} stays although half of all have given it up");
                    Some(next)
                }
                Proposed::Exiled(next) => {
                    assert!(model.may_exile(client), "{client} is out, and may not have fenced itself");
                    Some(next)
                }
            }
        }
        Change::Withdraw { client, by } => {
            let (client, by) = (membership.life_of(client)?, membership.life_of(by)?);
            assert_eq!(membership.withdraw(client, by).is_some(), model.proposals.remove(&(client, by)));
            membership.withdraw(client, by)
        }
        Change::Take(number) => {
            let life = membership.life_of(number)?.incarnation.0;
            model.taken.insert(number, (life, membership.epoch));
            None
        }
    }
}

proptest! {
    #[test]
    fn every_membership_is_one_that_the_protocol_takes(
        changes in proptest::collection::vec(change(), 1..120),
        seat in proptest::bool::ANY,
    ) {
        let mut membership = founded(seat);
        let (mut model, mut protocol) = (Model::default(), Exile::new(Faults::default()));
        let lives = |membership: &Membership| membership.lives().into_keys().collect();
        model.note(&membership);
        protocol.change(membership.epoch(), lives(&membership)).unwrap();
        for change in &changes {
            // Where there is a seat, nobody proposes.
            if seat && matches!(change, Change::Propose { .. }) {
                continue;
            }
            let Some(next) = apply(&membership, &mut model, change) else { continue };
            prop_assert_eq!(next.fault(), None);
            if next.epoch != membership.epoch {
                prop_assert_eq!(next.epoch, membership.epoch + 1);
                model.note(&next);
                let now: BTreeSet<Life> = lives(&next);
                prop_assert!(now.is_disjoint(&model.out), "{:?} came back", now.intersection(&model.out));
                prop_assert!(!seat || next.members.contains_key(&1), "the seat is out");
                protocol.change(next.epoch(), now).unwrap();
            } else {
                prop_assert_eq!(next.lives(), membership.lives());
            }
            let text = serde_json::to_string(&next).unwrap();
            prop_assert_eq!(serde_json::from_str::<Membership>(&text).unwrap(), next.clone());
            membership = next;
        }
    }
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let two = founded(true).admit(2, &member(2, 3)).unwrap().unwrap();
    assert_eq!(two.admit(2, &member(2, 3)), Ok(None), "it is in already");
    let twin = Member { nonce: 1, ..member(2, 3) };
    assert_eq!(two.admit(2, &twin), Err(ChangeRefused::Twin("n2".into())));
    let older = ChangeRefused::OlderLife { name: "n2".into(), present: 3, theirs: 2 };
    assert_eq!(two.admit(2, &member(2, 2)), Err(older));
    let same_name = Member { name: "n2".into(), ..member(4, 1) };
    assert!(matches!(two.admit(4, &same_name), Err(ChangeRefused::SameName { .. })));
    let same_number = Member { name: "n4".into(), ..member(2, 4) };
    assert!(matches!(two.admit(2, &same_number), Err(ChangeRefused::SameName { .. })));
    let without = two.exile(Life::new(2, 3)).unwrap().unwrap();
    let over = ChangeRefused::LifeOver { name: "n2".into(), left: 3, theirs: 3 };
    assert_eq!(without.admit(2, &member(2, 3)), Err(over));
    assert!(without.admit(2, &member(2, 4)).unwrap().is_some());
}

#[test]
fn a_later_life_takes_the_place_of_the_earlier() {
    let two = founded(true).admit(2, &member(2, 1)).unwrap().unwrap();
    let back = two.admit(2, &member(2, 2)).unwrap().unwrap();
    assert_eq!((back.epoch, back.life_of(2)), (3, Some(Life::new(2, 2))));
    assert!(!back.has(Life::new(2, 1)) && back.left[&2] == 1);
    assert_eq!(back.exile(Life::new(2, 1)), Ok(None), "it is out already");
}

#[test]
fn a_seat_that_restarts_stays_the_seat_and_nobody_exiles_it() {
    let again = founded(true).admit(1, &member(1, 2)).unwrap().unwrap();
    assert_eq!((again.seat, again.life_of(1)), (Some(1), Some(Life::new(1, 2))));
    assert_eq!(again.exile(Life::new(1, 2)), Err(ChangeRefused::IsTheSeat("n1".into())));
}

#[test]
fn the_thousand_and_twenty_fifth_is_not_let_in() {
    let members = (1..=NODES_MAX as u32).map(|number| (number, member(number, 1))).collect();
    let membership = Membership::told(("shop", 9), Some(1), 7, members);
    assert_eq!(membership.fault(), None);
    assert_eq!(membership.admit(5000, &member(5000, 1)), Err(ChangeRefused::Full));
    assert!(membership.admit(7, &member(7, 2)).unwrap().is_some(), "a later life of a member is");
}

#[test]
fn what_is_forgotten_is_not_enough() {
    // Node 2 has taken nothing since it came in, and what it may believe in is not kept any more.
    let mut membership = founded(false).admit(2, &member(2, 1)).unwrap().unwrap();
    for life in 1..=HISTORY_MAX as u64 + 1 {
        membership = membership.admit(3, &member(3, life)).unwrap().unwrap();
    }
    assert_eq!(membership.history.len(), HISTORY_MAX);
    let client = Life::new(2, 1);
    let by = [membership.life_of(1).unwrap(), membership.life_of(3).unwrap()];
    let mut taken = Taken::new();
    for by in by {
        let Proposed::Counted(next) = membership.propose(client, membership.epoch, by, &taken) else {
            panic!("counted")
        };
        membership = next;
    }
    taken.insert(2, (1, membership.epoch));
    assert!(matches!(membership.propose(client, membership.epoch, by[0], &taken), Proposed::Exiled(_)));
}

#[test]
fn damaged_memberships_are_found_out() {
    let sound = founded(true).admit(2, &member(2, 1)).unwrap().unwrap();
    assert_eq!(sound.fault(), None);
    let mut faults = Vec::new();
    let mut broken = |change: &dyn Fn(&mut Membership)| {
        let mut membership = sound.clone();
        change(&mut membership);
        faults.push(membership.fault());
    };
    broken(&|m| m.epoch = 0);
    broken(&|m| m.epoch = 1 << 32);
    broken(&|m| m.cluster = "../x".into());
    broken(&|m| m.members.get_mut(&2).unwrap().name = "n1".into());
    broken(&|m| m.members.get_mut(&2).unwrap().name = "N 2".into());
    broken(&|m| m.members.get_mut(&2).unwrap().incarnation = 0);
    broken(&|m| m.left.extend([(2, 1)]));
    broken(&|m| m.members.retain(|&number, _| number != 1));
    assert!(faults.iter().all(Option::is_some), "{faults:?}");
}
