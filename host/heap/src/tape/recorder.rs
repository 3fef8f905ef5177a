//! One stream of the tape: encodes what one mutator does.

use std::collections::HashMap;

use super::code::{self, Ring, zigzag};
use super::{
    ALLOC_SLOTS_MAX, BLOCK_BYTES, BLOCK_BYTES_MAX, Block, NAME_BYTES_MAX, NAMES_MAX, STAMP_BYTES, Tape,
};

/// Places of the table that says where in the ring a cell is.
const SEEN: usize = 2 * code::RING as usize;

/// Room behind a block: a varint is written as a whole word.
const SLACK_BYTES: usize = 16;

/// See the module.
pub(crate) struct Recorder {
    tape: Tape,
    stream: u32,
    /// Blocks handed over.
    number: u32,
    bytes: Vec<u8>,
    len: usize,
    /// Where the next look at the clock is due.
    look_at: usize,
    events: u32,
    operations: u32,
    begun_ns: u64,
    stamped_us: u64,
    /// Log epoch of the last event.
    epoch: u32,
    /// Nobody takes blocks any more.
    over: bool,
    ring: Ring,
    /// Low bits of the place in the ring where a cell was put last, by a hash of the cell. What is there is checked.
    seen: [u8; SEEN],
    /// The cell allocated last.
    youngest: u32,
    /// The cell found last by its handle.
    found: u32,
    names: HashMap<String, u64>,
    /// Names written so far.
    next_name: u64,
    /// The last turn at the table of roots.
    turn: u64,
}

impl Recorder {
    pub(super) fn new(tape: Tape, stream: u32) -> Recorder {
        let begun_ns = tape.now_ns();
        Recorder {
            tape,
            stream,
            number: 0,
            bytes: room(Vec::new()),
            len: 0,
            look_at: STAMP_BYTES,
            events: 0,
            operations: 0,
            begun_ns,
            stamped_us: begun_ns / 1000,
            epoch: 0,
            over: false,
            ring: Ring::default(),
            seen: [0; SEEN],
            youngest: 0,
            found: 0,
            names: HashMap::new(),
            next_name: 0,
            turn: 0,
        }
    }

    // Events.

    /// `outermost` says whether no scope is open yet.
    pub(crate) fn scope_opened(&mut self, epoch: u32, outermost: bool) {
        if !self.begin(epoch) {
            return;
        }
        if outermost {
            let now_ns = self.tape.now_ns();
            self.stamp(now_ns);
        }
        self.event(code::SCOPE_OPEN, 0);
    }

    pub(crate) fn scope_closed(&mut self, epoch: u32) {
        if self.begin(epoch) {
            self.event(code::SCOPE_CLOSE, 0);
        }
    }

    pub(crate) fn allocated(
        &mut self,
        epoch: u32,
        cell: u32,
        slots: impl ExactSizeIterator<Item = u32>,
        payload_len: usize,
    ) {
        if !self.operation(epoch) {
            return;
        }
        let count = slots.len();
        self.event(code::ALLOC, count as u64);
        self.put(payload_len as u64);
        self.put(zigzag(i64::from(cell) - i64::from(self.youngest) - 1));
        self.youngest = cell;
        let mut nulls = 0;
        let mut expected = None;
        let mut late = Vec::new();
        for (slot, value) in slots.enumerate() {
            match value {
                0 => nulls += 1,
                value if slot >= ALLOC_SLOTS_MAX => late.push((slot, value)),
                value => {
                    (0..std::mem::take(&mut nulls)).for_each(|_| self.put(code::NULL));
                    expected = self.put_slot(value, expected);
                }
            }
        }
        if nulls > 0 || !late.is_empty() || count > ALLOC_SLOTS_MAX {
            self.put(code::REST_IS_NULL);
        }
        self.push(cell);
        for (slot, value) in late {
            self.stored(epoch, cell, slot as u32, value);
        }
    }

    pub(crate) fn loaded(&mut self, epoch: u32, object: u32, slot: u32, found: u32) {
        if self.operation(epoch) {
            self.event(code::LOAD, u64::from(slot));
            self.put_operand(object);
            self.put_found(found, object);
        }
    }

