//! One stream of a trace, block by block.

use crate::error::TraceError;
use crate::trace::error::Damage;
use crate::trace::events::{Event, Events};
use crate::trace::file::TraceFile;

/// An event with the references that an allocation has.
#[derive(Debug, Clone)]
struct Step {
    event: Event,
    /// Where its references are in `slots`.
    slots: (u32, u32),
}

/// See the module. The events of a block are decoded at once, so that one can look ahead to the next stamp.
pub(crate) struct Lane<'t> {
    file: &'t TraceFile,
    pub(crate) stream: u32,
    events: Events,
    /// Blocks read so far.
    read: usize,
    /// No more are read.
    over: bool,
    steps: Vec<Step>,
    slots: Vec<u32>,
    at: usize,
    spare: Vec<u8>,
    /// Time of the last stamp, in microseconds: the next event happened then or later.
    now_us: u64,
    /// Where its events stopped making sense.
    damage: Option<Damage>,
}

impl<'t> Lane<'t> {
    pub(crate) fn new(file: &'t TraceFile, stream: u32) -> Lane<'t> {
        Lane {
            file,
            stream,
            events: Events::default(),
            read: 0,
            over: false,
            steps: Vec::new(),
            slots: Vec::new(),
            at: 0,
            spare: Vec::new(),
            now_us: 0,
            damage: None,
        }
    }

    /// The next event and, for an allocation, its references.
    pub(crate) fn peek(&mut self) -> Result<Option<(&Event, &[u32])>, TraceError> {
        while self.at == self.steps.len() {
            if !self.load()? {
                return Ok(None);
            }
        }
        let step = &self.steps[self.at];
        let (from, to) = step.slots;
        Ok(Some((&step.event, &self.slots[from as usize..to as usize])))
    }

    /// The event that was looked at is done.
    pub(crate) fn advance(&mut self) {
        if let Event::Stamp(us) = self.steps[self.at].event {
            self.now_us = self.now_us.saturating_add(us);
        }
        self.at += 1;
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// When the next event happened at the latest.
    pub(crate) fn until_us(&self) -> u64 {
        let stamp = self.steps[self.at..].iter().find_map(|step| match step.event {
            Event::Stamp(us) => Some(self.now_us.saturating_add(us)),
            _ => None,
        });
        stamp.unwrap_or_else(|| self.file.blocks()[self.block() as usize].head.ended_ns / 1000 + 1)
    }

    pub(crate) fn take_damage(&mut self) -> Option<Damage> {
        self.damage.take()
    }

    /// Nothing of what is left of the stream will be used: it makes no sense.
    pub(crate) fn condemn(&mut self, what: &str) -> Damage {
        self.over = true;
        self.at = self.steps.len();
        self.file.damage_in(self.block(), what)
    }

    /// The block that was read last.
    fn block(&self) -> u32 {
        self.file.streams()[self.stream as usize][self.read.saturating_sub(1)]
    }

    /// Events that were not done.
    pub(crate) fn left_over(&self) -> u64 {
        let places = &self.file.streams()[self.stream as usize];
        let unread = places.get(self.read..).unwrap_or_default();
        let unread = unread.iter().map(|&block| u64::from(self.file.blocks()[block as usize].head.events));
        unread.sum::<u64>() + (self.steps.len() - self.at) as u64
    }

    fn load(&mut self) -> Result<bool, TraceError> {
        let places = &self.file.streams()[self.stream as usize];
        let Some(&block) = places.get(self.read).filter(|_| !self.over) else { return Ok(false) };
        self.read += 1;
        let bytes = self.file.read(block, std::mem::take(&mut self.spare))?;
        self.spare = self.events.begin_block(bytes);
        self.steps.clear();
        self.slots.clear();
        self.at = 0;
        self.now_us = self.now_us.max(self.file.blocks()[block as usize].head.begun_ns / 1000);
        loop {
            let from = self.slots.len() as u32;
            match self.events.next() {
                Ok(Some(event)) => {
                    if matches!(event, Event::Alloc { .. }) {
                        self.slots.extend_from_slice(self.events.slots());
                    }
                    self.steps.push(Step { event, slots: (from, self.slots.len() as u32) });
                }
                Ok(None) => return Ok(true),
                Err(garbled) => {
                    self.damage = Some(self.file.damage_in(block, &garbled.0));
                    self.over = true;
                    return Ok(true);
                }
            }
        }
    }
}
