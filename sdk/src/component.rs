//! The component side: bindings of the contract, one instance of a strategy, and the choice between window and portable path.

use std::sync::atomic::Ordering::Relaxed;

use crate::graph::{self, Bitmap, Cell, Graph, References};
use crate::info::{Completeness, DefaultValue, Info, Need, OptionSpec, OptionValue, Options};
use crate::raw::{self, RawCells, Window};
use crate::strategy::{self, Changes, RetiredCells, Shape, Strategy};
use crate::telemetry::Level;

use self::bindings::exports::gc::strategy::strategy::Guest as StrategyGuest;
use self::bindings::exports::gc::strategy::window::{Columns, Guest as WindowGuest};
use self::bindings::gc::strategy::{cluster, heap, telemetry, types};

#[allow(missing_docs, reason = "generated; the WIT documents it")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "windowed-collector",
        pub_export_macro: true,
        export_macro_name: "export",
    });
}

/// The one instance of a strategy that a component holds.
pub struct Instance<S> {
    state: Option<State<S>>,
}

struct State<S> {
    strategy: S,
    portable: Portable,
    window: Option<Window>,
    /// Whether the running cycle is one over nodes.
    over_nodes: bool,
}

/// What `export_strategy!` implements: where the instance lives.
pub trait Exported {
    /// The author's type.
    type Strategy: Strategy;
    /// Calls `f` with the instance.
    fn with<R>(f: impl FnOnce(&mut Instance<Self::Strategy>) -> R) -> R;
}

impl<S> Default for Instance<S> {
    fn default() -> Instance<S> {
        Instance::new()
    }
}

impl<S> Instance<S> {
    /// Nothing configured yet.
    pub const fn new() -> Instance<S> {
        Instance { state: None }
    }

    fn state(&mut self) -> &mut State<S> {
        self.state.as_mut().expect("configure comes first")
    }

    fn strategy(&mut self) -> &mut S {
        &mut self.state().strategy
    }
}

impl<S: Strategy> State<S> {
    /// Tells the host which stubs the strategy has reached. A strategy that never does so does not import the function either.
    fn tell_reached(&mut self) {
        if const { S::INFO.needs(Need::ClusterMark) } && self.over_nodes {
            self.strategy.take_reached().chunks(graph::BATCH).for_each(cluster::reached);
        }
    }
}

impl<E: Exported> StrategyGuest for E {
    fn describe() -> types::Description {
        describe(&E::Strategy::INFO)
    }

    fn configure(
        options: Vec<(String, types::OptionValue)>,
        shape: types::HeapShape,
    ) -> Result<(), types::Error> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        let options = Options::new(options.into_iter().map(|(name, value)| (name, value.into())).collect());
        let shape = Shape { capacity: shape.capacity };
        let strategy = E::Strategy::new(&options, shape)?;
        let portable = Portable { capacity: shape.capacity };
        let state = State { strategy, portable, window: None, over_nodes: false };
        E::with(|instance| instance.state = Some(state));
        Ok(())
    }

    fn begin(cycle: types::CycleInfo) -> Result<(), types::Error> {
        E::with(|instance| {
            let (state, cycle) = (instance.state(), strategy::CycleInfo::from(cycle));
            state.over_nodes = cycle.cause == strategy::Cause::Cluster;
            Ok(state.strategy.begin(&cycle)?)
        })
    }

    fn roots(cells: Vec<Cell>) {
        E::with(|instance| instance.strategy().roots(&cells));
    }

    fn changed(changes: Vec<u32>) {
        E::with(|instance| instance.strategy().changed(Changes::new(&changes)));
    }

    fn retired(cells: Vec<Cell>, grace_epochs: Vec<u64>) {
        E::with(|instance| instance.strategy().retired(RetiredCells::new(&cells, &grace_epochs)));
    }

    fn shade(cells: Vec<Cell>) -> bool {
        E::with(|instance| {
            let fresh = instance.strategy().shade(&cells);
            instance.state().tell_reached();
            fresh
        })
    }

    fn step(budget: u32) -> Result<types::Progress, types::Error> {
        E::with(|instance| {
            let State { strategy, portable, window, .. } = instance.state();
            let progress = match window {
                Some(window) => strategy.step(window, budget),
                None => strategy.step(portable, budget),
            }?;
            instance.state().tell_reached();
            Ok(progress.into())
        })
    }

    fn finish() -> Result<types::Verdict, types::Error> {
        E::with(|instance| {
            let State { strategy, portable, window, .. } = instance.state();
            let verdict = match window {
                Some(window) => strategy.finish(window),
                None => strategy.finish(portable),
            };
            Ok(verdict?.into())
        })
    }

    fn settled(outcome: types::Outcome) {
        E::with(|instance| instance.strategy().settled(&outcome.into()));
    }
}

