//! Pages in any order, repeated, mixed and made up.

use proptest::prelude::*;

use super::*;
use crate::limits::GOSSIP_BYTES_MAX;
use crate::members::message::Message;

fn membership(count: u32, epoch: u64) -> Membership {
    let member = |number: u32| Member {
        // The longest that there is of everything.
        name: format!("n{number:0>width$}", width = NAME_MAX - 1),
        incarnation: u64::MAX,
        address: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
        nonce: u64::MAX - u64::from(number),
        since: u64::MAX,
    };
    let members = (0..count).map(|at| (u32::MAX - count + at, member(at))).collect();
    Membership::told(("shop", u64::MAX), Some(u32::MAX - count), epoch, members)
}

#[test]
fn the_largest_cluster_fits_its_pages_and_each_page_a_datagram() {
    let pages = cut(&membership(1024, (1 << 32) - 1));
    assert!(pages.len() <= PAGES_MAX);
    for page in pages {
        assert!(postcard::to_allocvec(&page).unwrap().len() <= PAGE_BYTES_MAX + 40);
        assert!(Message::Page(page).encode().len() <= GOSSIP_BYTES_MAX);
    }
}

proptest! {
    #[test]
    fn in_any_order_and_repeated_they_make_the_same_membership(
        count in 1..60u32,
        order in proptest::collection::vec(0..1000usize, 400),
    ) {
        let whole = membership(count, 7);
        let (pages, old) = (cut(&whole), cut(&membership(count + 3, 6)));
        let mut assembly = Assembly::default();
        let mut found = None;
        for (at, pick) in order.iter().enumerate() {
            if at % 3 == 0 {
                let was_older = assembly.take("shop", 5, old[pick % old.len()].clone());
                prop_assert!(!matches!(was_older, Taken::Whole(ref got) if got.epoch != 6));
                continue;
            }
            let missing = usize::from(assembly.missing(7));
            let page = if at % 3 == 1 { missing } else { *pick % pages.len() };
            if let Taken::Whole(got) = assembly.take("shop", 5, pages[page].clone()) {
                found = Some(got);
                break;
            }
        }
        prop_assert_eq!(found, Some(whole));
    }
}

#[test]
fn pages_of_two_foundings_are_never_put_together() {
    let ours = cut(&membership(10, 7));
    let theirs: Vec<Page> = ours.iter().cloned().map(|page| Page { founding: 1, ..page }).collect();
    assert_eq!(ours.len(), 2);
    let mut assembly = Assembly::default();
    assert_eq!(assembly.take("shop", 0, ours[0].clone()), Taken::More);
    assert_eq!(assembly.take("shop", 0, theirs[1].clone()), Taken::More);
    assert_eq!(assembly.take("shop", 0, ours[1].clone()), Taken::More);
    assert!(matches!(assembly.take("shop", 0, ours[0].clone()), Taken::Whole(_)));
}

#[test]
fn a_made_up_membership_does_not_stand_in_the_way_for_good() {
    let real = cut(&membership(3, 7)).remove(0);
    let mut made_up = cut(&membership(12, (1 << 32) - 1)).remove(0);
    let mut assembly = Assembly::default();
    assert_eq!(assembly.take("shop", 0, made_up.clone()), Taken::More);
    assert_eq!(assembly.take("shop", 0, real.clone()), Taken::Known);
    for _ in 0..=IDLE_BEATS_MAX {
        assembly.beat();
    }
    assert!(matches!(assembly.take("shop", 0, real), Taken::Whole(_)));
    for (page, pages) in [(0, 0), (5, 5), (0, u16::MAX)] {
        (made_up.page, made_up.pages) = (page, pages);
        assert_eq!(assembly.take("shop", 0, made_up.clone()), Taken::Known);
    }
}
