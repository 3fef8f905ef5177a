//! `--canary`: another strategy is tried while the node runs, and the node decides by itself whether it stays.

use gc_node::canary::{Budget, Limit, Measured, Unit};
use gc_node::{CanaryOrder, Node, PendingSwap, ShadowSummary, StrategySource, SwapReport};
use serde::Serialize;

use crate::units::{bytes, nanoseconds};
use crate::{Usage, output};

/// What is asked for on the command line.
#[derive(clap::Args)]
pub(crate) struct CanaryFlags {
    /// Try this strategy while the load runs: beside the other one, then on probation. It stays if it keeps its --budget, or else the other one comes back.
    /// On a node of a cluster this concerns that node alone
    #[arg(long, value_name = "NAME|PATH")]
    canary: Option<String>,
    /// What the canary must keep, such as 'p999 < 50us', 'max < 1ms', 'cpu < +3%', 'memory < 64MiB' (also p50, p99, mark, heap, missed); may be repeated
    #[arg(long, value_name = "LIMIT", value_parser = crate::run::budget::limit, requires = "canary")]
    budget: Vec<Limit>,
    /// Set an option of the canary
    #[arg(long, value_name = "OPTION=VALUE", value_parser = crate::config::setting, requires = "canary")]
    canary_set: Vec<(String, String)>,
    /// Cycles that the canary runs beside the other strategy [default: 5]
    #[arg(long, value_name = "CYCLES", requires = "canary")]
    canary_shadow: Option<u32>,
    /// Cycles that the canary serves before it is promoted [default: 20]
    #[arg(long, value_name = "CYCLES", requires = "canary")]
    canary_probation: Option<u32>,
}

impl CanaryFlags {
    /// The order for the node, where a canary is asked for. A strategy that is not there is found out at once.
    pub(crate) fn order(self) -> anyhow::Result<Option<CanaryOrder>> {
        let Some(strategy) = self.canary else { return Ok(None) };
        let source = StrategySource::from(strategy.as_str());
        let built_in =
            matches!(&source, StrategySource::Named(name) if gc_node::names().contains(&name.as_str()));
        if !built_in {
            gc_node::read(&source)?;
        }
        let mut order = CanaryOrder::new(source, Budget(self.budget));
        order.options = self.canary_set.into_iter().collect();
        order.shadow_cycles = self.canary_shadow.unwrap_or(order.shadow_cycles);
        order.probation_cycles = self.canary_probation.unwrap_or(order.probation_cycles);
        Ok(Some(order))
    }
}

/// A canary that is being tried.
pub(crate) struct Canary {
    strategy: String,
    pending: PendingSwap,
    decision: Option<Decision>,
}

/// How it ended, for the summary. Scripts rely on the names.
#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    /// What was asked for; once it was loaded, its name.
    strategy: String,
    /// `promoted`, `rolled-back`, `refused` (it never came to serve) or `undecided` (the run was over).
    outcome: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measures: Vec<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<Box<ShadowSummary>>,
}

impl Canary {
    pub(crate) fn begin(node: &Node, order: CanaryOrder) -> anyhow::Result<Canary> {
        let strategy = order.strategy.label();
        let pending = node.canary(order).map_err(|error| Usage(error.to_string()))?;
        Ok(Canary { strategy, pending, decision: None })
    }

    /// Looks whether it is decided.
    pub(crate) fn watch(&mut self) {
        let Some(ended) = self.pending.poll().filter(|_| self.decision.is_none()) else { return };
        self.decision = Some(match ended {
            Ok(SwapReport { candidate, shadow, canary: Some(canary), .. }) => Decision {
                strategy: candidate.to_string(),
                outcome: if canary.promoted { "promoted" } else { "rolled-back" },
                reason: canary.reason,
                measures: canary.measures,
                shadow,
            },
            Ok(report) => self.without(report.candidate.to_string(), "refused", String::new()),
            Err(error) => self.without(self.strategy.clone(), "refused", error.to_string()),
        });
    }

    fn without(&self, strategy: String, outcome: &'static str, reason: String) -> Decision {
        Decision { strategy, outcome, reason, measures: Vec::new(), shadow: None }
    }

    /// The decision, or that there is none.
    pub(crate) fn finish(mut self) -> Decision {
        self.watch();
        let reason = "the run was over before it was decided: give it more time, or fewer cycles with --canary-shadow and --canary-probation";
        let undecided = self.without(self.strategy.clone(), "undecided", reason.into());
        self.decision.unwrap_or(undecided)
    }
}

impl Decision {
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        output::line(format!("canary     {} {}: {}", self.strategy, self.outcome, self.reason))?;
        if self.measures.is_empty() {
            return Ok(());
        }
        output::line(format!("           {:<8}{:>12}{:>12}", "", "before", "canary"))?;
        for measured in &self.measures {
            let show = |value: Option<f64>| value.map_or("-".into(), |value| shown(value, measured.unit));
            output::line(format!(
                "           {:<8}{:>12}{:>12}{}",
                measured.measure,
                show(measured.present),
                show(measured.candidate),
                measured.limit.as_ref().map_or(String::new(), |limit| format!("   {limit}")),
            ))?;
        }
        Ok(())
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => nanoseconds(value as u64),
        Unit::Bytes => bytes(value as u64),
        Unit::Share => format!("{:.1} %", 100.0 * value),
    }
}
