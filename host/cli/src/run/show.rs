//! What a running node shows: a live view at a terminal, a line per cycle elsewhere, or JSON lines.
//!
//! Cycle lines go to standard error, so that standard output has the result alone; with `--json` everything goes to standard output. Keys of lines
//! and of JSON are stable: scripts may rely on them.

use std::io::Write;
use std::time::{Duration, Instant};

use gc_lab::{Progress, WorkloadSpec};
use gc_node::{CycleRecord, Event, Node, Subscription, short};

use crate::output::note;
use crate::run::view::View;

/// Time between two looks at what has happened.
const TURN: Duration = Duration::from_millis(50);

enum How {
    Json,
    Lines { cycles: bool },
    Live(Box<View>),
}

/// See the module.
pub(crate) struct Show {
    events: Subscription,
    how: How,
}

impl Show {
    pub(crate) fn new(
        json: bool,
        quiet: bool,
        node: &Node,
        load: Option<&WorkloadSpec>,
        began: Instant,
    ) -> Show {
        let how = if json {
            How::Json
        } else if !quiet && console::Term::stderr().is_term() {
            How::Live(Box::new(View::new(load.map_or("no load", WorkloadSpec::name), began)))
        } else {
            How::Lines { cycles: !quiet }
        };
        let show = Show { events: node.subscribe(), how };
        show.greet(node);
        show
    }

    fn greet(&self, node: &Node) {
        let status = node.status(0);
        if let Some(cluster) = node.cluster() {
            let life = cluster.incarnation();
            note(format!("cluster on {} as {} life={life}", cluster.address(), cluster.me()));
        }
        if let Some(address) = node.metrics_address() {
            note(format!("metrics on http://{address}/metrics"));
        }
        if let How::Lines { .. } = self.how {
            let limit = status.heap.limit_bytes;
            note(format!("serving strategy={} heap_limit_bytes={limit}", status.strategy));
        }
    }

    /// Shows what has happened, for a twentieth of a second.
    pub(crate) fn turn(&mut self, node: &Node, progress: Option<Progress>) {
        let until = Instant::now() + TURN;
        while let Ok(event) = self.events.next_within(until.saturating_duration_since(Instant::now())) {
            self.event(&event);
        }
        if let How::Live(view) = &mut self.how {
            view.draw(node, progress);
        }
    }

    /// Shows the rest. The view stays on the screen.
    pub(crate) fn end(&mut self, node: &Node) {
        while let Ok(event) = self.events.try_next() {
            self.event(&event);
        }
        if let How::Live(view) = &mut self.how {
            view.finish(node);
        }
    }

    fn event(&mut self, event: &Event) {
        match &mut self.how {
            How::Json => {
                let text = serde_json::to_string(event).unwrap_or_default();
                // Whoever read us has gone; the run goes on.
                let _ = writeln!(std::io::stdout().lock(), "{text}");
            }
            How::Lines { cycles } => match event {
                Event::Cycle(cycle) if *cycles => note(line(cycle)),
                Event::Cycle(_) => {}
                Event::Swap(record) => note(record),
                Event::Message(message) => note(format!("{}: {}", message.level, message.text)),
                Event::Missed { count } => note(format!("({count} events were not shown)")),
            },
            How::Live(view) => match event {
                Event::Cycle(cycle) => view.cycle(cycle),
                Event::Swap(record) => view.say(&record.to_string()),
                Event::Message(message) => view.say(&format!("{}: {}", message.level, message.text)),
                Event::Missed { .. } => {}
            },
        }
    }
}

/// Like a line of Go's gctrace: one per cycle, `key=value`, in an order that does not change.
fn line(cycle: &CycleRecord) -> String {
    let us = |ns: u64| ns as f64 / 1e3;
    let mut line = format!(
        "gc {} @{:.3}s {}@{}#{} cause={} outcome={} handshake_us={:.0} mark_us={:.0} proof_us={:.0} reclaim_us={:.0} total_us={:.0} \
         live_objects={} condemned_objects={} freed_objects={} used_bytes={} goal_bytes={} committed_bytes={} steps={} shaded={} \
         changes={} withheld_cells={} pause_ns_max={}",
        cycle.cycle,
        cycle.at_s,
        cycle.strategy,
        cycle.version,
        short(&cycle.digest),
        cycle.cause,
        cycle.outcome,
        us(cycle.handshake_ns),
        us(cycle.mark_ns),
        us(cycle.proof_ns),
        us(cycle.reclaim_ns),
        us(cycle.total_ns),
        cycle.live_objects,
        cycle.condemned_objects,
        cycle.freed_objects,
        cycle.used_bytes,
        cycle.goal_bytes,
        cycle.committed_bytes,
        cycle.steps,
        cycle.shaded,
        cycle.changes,
        cycle.withheld_cells,
        cycle.pause_ns_max,
    );
    if let Some(shadow) = &cycle.shadow {
        line += &format!(
            " shadow={} shadow_cells={} shadow_only_cells={} serving_only_cells={}",
            shadow.strategy, shadow.proposed_cells, shadow.only_shadow_cells, shadow.only_serving_cells
        );
    }
    if let Some(reason) = &cycle.reason {
        line += &format!(" reason={reason:?}");
    }
    line
}
