//! The beginning of a trace as a trace of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use gc_heap::tape::Block;

use crate::error::TraceError;
use crate::trace::events::{Event, Events};
use crate::trace::file::TraceFile;
use crate::trace::format::header;
use crate::trace::plan::{Watch, plan};
use crate::trace::recording::Writer;

/// How much is kept: events in the order of a replay, until the first of these is reached.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// So many operations.
    pub operations: Option<u64>,
    /// What happened before this time, in microseconds since the recording began.
    pub until_us: Option<u64>,
}

/// Writes the beginning of a trace to another file. Answers how many operations are in it. Scopes that are open at the cut stay open in the new trace: a
/// replay ends them at its end.
///
/// # Errors
///
/// When one of the files cannot be read or written.
pub fn cut(file: &TraceFile, cut: Cut, to: &Path) -> Result<u64, TraceError> {
    let mut quota = Quota { cut, operations: 0, events: BTreeMap::new() };
    plan(file, &mut quota)?;
    let failed = |source| TraceError::File { what: "write", path: to.to_owned(), source };
    let mut out = File::create(to).map_err(failed)?;
    let mut facts = file.facts().clone();
    facts.add("cut_from", file.path().display());
    let header = header(&facts);
    out.write_all(&header).map_err(failed)?;
    let mut writer = Writer::new(Box::new(out), header.len() as u64);
    let mut streams: BTreeMap<u32, Events> = BTreeMap::new();
    let mut ended_ns = 0;
    for number in 0..file.blocks().len() as u32 {
        let head = &file.blocks()[number as usize].head;
        let Some(left) = quota.events.get_mut(&head.stream).filter(|left| **left > 0) else { continue };
        let events = streams.entry(head.stream).or_default();
        if let Some(block) = shortened(file, number, events, left)? {
            ended_ns = ended_ns.max(block.ended_ns);
            writer.write(&block).map_err(failed)?;
        }
    }
    let written = writer.end(ended_ns, None);
    if !written.ended {
        return Err(failed(std::io::Error::other("its end could not be written: is the disk full?")));
    }
    Ok(written.operations)
}

/// A block with at most `left` of its events.
fn shortened(
    file: &TraceFile,
    number: u32,
    events: &mut Events,
    left: &mut u64,
) -> Result<Option<Block>, TraceError> {
    let head = &file.blocks()[number as usize].head;
    let bytes = file.read(number, Vec::new())?;
    events.begin_block(bytes.clone());
    let mut block = Block {
        stream: head.stream,
        number: head.number,
        begun_ns: head.begun_ns,
        ended_ns: head.ended_ns,
        events: 0,
        operations: 0,
        bytes,
    };
    let mut end = 0;
    while *left > 0 {
        // What makes no sense was not in the plan.
        let Ok(Some(event)) = events.next() else { break };
        *left -= 1;
        block.events += 1;
        block.operations += u32::from(event.is_operation());
        end = events.position();
    }
    block.bytes.truncate(end);
    Ok((end > 0).then_some(block))
}

/// Counts what is kept of each stream.
struct Quota {
    cut: Cut,
    operations: u64,
    events: BTreeMap<u32, u64>,
}

impl Watch for Quota {
    fn event(&mut self, stream: u32, at_us: u64, event: &Event, _: &[u32]) -> bool {
        let late = self.cut.until_us.is_some_and(|until_us| at_us >= until_us);
        let operation = event.is_operation();
        let enough = operation && self.cut.operations.is_some_and(|most| self.operations >= most);
        if late || enough {
            return false;
        }
        self.operations += u64::from(operation);
        *self.events.entry(stream).or_default() += 1;
        true
    }
}
