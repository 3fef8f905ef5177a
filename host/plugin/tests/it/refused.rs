//! What is not loaded, and what is said about it.

use std::time::Instant;

use gc_plugin::{CONTRACT, Limits, Loader, LoaderConfig, PluginError};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::*;

fn refused(bytes: Vec<u8>) -> PluginError {
    loader().load(bytes, "x.wasm").expect_err("must be refused")
}

/// The message, which must name the file.
fn message(bytes: Vec<u8>) -> String {
    let message = refused(bytes).to_string();
    assert!(message.contains("x.wasm"), "{message}");
    message
}

fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = hostile("honest");
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} does not occur");
    bytes
}

/// The versions in the names of the contract, and nothing of WASI.
fn versioned(version: &str) -> Vec<u8> {
    let mut bytes = hostile("honest");
    for interface in ["types", "heap", "telemetry", "cluster", "strategy", "window"] {
        let from = format!("gc:strategy/{interface}@{CONTRACT}");
        let to = format!("gc:strategy/{interface}@{version}");
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
    }
    bytes
}

#[test]
fn files_that_are_no_components_are_told_apart() {
    assert!(matches!(refused(Vec::new()), PluginError::Empty { .. }));
    assert!(matches!(refused(b"\0asm\x01\0\0\0".to_vec()), PluginError::CoreModule { .. }));
    assert!(matches!(refused(b"#!/bin/sh\n".to_vec()), PluginError::NotWasm { .. }));
    let whole = hostile("honest");
    for part in [5, 100, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(refused(whole[..part].to_vec()), PluginError::Truncated { .. }), "{part}");
    }
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_is() {
    let message = message(compiled(&["other-world"], &[]));
    assert!(
        message.contains("acme:greeter/greet@1.0.0")
            && message.contains(&format!("gc:strategy/strategy@{CONTRACT}")),
        "{message}"
    );
}

#[test]
fn another_version_of_the_contract_is_refused_with_both_versions() {
    for version in ["0.2.0", "1.0.0", "0.0.9"] {
        let message = message(versioned(version));
        assert!(message.contains(version) && message.contains(CONTRACT), "{message}");
        assert!(matches!(refused(versioned(version)), PluginError::OtherVersion { .. }), "{version}");
    }
}

#[test]
fn a_later_version_of_the_same_track_is_served() {
    let heap = heap();
    let loaded = loader().load(versioned("0.1.7"), "later.wasm").unwrap();
    assert!(loaded.windowed());
    let mut strategy = loaded.attach(heap.graph(), &options(&[]), gc_plugin::Access::Window).unwrap();
    assert_eq!(cycle(&heap, &mut strategy).condemned_objects, 1000);
}

#[test]
fn imports_that_nobody_offers_are_refused_by_name() {
    let function = message(renamed("read-bitmap", "read-weight"));
    assert!(function.contains(&format!("heap@{CONTRACT}#read-weight")), "{function}");
    let interface = message(renamed("gc:strategy/telemetry@", "gc:strategy/telepathy@"));
    assert!(interface.contains(&format!("gc:strategy/telepathy@{CONTRACT}")), "{interface}");
    let package = message(renamed("gc:strategy/telemetry@", "gc:sprategy/telemetry@"));
    assert!(package.contains("gc:sprategy/telemetry"), "{package}");
}

#[test]
fn the_right_names_with_other_types_are_a_mismatch() {
    // A field of `outcome`: the name of a type is the same, and the type is another.
    let error = refused(renamed("withheld-cells", "forgiven-cells"));
    assert!(matches!(error, PluginError::Mismatch { .. }), "{error}");
}

#[test]
fn a_component_larger_than_the_limit_is_refused_unread() {
    let limits = Limits { component_bytes: 1000, ..Limits::default() };
    let loader = Loader::new(LoaderConfig { limits, ..LoaderConfig::default() }).unwrap();
    assert!(matches!(loader.load(hostile("honest"), "x.wasm"), Err(PluginError::TooLarge { .. })));
}

#[test]
fn a_table_beyond_the_limit_is_refused() {
    let bytes = compiled(&[], &["-Clink-arg=--table-base=200000000"]);
    let message = message(in_mode(bytes, "honest"));
    assert!(message.contains("table of 2000"), "{message}");
}

#[test]
fn a_description_that_traps_or_does_not_end_is_refused_in_time() {
    assert!(message(hostile("describe-trap")).contains("unreachable"));
    assert!(message(hostile("describe-grow")).contains("32768 KiB"));
    let begun = Instant::now();
    assert!(message(hostile("describe-loop")).contains("longer than 400ms"));
    assert!(begun.elapsed() >= DEADLINE);
}

#[test]
fn absurd_descriptions_are_refused_with_what_is_absurd() {
    for (mode, part) in [
        ("describe-long-name", "more data"),
        ("describe-huge", ""),
        ("describe-bad-name", "lower-case"),
        ("describe-empty-name", "lower-case"),
        ("describe-control", "control characters"),
        ("describe-many", "more data"),
        ("describe-twice", "depth is declared twice"),
        ("describe-option-name", "a=b"),
        ("describe-nan", "not a finite number"),
        ("describe-need", "telepathy"),
        ("describe-many-needs", "at most 16"),
    ] {
        let message = message(hostile(mode));
        assert!(message.contains(part), "{mode}: {message}");
        assert!(message.len() < 1000 && !message.contains('\u{1b}'), "{mode}: {message}");
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for length in 0..500 {
        let mut bytes = vec![0; length];
        random.fill_bytes(&mut bytes);
        refused(bytes.clone());
        let mut headed = b"\0asm\x0d\0\x01\0".to_vec();
        headed.append(&mut bytes);
        refused(headed);
    }
}

#[test]
fn no_mutation_of_a_component_harms_the_loader() {
    let whole = compiled(&["other-world"], &[]);
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(8..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.random()),
            }
        }
        drop(loader().load(bytes, "mutant.wasm").map_err(|error| error.to_string()));
    }
    let whole = hostile("honest");
    let heap = heap();
    for _ in 0..25 {
        let mut bytes = whole.clone();
        let at = random.random_range(8..bytes.len());
        bytes[at] = random.random();
        if let Ok(loaded) = loader().load(bytes, "mutant.wasm")
            && let Ok(mut strategy) = loaded.attach(heap.graph(), &options(&[]), gc_plugin::Access::Auto)
        {
            cycle(&heap, &mut strategy);
            assert!(intact(&heap), "byte {at}");
        }
    }
}
