//! What a stream of a trace says, event by event.
//!
//! A reader of untrusted bytes: whatever they are, it answers events or says what is wrong, and takes memory in proportion to them.

use std::sync::Arc;

use gc_heap::tape::code::{self, Table, read_varint, unzigzag};
use gc_heap::tape::{ALLOC_SLOTS_MAX, NAME_BYTES_MAX};

/// Slots of one object, at most: what a heap of four thousand million cells could hold is more than any trace needs.
pub(crate) const SLOTS_MAX: u64 = 1 << 24;

/// One thing that a mutator did. Objects are named by their cells; 0 is null, or nothing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// So many microseconds have passed.
    Stamp(u64),
    Open,
    Close,
    /// The references of its slots are in [`Events::slots`], as far as they are given; the rest is null.
    Alloc {
        cell: u32,
        slots: u32,
        payload_bytes: u32,
    },
    Load {
        object: u32,
        slot: u32,
        found: u32,
    },
    Store {
        object: u32,
        slot: u32,
        value: u32,
    },
    Read {
        object: u32,
    },
    Retire {
        object: u32,
    },
    Found {
        cell: u32,
    },
    Gone,
    RootSet {
        name: Arc<str>,
        turn: u64,
        value: u32,
    },
    RootGet {
        name: Arc<str>,
        turn: u64,
        found: u32,
    },
    Pin {
        place: u32,
        turn: u64,
        object: u32,
    },
    PinRead {
        place: u32,
        found: u32,
    },
    Unpin {
        place: u32,
        turn: u64,
    },
    Leave,
}

impl Event {
    /// Whether this is work on the heap. Time, scopes and the end of a mutator are not.
    pub(crate) fn is_operation(&self) -> bool {
        !matches!(self, Event::Stamp(_) | Event::Open | Event::Close | Event::Leave)
    }

    /// Its number at the table of roots, if it has one.
    pub(crate) fn turn(&self) -> Option<u64> {
        match *self {
            Event::RootSet { turn, .. }
            | Event::RootGet { turn, .. }
            | Event::Pin { turn, .. }
            | Event::Unpin { turn, .. } => Some(turn),
            _ => None,
        }
    }
}

/// The bytes say nothing that could have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Garbled(pub(crate) String);

/// Reads one stream. What a block needs of those before it is kept in between.
#[derive(Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    at: usize,
    table: Table,
    youngest: u32,
    found: u32,
    names: Vec<Arc<str>>,
    turn: u64,
    slots: Vec<u32>,
    left: bool,
}

type Read<T> = Result<T, Garbled>;

fn garbled<T>(what: impl Into<String>) -> Read<T> {
    Err(Garbled(what.into()))
}

impl Events {
    /// The events of the next block of the stream. Answers the buffer of the last one.
    pub(crate) fn begin_block(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.at = 0;
        self.table.clear();
        (self.youngest, self.found) = (0, 0);
        std::mem::replace(&mut self.bytes, bytes)
    }

    /// How much of the block was read, in bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The references of the object that was allocated last, as far as they are given.
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// The next event, nothing at the end of the block.
    pub(crate) fn next(&mut self) -> Read<Option<Event>> {
        loop {
            let Some(&first) = self.bytes.get(self.at) else { return Ok(None) };
            if self.left {
                return garbled("an event of a mutator that had gone");
            }
            self.at += 1;
            let argument = match first >> 4 {
                code::ARGUMENT_FOLLOWS => self.varint()?,
                argument => u64::from(argument),
            };
            let event = match first & 15 {
                code::STAMP => Event::Stamp(self.varint()?),
                code::SCOPE_OPEN => Event::Open,
                code::SCOPE_CLOSE => Event::Close,
                code::ALLOC => self.alloc(argument)?,
                code::LOAD => {
                    let object = self.object()?;
                    Event::Load { object, slot: narrow(argument)?, found: self.outcome(object)? }
                }
                code::STORE => {
                    let object = self.object()?;
                    Event::Store { object, slot: narrow(argument)?, value: self.operand()? }
                }
                code::READ => Event::Read { object: self.object()? },
                code::RETIRE => Event::Retire { object: self.object()? },
                code::FOUND => self.lookup()?,
                code::GONE => Event::Gone,
                code::ROOT_SET => {
                    Event::RootSet { name: self.name(argument)?, turn: self.turn()?, value: self.operand()? }
                }
                code::ROOT_GET => {
                    let (name, turn) = (self.name(argument)?, self.turn()?);
                    Event::RootGet { name, turn, found: self.outcome(self.youngest)? }
                }
                code::PIN => {
                    Event::Pin { place: narrow(argument)?, turn: self.turn()?, object: self.object()? }
                }
                code::PINNED => {
                    let found = self.outcome(self.youngest)?;
                    if found == 0 {
                        return garbled("a pin of nothing");
                    }
                    Event::PinRead { place: narrow(argument)?, found }
                }
                code::UNPIN => Event::Unpin { place: narrow(argument)?, turn: self.turn()? },
                _ => match self.rare(argument)? {
                    Some(event) => event,
                    None => continue,
                },
            };
            return Ok(Some(event));
        }
    }

