//! The clock counts the CPU time of a whole process, so its test is alone in one: neighbours would be counted too.

use std::time::{Duration, Instant};

use gc_benches::clock::spent;

#[test]
fn work_costs_cpu_time_and_sleep_does_not() {
    let (_, busy) = spent(|| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
    });
    let (_, idle) = spent(|| std::thread::sleep(Duration::from_millis(30)));
    assert!(busy.cpu > Duration::from_millis(1), "{busy:?}");
    assert!(idle.wall >= Duration::from_millis(30), "{idle:?}");
    assert!(idle.cpu < idle.wall, "{idle:?}");
}
