//! The strategies that a node has been given: where each comes from, its code, its instance.
//!
//! Owned by the collector thread. Loading and compiling happens on a thread of its own, because it takes up to seconds and the serving strategy goes
//! on meanwhile; the finished instance is handed over.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gc_heap::{Heap, Strategy, StrategyIdentity};
use gc_plugin::{Access, CodeOrigin, Loader};

use crate::error::NodeError;
use crate::guard::said;
use crate::hold::Hold;
use crate::record::StrategyRecord;
use crate::source::{Attached, Footprint, Recipe, StrategySource};
use crate::swap::Id;

/// What it takes to load and attach.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) loader: Arc<Loader>,
    pub(crate) heap: Heap,
    pub(crate) access: Access,
}

/// A strategy that was loaded and attached.
pub(crate) struct Ready {
    recipe: Recipe,
    attached: Attached,
    identity: StrategyIdentity,
}

impl Ready {
    /// What people should know of its code, if anything.
    pub(crate) fn warning(&self) -> Option<String> {
        let Recipe::Wasm { loaded, .. } = &self.recipe else { return None };
        let CodeOrigin::NotKept(why) = loaded.code_origin() else { return None };
        let strategy = StrategyRecord::from(&self.identity);
        Some(format!(
            "the compiled code of strategy {strategy} was not kept ({why}): it is compiled again at each start: see to the folder of --cache"
        ))
    }
}

impl Workshop {
    /// Loads and attaches; only attaches where the code is at hand. A panic on the way is an error like any other: somebody waits for the answer.
    pub(crate) fn make(&self, order: &Order) -> Result<Ready, NodeError> {
        catch_unwind(AssertUnwindSafe(|| self.make_it(order))).unwrap_or_else(|panic| {
            let name = order.source.label();
            Err(NodeError::MakerPanicked { name, said: said(panic.as_ref()) })
        })
    }

    fn make_it(&self, order: &Order) -> Result<Ready, NodeError> {
        let recipe = match &order.recipe {
            Some(recipe) => recipe.clone(),
            None => Recipe::load(&order.source, &order.settings, &self.loader)?,
        };
        let mut attached = recipe.attach(self.heap.graph(), self.access)?;
        let identity = attached.strategy().identity().clone();
        Ok(Ready { recipe, attached, identity })
    }
}

/// What is to be made.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) source: StrategySource,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) recipe: Option<Recipe>,
}

struct Member {
    order: Order,
    identity: Option<StrategyIdentity>,
    attached: Option<Attached>,
}

/// See the module.
pub(crate) struct Crew {
    members: BTreeMap<Id, Member>,
    hold: Attached,
    hold_identity: StrategyIdentity,
    given: u32,
}

impl Crew {
    pub(crate) fn new() -> Crew {
        let hold = Hold::new();
        Crew {
            members: BTreeMap::new(),
            hold_identity: hold.identity().clone(),
            hold: Attached::Native(Box::new(hold)),
            given: 0,
        }
    }

    /// Takes in a strategy that is to be loaded later.
    pub(crate) fn give(&mut self, source: StrategySource, settings: BTreeMap<String, String>) -> Id {
        let id = Id::given(self.given);
        self.given += 1;
        let order = Order { source, settings, recipe: None };
        self.members.insert(id, Member { order, identity: None, attached: None });
        id
    }

    pub(crate) fn order(&self, id: Id) -> Option<Order> {
        self.members.get(&id).map(|member| member.order.clone())
    }

    /// Takes in what was made. Nothing happens if the member has been forgotten meanwhile.
    pub(crate) fn arrive(&mut self, id: Id, ready: Ready) {
        if let Some(member) = self.members.get_mut(&id) {
            member.order.recipe = Some(ready.recipe);
            member.identity = Some(ready.identity);
            member.attached = Some(ready.attached);
        }
    }

    /// Takes the instance out, so that it can be called together with another one. [`Crew::put_back`] ends that.
    pub(crate) fn take_out(&mut self, id: Id) -> Option<Attached> {
        self.members.get_mut(&id)?.attached.take()
    }

    pub(crate) fn put_back(&mut self, id: Id, attached: Attached) {
        if let Some(member) = self.members.get_mut(&id) {
            member.attached = Some(attached);
        }
    }

    pub(crate) fn hold(&mut self) -> &mut dyn Strategy {
        self.hold.strategy()
    }

    pub(crate) fn cool(&mut self, id: Id) {
        drop(self.take_out(id));
    }

    pub(crate) fn forget(&mut self, id: Id) {
        self.members.remove(&id);
    }

    /// Who that is; for one that is not loaded yet, what it was called when it was asked for.
    pub(crate) fn record(&self, id: Id) -> StrategyRecord {
        match self.members.get(&id) {
            Some(Member { identity: Some(identity), .. }) => StrategyRecord::from(identity),
            Some(member) => StrategyRecord { name: member.order.source.label(), ..StrategyRecord::default() },
            None => StrategyRecord::from(&self.hold_identity),
        }
    }

    pub(crate) fn identity(&self, id: Id) -> StrategyIdentity {
        let member = self.members.get(&id);
        member.and_then(|member| member.identity.clone()).unwrap_or_else(|| self.hold_identity.clone())
    }

    /// Whether that is this component, with these options.
    pub(crate) fn is(&self, id: Id, digest: &str, options: &BTreeMap<String, String>) -> bool {
        self.members.contains_key(&id) && self.settings(id) == *options && self.identity(id).digest == digest
    }

    /// The options that were set.
    pub(crate) fn settings(&self, id: Id) -> BTreeMap<String, String> {
        self.members.get(&id).map(|member| member.order.settings.clone()).unwrap_or_default()
    }

    pub(crate) fn footprint(&self, id: Id) -> Footprint {
        let attached = self.members.get(&id).and_then(|member| member.attached.as_ref());
        attached.map(Attached::footprint).unwrap_or_default()
    }
}
