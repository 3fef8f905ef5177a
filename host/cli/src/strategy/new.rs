//! `host strategy new`: a crate with a strategy, from the SDK's template.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::Usage;
use crate::output;

/// Write a crate with a strategy of your own: a working collector, a unit test, a property test and a README.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the strategy and of its folder: lower case, digits and hyphens, a letter first
    #[arg(value_parser = name)]
    name: String,
    /// The folder to write [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// Where the crate gets gc-sdk from: a folder, or the URL of a git repository [default: the sdk folder that this `host` was built with]
    #[arg(long, value_name = "FOLDER|URL")]
    sdk: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  host strategy new my-collector
  host strategy new my-collector --sdk ~/src/gc/sdk
  host strategy new my-collector --sdk https://example.org/gc.git
  cd my-collector && cargo test";

/// Files of the template, by the names that they get.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../../sdk/template/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("../../../../sdk/template/config.toml.in")),
    ("README.md", include_str!("../../../../sdk/template/README.md.in")),
    ("src/lib.rs", include_str!("../../../../sdk/template/src/lib.rs")),
    ("tests/collector.rs", include_str!("../../../../sdk/template/tests/collector.rs")),
    // The toolchain that this `host` and its SDK were built with, with the target for WebAssembly.
    ("rust-toolchain.toml", include_str!("../../../../rust-toolchain.toml")),
    (".gitignore", "/target\n"),
];

/// Longest name of a strategy: what the plugin host takes.
const NAME_MAX: usize = 64;

/// Words that Rust keeps for itself, as far as they could be names of strategies.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

fn name(text: &str) -> Result<String, String> {
    let letters = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if !letters || !begins || text.ends_with('-') || text.len() > NAME_MAX {
        return Err(format!(
            "'{text}' cannot be the name of a strategy: lower case letters, digits and hyphens, a letter first, at most {NAME_MAX}"
        ));
    }
    if KEYWORDS.contains(&text) {
        return Err(format!("'{text}' is a word of Rust, and no crate can be called so: take another"));
    }
    // Names that cargo or the test harness already use.
    match text {
        "test" | "core" | "std" | "alloc" | "gc-sdk" | "proc-macro" => {
            Err(format!("'{text}' is the name of something else that the crate needs: take another"))
        }
        _ => Ok(text.to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let sdk = sdk(args.sdk.as_deref())?;
    let occupied = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    if occupied {
        bail!("{} exists and is not empty: give another folder with --path", folder.display());
    }
    for (name, text) in FILES {
        let text = text
            .replace("@NAME@", &args.name)
            .replace("@CRATE@", &args.name.replace('-', "_"))
            .replace("@SDK@", &sdk);
        write(&folder.join(name), &text)?;
    }
    output::line(format!("{}: a crate with a working collector", folder.display()))?;
    output::line("next:")?;
    output::line(format!("  cd {} && cargo test", folder.display()))?;
    output::line("  cargo build --release --target wasm32-wasip2")?;
    output::line(format!(
        "  host strategy check target/wasm32-wasip2/release/{}.wasm",
        args.name.replace('-', "_")
    ))
}

/// The SDK as the value of a Cargo dependency.
fn sdk(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(url) if url.contains("://") || url.starts_with("git@") => {
            Ok(format!("{{ git = {} }}", quoted(url)))
        }
        Some(folder) => {
            let folder = std::fs::canonicalize(folder).with_context(|| {
                format!("cannot find the SDK in {folder}: give its folder or the URL of a git repository")
            })?;
            folder_dependency(&folder).ok_or_else(|| {
                Usage(format!(
                    "{} is not the folder of gc-sdk: its Cargo.toml says another name",
                    folder.display()
                ))
                .into()
            })
        }
        None => {
            let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
            let found = std::fs::canonicalize(beside).ok().and_then(|folder| folder_dependency(&folder));
            found.ok_or_else(|| {
                let what = "the sources that this `host` was built from are not here any more: say with --sdk where gc-sdk is, as a folder or \
                     as the URL of a git repository";
                Usage(what.into()).into()
            })
        }
    }
}

fn folder_dependency(folder: &Path) -> Option<String> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = manifest.parse().ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    (name == "gc-sdk").then(|| format!("{{ path = {} }}", quoted(&folder.display().to_string())))
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| format!("cannot write {}: give another folder with --path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_strategies_and_of_crates() {
        for good in ["a", "my-collector", "x2"] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", "A", "2x", "-a", "a-", "a_b", "a b", "../x", "test", "match", "gen", &"a".repeat(65)]
        {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_of_the_template_is_left_unfilled() {
        for (file, text) in FILES {
            let filled = text.replace("@NAME@", "n").replace("@CRATE@", "n").replace("@SDK@", "s");
            assert!(
                !filled.contains("@NAME") && !filled.contains("@CRATE") && !filled.contains("@SDK"),
                "{file}"
            );
        }
    }

    #[test]
    fn the_sdk_is_a_folder_or_a_repository() {
        assert_eq!(
            sdk(Some("https://example.org/x.git")).unwrap(),
            r#"{ git = "https://example.org/x.git" }"#
        );
        assert!(sdk(None).unwrap().starts_with("{ path = "));
        assert!(sdk(Some("/")).unwrap_err().to_string().contains("gc-sdk"));
    }
}
