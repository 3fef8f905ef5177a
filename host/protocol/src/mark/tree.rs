//! The tree over the members along which a cycle is steered: what all are to hear goes down it, and what all have to say is summed on the way up.
//!
//! ```text
//!               0               the first member: the root, which coordinates
//!       1       2       3       number i answers to (i - 1) / 3,
//!    4  5  6  7 8 9  10 ...     and hears 3i + 1 to 3i + 3
//! ```
//!
//! So a node deals with four others at most, however many there are. It is made from a membership and never changes.
//!
//! 1. Who sees the same members sees the same tree.
//! 2. Each member but the root is a child of exactly one other, its parent.

use std::collections::BTreeSet;

use crate::ids::Life;
use crate::limits::CYCLE_FAN_OUT;

/// A node's place in the tree. Without a root there are no members; without a parent the node is the root, or no member.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    root: Option<Life>,
    parent: Option<Life>,
    children: Vec<Life>,
}

impl Tree {
    /// The place of this node among these members.
    pub(super) fn of(me: Life, members: &BTreeSet<Life>) -> Tree {
        let at = |place: usize| members.iter().nth(place).copied();
        let root = at(0);
        let Some(place) = members.iter().position(|&member| member == me) else {
            return Tree { root, ..Tree::default() };
        };
        let parent = place.checked_sub(1).and_then(|before| at(before / CYCLE_FAN_OUT));
        let children = members.iter().skip(CYCLE_FAN_OUT * place + 1).take(CYCLE_FAN_OUT);
        Tree { root, parent, children: children.copied().collect() }
    }

    pub(super) fn root(&self) -> Option<Life> {
        self.root
    }

    pub(super) fn parent(&self) -> Option<Life> {
        self.parent
    }

    pub(super) fn children(&self) -> &[Life] {
        &self.children
    }

    pub(super) fn has_child(&self, life: Life) -> bool {
        self.children.contains(&life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_but_the_root_is_a_child_of_its_parent_and_of_nobody_else() {
        for count in 1..=60 {
            // Names need not be dense.
            let members: BTreeSet<Life> = (0..count).map(|number| Life::new(7 * number + 3, 2)).collect();
            let trees: Vec<(Life, Tree)> = members.iter().map(|&me| (me, Tree::of(me, &members))).collect();
            for (me, tree) in &trees {
                let parents: Vec<Life> =
                    trees.iter().filter(|(_, other)| other.has_child(*me)).map(|&(life, _)| life).collect();
                assert_eq!(parents, tree.parent().into_iter().collect::<Vec<_>>(), "{me} of {count}");
                assert_eq!(tree.parent().is_none(), tree.root() == Some(*me), "{me} of {count}");
                assert_eq!(tree.root(), members.first().copied());
                assert!(tree.children().len() <= CYCLE_FAN_OUT);
                // Downwards numbers rise, so every way up ends, and it ends at the root.
                assert!(tree.parent().is_none_or(|parent| parent < *me));
            }
        }
    }

    #[test]
    fn who_is_no_member_has_no_place() {
        let members = BTreeSet::from([Life::new(1, 1), Life::new(2, 1)]);
        for members in [&members, &BTreeSet::new()] {
            let tree = Tree::of(Life::new(2, 2), members);
            assert_eq!((tree.parent(), tree.children()), (None, &[][..]));
            assert_eq!(tree.root(), members.first().copied());
        }
    }
}
