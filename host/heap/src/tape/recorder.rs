//! One stream of the tape: encodes what one mutator does.

use std::collections::HashMap;

use super::code::{self, Table, zigzag};
use super::{
    ALLOC_SLOTS_MAX, BLOCK_BYTES, BLOCK_BYTES_MAX, Block, NAME_BYTES_MAX, NAMES_MAX, STAMP_BYTES, Tape,
};

/// Room behind a block, for what [`Pen`] takes in hand.
const SLACK_BYTES: usize = WINDOW;

/// Bytes that [`Pen`] takes in hand at a time.
const WINDOW: usize = 128;

/// Where in them it begins to write a number at the latest: the operation, its argument and two numbers are behind it by then.
const WRITTEN_MAX: usize = 64;

/// Slots that are written with the event of an allocation, which is four numbers without them.
const PEN_SLOTS: usize = 4;
const _: () = assert!(8 * (3 + PEN_SLOTS) < WRITTEN_MAX && WRITTEN_MAX + 8 <= WINDOW);

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
        self.event(code::SCOPE_OPEN, 0, [], []);
    }

    pub(crate) fn scope_closed(&mut self, epoch: u32) {
        if self.begin(epoch, EVENT) {
            self.event(code::SCOPE_CLOSE, 0, [], []);
        }
    }

    pub(crate) fn allocated(
        &mut self,
        epoch: u32,
        cell: u32,
        mut slots: impl ExactSizeIterator<Item = u32>,
        payload_len: usize,
    ) {
        if !self.begin(epoch, OPERATION) {
            return;
        }
        let count = slots.len();
        let distance = zigzag(i64::from(cell) - i64::from(self.youngest) - 1);
        self.youngest = cell;
        let mut pen = Pen::new(&mut self.bytes, self.len);
        pen.head(code::ALLOC, count as u64);
        pen.small(distance);
        pen.number(payload_len as u64);
        let (mut slot, mut nulls) = (0, 0);
        // Plain loops: adapters of iterators cost more here than what they would say. The first slots, which most objects have no more of, go with the event.
        while slot < PEN_SLOTS {
            let Some(value) = slots.next() else { break };
            slot += 1;
            if value == 0 {
                nulls += 1;
                continue;
            }
            while nulls > 0 {
                pen.small(code::NULL);
                nulls -= 1;
            }
            pen.small(code_of(&self.table, cell, value));
        }
        self.len += pen.written;
        while slot < ALLOC_SLOTS_MAX {
            let Some(value) = slots.next() else { break };
            slot += 1;
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
        if nulls > 0 || count > ALLOC_SLOTS_MAX {
            self.put_small(code::REST_IS_NULL);
        }
        self.table.put(cell);
        for (slot, value) in (slot..).zip(slots) {
            if value != 0 {
                self.stored(epoch, cell, slot as u32, value);
            }
        }
    }

    pub(crate) fn loaded(&mut self, epoch: u32, object: u32, slot: u32, found: u32) {
        if self.begin(epoch, OPERATION) {
            let (object_code, found) = (self.operand(object), self.come_upon(found, object));
            self.event(code::LOAD, u64::from(slot), [object_code], [found]);
        }
    }

    pub(crate) fn stored(&mut self, epoch: u32, object: u32, slot: u32, value: u32) {
        if self.begin(epoch, OPERATION) {
            let codes = [self.operand(object), self.operand(value)];
            self.event(code::STORE, u64::from(slot), codes, []);
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

    /// Makes room for an event, says the time where that is due, and counts it. Answers whether events are taken at all.
    #[inline]
    fn begin(&mut self, epoch: u32, counts: u64) -> bool {
        if (self.len >= self.look_at || epoch != self.epoch) && !self.look(epoch) {
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
        if value < 1 << 7 {
            self.bytes[self.len] = code::varint_of(value, 1) as u8;
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
        let code = code_of(&self.table, self.youngest, cell);
        if code >= code::FIRST_FAR {
            self.table.put(cell);
        }
        code
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

/// Writes an event behind the others. The bounds of the buffer are looked at once per event and not once per number: what it takes in hand is an array,
/// whose bounds the compiler knows.
struct Pen<'b> {
    window: &'b mut [u8; WINDOW],
    written: usize,
}

impl<'b> Pen<'b> {
    #[inline]
    fn new(bytes: &'b mut [u8], from: usize) -> Pen<'b> {
        let window = bytes[from..].first_chunk_mut().expect("there is as much room behind every block");
        Pen { window, written: 0 }
    }

    /// The operation and its argument.
    #[inline]
    fn head(&mut self, operation: u8, argument: u64) {
        if argument < u64::from(code::ARGUMENT_FOLLOWS) {
            self.byte(operation | (argument as u8) << 4);
        } else {
            self.byte(operation | code::ARGUMENT_FOLLOWS << 4);
            self.long(argument);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.window[self.written % WRITTEN_MAX] = byte;
        self.written += 1;
    }

    /// A number that mostly takes one byte.
    #[inline]
    fn small(&mut self, value: u64) {
        if value < 1 << 7 {
            self.byte(code::varint_of(value, 1) as u8);
        } else {
            self.long(value);
        }
    }

    #[cold]
    fn long(&mut self, value: u64) {
        self.number(value);
    }

    #[inline]
    fn number(&mut self, value: u64) {
        let len = code::varint_len(value);
        let at = self.written % WRITTEN_MAX;
        self.window[at..at + 8].copy_from_slice(&code::varint_of(value, len).to_le_bytes());
        self.written += len;
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
        None => code::FIRST_FAR + zigzag(i64::from(cell) - i64::from(youngest)),
    }
}

/// A buffer for a block, in memory that was one before if it can be.
fn room(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.resize(BLOCK_BYTES_MAX + SLACK_BYTES, 0);
    buffer
}
