//! The SDK carries its own copy of the contract, so that it builds outside this repository. Both must be the same.

use std::path::Path;

#[test]
fn the_copy_of_the_contract_is_the_contract() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &Path| -> Vec<_> {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (original, copy) = (here.join("../wit"), here.join("wit"));
    assert_eq!(names(&original), names(&copy), "copy wit/ to sdk/wit/");
    for name in names(&original) {
        let same = std::fs::read(original.join(&name)).unwrap() == std::fs::read(copy.join(&name)).unwrap();
        assert!(same, "{}: copy wit/ to sdk/wit/", name.display());
    }
}