    pub(crate) fn stored(&mut self, epoch: u32, object: u32, slot: u32, value: u32) {
        if self.operation(epoch) {
            self.event(code::STORE, u64::from(slot));
            self.put_operand(object);
            self.put_operand(value);
        }
    }

    pub(crate) fn retired(&mut self, epoch: u32, object: u32) {
        if self.operation(epoch) {
            self.event(code::RETIRE, 0);
            self.put_operand(object);
        }
    }

    /// 0 for a handle whose object is gone.
    pub(crate) fn looked_up(&mut self, epoch: u32, found: u32) {
        if !self.operation(epoch) {
            return;
        }
        if found == 0 {
            self.event(code::GONE, 0);
            return;
        }
        self.event(code::FOUND, 0);
        self.put(zigzag(i64::from(found) - i64::from(self.found)));
        self.found = found;
        self.push(found);
    }

    pub(crate) fn root_set(&mut self, epoch: u32, turn: u64, name: &str, value: u32) {
        if self.operation(epoch) {
            let name = self.name(name);
            self.event(code::ROOT_SET, name);
            self.put_turn(turn);
            self.put_operand(value);
        }
    }

    pub(crate) fn root_read(&mut self, epoch: u32, turn: u64, name: &str, found: u32) {
        if self.operation(epoch) {
            let name = self.name(name);
            self.event(code::ROOT_GET, name);
            self.put_turn(turn);
            self.put_found(found, self.youngest);
        }
    }

    pub(crate) fn pinned(&mut self, epoch: u32, turn: u64, place: u32, object: u32) {
        if self.operation(epoch) {
            self.event(code::PIN, u64::from(place));
            self.put_turn(turn);
            self.put_operand(object);
        }
    }

    pub(crate) fn pin_read(&mut self, epoch: u32, place: u32, found: u32) {
        if self.operation(epoch) {
            self.event(code::PINNED, u64::from(place));
            self.put_found(found, self.youngest);
        }
    }

    pub(crate) fn unpinned(&mut self, turn: u64, place: u32) {
        let epoch = self.epoch;
        if self.operation(epoch) {
            let now_ns = self.tape.now_ns();
            self.stamp(now_ns);
            self.event(code::UNPIN, u64::from(place));
            self.put_turn(turn);
        }
    }

    // Blocks and time.

    /// Makes room for an event and says the time where that is due. Answers whether events are taken at all.
    #[inline]
    fn begin(&mut self, epoch: u32) -> bool {
        if self.len >= self.look_at || epoch != self.epoch {
            self.look(epoch);
        }
        !self.over
    }

    #[inline]
    fn operation(&mut self, epoch: u32) -> bool {
        let taken = self.begin(epoch);
        self.operations += 1;
        taken
    }

    #[cold]
    fn look(&mut self, epoch: u32) {
        self.epoch = epoch;
        if self.over {
            self.look_at = usize::MAX;
            return;
        }
        let now_ns = self.tape.now_ns();
        if self.len >= BLOCK_BYTES {
            self.hand_over(now_ns);
        } else {
            self.stamp(now_ns);
        }
        self.look_at = (self.len + STAMP_BYTES).min(BLOCK_BYTES);
    }

    fn stamp(&mut self, now_ns: u64) {
        let now_us = now_ns / 1000;
        if now_us > self.stamped_us {
            self.event(code::STAMP, 0);
            self.put(now_us - self.stamped_us);
            self.stamped_us = now_us;
        }
    }

