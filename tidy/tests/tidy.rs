//! The style of the house, as far as a machine can check it. Each test names the rule and every place that breaks it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate stands in the workspace").to_owned()
}

/// Files of the project with one of these endings, as paths from the root and their text. What git ignores is left out by name.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project can be read").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skipped = ["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped);
            if path.is_dir() && !path.is_symlink() && !skipped {
                walk(&path, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
        .into_iter()
        .filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)))
        .filter_map(|path| {
            let name = path.strip_prefix(root()).ok()?.to_string_lossy().into_owned();
            Some((name, fs::read_to_string(path).ok()?))
        })
        .collect()
}

fn rust() -> Vec<(String, String)> {
    files(&[".rs"])
}

fn fail_if_any(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// What each crate may import of this workspace, outside its tests. The arrows of ARCHITECTURE.md.
const LAYERS: &[(&str, &[&str])] = &[
    ("gc-memory", &[]),
    ("gc-memory-allocators", &["gc-memory"]),
    ("gc-heap", &["gc-memory"]),
    ("gc-protocol", &[]),
    ("gc-remote", &["gc-heap", "gc-protocol"]),
    ("gc-surroundings", &["gc-protocol"]),
    ("gc-plugin", &["gc-memory", "gc-heap"]),
    ("gc-lab", &["gc-heap"]),
    ("gc-wasm-build", &[]),
    ("gc-builtin", &["gc-wasm-build"]),
    ("gc-node", &["gc-heap", "gc-plugin", "gc-builtin", "gc-protocol", "gc-remote", "gc-cluster"]),
    ("gc-cluster", &["gc-protocol"]),
    ("gc-host", &["gc-heap", "gc-plugin", "gc-builtin", "gc-node", "gc-lab", "gc-cluster"]),
    ("gc-sdk", &[]),
    ("gc-strategy-none", &["gc-sdk"]),
    ("gc-strategy-mark-sweep", &["gc-sdk"]),
    ("gc-strategy-refcount", &["gc-sdk"]),
    ("gc-strategy-epoch", &["gc-sdk"]),
    ("gc-strategy-tracing", &["gc-sdk"]),
    (
        "gc-sim",
        &[
            "gc-heap",
            "gc-protocol",
            "gc-remote",
            "gc-surroundings",
            "gc-plugin",
            "gc-builtin",
            "gc-sdk",
            "gc-strategy-mark-sweep",
            "gc-strategy-refcount",
            "gc-strategy-tracing",
        ],
    ),
];

/// What the inner crates must never know of.
const BANNED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("gc-memory", &["wasmtime", "tokio", "quinn", "rustls"]),
    ("gc-heap", &["wasmtime", "tokio", "quinn", "rustls", "rustix", "libc"]),
    ("gc-protocol", &["wasmtime", "tokio", "quinn", "rustls", "rustix", "libc", "rand"]),
    ("gc-remote", &["wasmtime", "tokio", "quinn", "rustls", "rustix", "libc", "rand"]),
    ("gc-surroundings", &["tokio", "rustix", "libc", "rand"]),
    ("gc-sim", &["wasmtime", "tokio", "quinn", "rand"]),
    ("gc-lab", &["wasmtime", "tokio", "quinn"]),
    ("gc-cluster", &["wasmtime"]),
    ("gc-sdk", &["wasmtime", "tokio"]),
];

fn manifests() -> BTreeMap<String, toml::Table> {
    let manifests = files(&["/Cargo.toml"]).into_iter().map(|(path, text)| {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let name = table.get("package").and_then(|package| package.get("name")?.as_str());
        (name.unwrap_or("").to_owned(), table)
    });
    manifests.filter(|(name, _)| !name.is_empty()).collect()
}

fn imports(manifest: &toml::Table) -> Vec<String> {
    let mut sections = vec![manifest.get("dependencies"), manifest.get("build-dependencies")];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        sections.extend(targets.values().map(|target| target.get("dependencies")));
    }
    let tables = sections.into_iter().flatten().filter_map(toml::Value::as_table);
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn crates_import_only_what_stands_below_them() {
    let manifests = manifests();
    let mut broken = Vec::new();
    for (name, allowed) in LAYERS {
        let Some(manifest) = manifests.get(*name) else { continue };
        let ours = imports(manifest).into_iter().filter(|import| import.starts_with("gc-"));
        broken.extend(
            ours.filter(|import| !allowed.contains(&import.as_str()))
                .map(|import| format!("{name} imports {import}")),
        );
    }
    fail_if_any("architecture invariant: arrows point only down", &broken);
    let inner = manifests.keys().filter(|name| name.starts_with("gc-"));
    let outside = ["gc-benches", "gc-examples", "gc-tidy", "gc-hostile"];
    let unknown: Vec<String> = inner
        .filter(|name| !LAYERS.iter().any(|(known, _)| known == name) && !outside.contains(&name.as_str()))
        .cloned()
        .collect();
    fail_if_any("crates that no layer is named for", &unknown);
}

