//! Bytes that no recorder wrote, under checksums that match: plain tests of what a fuzzer would try.

use std::path::Path;

use gc_heap::tape::{Block, code};
use gc_heap::{Heap, HeapConfig};
use proptest::prelude::*;

use crate::driver::{CollectFailed, Driver, Progress};
use crate::trace::format::{Facts, header};
use crate::trace::recording::Writer;
use crate::trace::{Pace, Replay, TraceFile, TraceInfo};

struct Nobody;

impl Driver for Nobody {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Ok(0)
    }
    fn stop_requested(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
}

/// A file whose blocks hold these bytes.
fn write(path: &Path, blocks: &[(u32, Vec<u8>)]) {
    let header = header(&Facts::default());
    std::fs::write(path, &header).unwrap();
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let mut writer = Writer::new(Box::new(file), header.len() as u64);
    let mut numbers = std::collections::BTreeMap::new();
    for (stream, bytes) in blocks {
        let number = numbers.entry(*stream).or_insert(0);
        let (begun_ns, ended_ns) = (u64::from(*number) * 1000, u64::from(*number) * 1000 + 900);
        let (stream, bytes) = (*stream, bytes.clone());
        let block = Block { stream, number: *number, begun_ns, ended_ns, events: 0, operations: 0, bytes };
        writer.write(&block).unwrap();
        *number += 1;
    }
    assert!(writer.end(1_000_000, None).ended);
}

/// Whatever the bytes are, a trace of them is read and replayed, up to where they stop making sense.
fn survives(blocks: &[(u32, Vec<u8>)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    write(&path, blocks);
    let file = TraceFile::open(&path).unwrap();
    assert_eq!(file.damage(), None);
    let info = TraceInfo::of(&file).unwrap();
    let limits = HeapConfig::with_limit(4 << 20);
    let heap = Heap::new(HeapConfig { full_wait: std::time::Duration::ZERO, ..limits }).unwrap();
    match Replay::of(file).unwrap().run(&heap, &Pace::Free, &Nobody) {
        Ok(report) => assert_eq!(report.operations, info.operations),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("heap") || text.contains("too"), "{text}");
        }
    }
}

/// The code of the youngest object, as a varint.
const YOUNGEST: [u8; 2] = [0x0a, 0x02];

#[test]
fn the_youngest_object_has_its_code() {
    assert_eq!(code::varint(code::FIRST_FAR).to_le_bytes()[..2], YOUNGEST);
}

/// An event more likely than not, and often one that fits.
fn event() -> impl Strategy<Value = Vec<u8>> {
    let on = |first: u8, rest: &[u8]| [&[first][..], &YOUNGEST, rest].concat();
    prop_oneof![
        3 => Just(vec![1]),
        2 => Just(vec![2]),
        4 => (0_u8..5).prop_map(|slots| [vec![3 | slots << 4, 1, 1], YOUNGEST.repeat(slots.into())].concat()),
        2 => (0_u8..4).prop_map(move |slot| on(4 | slot << 4, &[3])),
        2 => (0_u8..4).prop_map(move |slot| on(5 | slot << 4, &YOUNGEST)),
        1 => (0_u8..128).prop_map(|place| vec![7, 2 * place + 1]),
        1 => Just(vec![15, 5, b'a', b'b']),
        1 => Just([&[10, 3][..], &YOUNGEST].concat()),
        1 => Just(vec![11, 3, 3]),
        1 => Just([&[12, 3][..], &YOUNGEST].concat()),
        1 => Just(vec![8, 1]),
        2 => prop::collection::vec(any::<u8>(), 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(blocks in prop::collection::vec((0_u32..4, prop::collection::vec(any::<u8>(), 0..300)), 0..5)) {
        survives(&blocks);
    }

    #[test]
    fn random_events_are_survived(blocks in prop::collection::vec((0_u32..3, prop::collection::vec(event(), 0..120)), 0..4)) {
        let blocks: Vec<_> = blocks.into_iter().map(|(stream, events)| (stream, events.concat())).collect();
        survives(&blocks);
    }
}
