//! The facts: the crates of the workspace as cargo knows them, and the files that belong to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub struct Crate {
    /// Its folder, relative to the root: the name that the documents use (`connectors/api`).
    pub folder: String,
    /// Folders of the workspace's crates that it uses, for building or testing.
    pub uses: Vec<String>,
    /// Names of the other crates that it uses.
    pub libraries: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this crate lies two folders below the root")
        .to_owned()
}

/// The crates of the workspace at `root`, as `cargo metadata` tells.
///
/// # Panics
/// If cargo fails: its own words are in the message.
#[must_use]
pub fn crates(root: &Path) -> Vec<Crate> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .expect("cargo, which built this, can be run");
    assert!(
        output.status.success(),
        "'cargo metadata' failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).expect("cargo writes its documented format");
    metadata
        .packages
        .into_iter()
        .map(|package| describe(root, package))
        .collect()
}

fn describe(root: &Path, package: Package) -> Crate {
    let folder = |path: &Path| relative(root, path);
    let manifest_folder = package
        .manifest_path
        .parent()
        .expect("a manifest lies in a folder");
    let (mut uses, mut libraries) = (Vec::new(), Vec::new());
    for dependency in package.dependencies {
        match dependency.path {
            Some(path) => uses.push(folder(&path)),
            None => libraries.push(dependency.name),
        }
    }
    Crate {
        folder: folder(manifest_folder),
        uses,
        libraries,
    }
}

/// A path below `root` as the documents write it: relative, with slashes.
#[must_use]
pub fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}

/// Every file below `root` whose name ends in `.extension`, sorted; build output and hidden folders are not part of the workspace.
///
/// # Panics
/// If a folder cannot be read.
#[must_use]
pub fn files(root: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder
            .read_dir()
            .expect("a folder of the workspace can be read")
        {
            let path = entry.expect("a folder of the workspace can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.is_file() && path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
