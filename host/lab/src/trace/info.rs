//! What is in a trace, in figures and event by event.

use std::collections::BTreeSet;

use gc_heap::tape::HEAP_STREAM;
use serde::Serialize;

use crate::error::TraceError;
use crate::trace::events::Event;
use crate::trace::file::TraceFile;
use crate::trace::format::VERSION;
use crate::trace::plan::{Watch, plan};

/// Events by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects allocated.
    pub alloc: u64,
    /// References read.
    pub load: u64,
    /// References written.
    pub store: u64,
    /// Payloads read.
    pub read: u64,
    /// Objects retired.
    pub retire: u64,
    /// Handles looked up whose object was there.
    pub found: u64,
    /// Handles looked up in vain.
    pub gone: u64,
    /// Named roots set or removed.
    pub root_set: u64,
    /// Named roots read.
    pub root_get: u64,
    /// Objects pinned.
    pub pin: u64,
    /// Pins read.
    pub pin_read: u64,
    /// Pins ended.
    pub unpin: u64,
    /// Scopes opened: no operation.
    pub scope: u64,
    /// Stamps: no operation.
    pub stamp: u64,
}

/// A trace in figures. Field names carry their units; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceInfo {
    /// Version of the format.
    pub version: u16,
    /// Length of the file.
    pub file_bytes: u64,
    /// Whether it is whole and the recording came to its end.
    pub complete: bool,
    /// Why the recording ended early, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Where the file stops being good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// What the recorder noted.
    pub facts: Vec<(String, String)>,
    /// Time from the begin of the recording to its last event.
    pub duration_ns: u64,
    /// Mutators.
    pub threads: u32,
    /// Operations in the good part.
    pub operations: u64,
    /// Bytes of the file for each.
    pub bytes_per_operation: f64,
    /// Events by kind.
    pub counts: Counts,
    /// References that were given to new objects or stored.
    pub references: u64,
    /// Bytes of payload allocated.
    pub payload_bytes: u64,
    /// The most that was alive at once, as a heap counts it: less than that is too small a heap. Where references form cycles it is an upper bound.
    pub live_bytes_max: u64,
    /// Whether cycles were made, so that `live_bytes_max` is a bound.
    pub cyclic: bool,
    /// Loads and look-ups that a replay prepares: by threads that raced, or by handles to garbage.
    pub taken: u64,
    /// Events whose forerunners are missing.
    pub left_over: u64,
}

impl TraceInfo {
    /// Reads a trace from begin to end.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn of(file: &TraceFile) -> Result<TraceInfo, TraceError> {
        let mut count = Count::default();
        let plan = plan(file, &mut count)?;
        let facts = file.facts().iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(TraceInfo {
            version: VERSION,
            file_bytes: file.bytes(),
            complete: file.is_complete() && plan.damage.is_none(),
            problem: file.problem().map(str::to_owned),
            damage: plan.damage.as_ref().map(ToString::to_string),
            facts: facts.collect(),
            duration_ns: file.duration_ns(),
            threads: count.threads.len() as u32,
            operations: count.operations,
            bytes_per_operation: file.bytes() as f64 / count.operations.max(1) as f64,
            counts: count.counts,
            references: count.references,
            payload_bytes: count.payload_bytes,
            live_bytes_max: plan.live_bytes_max,
            cyclic: plan.cyclic,
            taken: plan.takes.len() as u64,
            left_over: plan.left_over,
        })
    }
}

#[derive(Default)]
struct Count {
    counts: Counts,
    threads: BTreeSet<u32>,
    operations: u64,
    references: u64,
    payload_bytes: u64,
}

impl Watch for Count {
    fn event(&mut self, stream: u32, _: u64, event: &Event, slots: &[u32]) -> bool {
        if stream != HEAP_STREAM {
            self.threads.insert(stream);
        }
        self.operations += u64::from(event.is_operation());
        self.references += slots.iter().filter(|&&cell| cell != 0).count() as u64;
        let counts = &mut self.counts;
        let counter = match *event {
            Event::Stamp(_) => &mut counts.stamp,
            Event::Open => &mut counts.scope,
            Event::Close | Event::Leave => return true,
            Event::Alloc { payload_bytes, .. } => {
                self.payload_bytes += u64::from(payload_bytes);
                &mut counts.alloc
            }
            Event::Load { .. } => &mut counts.load,
            Event::Store { value, .. } => {
                self.references += u64::from(value != 0);
                &mut counts.store
            }
            Event::Read { .. } => &mut counts.read,
            Event::Retire { .. } => &mut counts.retire,
            Event::Found { .. } => &mut counts.found,
            Event::Gone => &mut counts.gone,
            Event::RootSet { .. } => &mut counts.root_set,
            Event::RootGet { .. } => &mut counts.root_get,
            Event::Pin { .. } => &mut counts.pin,
            Event::PinRead { .. } => &mut counts.pin_read,
            Event::Unpin { .. } => &mut counts.unpin,
        };
        *counter += 1;
        true
    }
}

/// An event as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When it happened at the earliest, in microseconds since the recording began.
    pub at_us: u64,
    /// Which mutator; 0 for the heap.
    pub thread: u32,
    /// What it did. Objects are named by their cells.
    pub event: String,
}

/// Shows the first events, in the order in which a replay carries them out. Stamps are left out. `show` answers whether it wants more.
///
/// # Errors
///
/// When the file cannot be read.
pub fn head(file: &TraceFile, show: &mut dyn FnMut(Line) -> bool) -> Result<(), TraceError> {
    plan(file, &mut Show(show)).map(|_| ())
}

struct Show<'s>(&'s mut dyn FnMut(Line) -> bool);

impl Watch for Show<'_> {
    fn event(&mut self, thread: u32, at_us: u64, event: &Event, slots: &[u32]) -> bool {
        matches!(event, Event::Stamp(_)) || (self.0)(Line { at_us, thread, event: text(event, slots) })
    }
}

fn text(event: &Event, slots: &[u32]) -> String {
    let or_null = |cell: u32| if cell == 0 { "null".to_owned() } else { format!("#{cell}") };
    match event {
        Event::Stamp(us) => format!("stamp {us}"),
        Event::Open => "open".into(),
        Event::Close => "close".into(),
        Event::Alloc { cell, slots: count, payload_bytes } => {
            let mut text = format!("alloc #{cell} slots {count} payload {payload_bytes}");
            for (slot, &value) in slots.iter().enumerate().filter(|&(_, &value)| value != 0) {
                text.push_str(&format!(" {slot}=#{value}"));
            }
            text
        }
        Event::Load { object, slot, found } => format!("load #{object}.{slot} = {}", or_null(*found)),
        Event::Store { object, slot, value } => format!("store #{object}.{slot} = {}", or_null(*value)),
        Event::Read { object } => format!("read #{object}"),
        Event::Retire { object } => format!("retire #{object}"),
        Event::Found { cell } => format!("find #{cell}"),
        Event::Gone => "find nothing".into(),
        Event::RootSet { name, value, .. } => format!("root {name:?} = {}", or_null(*value)),
        Event::RootGet { name, found, .. } => format!("read root {name:?} = {}", or_null(*found)),
        Event::Pin { place, object, .. } => format!("pin {place} = #{object}"),
        Event::PinRead { place, found } => format!("read pin {place} = #{found}"),
        Event::Unpin { place, .. } => format!("unpin {place}"),
        Event::Leave => "leave".into(),
    }
}
