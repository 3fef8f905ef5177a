//! A failing run made smaller: fewer troubles, fewer nodes, less time, as long as it still fails.

use crate::settings::Settings;
use crate::world::World;

/// The smallest settings that were found under which the run of this seed still goes wrong, and what goes wrong then. None when it does not go wrong.
///
/// Greedy, and not exact: with fewer troubles the same seed makes another run. It takes a few dozen runs.
#[must_use]
pub fn shrink(settings: &Settings) -> Option<(Settings, String)> {
    let mut smallest = settings.clone();
    let mut wrong = World::new(smallest.clone()).run().err()?;
    loop {
        let smaller = candidates(&smallest).into_iter().find_map(|candidate| {
            let wrong = World::new(candidate.clone()).run().err()?;
            Some((candidate, wrong))
        });
        let Some((candidate, why)) = smaller else { return Some((smallest, wrong)) };
        (smallest, wrong) = (candidate, why);
    }
}

fn candidates(settings: &Settings) -> Vec<Settings> {
    let mut found = Vec::new();
    let mut without = |has: bool, change: fn(&mut Settings)| {
        if has {
            let mut candidate = settings.clone();
            change(&mut candidate);
            found.push(candidate);
        }
    };
    without(settings.crashes, |it| it.crashes = false);
    without(settings.pauses, |it| it.pauses = false);
    without(settings.cuts, |it| it.cuts = false);
    without(settings.clock_jumps, |it| it.clock_jumps = false);
    without(settings.abandons, |it| it.abandons = false);
    without(settings.weather.loss_percent > 0, |it| it.weather.loss_percent = 0);
    without(settings.weather.repeat_percent > 0, |it| it.weather.repeat_percent = 0);
    without(settings.nodes > 2, |it| it.nodes -= 1);
    without(settings.active_ms > 60, |it| it.active_ms = it.active_ms * 2 / 3);
    found
}