    fn rare(&mut self, what: u64) -> Read<Option<Event>> {
        match what {
            code::RARE_NAME => {
                let len = self.varint()? as usize;
                if len > NAME_BYTES_MAX {
                    return garbled(format!("a name of {len} bytes"));
                }
                let Some(name) = self.bytes.get(self.at..self.at + len) else {
                    return garbled("a name that is cut off");
                };
                self.names.push(String::from_utf8_lossy(name).into());
                self.at += len;
                Ok(None)
            }
            code::RARE_LEAVE => {
                self.left = true;
                Ok(Some(Event::Leave))
            }
            other => garbled(format!("an event of the unknown kind {other}")),
        }
    }

    fn alloc(&mut self, slots: u64) -> Read<Event> {
        if slots > SLOTS_MAX {
            return garbled(format!("an object of {slots} slots"));
        }
        let distance = self.varint()?;
        let cell = moved(u64::from(self.youngest) + 1, distance)?;
        let payload_bytes = narrow(self.varint()?)?;
        self.youngest = cell;
        self.slots.clear();
        while self.slots.len() < (slots as usize).min(ALLOC_SLOTS_MAX) {
            match self.varint()? {
                code::NULL => self.slots.push(0),
                code::REST_IS_NULL => break,
                code => {
                    let cell = self.named(code)?;
                    self.slots.push(cell);
                }
            }
        }
        if slots as usize > ALLOC_SLOTS_MAX && self.slots.len() == ALLOC_SLOTS_MAX {
            // Those behind follow as stores.
            if self.varint()? != code::REST_IS_NULL {
                return garbled("a list of slots without an end");
            }
        }
        while self.slots.last() == Some(&0) {
            self.slots.pop();
        }
        self.table.put(cell);
        Ok(Event::Alloc { cell, slots: slots as u32, payload_bytes })
    }

    fn lookup(&mut self) -> Read<Event> {
        let distance = self.varint()?;
        let cell = moved(self.found.into(), distance)?;
        self.found = cell;
        self.table.put(cell);
        Ok(Event::Found { cell })
    }

    // Pieces.

    #[inline]
    fn varint(&mut self) -> Read<u64> {
        match read_varint(self.bytes.get(self.at..).unwrap_or_default()) {
            Some((value, len)) => {
                self.at += len;
                Ok(value)
            }
            None => garbled("an event that is cut off"),
        }
    }

    fn turn(&mut self) -> Read<u64> {
        let distance = self.varint()?;
        match self.turn.checked_add(distance) {
            Some(turn) if distance > 0 => {
                self.turn = turn;
                Ok(turn)
            }
            _ => garbled("two operations on roots in one turn"),
        }
    }

    fn name(&self, number: u64) -> Read<Arc<str>> {
        let name = usize::try_from(number).ok().and_then(|number| self.names.get(number));
        name.map_or_else(
            || garbled(format!("a name {number} that was not given")),
            |name| Ok(Arc::clone(name)),
        )
    }

    /// An object, or null.
    fn operand(&mut self) -> Read<u32> {
        match self.varint()? {
            code::NULL => Ok(0),
            code::REST_IS_NULL => garbled("a reference that means nothing"),
            code => {
                let cell = self.named(code)?;
                self.table.put(cell);
                Ok(cell)
            }
        }
    }

    fn object(&mut self) -> Read<u32> {
        match self.operand()? {
            0 => garbled("an operation on null"),
            cell => Ok(cell),
        }
    }

    /// The object that a code other than those of null names.
    fn named(&self, code: u64) -> Read<u32> {
        if code >= code::FIRST_FAR {
            return moved(self.youngest.into(), code - code::FIRST_FAR);
        }
        match self.table.at((code - code::FIRST_PLACE) as u32) {
            0 => garbled("a reference to an object that was not seen"),
            cell => Ok(cell),
        }
    }

    fn outcome(&mut self, from: u32) -> Read<u32> {
        match self.varint()? {
            code::NULL => Ok(0),
            code => {
                let cell = moved(from.into(), code - 1)?;
                self.table.put(cell);
                Ok(cell)
            }
        }
    }
}

fn narrow(value: u64) -> Read<u32> {
    u32::try_from(value).or_else(|_| garbled(format!("a number of {value}")))
}

/// The cell at a distance from another.
fn moved(from: u64, distance: u64) -> Read<u32> {
    let cell = (from as i64).checked_add(unzigzag(distance)).and_then(|cell| u32::try_from(cell).ok());
    match cell {
        Some(cell) if cell != 0 => Ok(cell),
        _ => garbled("a cell that no heap has"),
    }
}
