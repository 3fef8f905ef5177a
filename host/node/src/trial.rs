//! What a canary is asked for with, and a swap whose end somebody waits for.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError};

use crate::canary::Budget;
use crate::error::NodeError;
use crate::limits::{CANARY_PROBATION_CYCLES, CANARY_SHADOW_CYCLES, SHADOW_CYCLES_MAX};
use crate::record::SwapReport;
use crate::source::StrategySource;
use crate::swap::Plan;

/// What is to be tried, how long, and what it must keep.
#[derive(Debug, Clone)]
pub struct CanaryOrder {
    /// The strategy.
    pub strategy: StrategySource,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// What it must keep. Empty: it is rolled back for faults and refused verdicts alone.
    pub budget: Budget,
    /// Cycles beside the serving strategy; 0 only where nothing is held against that one. Default 5.
    pub shadow_cycles: u32,
    /// Cycles of probation, at least 1. Default 20.
    pub probation_cycles: u32,
}

impl CanaryOrder {
    /// A strategy with a budget, as long as it is by default.
    #[must_use]
    pub fn new(strategy: impl Into<StrategySource>, budget: Budget) -> CanaryOrder {
        CanaryOrder {
            strategy: strategy.into(),
            options: BTreeMap::new(),
            budget,
            shadow_cycles: CANARY_SHADOW_CYCLES,
            probation_cycles: CANARY_PROBATION_CYCLES,
        }
    }

    pub(crate) fn checked(self) -> Result<(Plan, CanaryOrder), NodeError> {
        let wrong = |what: String, remedy| Err(NodeError::Config { what, remedy });
        let CanaryOrder { shadow_cycles, probation_cycles, .. } = self;
        if shadow_cycles > SHADOW_CYCLES_MAX || !(1..=SHADOW_CYCLES_MAX).contains(&probation_cycles) {
            return wrong(
                format!(
                    "a canary of {shadow_cycles} cycles beside the other and {probation_cycles} on probation"
                ),
                "give at most 10000 of each, and at least one on probation",
            );
        }
        if shadow_cycles == 0 && self.budget.is_relative() {
            return wrong(
                "a limit that compares with the present strategy, without a cycle beside it".into(),
                "give at least one such cycle",
            );
        }
        Ok((Plan::Canary { shadow_cycles, probation_cycles }, self))
    }
}

/// A swap that was asked for.
#[derive(Debug)]
pub struct PendingSwap {
    answer: Receiver<Result<SwapReport, NodeError>>,
}

impl PendingSwap {
    pub(crate) fn new(answer: Receiver<Result<SwapReport, NodeError>>) -> PendingSwap {
        PendingSwap { answer }
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// [`NodeError::SwapFailed`] says why the candidate did not come to serve.
    pub fn wait(self) -> Result<SwapReport, NodeError> {
        self.answer.recv().map_err(|_| NodeError::Stopped)?
    }

    /// Its end, once; none while it is not there.
    ///
    /// # Errors
    ///
    /// As [`PendingSwap::wait`].
    pub fn poll(&self) -> Option<Result<SwapReport, NodeError>> {
        match self.answer.try_recv() {
            Ok(ended) => Some(ended),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(NodeError::Stopped)),
        }
    }
}
