//! The contracts of a registry, on the cache over the folder; and what only the cache promises: that it works without its registry.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill_connectors_api::registry::{Compatibility, Schema, SchemaId, SchemaKind};
use tidemill_connectors_api::{Error, Registry};
use tidemill_connectors_registry::{Cached, Folder};
use tidemill_tests_contract::registries::World;
use tidemill_tests_contract::registry_contracts;
use tidemill_types::ErrorKind;

/// A folder, and clients with a cache each.
struct Behind {
    folder: TempDir,
    caches: Vec<TempDir>,
}

impl World for Behind {
    fn client(&mut self) -> Box<dyn Registry> {
        let cache = tempfile::tempdir().unwrap();
        let client = Cached::new(Folder::new(self.folder.path()), cache.path());
        self.caches.push(cache);
        Box::new(client)
    }

    fn subject(&self, name: &str) -> String {
        name.to_owned()
    }

    fn set_level(&mut self, subject: &str, level: Compatibility) {
        let file = self.folder.path().join(subject).join("_compatibility");
        fs::write(file, level.name()).unwrap();
    }
}

registry_contracts!(Behind {
    folder: tempfile::tempdir().unwrap(),
    caches: Vec::new(),
});

/// A registry, and a job's cache of it.
struct Job {
    root: TempDir,
}

impl Job {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("contracts")).unwrap();
        Self { root }
    }

    fn registry(&self) -> Folder {
        Folder::new(self.root.path().join("contracts"))
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("state/contracts")
    }

    fn cached(&self) -> Cached<Folder> {
        Cached::new(self.registry(), self.cache())
    }

    /// What is left when the registry is gone.
    fn alone(&self) -> Cached<Folder> {
        Cached::new(Folder::new(self.root.path().join("gone")), self.cache())
    }
}

fn schema(text: &str) -> Schema {
    Schema::new(SchemaKind::Avro, text)
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

fn kind<T: std::fmt::Debug>(answer: Result<T, Error>) -> ErrorKind {
    answer.unwrap_err().kind
}

#[test]
fn a_restart_needs_no_registry() {
    let job = Job::new();
    let cached = job.cached();
    let registered = cached
        .register("orders-value", &schema(r#""string""#))
        .unwrap();
    let (id, latest) = (registered.id, cached.latest("orders-value").unwrap());
    let (found, places) = (cached.schema(id).unwrap(), cached.places(id).unwrap());
    let version = cached.version("orders-value", 1).unwrap();
    let alone = job.alone();
    assert_eq!(alone.schema(id).unwrap(), found);
    assert_eq!(alone.places(id).unwrap(), places);
    assert_eq!(alone.latest("orders-value").unwrap(), latest);
    assert_eq!(alone.version("orders-value", 1).unwrap(), version);
    let again = alone.register("orders-value", &schema(r#""string""#));
    assert_eq!(again.unwrap(), registered);
    assert_eq!(kind(alone.schema(SchemaId(id.0 + 1))), ErrorKind::Invalid);
}

#[test]
fn an_id_that_was_none_stays_none_for_this_job() {
    let job = Job::new();
    assert_eq!(job.cached().schema(SchemaId(1)).unwrap(), None);
    let registered = job.registry().register("late", &schema(r#""long""#));
    assert_eq!(registered.unwrap().id, SchemaId(1));
    assert_eq!(job.cached().schema(SchemaId(1)).unwrap(), None);
    fs::remove_file(job.cache().join("ids/1.absent")).unwrap();
    assert!(job.cached().schema(SchemaId(1)).unwrap().is_some());
}

#[test]
fn the_newest_version_is_pinned_until_it_is_asked_for_again() {
    let job = Job::new();
    let registry = job.registry();
    let first = registry.register("pinned", &schema(r#""int""#)).unwrap();
    assert_eq!(job.cached().latest("pinned").unwrap(), Some(first.clone()));
    let second = registry.register("pinned", &schema(r#""long""#)).unwrap();
    assert_eq!(job.cached().latest("pinned").unwrap(), Some(first));
    let pinned = job.cached().pin_latest("pinned").unwrap();
    assert_eq!(pinned, Some(second.clone()));
    assert_eq!(job.alone().latest("pinned").unwrap(), Some(second));
}

#[test]
fn a_torn_schema_is_asked_for_again_and_a_torn_pin_is_told() {
    let job = Job::new();
    let cached = job.cached();
    let registered = cached.register("torn", &schema(r#""int""#)).unwrap();
    cached.schema(registered.id).unwrap();
    cached.latest("torn").unwrap();
    let file = job.cache().join(format!("ids/{}.json", registered.id));
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let found = cached.schema(registered.id).unwrap();
        assert_eq!(found, Some(registered.schema.clone()), "{length} bytes");
    }
    assert_eq!(fs::read(&file).unwrap(), whole);
    let pin = only_file(&job.cache().join("latest"));
    let whole = fs::read(&pin).unwrap();
    fs::write(&pin, &whole[..whole.len() - 2]).unwrap();
    assert_eq!(kind(cached.latest("torn")), ErrorKind::Corrupt);
}

#[test]
fn garbage_that_names_many_schemas_does_not_flood_the_registry_and_what_is_kept_is_answered() {
    let (contracts, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cached = Cached::new(Folder::new(contracts.path()), cache.path()).with_unknown_a_second(20);
    let ask = |id| cached.schema(SchemaId(id));
    let refused = (1_000..2_000).map(ask).filter(Result::is_err).count();
    // Slow disks see some seconds pass.
    assert!(refused > 0, "all were asked for");
    assert_eq!(ask(1_000).unwrap(), None, "it is kept");
    let files = std::fs::read_dir(cache.path().join("ids")).unwrap().count();
    assert_eq!(files, 1_000 - refused);
}
