//! One stream of the tape: encodes what one mutator does.

use std::collections::HashMap;

use super::code::{self, Table, zigzag};
use super::pen::{ONE_BYTE, Pen, WINDOW, WRITTEN_MAX, head, one_byte, put_word};
use super::{
    ALLOC_SLOTS_MAX, BLOCK_BYTES, BLOCK_BYTES_MAX, Block, NAME_BYTES_MAX, NAMES_MAX, STAMP_BYTES, Tape,
};

/// Slots that are written in one piece with the event of an allocation, which is four numbers without them.
const PEN_SLOTS: usize = 4;

/// Arguments below this stand in the first byte of an event.
const ARGUMENTS: u64 = code::ARGUMENT_FOLLOWS as u64;

/// Payloads up to this long take five bytes.
const PAYLOAD_MAX: u64 = u32::MAX as u64;

const _: () = assert!(8 * (4 + PEN_SLOTS) <= WRITTEN_MAX);

/// What an event that is no operation adds to the counts, and an operation.
const EVENT: u64 = 1;
const OPERATION: u64 = 1 << 32 | 1;

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
    /// Events of the block in the low half, operations among them in the high half: one addition counts both.
    counts: u64,
    begun_ns: u64,
    stamped_us: u64,
    /// Log epoch of the last event.
    epoch: u32,
    /// Nobody takes blocks any more. The next look is always due then.
    over: bool,
    table: Table,
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
            counts: 0,
            begun_ns,
            stamped_us: begun_ns / 1000,
            epoch: 0,
            over: false,
            table: Table::default(),
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
        if !self.begin(epoch, EVENT) {
            return;
        }
        if outermost {
            let now_ns = self.tape.now_ns();
            self.stamp(now_ns);
        }
        self.put_word(head(code::SCOPE_OPEN, 0), 1);
    }

    pub(crate) fn scope_closed(&mut self, epoch: u32) {
        if self.is_due(epoch) {
            return self.late(epoch, move |this| this.scope_closed(epoch));
        }
        self.counts += EVENT;
        self.put_word(head(code::SCOPE_CLOSE, 0), 1);
    }

    /// `slots` are those that were asked for, of which `cell_of` tells the cell that is referred to, or 0.
    #[inline(never)]
    pub(crate) fn allocated<S>(
        &mut self,
        epoch: u32,
        cell: u32,
        (slots, cell_of): (&[S], impl Fn(&S) -> u32),
        payload_len: usize,
    ) {
        if self.is_due(epoch) {
            let what = (slots, cell_of);
            return self.late(epoch, |this| this.allocated(epoch, cell, what, payload_len));
        }
        self.counts += OPERATION;
        let (count, payload_len) = (slots.len() as u64, payload_len as u64);
        let distance = zigzag(i64::from(cell) - i64::from(self.youngest) - 1);
        self.youngest = cell;
        let mut pen = Pen::new(&mut self.bytes, self.len);
        if count < ARGUMENTS && distance < ONE_BYTE && payload_len <= PAYLOAD_MAX {
            let len = code::varint_len(payload_len);
            let payload = code::varint_of(payload_len, len);
            pen.word(head(code::ALLOC, count) | one_byte(distance) << 8 | payload << 16, 2 + len);
        } else {
            pen.head(code::ALLOC, count);
            pen.number(distance);
            pen.number(payload_len);
        }
        // The first slots, which most objects have no more of, go with the event.
        let (first, further) = slots.split_at(slots.len().min(PEN_SLOTS));
        let mut end = pen.written;
        for slot in first {
            match cell_of(slot) {
                0 => pen.small(code::NULL),
                value => {
                    pen.small(code_of(&self.table, cell, value));
                    end = pen.written;
                }
            }
        }
        // Each null is a byte, and those at the end are one altogether.
        let nulls = pen.written - end;
        self.len += end;
        if !further.is_empty() {
            self.further_slots(epoch, cell, (further, cell_of), nulls);
            return;
        }
        if nulls > 0 {
            self.put_word(one_byte(code::REST_IS_NULL), 1);
        }
        self.table.put(cell);
    }

    /// The slots of an allocation behind the first, of which the last ones were null.
    #[inline(never)]
    fn further_slots<S>(
        &mut self,
        epoch: u32,
        cell: u32,
        (slots, cell_of): (&[S], impl Fn(&S) -> u32),
        mut nulls: usize,
    ) {
        let (listed, stores) = slots.split_at(slots.len().min(ALLOC_SLOTS_MAX - PEN_SLOTS));
        for slot in listed {
            let value = cell_of(slot);
            if value == 0 {
                nulls += 1;
                continue;
            }
            while nulls > 0 {
                self.put_small(code::NULL);
                nulls -= 1;
            }
            let code = code_of(&self.table, cell, value);
            self.put_small(code);
        }
        if nulls > 0 || !stores.is_empty() {
            self.put_small(code::REST_IS_NULL);
        }
        self.table.put(cell);
        for (number, slot) in (ALLOC_SLOTS_MAX as u32..).zip(stores) {
            match cell_of(slot) {
                0 => {}
                value => self.stored(epoch, cell, number, value),
            }
        }
    }

    #[inline(never)]
    pub(crate) fn loaded(&mut self, epoch: u32, object: u32, slot: u32, found: u32) {
        if self.is_due(epoch) {
            return self.late(epoch, move |this| this.loaded(epoch, object, slot, found));
        }
        self.counts += OPERATION;
        let (from, found) = (self.operand(object), self.come_upon(found, object));
        if u64::from(slot) < ARGUMENTS && from < ONE_BYTE {
            let len = code::varint_len(found);
            let found = code::varint_of(found, len);
            self.put_word(head(code::LOAD, slot.into()) | one_byte(from) << 8 | found << 16, 2 + len);
        } else {
            self.two_numbers(code::LOAD, slot, from, found);
        }
    }

    #[inline(never)]
    pub(crate) fn stored(&mut self, epoch: u32, object: u32, slot: u32, value: u32) {
        if self.is_due(epoch) {
            return self.late(epoch, move |this| this.stored(epoch, object, slot, value));
        }
        self.counts += OPERATION;
        let (object, value) = (self.operand(object), self.operand(value));
        if u64::from(slot) < ARGUMENTS && object < ONE_BYTE && value < ONE_BYTE {
            let codes = one_byte(object) << 8 | one_byte(value) << 16;
            self.put_word(head(code::STORE, slot.into()) | codes, 3);
        } else {
            self.two_numbers(code::STORE, slot, object, value);
        }
    }

    pub(crate) fn retired(&mut self, epoch: u32, object: u32) {
        if self.begin(epoch, OPERATION) {
            let code = self.operand(object);
            self.event(code::RETIRE, 0, [code], []);
        }
    }

    /// 0 for a handle whose object is gone.
    pub(crate) fn looked_up(&mut self, epoch: u32, found: u32) {
        if !self.begin(epoch, OPERATION) {
            return;
        }
        if found == 0 {
            self.event(code::GONE, 0, [], []);
            return;
        }
        let distance = zigzag(i64::from(found) - i64::from(self.found));
        self.event(code::FOUND, 0, [], [distance]);
        self.found = found;
        self.table.put(found);
    }

    pub(crate) fn root_set(&mut self, epoch: u32, turn: u64, name: &str, value: u32) {
        if self.begin(epoch, OPERATION) {
            let name = self.name(name);
            let codes = [self.turns(turn), self.operand(value)];
            self.event(code::ROOT_SET, name, codes, []);
        }
    }

    pub(crate) fn root_read(&mut self, epoch: u32, turn: u64, name: &str, found: u32) {
        if self.begin(epoch, OPERATION) {
            let name = self.name(name);
            let (turns, found) = (self.turns(turn), self.come_upon(found, self.youngest));
            self.event(code::ROOT_GET, name, [turns], [found]);
        }
    }

    pub(crate) fn pinned(&mut self, epoch: u32, turn: u64, place: u32, object: u32) {
        if self.begin(epoch, OPERATION) {
            let codes = [self.turns(turn), self.operand(object)];
            self.event(code::PIN, u64::from(place), codes, []);
        }
    }

    pub(crate) fn pin_read(&mut self, epoch: u32, place: u32, found: u32) {
        if self.begin(epoch, OPERATION) {
            let found = self.come_upon(found, self.youngest);
            self.event(code::PINNED, u64::from(place), [], [found]);
        }
    }

    pub(crate) fn unpinned(&mut self, turn: u64, place: u32) {
        let epoch = self.epoch;
        if self.begin(epoch, OPERATION) {
            let now_ns = self.tape.now_ns();
            self.stamp(now_ns);
            let turns = self.turns(turn);
            self.event(code::UNPIN, u64::from(place), [turns], []);
        }
    }

    // Blocks and time.

    /// Whether there is something to do before the next event: to make room for it, or to say the time.
    #[inline]
    fn is_due(&self, epoch: u32) -> bool {
        self.len >= self.look_at || epoch != self.epoch
    }

    /// Does that, and then records the event if events are taken at all. The operations that happen all the time end with this instead of going on behind it:
    /// so they keep nothing for later, which would cost each of them ten instructions.
    #[cold]
    #[inline(never)]
    fn late(&mut self, epoch: u32, event: impl FnOnce(&mut Recorder)) {
        if self.look(epoch) {
            event(self);
        }
    }

    /// The same for the others: does what is due, and counts the event. Answers whether events are taken at all.
    #[inline]
    fn begin(&mut self, epoch: u32, counts: u64) -> bool {
        if self.is_due(epoch) && !self.look(epoch) {
            return false;
        }
        self.counts += counts;
        true
    }

    #[cold]
    fn look(&mut self, epoch: u32) -> bool {
        if self.over {
            return false;
        }
        self.epoch = epoch;
        let now_ns = self.tape.now_ns();
        if self.len >= BLOCK_BYTES {
            self.hand_over(now_ns);
        } else {
            self.stamp(now_ns);
        }
        self.look_at = if self.over { 0 } else { (self.len + STAMP_BYTES).min(BLOCK_BYTES) };
        !self.over
    }

    fn stamp(&mut self, now_ns: u64) {
        let now_us = now_ns / 1000;
        if now_us > self.stamped_us {
            self.counts += EVENT;
            self.event(code::STAMP, 0, [], [now_us - self.stamped_us]);
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
            events: self.counts as u32,
            operations: (self.counts >> 32) as u32,
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
        (self.len, self.counts) = (0, 0);
        self.begun_ns = now_ns;
        self.stamped_us = now_ns / 1000;
        self.table.clear();
        (self.youngest, self.found) = (0, 0);
    }

    // Bytes.

    /// The first `len` bytes of a little-endian word: an event that fits into one.
    #[inline]
    fn put_word(&mut self, word: u64, len: usize) {
        put_word(&mut self.bytes[self.len..], word);
        self.len += len;
    }

    /// An event that does not fit.
    #[inline(never)]
    fn two_numbers(&mut self, operation: u8, argument: u32, first: u64, second: u64) {
        self.event(operation, argument.into(), [first], [second]);
    }

    /// An event with at most two numbers behind its argument: first those that mostly take one byte.
    #[inline]
    fn event<const S: usize, const N: usize>(
        &mut self,
        operation: u8,
        argument: u64,
        small: [u64; S],
        numbers: [u64; N],
    ) {
        const { assert!(1 + 8 + 8 * (S + N) <= WRITTEN_MAX) };
        let mut pen = Pen::new(&mut self.bytes, self.len);
        pen.head(operation, argument);
        small.into_iter().for_each(|number| pen.small(number));
        numbers.into_iter().for_each(|number| pen.number(number));
        self.len += pen.written;
    }

    /// A number that mostly takes one byte.
    #[inline]
    fn put_small(&mut self, value: u64) {
        if value < ONE_BYTE {
            self.bytes[self.len] = one_byte(value) as u8;
            self.len += 1;
        } else {
            self.put(value);
        }
    }

    #[cold]
    fn put(&mut self, value: u64) {
        let mut pen = Pen::new(&mut self.bytes, self.len);
        pen.number(value);
        self.len += pen.written;
    }

    /// Turns at the table of roots since the last one that was recorded.
    fn turns(&mut self, turn: u64) -> u64 {
        turn - std::mem::replace(&mut self.turn, turn)
    }

    fn name(&mut self, name: &str) -> u64 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let end = name.floor_char_boundary(NAME_BYTES_MAX);
        let cut = &name.as_bytes()[..end];
        self.counts += EVENT;
        self.event(code::RARE, code::RARE_NAME, [], [cut.len() as u64]);
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

    /// The code of an object that is used, or of null.
    #[inline]
    fn operand(&mut self, cell: u32) -> u64 {
        if cell == 0 {
            return code::NULL;
        }
        match self.table.find(cell) {
            Some(place) => code::FIRST_PLACE + u64::from(place),
            None => self.operand_far(cell),
        }
    }

    #[cold]
    fn operand_far(&mut self, cell: u32) -> u64 {
        self.table.put(cell);
        far(self.youngest, cell)
    }

    /// The code of what an operation came upon: a mutator holds it from here on.
    #[inline]
    fn come_upon(&mut self, cell: u32, from: u32) -> u64 {
        if cell == 0 {
            return code::NULL;
        }
        self.table.put(cell);
        1 + zigzag(i64::from(cell) - i64::from(from))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.stream != super::HEAP_STREAM {
            self.counts += EVENT;
            self.event(code::RARE, code::RARE_LEAVE, [], []);
        }
        if self.len > 0 {
            let now_ns = self.tape.now_ns();
            self.hand_over(now_ns);
        }
    }
}

/// The code of an object: its place in the table, or how far it is from the youngest.
#[inline]
fn code_of(table: &Table, youngest: u32, cell: u32) -> u64 {
    match table.find(cell) {
        Some(place) => code::FIRST_PLACE + u64::from(place),
        None => far(youngest, cell),
    }
}

#[inline]
fn far(youngest: u32, cell: u32) -> u64 {
    code::FIRST_FAR + zigzag(i64::from(cell) - i64::from(youngest))
}

/// A buffer for a block, in memory that was one before if it can be.
fn room(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.resize(BLOCK_BYTES_MAX + WINDOW, 0);
    buffer
}
