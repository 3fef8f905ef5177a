//! The graph as a trace says that it was, without a heap: who refers to whom, and what is surely dead.
//!
//! Counts references, from slots, roots, pins and locals. An object whose count falls to zero is dead, and takes its references with it. That is exact
//! as long as no reference leads to a younger object than its holder, for then there are no cycles; once one does, an object with references may be
//! unreachable all the same, and [`Shadow::is_surely_alive`] says only what is sure.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Names an object of the shadow; 0 is none.
pub(crate) type Id = u32;

/// Slots from here on are kept in a table, so that an object of millions of empty slots takes no memory.
const NEAR_SLOTS: u32 = 4096;

/// A reference, with the serial number of its object: when that was replaced the reference is void.
#[derive(Debug, Copy, Clone, Default)]
struct Reference {
    id: Id,
    serial: u32,
}

#[derive(Debug, Default)]
struct Object {
    /// References to it, from wherever.
    count: u32,
    /// How many of them are locals.
    held: u32,
    dead: bool,
    /// Its cell has another object by now.
    gone: bool,
    /// Event that allocated it.
    born: u64,
    /// Event that used it last.
    used: u64,
    bytes: u64,
    /// How many slots it has.
    slot_count: u32,
    serial: u32,
    near: Vec<Reference>,
    far: Option<Box<FxHashMap<u32, Reference>>>,
}

impl Object {
    fn slot(&self, slot: u32) -> Reference {
        let far = || Some(*self.far.as_ref()?.get(&slot)?);
        self.near.get(slot as usize).copied().or_else(far).unwrap_or_default()
    }

    fn set(&mut self, slot: u32, value: Reference) -> Reference {
        if slot >= NEAR_SLOTS {
            return self.far.get_or_insert_default().insert(slot, value).unwrap_or_default();
        }
        if slot as usize >= self.near.len() {
            self.near.resize(slot as usize + 1, Reference::default());
        }
        std::mem::replace(&mut self.near[slot as usize], value)
    }

    fn references(&self) -> impl Iterator<Item = Reference> {
        self.near.iter().chain(self.far.iter().flat_map(|far| far.values())).copied()
    }
}

/// What an allocation makes.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Made {
    pub(crate) cell: u32,
    /// Slots in whole cells.
    pub(crate) slot_count: u32,
    pub(crate) bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shadow {
    objects: Vec<Object>,
    free: Vec<Id>,
    serial: u32,
    cells: FxHashMap<u32, Id>,
    roots: FxHashMap<Arc<str>, Reference>,
    pins: FxHashMap<u32, Reference>,
    /// A reference has led to a younger object than its holder.
    cyclic: bool,
    live_bytes: u64,
    live_bytes_max: u64,
}

impl Default for Shadow {
    fn default() -> Shadow {
        Shadow {
            objects: vec![Object::default()],
            free: Vec::new(),
            serial: 0,
            cells: FxHashMap::default(),
            roots: FxHashMap::default(),
            pins: FxHashMap::default(),
            cyclic: false,
            live_bytes: 0,
            live_bytes_max: 0,
        }
    }
}

impl Shadow {
    /// The object that a cell holds.
    pub(crate) fn object(&self, cell: u32) -> Option<Id> {
        self.cells.get(&cell).copied()
    }

    pub(crate) fn slot(&self, id: Id, slot: u32) -> Id {
        self.valid(self.objects[id as usize].slot(slot))
    }

    /// How many slots an object has, in whole cells.
    pub(crate) fn slot_count(&self, id: Id) -> u32 {
        self.objects[id as usize].slot_count
    }

    pub(crate) fn root(&self, name: &str) -> Id {
        self.roots.get(name).map_or(0, |&root| self.valid(root))
    }

    pub(crate) fn pinned(&self, place: u32) -> Id {
        self.pins.get(&place).map_or(0, |&pin| self.valid(pin))
    }

    /// Event that used an object last.
    pub(crate) fn used(&self, id: Id) -> u64 {
        self.objects[id as usize].used
    }

    /// Most bytes that were alive at once, garbage cycles included until their cells were used again.
    pub(crate) fn live_bytes_max(&self) -> u64 {
        self.live_bytes_max
    }

    pub(crate) fn is_cyclic(&self) -> bool {
        self.cyclic
    }

    pub(crate) fn is_dead(&self, id: Id) -> bool {
        self.objects[id as usize].dead
    }

    /// Whether the object is reachable beyond doubt.
    pub(crate) fn is_surely_alive(&self, id: Id) -> bool {
        let object = &self.objects[id as usize];
        object.held > 0 || (!object.dead && !self.cyclic)
    }

    /// A use at this event, by somebody who holds it.
    pub(crate) fn touch(&mut self, id: Id, event: u64) {
        self.objects[id as usize].used = event;
    }

