//! The contracts of a registry, on the folder.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::fs;

use tempfile::TempDir;
use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::Compatibility;
use tidemill_connectors_registry::Folder;
use tidemill_tests_contract::registries::World;
use tidemill_tests_contract::registry_contracts;

struct InAFolder(TempDir);

impl World for InAFolder {
    fn client(&mut self) -> Box<dyn Registry> {
        Box::new(Folder::new(self.0.path()))
    }

    fn subject(&self, name: &str) -> String {
        name.to_owned()
    }

    fn set_level(&mut self, subject: &str, level: Compatibility) {
        let file = self.0.path().join(subject).join("_compatibility");
        fs::write(file, level.name()).unwrap();
    }
}

registry_contracts!(InAFolder(tempfile::tempdir().unwrap()));
