//! The component that misbehaves (`host/plugin/hostile`), for the tests of every crate that strategies run in.
//!
//! It is compiled like any other; what it does wrong is written into its bytes, so that one build serves all tests. Being for tests, these functions panic
//! with what went wrong.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use crate::{Request, compile, target_dir};

/// What stands before the mode in the component, and how long a mode may be.
const MARK: &[u8] = b"HOSTILE-MODE:";
const MODE_BYTES: usize = 35;

/// The hostile component in a mode: see `host/plugin/hostile/src/strategy.rs` for what there is. `later:MODE` behaves in its first cycle, which is its
/// rehearsal most often. `inside` is the `CARGO_TARGET_TMPDIR` of the test.
///
/// # Panics
///
/// When it cannot be compiled, and for a mode of more than 35 bytes.
#[must_use]
pub fn hostile(inside: &Path, mode: &str) -> Vec<u8> {
    static COMPILED: OnceLock<Vec<u8>> = OnceLock::new();
    in_mode(COMPILED.get_or_init(|| compile_hostile(inside, &[], &[])).clone(), mode)
}

/// The hostile component compiled with features and flags for rustc. All variants have one name: each is read before anybody, in this process or another,
/// builds the next. `inside` is the `CARGO_TARGET_TMPDIR` of the test.
///
/// # Panics
///
/// When it cannot be compiled.
#[must_use]
pub fn compile_hostile(inside: &Path, features: &[&str], rustflags: &[&str]) -> Vec<u8> {
    let target_dir = &target_dir(inside);
    let turn = target_dir.join("hostile.lock");
    let locked = std::fs::create_dir_all(target_dir).and_then(|()| {
        let turn = File::create(&turn)?;
        turn.lock().map(|()| turn)
    });
    let _turn = locked.unwrap_or_else(|error| panic!("cannot lock {}: {error}", turn.display()));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let request = Request { workspace, packages: &["gc-hostile"], features, rustflags, target_dir };
    let paths = compile(&request).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(&paths[0]).unwrap_or_else(|error| panic!("cannot read {}: {error}", paths[0].display()))
}

/// The bytes of a hostile component with another mode written into them.
///
/// # Panics
///
/// For another component, and for a mode of more than 35 bytes.
#[must_use]
pub fn in_mode(mut bytes: Vec<u8>, mode: &str) -> Vec<u8> {
    assert!(mode.len() <= MODE_BYTES, "the mode {mode} is too long");
    let mark = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the hostile component");
    let place = &mut bytes[mark + MARK.len()..][..MODE_BYTES];
    place.fill(b' ');
    place[..mode.len()].copy_from_slice(mode.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_takes_the_place_of_the_one_before() {
        let bytes = [b"\0asm HOSTILE-MODE:honest".to_vec(), vec![b' '; 29], b"rest".to_vec()].concat();
        let spins = in_mode(in_mode(bytes.clone(), "a longer one"), "spin");
        assert_eq!(spins.len(), bytes.len());
        let text = String::from_utf8(spins).unwrap();
        assert_eq!(text, format!("\0asm HOSTILE-MODE:{:<35}rest", "spin"));
    }
}
