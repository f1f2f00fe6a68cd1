//! What lies on disk, as the first version wrote it: it must still be read, and be written the same.

use std::fs;

use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::{Reference, Schema, SchemaId, SchemaKind};
use tidemill_connectors_registry::{Cached, Folder};

const IDS: &str = "# tidemill ids 1: each line is never changed and never removed\n1 c3fa60028a51b46cfc0373852f69dc3ab77b2a4abf108d7a9cbf707ad3c2f012 money/0001.avsc\n2 26f38d202b0f0d428225d53210a42c0e1909d98266639c8429d1340d631a25dd a%2Fbill/0001.avsc\n";
const CACHED: &str = r#"tidemill contract 1 2a66a463da7da198d4e433ddea229398268657c90cd020706a8083c9667acb4c
{"kind":"AVRO","text":"{\"type\": \"record\", \"name\": \"Bill\", \"fields\": [{\"name\": \"total\", \"type\": \"Money\"}]}","references":[{"name":"Money","subject":"money","version":1}]}
"#;

fn schema() -> Schema {
    Schema {
        kind: SchemaKind::Avro,
        text:
            r#"{"type": "record", "name": "Bill", "fields": [{"name": "total", "type": "Money"}]}"#
                .to_owned(),
        references: vec![Reference {
            name: "Money".to_owned(),
            subject: "money".to_owned(),
            version: 1,
        }],
    }
}

#[test]
fn a_folder_and_a_cache_are_written_as_the_first_version_wrote_them() {
    let root = tempfile::tempdir().unwrap();
    let (contracts, cache) = (root.path().join("contracts"), root.path().join("cache"));
    let cached = Cached::new(Folder::new(&contracts), &cache);
    let money = r#"{"type": "fixed", "name": "Money", "size": 16}"#;
    let money = Schema::new(SchemaKind::Avro, money);
    cached.register("money", &money).unwrap();
    let bill = cached.register("a/bill", &schema()).unwrap();
    assert_eq!(bill.id, SchemaId(2));
    cached.schema(bill.id).unwrap();
    let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!(read("contracts/_ids"), IDS);
    let references = "[{\"name\":\"Money\",\"subject\":\"money\",\"version\":1}]\n";
    assert_eq!(read("contracts/a%2Fbill/0001.references.json"), references);
    assert_eq!(read("contracts/a%2Fbill/0001.avsc"), schema().text);
    assert_eq!(read("cache/ids/2.json"), CACHED);
}

#[test]
fn what_the_first_version_kept_is_read_without_a_registry() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir(cache.path().join("ids")).unwrap();
    fs::write(cache.path().join("ids/2.json"), CACHED).unwrap();
    fs::write(cache.path().join("ids/3.absent"), "").unwrap();
    let cached = Cached::new(Folder::new(cache.path().join("gone")), cache.path());
    assert_eq!(cached.schema(SchemaId(2)).unwrap(), Some(schema()));
    assert_eq!(cached.schema(SchemaId(3)).unwrap(), None);
}