impl<E: Exported> WindowGuest for E {
    fn reserve(bytes: u32) -> u32 {
        raw::reserve(bytes)
    }

    fn attached(columns: Columns) {
        E::with(|instance| {
            let state = instance.state();
            let at = [columns.cells, columns.allocated, columns.young, columns.stub];
            state.window = Some(Window::attach(at, state.portable.capacity));
        });
    }
}

/// Reads through host calls.
struct Portable {
    capacity: u32,
}

impl graph::sealed::Sealed for Portable {}

impl Graph for Portable {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn read_cells(&self, cells: &[Cell], out: &mut Vec<References>) {
        out.clear();
        for batch in cells.chunks(graph::BATCH) {
            extend(out, &heap::read_cells(batch));
        }
    }

    fn read_range(&self, first: Cell, count: u32, out: &mut Vec<References>) {
        out.clear();
        let end = first.saturating_add(count).min(self.capacity);
        for at in (first..end).step_by(graph::BATCH) {
            extend(out, &heap::read_range(at, (end - at).min(graph::BATCH as u32)));
        }
    }

    fn read_bitmap(&self, which: Bitmap, first: u32, count: u32, out: &mut Vec<u64>) {
        out.clear();
        let end = first.saturating_add(count).min(self.capacity / 64);
        for at in (first..end).step_by(graph::BATCH) {
            out.extend(heap::read_bitmap(which.into(), at, (end - at).min(graph::BATCH as u32)));
        }
    }
}

fn extend(out: &mut Vec<References>, words: &[u32]) {
    out.extend(words.chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]));
}

impl graph::sealed::Sealed for Window {}

impl Graph for Window {
    fn capacity(&self) -> u32 {
        self.cells().capacity()
    }

    fn read_cells(&self, cells: &[Cell], out: &mut Vec<References>) {
        let column = self.cells();
        out.clear();
        out.extend(cells.iter().map(|&cell| column.load(cell)));
    }

    fn read_range(&self, first: Cell, count: u32, out: &mut Vec<References>) {
        let column = self.cells();
        let end = first.saturating_add(count).min(column.capacity());
        out.clear();
        out.extend((first..end).map(|cell| column.load(cell)));
    }

    fn read_bitmap(&self, which: Bitmap, first: u32, count: u32, out: &mut Vec<u64>) {
        let end = first.saturating_add(count).min(self.capacity() / 64);
        let words = &self.bitmap(which)[first.min(end) as usize..end as usize];
        out.clear();
        out.extend(words.iter().map(|word| word.load(Relaxed)));
    }

    fn raw(&self) -> Option<RawCells<'_>> {
        Some(self.cells())
    }
}

/// Writes one line to the node's log.
pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => telemetry::Level::Debug,
        Level::Info => telemetry::Level::Info,
        Level::Warn => telemetry::Level::Warn,
        Level::Error => telemetry::Level::Error,
    };
    telemetry::log(level, message);
}

fn describe(info: &Info) -> types::Description {
    types::Description {
        name: info.name.to_owned(),
        version: info.version.to_owned(),
        summary: info.summary.to_owned(),
        needs: info.needs.iter().map(|&need| need.into()).collect(),
        completeness: info.completeness.into(),
        options: info.options.iter().map(|&option| option.into()).collect(),
    }
}

impl From<Need> for types::Need {
    fn from(need: Need) -> types::Need {
        match need {
            Need::ChangeLog => types::Need::ChangeLog,
            Need::Retired => types::Need::Retired,
            Need::ClusterMark => types::Need::Other("cluster-mark".to_owned()),
        }
    }
}

