//! Reads the objects of a repository with several threads, since taking trees out of a pack is most of an
//! import.
//!
//! Threads take parts of the objects one after the other, in the order of the pack, so that they stay near
//! each other: what one has learnt from a tree spares the other a look at a blob. The caller puts the parts
//! together in their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::objects::{Objects, References, parents_in_place};
use super::reader::Reader;
use crate::driver::{Driver, Phase, Ticker};
use crate::error::GitError;
use crate::import::InputGraph;
use crate::limits::{READ_OBJECTS, READ_THREADS_MAX};

/// What some objects in a row refer to.
struct Part {
    /// How many references each has.
    counts: Vec<u64>,
    targets: Vec<u32>,
    missing: u64,
}

type Message = (usize, Result<Part, GitError>);

/// The references of all objects, and how many lead to objects that are not there. None when the driver asked
/// to stop.
pub(super) fn read_all(
    reader: &Reader,
    objects: &Objects,
    driver: &dyn Driver,
) -> Result<Option<(InputGraph, u64)>, GitError> {
    let parents = parents_in_place(reader)?;
    let parts = objects.len().div_ceil(READ_OBJECTS);
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(READ_THREADS_MAX).min(parts);
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (send, receive) = sync_channel::<Message>(2 * threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (reader, send) = (reader.another(), send.clone());
            let (next, over, parents) = (&next, &over, &parents);
            scope.spawn(move || {
                read_parts(&reader, objects, &mut References::new(parents), next, &send, over);
            });
        }
        drop(send);
        let result = put_together(&receive, objects.len(), driver);
        over.store(true, Ordering::Relaxed);
        // Whoever waits to send ends with an error.
        drop(receive);
        result
    })
}

fn read_parts(
    reader: &Reader,
    objects: &Objects,
    references: &mut References<'_>,
    next: &AtomicUsize,
    send: &SyncSender<Message>,
    over: &AtomicBool,
) {
    while !over.load(Ordering::Relaxed) {
        let part = next.fetch_add(1, Ordering::Relaxed);
        let begin = part * READ_OBJECTS;
        if begin >= objects.len() {
            return;
        }
        let end = objects.len().min(begin + READ_OBJECTS);
        let read = read_part(reader, objects, references, begin as u32..end as u32);
        if send.send((part, read)).is_err() {
            return;
        }
    }
}

fn read_part(
    reader: &Reader,
    objects: &Objects,
    references: &mut References<'_>,
    range: std::ops::Range<u32>,
) -> Result<Part, GitError> {
    let missing_before = references.missing();
    let mut part = Part { counts: Vec::with_capacity(range.len()), targets: Vec::new(), missing: 0 };
    for object in range {
        let before = part.targets.len();
        references.of(reader, objects, object, &mut part.targets)?;
        part.counts.push((part.targets.len() - before) as u64);
    }
    part.missing = references.missing() - missing_before;
    Ok(part)
}

fn put_together(
    receive: &Receiver<Message>,
    objects: usize,
    driver: &dyn Driver,
) -> Result<Option<(InputGraph, u64)>, GitError> {
    let mut graph = InputGraph { begins: vec![0], ..InputGraph::default() };
    graph.begins.reserve(objects);
    let mut missing = 0;
    let mut early: BTreeMap<usize, Part> = BTreeMap::new();
    let mut next = 0;
    let mut ticker = Ticker::new(driver, Phase::Read, Some(objects as u64));
    for (number, part) in receive {
        early.insert(number, part?);
        while let Some(part) = early.remove(&next) {
            next += 1;
            missing += part.missing;
            let mut end = graph.targets.len() as u64;
            graph.begins.extend(part.counts.iter().map(|count| {
                end += count;
                end
            }));
            graph.targets.extend_from_slice(&part.targets);
        }
        if ticker.tick(graph.len() as u64) {
            return Ok(None);
        }
    }
    Ok((graph.len() == objects).then_some((graph, missing)))
}
