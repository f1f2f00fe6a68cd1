//! Where the binaries are that cargo built beside the test program, and where things are in the clone.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// A binary of the workspace.
struct Binary {
    name: &'static str,
    package: &'static str,
    /// Folders of the crates that it is made of.
    made_of: &'static [&'static str],
}

const TIDEMILL: Binary = Binary {
    name: "tidemill",
    package: "tidemill-cli",
    made_of: &[
        "types",
        "formats",
        "state",
        "checkpoints",
        "connectors",
        "jobs",
        "operators",
        "engine",
        "collect",
        "terminal",
        "cli",
    ],
};

const STUDIO: Binary = Binary {
    name: "tidemill-studio",
    package: "tidemill-studio-cli",
    made_of: &["types", "connectors", "terminal", "studio"],
};

/// `tidemill` with arguments, in an environment that has nothing to do with that of the tests.
#[must_use]
pub fn tidemill(arguments: &[&str]) -> Command {
    command(&TIDEMILL, arguments)
}

/// `tidemill-studio` with arguments, likewise.
#[must_use]
pub fn studio(arguments: &[&str]) -> Command {
    command(&STUDIO, arguments)
}

fn command(binary: &Binary, arguments: &[&str]) -> Command {
    let mut command = Command::new(built(binary));
    command.args(arguments);
    for variable in ["TIDEMILL_DATA", "TIDEMILL_LOG", "TIDEMILL_KAFKA"] {
        command.env_remove(variable);
    }
    command
}

/// The binary, which is no older than its sources. Cargo builds it before the tests of the whole workspace, not before those of one package
/// or program; what passes there must not have been tested on yesterday's binary.
fn built(binary: &Binary) -> PathBuf {
    let path = built_folder().join(binary.name);
    let build = format!("run 'cargo build --release -p {}' first", binary.package);
    assert!(path.is_file(), "'{}' is not built; {build}", path.display());
    let of = modified(&path);
    let newer = sources(binary)
        .into_iter()
        .find(|source| modified(source) > of);
    if let Some(source) = newer {
        panic!(
            "'{}' is older than '{}'; {build}",
            path.display(),
            source.display()
        );
    }
    path
}

/// The sources of a binary; modules of tests are none.
fn sources(binary: &Binary) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let mut folders: Vec<_> = binary.made_of.iter().map(|name| in_clone(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_of_tests = path.file_stem().is_some_and(|name| {
                ["tests", "testing", "examples"]
                    .map(OsStr::new)
                    .contains(&name)
            });
            if is_of_tests {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// The folder of the binaries: the test program lies in `deps` within it.
fn built_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().to_owned()
}

/// A folder for what a test leaves behind if it is killed: cargo's own, which `cargo clean` empties.
#[must_use]
pub fn scratch() -> PathBuf {
    built_folder().with_file_name("tmp")
}

/// A path from the root of the clone.
#[must_use]
pub fn in_clone(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}
