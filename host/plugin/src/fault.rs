//! From what the engine says of a failed call to what the heap and people are told.

use std::time::Duration;

use gc_heap::Fault;
use wasmtime::{Error, Trap, WasmBacktrace};

use crate::description::shown;
use crate::limits;
use crate::store::State;

/// What is known of the call that failed.
pub(crate) struct Call<'a> {
    /// The name of the strategy.
    pub(crate) strategy: &'a str,
    /// The function of the contract.
    pub(crate) function: &'static str,
    /// How long it might take.
    pub(crate) deadline: Duration,
    /// The first line of the log that it wrote.
    pub(crate) first_line: usize,
}

/// What a strategy told the host that cannot be. It ends the call as a trap does, and is a fault of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Nonsense(pub(crate) String);

/// The fault behind an error of the engine.
pub(crate) fn of(error: &Error, call: &Call<'_>, state: &mut State) -> Fault {
    let refused = state.limiter.take_refused();
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return Fault::Deadline(call.deadline);
    }
    let place = format!("{} in `{}`", call.strategy, call.function);
    if let Some(refused) = refused {
        return Fault::OutOfMemory(format!("{place}: {refused}"));
    }
    if let Some(nonsense) = error.downcast_ref::<Nonsense>() {
        return Fault::Nonsense(format!("{place}: {nonsense}"));
    }
    let reason = match trap {
        Some(Trap::UnreachableCodeReached) => "it gave up (unreachable code, most often a panic)".to_owned(),
        Some(Trap::StackOverflow) => "its stack overflowed: is there a recursion without end?".to_owned(),
        Some(trap) => trap.to_string(),
        None => host_side(error),
    };
    let words = state.log.last_words(call.first_line);
    let words =
        words.map_or(String::new(), |words| format!("; it said: {}", shown(words, limits::SHOWN_BYTES)));
    Fault::Trap(format!("{place}: {reason}{words}{}", frames(error)))
}

/// What our own side of a call found.
fn host_side(error: &Error) -> String {
    let reason = error.root_cause().to_string();
    if reason.contains("fuel allocated for hostcalls") {
        return "it handed over more data than one call may".to_owned();
    }
    shown(&reason, limits::SHOWN_BYTES)
}

/// The innermost functions that have names.
fn frames(error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names: Vec<_> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).take(3).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" (in {})", shown(&names.join(" < "), limits::SHOWN_BYTES))
    }
}