    /// An object in a cell, held by whoever made it.
    pub(crate) fn allocate(&mut self, made: &Made, slots: &[Id], event: u64) -> Id {
        let Made { cell, slot_count, bytes } = *made;
        if let Some(old) = self.cells.get(&cell).copied() {
            self.replace(old);
        }
        self.serial = self.serial.wrapping_add(1);
        let object = Object {
            born: event,
            used: event,
            bytes,
            slot_count,
            serial: self.serial,
            near: slots.iter().map(|&id| self.reference(id)).collect(),
            ..Object::default()
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.objects[id as usize] = object;
                id
            }
            None => {
                self.objects.push(object);
                self.objects.len() as Id - 1
            }
        };
        for &slot in slots {
            self.refer(slot);
        }
        self.cells.insert(cell, id);
        self.live_bytes += bytes;
        self.live_bytes_max = self.live_bytes_max.max(self.live_bytes);
        self.hold(id);
        id
    }

    /// A mutator holds an object, which lives again if it was dead.
    pub(crate) fn hold(&mut self, id: Id) {
        self.refer(id);
        self.objects[id as usize].held += 1;
    }

    /// A mutator lets an object go.
    pub(crate) fn let_go(&mut self, id: Id) {
        self.objects[id as usize].held -= 1;
        self.drop_reference(id);
    }

    pub(crate) fn store(&mut self, id: Id, slot: u32, value: Id) {
        if value != 0 && self.objects[value as usize].born >= self.objects[id as usize].born {
            self.cyclic = true;
        }
        self.refer(value);
        let value = self.reference(value);
        let old = self.objects[id as usize].set(slot, value);
        self.drop_reference(self.valid(old));
    }

    pub(crate) fn set_root(&mut self, name: &Arc<str>, value: Id) {
        self.refer(value);
        let old = match value {
            0 => self.roots.remove(name),
            _ => self.roots.insert(Arc::clone(name), self.reference(value)),
        };
        self.drop_reference(old.map_or(0, |old| self.valid(old)));
    }

    pub(crate) fn pin(&mut self, place: u32, id: Id) {
        self.refer(id);
        let old = self.pins.insert(place, self.reference(id));
        self.drop_reference(old.map_or(0, |old| self.valid(old)));
    }

    pub(crate) fn unpin(&mut self, place: u32) {
        let old = self.pins.remove(&place);
        self.drop_reference(old.map_or(0, |old| self.valid(old)));
    }

    /// Adds a reference; a dead object lives again, with what it refers to.
    fn refer(&mut self, id: Id) {
        let mut again = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            if id != 0 {
                let object = &mut self.objects[id as usize];
                object.count += 1;
                if std::mem::take(&mut object.dead) {
                    self.live_bytes += object.bytes;
                    let object = &self.objects[id as usize];
                    // What has been replaced meanwhile does not come back.
                    again.extend(object.references().map(|reference| self.valid(reference)));
                }
            }
            next = again.pop();
        }
        self.live_bytes_max = self.live_bytes_max.max(self.live_bytes);
    }

    fn drop_reference(&mut self, id: Id) {
        let mut dying = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            if id != 0 {
                let object = &mut self.objects[id as usize];
                object.count -= 1;
                if object.count == 0 && object.gone {
                    self.free.push(id);
                } else if object.count == 0 {
                    object.dead = true;
                    self.live_bytes -= object.bytes;
                    let object = &self.objects[id as usize];
                    dying.extend(object.references().map(|reference| self.valid(reference)));
                }
            }
            next = dying.pop();
        }
    }

    fn reference(&self, id: Id) -> Reference {
        Reference { id, serial: self.objects[id as usize].serial }
    }

    /// What a reference leads to: nothing, when its object was replaced.
    fn valid(&self, reference: Reference) -> Id {
        let object = &self.objects[reference.id as usize];
        if object.serial == reference.serial && !object.gone { reference.id } else { 0 }
    }

    /// Another object comes into its cell. References to it are void from here on, and only those who hold it still name it.
    fn replace(&mut self, id: Id) {
        self.objects[id as usize].gone = true;
        let references: Vec<Id> =
            self.objects[id as usize].references().map(|reference| self.valid(reference)).collect();
        let object = &mut self.objects[id as usize];
        (object.near, object.far) = (Vec::new(), None);
        object.count = object.held;
        if object.held == 0 {
            self.free.push(id);
        }
        if !std::mem::take(&mut object.dead) {
            // Garbage that refers to itself. It has lost its last use, so nothing asks for its slots any more.
            self.live_bytes -= object.bytes;
            references.into_iter().for_each(|id| self.drop_reference(id));
        }
    }
}