    fn hand_over(&mut self, now_ns: u64) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.len);
        let block = Block {
            stream: self.stream,
            number: self.number,
            begun_ns: self.begun_ns,
            ended_ns: now_ns,
            events: self.events,
            operations: self.operations,
            bytes,
        };
        match self.tape.inner.sink.take(block) {
            Some(buffer) => self.bytes = room(buffer),
            None => {
                self.over = true;
                self.names = HashMap::new();
            }
        }
        self.number += 1;
        (self.len, self.events, self.operations) = (0, 0, 0);
        self.begun_ns = now_ns;
        self.stamped_us = now_ns / 1000;
        self.ring.clear();
        self.seen.fill(0);
        (self.youngest, self.found) = (0, 0);
    }

    // Bytes.

    #[inline]
    fn event(&mut self, operation: u8, argument: u64) {
        self.events += 1;
        if argument < u64::from(code::ARGUMENT_FOLLOWS) {
            self.bytes[self.len] = operation | (argument as u8) << 4;
            self.len += 1;
        } else {
            self.bytes[self.len] = operation | code::ARGUMENT_FOLLOWS << 4;
            self.len += 1;
            self.put(argument);
        }
    }

    #[inline]
    fn put(&mut self, value: u64) {
        let len = code::varint_len(value);
        self.bytes[self.len..self.len + 8].copy_from_slice(&code::varint_of(value, len).to_le_bytes());
        self.len += len;
    }

    fn put_turn(&mut self, turn: u64) {
        self.put(turn - self.turn);
        self.turn = turn;
    }

    fn name(&mut self, name: &str) -> u64 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let end = name.floor_char_boundary(NAME_BYTES_MAX);
        let cut = &name.as_bytes()[..end];
        self.event(code::RARE, code::RARE_NAME);
        self.put(cut.len() as u64);
        self.bytes[self.len..self.len + cut.len()].copy_from_slice(cut);
        self.len += cut.len();
        let number = self.next_name;
        self.next_name += 1;
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), number);
        }
        number
    }

    // Objects.

    /// Where in the ring a cell is.
    #[inline]
    fn find(&self, cell: u32) -> Option<u32> {
        let behind = (self.ring.head() as u8).wrapping_sub(self.seen[slot_of(cell)]);
        let place = self.ring.head().wrapping_sub(u32::from(behind));
        let inside = behind != 0 && u32::from(behind) <= code::RING;
        (inside && self.ring.at(place) == cell).then_some(place)
    }

    #[inline]
    fn push(&mut self, cell: u32) {
        let place = self.ring.push(cell);
        self.seen[slot_of(cell)] = place as u8;
    }

    /// An object that is used, or null.
    #[inline]
    fn put_operand(&mut self, cell: u32) {
        if cell == 0 {
            self.put(code::NULL);
        } else if let Some(place) = self.find(cell) {
            let behind = self.ring.head().wrapping_sub(place);
            self.put(code::FIRST_OBJECT + 2 * u64::from(behind - 1));
            if behind > code::REFRESH {
                self.push(cell);
            }
        } else {
            self.put_far(cell);
            self.push(cell);
        }
    }

    /// An object in a list of slots; the one behind the last in the ring is expected. Answers what to expect next.
    #[inline]
    fn put_slot(&mut self, cell: u32, expected: Option<u32>) -> Option<u32> {
        let Some(place) = self.find(cell) else {
            self.put_far(cell);
            return expected;
        };
        let distance = match expected {
            Some(expected) => zigzag(i64::from(place.wrapping_sub(expected) as i32)),
            None => u64::from(self.ring.head().wrapping_sub(place) - 1),
        };
        self.put(code::FIRST_OBJECT + 2 * distance);
        Some(place.wrapping_add(1))
    }

    fn put_far(&mut self, cell: u32) {
        self.put(code::FIRST_OBJECT + 1 + 2 * zigzag(i64::from(cell) - i64::from(self.youngest)));
    }

    /// What an operation came upon: a mutator holds it from here on.
    #[inline]
    fn put_found(&mut self, cell: u32, from: u32) {
        if cell == 0 {
            self.put(code::NULL);
        } else {
            self.put(1 + zigzag(i64::from(cell) - i64::from(from)));
            self.push(cell);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.stream != super::HEAP_STREAM {
            self.event(code::RARE, code::RARE_LEAVE);
        }
        if self.len > 0 {
            let now_ns = self.tape.now_ns();
            self.hand_over(now_ns);
        }
    }
}

#[inline]
fn slot_of(cell: u32) -> usize {
    (cell.wrapping_mul(0x9e37_79b1) >> (32 - SEEN.ilog2())) as usize
}

/// A buffer for a block, in memory that was one before if it can be.
fn room(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.resize(BLOCK_BYTES_MAX + SLACK_BYTES, 0);
    buffer
}
