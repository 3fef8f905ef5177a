//! The end of a workload: cycles until nothing more is reclaimed.

use std::time::Instant;

use crate::driver::{CollectFailed, Driver, Phase, Progress};
use crate::limits::{FINAL_CYCLES_MAX, QUIET_CYCLES};
use crate::report::WorkloadReport;

/// Asks for cycles until [`QUIET_CYCLES`] in a row reclaimed nothing, or [`FINAL_CYCLES_MAX`] have passed, or
/// the driver wants to stop. Says whether it did want to.
pub(crate) fn settle(driver: &dyn Driver) -> Result<bool, CollectFailed> {
    let mut quiet = 0;
    for cycle in 0..FINAL_CYCLES_MAX {
        driver.progress(Progress { phase: Phase::Collect, done: cycle.into(), total: None });
        if driver.stop_requested() {
            return Ok(true);
        }
        quiet = if driver.collect()? == 0 { quiet + 1 } else { 0 };
        if quiet == QUIET_CYCLES {
            break;
        }
    }
    Ok(false)
}

/// Settles the heap after a workload that was not stopped, and notes how long that took.
pub(crate) fn settle_timed(driver: &dyn Driver, report: &mut WorkloadReport) -> Result<(), CollectFailed> {
    let begun = Instant::now();
    report.stopped = report.stopped || driver.stop_requested() || settle(driver)?;
    report.settle_time = begun.elapsed();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers with these counts, one per cycle, and 7 for ever after.
    struct Script(Mutex<Vec<u64>>);

    impl Driver for Script {
        fn collect(&self) -> Result<u64, CollectFailed> {
            Ok(self.0.lock().unwrap().pop().unwrap_or(7))
        }

        fn stop_requested(&self) -> bool {
            false
        }

        fn progress(&self, _: Progress) {}
    }

    #[test]
    fn a_single_quiet_cycle_is_not_the_end() {
        let script = Script(Mutex::new(vec![3, 0, 0, 5, 0]));
        assert_eq!(settle(&script), Ok(false));
        assert_eq!(*script.0.lock().unwrap(), [3]);
    }

    #[test]
    fn a_strategy_that_never_ends_is_left() {
        assert_eq!(settle(&Script(Mutex::new(vec![]))), Ok(false));
    }
}
