//! The faults that `scripts/mutants.sh` brings back, to see that the simulation finds them, can still be brought back.
//!
//! Catches: a patch that no longer applies. That each fault is found, `make mutants` shows: it has to compile each.

use std::path::Path;
use std::process::Command;

#[test]
fn every_fault_can_still_be_brought_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("tests/recovery/mutants");
    let patches: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(patches.len(), 18);
    for patch in patches {
        let check = Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(["apply", "--check"])
            .arg(&patch)
            .output()
            .unwrap();
        assert!(
            check.status.success(),
            "{}: {}",
            patch.display(),
            String::from_utf8_lossy(&check.stderr)
        );
    }
}
