//! Working: steps of the strategy and of its shadow, sized by their time, and flushes between them until neither has anything left to do.
//!
//! A flush is a handshake after which everything is here that mutators overwrote or looked up before. The strategy is told, and works again if that
//! brought it anything. When it did not, what the strategy has read and what it was told cover the graph as it was when the cycle began.

use std::time::{Duration, Instant};

use super::{Cycle, Stop};
use crate::holdup::Begun;
use crate::limits::{BATCH_CELLS, BUDGET_MAX, FIRST_BUDGET, STEPS_MAX};
use crate::strategy::{Fault, Progress};

impl Cycle<'_> {
    // Work: steps and flushes until nothing is left.

    pub(super) fn work(&mut self) -> Result<(), Stop> {
        self.shade()?;
        loop {
            self.step_until_idle()?;
            self.flush();
            // What was shaded and known already led to no reading of references, so every reference was read before this flush: what is
            // overwritten from here on was seen. See `handshake`, the proof's scan; the same argument holds for the strategy's own reading.
            if !self.shade()? {
                return Ok(());
            }
        }
    }

    /// Brings everything here that mutators have overwritten or looked up.
    pub(super) fn flush(&mut self) {
        self.handshake(self.working, self.epoch, false);
        self.take();
        self.report.flushes += 1;
    }

    fn step_until_idle(&mut self) -> Result<(), Stop> {
        let mut idle = false;
        loop {
            let begun = Begun::now();
            if !idle {
                idle = self.step()? == Progress::Idle;
            }
            let beside_idle = self.step_shadow();
            self.slice(&begun)?;
            // Without a handshake: just so that logs do not fill.
            self.take();
            if idle && beside_idle {
                return Ok(());
            }
        }
    }

    /// Tells what mutators overwrote and looked up. Answers whether that brought new work.
    pub(super) fn shade(&mut self) -> Result<bool, Stop> {
        let unshaded = std::mem::take(&mut self.unshaded);
        let mut learned = false;
        for batch in unshaded.chunks(BATCH_CELLS) {
            learned |= self.call(|strategy| strategy.shade(batch))?;
            learned |= self.call_shadow(|strategy| strategy.shade(batch)).unwrap_or(false);
        }
        self.report.shaded += unshaded.len() as u64;
        self.roots.extend(unshaded);
        self.pass_reached()?;
        Ok(learned)
    }

    fn step(&mut self) -> Result<Progress, Stop> {
        let budget = self.budget;
        let begun = Instant::now();
        let progress = self.call(|strategy| strategy.step(budget))?;
        self.report.steps += 1;
        if self.report.steps > self.steps_max() {
            return Err(Stop::Faulted(endless(self.report.steps)));
        }
        let took = begun.elapsed().max(Duration::from_nanos(1));
        let ratio = self.request.slice_target.as_secs_f64() / took.as_secs_f64();
        let next = f64::from(budget) * ratio.clamp(0.5, 2.0);
        self.budget = next.clamp(f64::from(FIRST_BUDGET) / 16.0, f64::from(BUDGET_MAX)) as u32;
        self.pass_reached()?;
        Ok(progress)
    }

    /// Steps after which a strategy is taken for one that does not end: enough to visit every cell many times in the smallest steps.
    fn steps_max(&self) -> u32 {
        // Over nodes, each thing that the others reach may be a step of its own.
        let cells = self.heap.capacity();
        STEPS_MAX + if self.over.is_some() { cells } else { cells / 16 }
    }

    fn step_shadow(&mut self) -> bool {
        let budget = self.budget;
        let most = self.steps_max();
        if let Some(shadow) = self.shadow.as_mut() {
            shadow.steps += 1;
            if shadow.steps > most {
                shadow.report.fault.get_or_insert(endless(shadow.steps));
            }
        }
        self.call_shadow(|strategy| strategy.step(budget)) != Some(Progress::More)
    }
}

fn endless(steps: u32) -> Fault {
    Fault::Nonsense(format!("work is left after {steps} steps, in a heap that has long been visited"))
}