impl From<Completeness> for types::Completeness {
    fn from(completeness: Completeness) -> types::Completeness {
        match completeness {
            Completeness::Nothing => types::Completeness::Nothing,
            Completeness::Retired(cycles) => types::Completeness::Retired(cycles),
            Completeness::Acyclic(cycles) => types::Completeness::Acyclic(cycles),
            Completeness::All(cycles) => types::Completeness::All(cycles),
        }
    }
}

impl From<OptionSpec> for types::OptionSpec {
    fn from(option: OptionSpec) -> types::OptionSpec {
        let default = match option.default {
            DefaultValue::Boolean(value) => types::OptionValue::Boolean(value),
            DefaultValue::Integer(value) => types::OptionValue::Integer(value),
            DefaultValue::Number(value) => types::OptionValue::Number(value),
            DefaultValue::Text(value) => types::OptionValue::Text(value.to_owned()),
        };
        types::OptionSpec { name: option.name.to_owned(), doc: option.doc.to_owned(), default }
    }
}

impl From<types::OptionValue> for OptionValue {
    fn from(value: types::OptionValue) -> OptionValue {
        match value {
            types::OptionValue::Boolean(value) => OptionValue::Boolean(value),
            types::OptionValue::Integer(value) => OptionValue::Integer(value),
            types::OptionValue::Number(value) => OptionValue::Number(value),
            types::OptionValue::Text(value) => OptionValue::Text(value),
        }
    }
}

impl From<types::CycleInfo> for strategy::CycleInfo {
    fn from(cycle: types::CycleInfo) -> strategy::CycleInfo {
        let cause = match cycle.cause {
            types::Cause::Goal => strategy::Cause::Goal,
            types::Cause::Full => strategy::Cause::Full,
            types::Cause::Request => strategy::Cause::Request,
            types::Cause::Idle => strategy::Cause::Idle,
            types::Cause::Rehearsal => strategy::Cause::Rehearsal,
            types::Cause::Other(name) if name == "cluster" => strategy::Cause::Cluster,
            types::Cause::Other(name) => strategy::Cause::Other(name),
        };
        strategy::CycleInfo {
            number: cycle.number,
            cause,
            rebuild: cycle.rebuild,
            allocated_cells: cycle.allocated_cells,
            goal_cells: cycle.goal_cells,
            safe_grace_epoch: cycle.safe_grace_epoch,
        }
    }
}

impl From<strategy::Progress> for types::Progress {
    fn from(progress: strategy::Progress) -> types::Progress {
        match progress {
            strategy::Progress::More => types::Progress::More,
            strategy::Progress::Idle => types::Progress::Idle,
        }
    }
}

impl From<strategy::Verdict> for types::Verdict {
    fn from(verdict: strategy::Verdict) -> types::Verdict {
        match verdict {
            strategy::Verdict::KeepAll => types::Verdict::KeepAll,
            strategy::Verdict::Survivors(words) => types::Verdict::Survivors(words),
            strategy::Verdict::Condemned(cells) => types::Verdict::Condemned(cells),
        }
    }
}

impl From<types::Outcome> for strategy::Outcome {
    fn from(outcome: types::Outcome) -> strategy::Outcome {
        strategy::Outcome {
            accepted: outcome.accepted,
            condemned_cells: outcome.condemned_cells,
            withheld_cells: outcome.withheld_cells,
        }
    }
}

impl From<strategy::Error> for types::Error {
    fn from(error: strategy::Error) -> types::Error {
        match error {
            strategy::Error::InvalidOption(what) => types::Error::InvalidOption(what),
            strategy::Error::OutOfMemory => types::Error::OutOfMemory,
            strategy::Error::Other(what) => types::Error::Other(what),
        }
    }
}

impl From<Bitmap> for heap::Bitmap {
    fn from(which: Bitmap) -> heap::Bitmap {
        match which {
            Bitmap::Allocated => heap::Bitmap::Allocated,
            Bitmap::Young => heap::Bitmap::Young,
            Bitmap::Stub => heap::Bitmap::Stub,
        }
    }
}
