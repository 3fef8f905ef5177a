//! The whole way, for every collector that claims to be complete: what `host run --load git:` reclaims of a repository is what `git fsck` calls
//! unreachable, object by object, in repositories of every kind.

mod common;

use std::collections::BTreeSet;

use common::Place;
use gc_lab::testing::{Repo, scenarios};

#[test]
fn every_complete_collector_reclaims_what_fsck_calls_unreachable() {
    for (name, make) in scenarios() {
        let place = Place::new();
        let path = make(&place.path("repository"));
        let unreachable = Repo::at(&path).unreachable();
        for strategy in ["mark-sweep", "tracing", "refcount"] {
            let load = format!("git:{}", path.display());
            let list = place.path("reclaimed");
            let args =
                ["run", "--strategy", strategy, "--heap", "64MiB", "--load", &load, "--json", "--reclaimed"];
            let ended = place.host(&[&args[..], &[&list.display().to_string()]].concat());
            assert_eq!(ended.code, Some(0), "{name}, {strategy}: {ended:?}");
            let text = std::fs::read_to_string(&list).unwrap();
            let reclaimed: BTreeSet<String> = text.lines().map(str::to_owned).collect();
            assert_eq!(reclaimed, unreachable, "{name}, {strategy}");
            assert_eq!(ended.json()["reclaimed_objects"], unreachable.len() as u64, "{name}, {strategy}");
        }
    }
}
