//! Compiles strategies of this workspace to WebAssembly components, from build scripts and from tests.
//!
//! One function, [`compile`], runs `cargo build --profile wasm --target wasm32-wasip2` as a person would type it, in an environment from which
//! everything has been taken that an outer cargo puts there: wrappers (clippy), flags, profiles and target folders meant for the host. The target is
//! added with rustup when it is missing; where that fails, the error says what to type.
//!
//! Why a nested cargo and not an artifact dependency: those are not stable. The nested build has its own target folder, so that it does
//! not wait for the lock of the outer one; all nested builds share it ([`target_dir`]), so that their common dependencies are compiled once.

mod hostile;

pub use hostile::{compile_hostile, hostile, in_mode};

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The target that strategies are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// The profile in the workspace's `Cargo.toml` that strategies are compiled with.
pub const PROFILE: &str = "wasm";

/// What is to be compiled.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// A folder of the workspace.
    pub workspace: &'a Path,
    /// The packages. Each must have the crate type `cdylib`.
    pub packages: &'a [&'a str],
    /// Features to turn on. With more than one package, written `package/feature`.
    pub features: &'a [&'a str],
    /// Flags for rustc beside those that every strategy gets.
    pub rustflags: &'a [&'a str],
    /// Where cargo keeps its work; see [`target_dir`].
    pub target_dir: &'a Path,
}

/// Why a strategy could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The target is not installed and could not be installed.
    #[error(
        "the Rust target {TARGET} is missing and could not be added ({reason}): type `rustup target add {TARGET}`, then build again"
    )]
    TargetMissing {
        /// What was tried and what came back.
        reason: String,
    },
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}")]
    CannotRun {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Cargo failed.
    #[error("`{command}` failed: see what the compiler says\n{output}")]
    Failed {
        /// What was run.
        command: String,
        /// What it wrote.
        output: String,
    },
    /// Cargo succeeded, and there is no component.
    #[error("no component at {path}: does the package have crate-type = [\"cdylib\", \"rlib\"]?")]
    NoComponent {
        /// Where it should be.
        path: PathBuf,
    },
}

/// Compiles the packages; answers the paths of the components, in the order of the packages.
///
/// # Errors
///
/// See [`BuildError`]. Nothing is written outside of `target_dir`.
pub fn compile(request: &Request<'_>) -> Result<Vec<PathBuf>, BuildError> {
    ensure_target(request.workspace)?;
    let mut command = cargo(request);
    let output = run(&mut command)?;
    if !output.status.success() {
        return Err(BuildError::Failed { command: printed(&command), output: text_of(&output) });
    }
    request.packages.iter().map(|package| component_of(request, package)).collect()
}

/// The folder that all nested builds below one target folder share: `wasm` in the target folder that contains `inside`, which is the `OUT_DIR`
/// of a build script or the `CARGO_TARGET_TMPDIR` of a test. Where none is recognised, `inside` itself.
#[must_use]
pub fn target_dir(inside: &Path) -> PathBuf {
    let tagged = inside.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.unwrap_or(inside).join("wasm")
}

fn component_of(request: &Request<'_>, package: &str) -> Result<PathBuf, BuildError> {
    let name = format!("{}.wasm", package.replace('-', "_"));
    let path = request.target_dir.join(TARGET).join(PROFILE).join(name);
    if path.is_file() { Ok(path) } else { Err(BuildError::NoComponent { path }) }
}

fn cargo(request: &Request<'_>) -> Command {
    let mut command = clean(&env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(request.workspace).args([
        "build",
        "--quiet",
        "--profile",
        PROFILE,
        "--target",
        TARGET,
    ]);
    command.arg("--target-dir").arg(request.target_dir);
    for package in request.packages {
        command.args(["--package", package]);
    }
    if !request.features.is_empty() {
        command.args(["--features", &request.features.join(",")]);
    }
    let mut rustflags = String::from("-C target-feature=+simd128");
    for flag in request.rustflags {
        rustflags.push(' ');
        rustflags.push_str(flag);
    }
    command.env("RUSTFLAGS", rustflags);
    command
}

/// A command without what an outer cargo has set for the host. Where registries are and how to reach them stays, and so does the job server.
fn clean(program: &OsString) -> Command {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRY_",
        "CARGO_REGISTRIES_",
        "CARGO_SOURCE_",
        "CARGO_MAKEFLAGS",
    ];
    const BUILD_SCRIPT: [&str; 8] =
        ["OUT_DIR", "TARGET", "HOST", "NUM_JOBS", "OPT_LEVEL", "PROFILE", "DEBUG", "RUSTFLAGS"];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let from_cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
        let from_rustc = name.starts_with("RUSTC") || name.starts_with("RUSTDOC");
        if from_cargo || from_rustc || BUILD_SCRIPT.contains(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Sees to it that the target is installed.
fn ensure_target(folder: &Path) -> Result<(), BuildError> {
    if target_installed(folder)? {
        return Ok(());
    }
    let mut rustup = clean(&"rustup".into());
    rustup.current_dir(folder).args(["target", "add", TARGET]);
    match run(&mut rustup) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(BuildError::TargetMissing { reason: text_of(&output) }),
        Err(error) => Err(BuildError::TargetMissing { reason: error.to_string() }),
    }
}

fn target_installed(folder: &Path) -> Result<bool, BuildError> {
    let mut rustc = clean(&env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]);
    let output = run(&mut rustc)?;
    Ok(output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn run(command: &mut Command) -> Result<Output, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|source| BuildError::CannotRun { program, source })
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        .trim()
        .to_owned()
}

fn printed(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_shows_the_command_and_what_cargo_said() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
        let request = Request {
            workspace,
            packages: &["no-such-package"],
            features: &[],
            rustflags: &[],
            target_dir: &env::temp_dir().join("gc-wasm-build-test"),
        };
        let message = compile(&request).unwrap_err().to_string();
        assert!(message.contains("--package no-such-package"), "{message}");
        assert!(message.contains("did not match any packages"), "{message}");
    }

    #[test]
    fn builds_below_one_target_folder_share_their_work() {
        let target = env::temp_dir().join(format!("gc-wasm-build-{}", std::process::id()));
        let out = target.join("debug/build/x/out");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(target_dir(&out), target.join("wasm"));
        assert_eq!(target_dir(&target.join("tmp")), target.join("wasm"));
        std::fs::remove_dir_all(&target).unwrap();
    }
}
