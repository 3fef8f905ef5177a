//! The object graph on which collectors are compared: the Rust twin of the generator that `peers/README.md` defines.
//!
//! Every reference is a pure function of the number of objects and the object it starts from, so nothing has to be stored or shared to build the
//! same graph in four languages: [`Graph::references`] answers for any object in any order. [`Graph::facts`] gives the figures by which two
//! programs prove to each other that they built the same one.
//!
//! 1. An object that is *kept* refers only to kept ones; so at most half of the graph can be reached from the roots, which are all kept.
//! 2. Numbers stand in the order of allocation. Half of the references stay within 64 objects, half go anywhere.

/// References that every object has room for.
pub const SLOTS: usize = 4;
/// Roots of every graph.
pub const ROOTS: u32 = 1000;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const KEPT_SALT: u64 = 0xD1B5_4A32_D192_ED03;
const REACH: u64 = 64;

/// A graph of a given size; the size is all there is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph {
    objects: u32,
}

/// What a graph consists of; equal for every program that generates it rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// References that are not empty.
    pub edges: u64,
    /// Wrapping sum over all references of a hash of source, slot and target.
    pub fingerprint: u64,
    /// Objects that the roots reach, the roots included.
    pub live: u64,
}

impl Graph {
    /// The graph of `objects` objects.
    ///
    /// # Panics
    ///
    /// With fewer objects than [`ROOTS`].
    pub fn new(objects: u32) -> Self {
        assert!(objects >= ROOTS, "graph of {objects} objects: ask for at least {ROOTS}");
        Self { objects }
    }

    /// Number of objects; they are called `0..objects`.
    pub fn objects(self) -> u32 {
        self.objects
    }

    /// What object `from` refers to, slot by slot.
    pub fn references(self, from: u32) -> [Option<u32>; SLOTS] {
        let mut draws = Draws { state: mix(u64::from(from)) };
        let open = !kept(from);
        std::array::from_fn(|_| {
            let mut draw = draws.next();
            if draw & 15 < 5 {
                return None;
            }
            let local = draw & 16 != 0;
            loop {
                let target = self.target(from, draw, local);
                if open || kept(target) {
                    return Some(target);
                }
                draw = draws.next();
            }
        })
    }

    /// The roots in order; an object may be named twice where the graph is small.
    pub fn roots(self) -> impl Iterator<Item = u32> {
        (0..u64::from(ROOTS)).map(move |root| {
            let mut object = narrow(root * u64::from(self.objects) / u64::from(ROOTS));
            while !kept(object) {
                object = (object + 1) % self.objects;
            }
            object
        })
    }

    /// Counts edges and live objects. Takes about a second for ten million objects and five bytes for each.
    pub fn facts(self) -> Facts {
        let mut facts = Facts { edges: 0, fingerprint: 0, live: 0 };
        for from in 0..self.objects {
            for (slot, target) in (0..).zip(self.references(from)) {
                let Some(target) = target else { continue };
                facts.edges += 1;
                facts.fingerprint = facts.fingerprint.wrapping_add(trace(from, slot, target));
            }
        }
        facts.live = self.count_live();
        facts
    }

    fn count_live(self) -> u64 {
        let mut seen = vec![0_u64; self.objects as usize / 64 + 1];
        let mut first_visit = |object: u32| {
            let (word, bit) = (object as usize / 64, 1 << (object % 64));
            let first = seen[word] & bit == 0;
            seen[word] |= bit;
            first
        };
        let mut pending: Vec<u32> = self.roots().filter(|root| first_visit(*root)).collect();
        let mut live = 0;
        while let Some(object) = pending.pop() {
            live += 1;
            pending
                .extend(self.references(object).into_iter().flatten().filter(|target| first_visit(*target)));
        }
        live
    }

    fn target(self, from: u32, draw: u64, local: bool) -> u32 {
        let (from, objects) = (u64::from(from), u64::from(self.objects));
        if !local {
            return narrow(((draw >> 32) * objects) >> 32);
        }
        let distance = 1 + (draw >> 5) % REACH;
        narrow(if draw & 2048 != 0 {
            (from + distance) % objects
        } else {
            (from + objects - distance) % objects
        })
    }
}

struct Draws {
    state: u64,
}

impl Draws {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }
}

fn kept(object: u32) -> bool {
    mix(u64::from(object).wrapping_add(KEPT_SALT)) & 1 == 1
}

fn trace(from: u32, slot: u64, target: u32) -> u64 {
    mix((u64::from(from) << 32 | u64::from(target)).wrapping_add(slot.wrapping_mul(GOLDEN)))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn narrow(object: u64) -> u32 {
    u32::try_from(object).expect("a remainder of a 32-bit number fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_agree_with_the_programs_in_go_java_and_c() {
        let facts = Graph::new(200_000).facts();
        assert_eq!((facts.fingerprint, facts.live), (0x1217_279c_8a06_dafb, 92_005), "{facts:?}");
    }

    #[test]
    fn shape_is_the_stated_one() {
        let graph = Graph::new(100_000);
        let facts = graph.facts();
        let degree = facts.edges as f64 / 100_000.0;
        let live = facts.live as f64 / 100_000.0;
        assert!((2.73..2.77).contains(&degree), "out-degree {degree}");
        assert!((0.45..0.47).contains(&live), "live {live}");
    }

    #[test]
    fn kept_objects_refer_only_to_kept_ones() {
        let graph = Graph::new(20_000);
        assert!(graph.roots().all(kept));
        for object in (0..20_000).filter(|object| kept(*object)) {
            assert!(graph.references(object).into_iter().flatten().all(kept), "object {object}");
        }
    }
}
