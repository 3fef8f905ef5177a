//! What a heap writes down: the raw blocks, as a sink gets them. That they can be read and replayed is tested where they are read.

use std::sync::{Arc, Mutex};

use gc_heap::tape::{BLOCK_BYTES_MAX, Block, HEAP_STREAM, Sink, Tape, code};
use gc_heap::{Heap, HeapConfig};

/// Keeps blocks, as many as it may.
#[derive(Clone)]
struct Kept {
    blocks: Arc<Mutex<Vec<Block>>>,
    most: usize,
}

impl Sink for Kept {
    fn take(&self, block: Block) -> Option<Vec<u8>> {
        let mut blocks = self.blocks.lock().unwrap();
        if blocks.len() == self.most {
            return None;
        }
        blocks.push(block);
        Some(Vec::new())
    }
}

fn recorded(most: usize) -> (Heap, Kept) {
    let kept = Kept { blocks: Arc::default(), most };
    let tape = Some(Tape::new(kept.clone()));
    (Heap::new(HeapConfig { tape, ..HeapConfig::with_limit(64 << 20) }).unwrap(), kept)
}

fn allocate(heap: &Heap, objects: usize) {
    let mut mutator = heap.mutator();
    for _ in 0..objects / 100 {
        mutator.scope(|scope| {
            let mut last = None;
            for _ in 0..100 {
                last = Some(scope.alloc(&[last], b"0123456789").unwrap());
            }
        });
    }
}

#[test]
fn blocks_are_whole_in_order_and_bounded() {
    let (heap, kept) = recorded(usize::MAX);
    allocate(&heap, 100_000);
    let blocks = kept.blocks.lock().unwrap();
    assert!(blocks.len() > 3, "{}", blocks.len());
    let mut last_ns = 0;
    for (number, block) in (0..).zip(blocks.iter()) {
        assert_eq!((block.stream, block.number), (1, number));
        assert!(block.bytes.len() <= BLOCK_BYTES_MAX && block.operations <= block.events);
        assert!(last_ns <= block.begun_ns && block.begun_ns <= block.ended_ns);
        last_ns = block.ended_ns;
    }
    let operations: u64 = blocks.iter().map(|block| u64::from(block.operations)).sum();
    assert_eq!(operations, 100_000);
    let leave = code::RARE | (code::RARE_LEAVE as u8) << 4;
    assert_eq!(blocks.last().unwrap().bytes.last(), Some(&leave));
}

#[test]
fn a_chain_of_small_objects_takes_four_bytes_each() {
    let (heap, kept) = recorded(usize::MAX);
    allocate(&heap, 50_000);
    let bytes: usize = kept.blocks.lock().unwrap().iter().map(|block| block.bytes.len()).sum();
    assert!((195_000..210_000).contains(&bytes), "{bytes}");
}

#[test]
fn mutators_go_on_when_nobody_takes_blocks() {
    let (heap, kept) = recorded(2);
    allocate(&heap, 100_000);
    assert_eq!(kept.blocks.lock().unwrap().len(), 2);
    assert_eq!(heap.stats().live_objects, 100_000);
}

#[test]
fn the_end_of_a_pin_is_written_by_the_heap() {
    let (heap, kept) = recorded(usize::MAX);
    let pin = heap.mutator().scope(|scope| {
        let object = scope.alloc(&[], b"").unwrap();
        scope.pin(object)
    });
    drop(pin);
    heap.end_recording();
    let blocks = kept.blocks.lock().unwrap();
    let streams: Vec<u32> = blocks.iter().map(|block| block.stream).collect();
    assert_eq!(streams, [1, HEAP_STREAM]);
    // Its turn is the second: the first was the pin's.
    assert!(blocks[1].bytes.ends_with(&[code::UNPIN, code::varint(2) as u8]), "{:?}", blocks[1].bytes);
}

#[test]
fn an_object_of_many_references_is_an_allocation_and_stores() {
    let (heap, kept) = recorded(usize::MAX);
    heap.mutator().scope(|scope| {
        let leaf = scope.alloc(&[], b"").unwrap();
        scope.alloc(&vec![Some(leaf); 5000], b"").unwrap();
        scope.alloc(&vec![None; 1_000_000], b"").unwrap();
    });
    let blocks = kept.blocks.lock().unwrap();
    let operations: u32 = blocks.iter().map(|block| block.operations).sum();
    assert_eq!(operations, 3 + 5000 - 1024);
}
