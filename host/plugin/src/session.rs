//! One store and the calls into it: each with a deadline, none after a fault.

use std::sync::Arc;

use gc_heap::{Fault, Graph};
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::fault::{self, Call};
use crate::limits::Limits;
use crate::store::{self, State};
use crate::ticker::Ticker;
use crate::window::{self, GuestMemory};

/// Fuel of a store that counts it: never used up.
const FUEL: u64 = u64::MAX;

/// What all sessions of a loader share.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) limits: Limits,
    /// Whether the engine counts fuel.
    pub(crate) fuel: bool,
}

/// A store, who is in it, and whether it may still be entered.
pub(crate) struct Session {
    host: Arc<Host>,
    store: Store<State>,
    name: String,
    poison: Option<Fault>,
    calls: u64,
}

impl Session {
    /// A store for the strategy of this name. It may hand over `answer_bytes` per call.
    pub(crate) fn new(
        host: &Arc<Host>,
        name: &str,
        graph: Option<&Arc<Graph>>,
        answer_bytes: usize,
    ) -> Result<Session, Fault> {
        let mut store = store::new(&host.engine, &host.limits, graph, answer_bytes);
        if host.fuel {
            store.set_fuel(FUEL).map_err(|error| Fault::Error(error.to_string()))?;
        }
        Ok(Session { host: Arc::clone(host), store, name: name.to_owned(), poison: None, calls: 0 })
    }

    /// Instantiates code; answers the instance and its memories.
    pub(crate) fn instantiate(
        &mut self,
        code: &InstancePre<State>,
    ) -> Result<(Instance, Vec<Arc<GuestMemory>>), Fault> {
        self.call("instantiate", |store| {
            let (instance, memories) = window::capture(|| code.instantiate(store));
            Ok((instance?, memories))
        })
    }

    /// Calls a function of the contract. A failure is a fault, and every later call answers the same.
    pub(crate) fn call<R>(
        &mut self,
        function: &'static str,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.check()?;
        self.calls += 1;
        let first_line = self.store.data().log.lines.len();
        let deadline = self.host.limits.deadline;
        self.store.set_epoch_deadline(self.host.ticker.ticks(deadline));
        let watch = self.host.ticker.watch();
        let result = call(&mut self.store);
        drop(watch);
        result.map_err(|error| {
            let call = Call { strategy: &self.name, function, deadline, first_line };
            let fault = fault::of(&error, &call, self.store.data_mut());
            self.poison(fault)
        })
    }

    /// The fault that it had, if it had one.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Sees to it that nothing is called again; hands the fault back.
    pub(crate) fn poison(&mut self, fault: Fault) -> Fault {
        self.poison.get_or_insert(fault).clone()
    }

    /// The store, for what does not enter the instance.
    pub(crate) fn store(&mut self) -> &mut Store<State> {
        &mut self.store
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Calls in both directions.
    pub(crate) fn crossings(&self) -> u64 {
        self.calls + self.store.data().calls
    }

    /// What the strategy has executed, if the engine counts that.
    pub(crate) fn fuel_used(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| FUEL - left)
    }
}
