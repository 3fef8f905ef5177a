//! The template of `host strategy new` builds, and its tests pass.

use std::path::Path;
use std::process::Command;

const FILES: [(&str, &str); 5] = [
    ("Cargo.toml.in", "Cargo.toml"),
    ("config.toml.in", ".cargo/config.toml"),
    ("README.md.in", "README.md"),
    ("src/lib.rs", "src/lib.rs"),
    ("tests/collector.rs", "tests/collector.rs"),
];

#[test]
fn a_crate_from_the_template_builds_and_passes_its_tests() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("my-collector");
    for (from, to) in FILES {
        let text = std::fs::read_to_string(sdk.join("template").join(from)).unwrap();
        let text = text.replace("@NAME@", "my-collector").replace("@CRATE@", "my_collector");
        let text = text.replace("@SDK@", &format!("{{ path = {:?} }}", sdk));
        assert!(!text.contains('@'), "{from} has a placeholder that nobody fills in");
        let to = there.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, text).unwrap();
    }
    // The lock file of the workspace: nothing is looked up anew, and nothing is downloaded.
    std::fs::copy(sdk.join("../Cargo.lock"), there.join("Cargo.lock")).unwrap();
    let cargo = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--offline", "--target-dir"])
        .arg(there.join("target"))
        .current_dir(&there)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
}
