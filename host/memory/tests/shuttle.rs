//! The exchange between caches and pools under many schedules: `cargo test -p gc-memory --features shuttle --test shuttle`.
#![cfg(feature = "shuttle")]

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gc_memory::{Block, SlabConfig, Slabs};

/// Two threads allocate, mark, hand over and free, a third shrinks: no block is ever had by two, and all come back.
fn exchange(orders: &Arc<Mutex<HashSet<Vec<u8>>>>) {
    let config =
        SlabConfig { arena_bytes: 256 << 10, batch_blocks: 1, huge_pages: false, ..SlabConfig::default() };
    let slabs = Slabs::new(config).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let handed: Arc<shuttle::sync::Mutex<Vec<(Block, u64)>>> = Arc::default();
    let workers = (0..2_u8).map(|me| {
        let (slabs, order, handed) = (Arc::clone(&slabs), Arc::clone(&order), Arc::clone(&handed));
        shuttle::thread::spawn(move || {
            let mut cache = slabs.cache();
            for turn in 0..4 {
                let mark = u64::from(me) * 100 + turn + 1;
                let block = cache.allocate(20_000).unwrap();
                order.lock().unwrap().push(me + 10);
                slabs.words(block)[0].store(mark, Relaxed);
                handed.lock().unwrap().push((block, mark));
                let (block, mark) = handed.lock().unwrap().remove(0);
                order.lock().unwrap().push(me);
                assert_eq!(slabs.words(block)[0].load(Relaxed), mark, "a block that two have");
                cache.free(block);
            }
        })
    });
    let mut threads: Vec<_> = workers.collect();
    let (shrinking, log) = (Arc::clone(&slabs), Arc::clone(&order));
    threads.push(shuttle::thread::spawn(move || {
        for look in 0..3 {
            shrinking.tick(Duration::from_secs(60 * look));
            shrinking.trim();
            log.lock().unwrap().push(2);
        }
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    slabs.trim();
    let stats = slabs.stats();
    assert_eq!((stats.used_bytes(), stats.cached_bytes(), stats.committed_bytes), (0, 0, 0));
    orders.lock().unwrap().insert(order.lock().unwrap().clone());
}

#[test]
fn caches_exchange_blocks_under_many_schedules() {
    let orders: Arc<Mutex<HashSet<Vec<u8>>>> = Arc::default();
    let seen = Arc::clone(&orders);
    shuttle::check_random(move || exchange(&seen), 1500);
    let seen = Arc::clone(&orders);
    shuttle::check_pct(move || exchange(&seen), 1500, 3);
    let distinct = orders.lock().unwrap().len();
    assert!(distinct >= 100, "only {distinct} different interleavings were explored");
}