#[test]
fn the_core_knows_nothing_of_wasm_async_and_networks() {
    let manifests = manifests();
    let mut broken = Vec::new();
    for (name, banned) in BANNED_DEPENDENCIES {
        let imported = manifests.get(*name).map(imports).unwrap_or_default();
        broken.extend(
            imported
                .into_iter()
                .filter(|import| banned.contains(&import.as_str()))
                .map(|import| format!("{name}: {import}")),
        );
    }
    fail_if_any("banned dependencies", &broken);
}

/// Where unsafe code may stand, beside gc-memory.
const UNSAFE_ALLOWED: &[&str] =
    &["host/memory/", "host/plugin/src/window.rs", "sdk/src/raw.rs", "host/plugin/hostile/"];

#[test]
fn unsafe_code_stands_where_it_may_and_nowhere_else() {
    let word = format!("{}{}", "un", "safe");
    let mut broken = Vec::new();
    for (path, text) in rust() {
        if UNSAFE_ALLOWED.iter().any(|allowed| path.starts_with(allowed)) || path.starts_with("tidy/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let used = ["{", "fn", "impl", "extern", "("].iter().any(|next| {
                code.contains(&format!("{word} {next}")) || code.contains(&format!("{word}({next}"))
            });
            if used {
                broken.push(format!("{path}:{}", number + 1));
            }
        }
    }
    fail_if_any("unsafe code outside gc-memory, the window of gc-plugin and the window of the SDK", &broken);
}

#[test]
fn files_have_honest_names() {
    let banned = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "global"];
    let mut broken = Vec::new();
    for (path, _) in rust() {
        let stem =
            Path::new(&path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        // What several test files of a crate share is called so by the conventions of cargo.
        let shared_by_tests = path.contains("/tests/");
        if (banned.contains(&stem.as_str()) || path.contains("/common/")) && !shared_by_tests {
            broken.push(path);
        }
    }
    fail_if_any("a file is named for what is in it", &broken);
}

#[test]
fn types_have_honest_names() {
    let banned = ["Manager", "Helper", "Util"];
    let mut broken = Vec::new();
    for (path, text) in rust() {
        for (number, line) in text.lines().enumerate() {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| !["struct", "enum", "trait"].contains(word))
                .skip(1);
            let name = words.next().unwrap_or("");
            let name = name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or("");
            if banned.iter().any(|banned| name.ends_with(banned)) {
                broken.push(format!("{path}:{} {name}", number + 1));
            }
        }
    }
    fail_if_any("a type is named for what it is", &broken);
}

#[test]
fn nothing_is_left_undone() {
    let banned = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["#[ig", "nore"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["dbg", "!("],
    ]
    .map(|parts| parts.concat());
    let mut broken = Vec::new();
    for (path, text) in rust() {
        for (number, line) in text.lines().enumerate() {
            if banned.iter().any(|banned| line.contains(banned.as_str())) {
                broken.push(format!("{path}:{}", number + 1));
            }
        }
    }
    fail_if_any("stubs, ignored tests and notes to oneself", &broken);
}

#[test]
fn every_file_says_at_its_top_what_it_is() {
    let broken: Vec<String> = rust()
        .into_iter()
        .filter(|(path, text)| {
            !text.starts_with("//!") && !text.starts_with("#!") && !path.ends_with("build.rs")
        })
        .map(|(path, _)| path)
        .collect();
    fail_if_any("a file begins with a sentence that says what it is", &broken);
}

#[test]
fn functions_fit_a_screen() {
    let limit = 90;
    let mut broken = Vec::new();
    for (path, text) in rust() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line
                .trim_start()
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ")
                .trim_start_matches("const ");
            if !head.starts_with("fn ") || line.trim_end().ends_with(';') {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| *line == close).unwrap_or(0);
            if length > limit {
                broken.push(format!("{path}:{} has {length} lines", start + 1));
            }
        }
    }
    fail_if_any("a function fits a screen", &broken);
}

#[test]
fn the_contract_that_the_sdk_ships_is_the_contract() {
    let wit = |folder: &str| -> BTreeMap<String, String> {
        let prefix = format!("{folder}/");
        let all = files(&[".wit"]).into_iter();
        all.filter_map(|(path, text)| Some((path.strip_prefix(&prefix)?.to_owned(), text))).collect()
    };
    let contract = wit("wit");
    assert!(contract.len() >= 5, "the contract is in wit/");
    let shipped = wit("sdk/wit");
    if !shipped.is_empty() {
        assert_eq!(shipped, contract, "sdk/wit differs from wit: copy it over");
    }
}

#[test]
fn everything_in_the_contract_says_since_when_it_is_there() {
    let mut broken = Vec::new();
    for (path, text) in files(&[".wit"]).into_iter().filter(|(path, _)| path.starts_with("wit/")) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let item = ["interface ", "world ", "record ", "variant ", "enum ", "type "]
                .iter()
                .any(|word| line.starts_with(word));
            let function = line.contains(": func(");
            // Functions of an interface take the gate of their interface: the host offers or asks for all of them.
            if item && !function && (number == 0 || !lines[number - 1].starts_with("@since")) {
                broken.push(format!("{path}:{} {line}", number + 1));
            }
        }
    }
    fail_if_any("items without @since", &broken);
}
