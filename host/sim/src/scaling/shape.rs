//! Who refers to whom, and to what: the same at every node, however many there are.
//!
//! The nodes stand in a ring whose order is the seed's. Each refers to the three that stand at three distances from it, its *homes* by three *ways*; so each is referred
//! to by three, its *clients*. The first distance is one, so that the first way leads through every node.
//!
//! ```text
//!  roots of a node ──▶ stubs of wide objects, several times each
//!                  └─▶ stubs of step 0 at each home;  step i there ──▶ stubs of step i + 1 at *its* homes   (nothing else holds a step)
//!  ring object     ──▶ stub of the ring object one further, all the way round: garbage
//!  chain object    ──▶ stub of the chain object one further; only the first is held
//! ```

use gc_surroundings::Random;

/// Homes of a node, and clients.
pub(super) const WAYS: usize = 3;

/// Objects that follow each other over nodes: marks go so many rounds deep.
pub(super) const STEPS: usize = 8;

/// Exported objects that their home holds itself.
pub(super) const WIDE: usize = 8;

/// Objects of a node that hold the stub of the same wide object.
pub(super) const FOLD: usize = 4;

/// Rings of garbage, each through every node.
pub(super) const RINGS: usize = 8;

/// Live objects of a node that nobody else knows, and as many that are garbage.
pub(super) const LOCAL: usize = 64;

/// Which of the objects that a node exports, by its place in the list.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Exported {
    Step(usize),
    Wide,
    Ring(usize),
    Chain,
}

/// The objects that a node exports over a way, in order.
pub(super) fn exported(way: usize, chain: bool) -> impl Iterator<Item = Exported> {
    let everybody = (0..STEPS).map(Exported::Step).chain((0..WIDE).map(|_| Exported::Wide));
    let first = way == 0;
    let rings = (0..if first { RINGS } else { 0 }).map(Exported::Ring);
    everybody.chain(rings).chain((first && chain).then_some(Exported::Chain))
}

/// Who refers to whom.
pub(super) struct Shape {
    order: Vec<usize>,
    position: Vec<usize>,
    distances: [usize; WAYS],
}

impl Shape {
    pub(super) fn drawn(nodes: usize, random: &mut Random) -> Shape {
        let mut order: Vec<usize> = (0..nodes).collect();
        shuffle(&mut order, random);
        let mut position = vec![0; nodes];
        order.iter().enumerate().for_each(|(at, &place)| position[place] = at);
        let mut further: Vec<usize> = (2..nodes).collect();
        shuffle(&mut further, random);
        let mut distances = [1; WAYS];
        distances[1..].copy_from_slice(&further[..WAYS - 1]);
        Shape { order, position, distances }
    }

    /// Whose objects a node refers to by this way.
    pub(super) fn home(&self, place: usize, way: usize) -> usize {
        self.order[(self.position[place] + self.distances[way]) % self.order.len()]
    }

    /// Who refers to the objects of a node by this way.
    pub(super) fn client(&self, place: usize, way: usize) -> usize {
        let nodes = self.order.len();
        self.order[(self.position[place] + nodes - self.distances[way]) % nodes]
    }

    /// By which way a node refers to another.
    pub(super) fn way(&self, client: usize, home: usize) -> Option<usize> {
        (0..WAYS).find(|&way| self.home(client, way) == home)
    }
}

fn shuffle(list: &mut [usize], random: &mut Random) {
    for end in (1..list.len()).rev() {
        list.swap(end, random.below(end + 1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_node_has_three_homes_and_three_clients_and_the_first_way_leads_through_all() {
        for nodes in [4, 5, 16, 64] {
            let shape = Shape::drawn(nodes, &mut Random::new(nodes as u64));
            for place in 0..nodes {
                let homes: BTreeSet<usize> = (0..WAYS).map(|way| shape.home(place, way)).collect();
                assert!(homes.len() == WAYS && !homes.contains(&place), "{nodes}: {place} {homes:?}");
                assert!((0..WAYS).all(|way| shape.client(shape.home(place, way), way) == place));
                assert!((0..WAYS).all(|way| shape.way(place, shape.home(place, way)) == Some(way)));
            }
            let mut place = 0;
            let round: BTreeSet<usize> = (0..nodes)
                .map(|_| {
                    place = shape.home(place, 0);
                    place
                })
                .collect();
            assert_eq!(round.len(), nodes);
        }
    }
}
