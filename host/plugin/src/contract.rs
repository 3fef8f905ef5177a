//! Whether a component is a strategy that this host can serve: read from the names and types of its imports and exports, before it is instantiated.
//!
//! Names are `gc:strategy/<interface>@<version>`. Versions of one *track* understand each other: the same major version, and for major version 0
//! the same minor one. Within a track only functions are added, so a strategy built for a later version loads if it imports no function that this host lacks.
//!
//! What a strategy may import beside the contract is WASI, because the standard library of `wasm32-wasip2` always does. A strategy has no clock, no
//! files and no randomness (replay depends on it), so every such function is defined here and traps with a message that says that.

use wasmtime::Engine;
use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use crate::error::PluginError;

/// The version of the contract `gc:strategy` that this host speaks.
pub const CONTRACT: &str = "0.1.1";

const PACKAGE: &str = "gc:strategy/";
const TRACK: (u64, u64) = (0, 1);

/// What the host offers: interface and function.
const OFFERED: [(&str, &[&str]); 4] = [
    ("cluster", &["reached"]),
    ("heap", &["read-cells", "read-range", "read-bitmap"]),
    ("telemetry", &["log"]),
    ("types", &[]),
];

/// The name of an interface of the contract, as it stands in components.
pub(crate) fn interface(name: &str) -> String {
    format!("{PACKAGE}{name}@{CONTRACT}")
}

/// Refuses components of other worlds and other tracks, and imports that nobody offers. Answers whether it exports a window.
pub(crate) fn check(component: &Component, engine: &Engine, origin: &str) -> Result<bool, PluginError> {
    let shape = component.component_type();
    let exports: Vec<&str> = shape.exports(engine).map(|(name, _)| name).collect();
    let ours = |interface| exports.iter().find_map(|name| version_of(name, interface));
    for (name, item) in shape.imports(engine) {
        check_import(name, &item.ty, engine, origin)?;
    }
    match ours("strategy") {
        Some(version) => check_version(version, origin)?,
        None => return Err(other_world(&exports, origin)),
    }
    if let Some(version) = ours("window") {
        check_version(version, origin)?;
    }
    Ok(ours("window").is_some())
}

/// Defines every function and resource of WASI that the component imports, as one that traps.
pub(crate) fn define_wasi<T: 'static>(
    linker: &mut Linker<T>,
    component: &Component,
    engine: &Engine,
) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        if let (true, ComponentItem::ComponentInstance(instance)) = (name.starts_with("wasi:"), &item.ty) {
            define_traps(&mut linker.instance(name)?, name, instance, engine)?;
        }
    }
    Ok(())
}

fn define_traps<T: 'static>(
    linker: &mut LinkerInstance<'_, T>,
    interface: &str,
    instance: &types::ComponentInstance,
    engine: &Engine,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let what = format!("{interface}#{name}");
                linker.func_new(name, move |_, _, _, _| {
                    wasmtime::bail!("called {what}: a strategy has no clock, no files and no randomness");
                })?;
            }
            ComponentItem::Resource(_) => {
                linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_import(name: &str, item: &ComponentItem, engine: &Engine, origin: &str) -> Result<(), PluginError> {
    let unknown =
        |import: String, advice| PluginError::UnknownImport { origin: origin.to_owned(), import, advice };
    if name.starts_with("wasi:") && matches!(item, ComponentItem::ComponentInstance(_)) {
        return Ok(());
    }
    let Some(rest) = name.strip_prefix(PACKAGE) else {
        return Err(unknown(name.to_owned(), "build it for the world gc:strategy/collector alone"));
    };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    check_version(version, origin)?;
    let newer = "update the host, or build the strategy against the wit/ folder of this host";
    let Some((_, functions)) = OFFERED.iter().find(|(offered, _)| *offered == interface) else {
        return Err(unknown(name.to_owned(), newer));
    };
    let ComponentItem::ComponentInstance(instance) = item else {
        return Err(unknown(name.to_owned(), newer));
    };
    for (function, item) in instance.exports(engine) {
        if matches!(item.ty, ComponentItem::ComponentFunc(_)) && !functions.contains(&function) {
            return Err(unknown(format!("{name}#{function}"), newer));
        }
    }
    Ok(())
}

fn other_world(exports: &[&str], origin: &str) -> PluginError {
    let exports = match exports {
        [] => "nothing".to_owned(),
        names => names.iter().take(8).copied().collect::<Vec<_>>().join(", "),
    };
    PluginError::OtherWorld { origin: origin.to_owned(), exports }
}

/// The version in `gc:strategy/<interface>@<version>`, empty if there is none.
fn version_of<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix(interface)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('@') }
}

fn check_version(version: &str, origin: &str) -> Result<(), PluginError> {
    let advice = match track_of(version) {
        Some(track) if track == TRACK => return Ok(()),
        Some(track) if track > TRACK => {
            "update the host, or build the strategy against the wit/ folder of this host"
        }
        _ => "build the strategy against the wit/ folder of this host",
    };
    let built_for = if version.is_empty() { "(none)" } else { version };
    Err(PluginError::OtherVersion { origin: origin.to_owned(), built_for: built_for.to_owned(), advice })
}

/// Which versions understand each other. Pre-releases belong to no track.
fn track_of(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    match (parts.next()??, parts.next()??, parts.next()??, parts.next()) {
        (0, minor, _, None) => Some((0, minor)),
        (major, _, _, None) => Some((major, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_the_major_version_or_the_minor_one_below_one() {
        assert_eq!(track_of("0.1.0"), Some(TRACK));
        assert_eq!(track_of("0.1.9"), Some(TRACK));
        assert_eq!(track_of("0.2.0"), Some((0, 2)));
        assert_eq!(track_of("1.4.2"), Some((1, 0)));
        for none in ["", "0.1", "0.1.0-rc.1", "0.1.0.0", "a.b.c"] {
            assert_eq!(track_of(none), None, "{none}");
        }
    }

    #[test]
    fn the_contract_is_of_the_track_that_is_accepted() {
        assert_eq!(track_of(CONTRACT), Some(TRACK));
        assert!(include_str!("../../../wit/types.wit").contains(&format!("package gc:strategy@{CONTRACT};")));
    }

    #[test]
    fn a_refused_version_says_both_versions_and_what_to_do() {
        let newer = check_version("0.2.3", "x.wasm").unwrap_err().to_string();
        assert!(
            newer.contains("0.2.3") && newer.contains(CONTRACT) && newer.contains("update the host"),
            "{newer}"
        );
        let older = check_version("0.0.9", "x.wasm").unwrap_err().to_string();
        assert!(!older.contains("update the host"), "{older}");
    }

    #[test]
    fn interfaces_whose_names_begin_alike_are_told_apart() {
        assert_eq!(version_of("gc:strategy/strategy@0.1.0", "strategy"), Some("0.1.0"));
        assert_eq!(version_of("gc:strategy/strategy", "strategy"), Some(""));
        assert_eq!(version_of("gc:strategy/strategy-next@0.1.0", "strategy"), None);
    }
}
