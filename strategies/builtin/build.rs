//! Compiles the built-in strategies and leaves each as `OUT_DIR/<name>.wasm`, where `src/lib.rs` includes it.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

const NAMES: [&str; 5] = ["none", "mark-sweep", "refcount", "epoch", "tracing"];

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the built-in strategies were not compiled: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Box<dyn std::error::Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let manifest = env::var("CARGO_MANIFEST_DIR")?;
    let strategies = Path::new(&manifest).parent().ok_or("this crate lies in a folder of strategies")?;
    let workspace = strategies.parent().ok_or("the strategies lie in a workspace")?;

    for input in ["sdk", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    for name in NAMES {
        println!("cargo::rerun-if-changed={}", strategies.join(name).display());
    }

    let packages = NAMES.map(|name| format!("gc-strategy-{name}"));
    let components = gc_wasm_build::compile(&gc_wasm_build::Request {
        workspace,
        packages: &packages.each_ref().map(String::as_str),
        features: &[],
        rustflags: &[],
        target_dir: &gc_wasm_build::target_dir(out),
    })?;
    for (name, component) in NAMES.iter().zip(components) {
        fs::copy(&component, out.join(format!("{name}.wasm")))?;
    }
    Ok(())
}
