//! What every registry promises, whatever it keeps its schemas in.
//!
//! Catches: an id that stands for something else later, a difference that is not refused or not named, absence taken for an error. Cannot
//! catch: what a registry does that is away or broken, which the tests of each implementation play.

use std::sync::Barrier;
use std::thread;

use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::{
    Compatibility, Reference, Registered, Schema, SchemaId, SchemaKind, SubjectVersion,
    with_references,
};
use tidemill_types::ErrorKind;

/// A registry with those who use it.
pub trait World {
    /// True if registrations come one after the other, from whomever they are.
    const IN_TURN: bool = true;

    /// A client of it; all of them see the same.
    fn client(&mut self) -> Box<dyn Registry>;
    /// The name in this world of a subject that a contract calls so: no other contract's.
    fn subject(&self, name: &str) -> String;
    /// Sets what a subject's next version must be able to do. The subject has a version already.
    fn set_level(&mut self, subject: &str, level: Compatibility);
}

/// A record of Avro with fields as given in JSON.
fn avro(fields: &str) -> Schema {
    let text =
        format!(r#"{{"type":"record","name":"Payment","namespace":"studio","fields":[{fields}]}}"#);
    Schema::new(SchemaKind::Avro, text)
}

fn protobuf(fields: &str) -> Schema {
    let text = format!(
        "syntax = \"proto3\";\npackage studio;\nmessage Payment {{\n  string id = 1;\n{fields}\n}}\n"
    );
    Schema::new(SchemaKind::Protobuf, text)
}

const ID: &str = r#"{"name":"id","type":"string"}"#;
const NOTE: &str = r#"{"name":"note","type":["null","string"],"default":null}"#;

fn at(subject: &str, version: u32) -> SubjectVersion {
    SubjectVersion {
        subject: subject.to_owned(),
        version,
    }
}

/// What was registered is answered by its id, its version and as the newest, to every client.
pub fn what_is_registered_is_answered_to_all(world: &mut impl World) {
    let subject = world.subject("answered-value");
    let registered = world.client().register(&subject, &avro(ID)).unwrap();
    assert_eq!(registered.at, at(&subject, 1));
    let client = world.client();
    assert_eq!(client.schema(registered.id).unwrap(), Some(avro(ID)));
    let expected = Registered {
        at: at(&subject, 1),
        id: registered.id,
        schema: avro(ID),
    };
    assert_eq!(
        client.version(&subject, 1).unwrap().as_ref(),
        Some(&expected)
    );
    assert_eq!(client.latest(&subject).unwrap(), Some(expected));
    assert_eq!(client.versions(&subject).unwrap(), [1]);
    // The same schema may stand elsewhere, too.
    assert!(
        client
            .places(registered.id)
            .unwrap()
            .contains(&at(&subject, 1))
    );
    assert!(client.subjects().unwrap().contains(&subject));
}

/// The same schema again is the version that is there.
pub fn the_same_schema_again_is_the_same_version(world: &mut impl World) {
    let subject = world.subject("again-value");
    let client = world.client();
    let first = client.register(&subject, &avro(ID)).unwrap();
    let second = client
        .register(&subject, &avro(&format!("{ID},{NOTE}")))
        .unwrap();
    assert_eq!(client.register(&subject, &avro(ID)).unwrap(), first);
    assert_eq!(
        world
            .client()
            .register(&subject, &avro(&format!("{ID},{NOTE}")))
            .unwrap(),
        second
    );
    assert_eq!(client.versions(&subject).unwrap(), [1, 2]);
}

/// Versions count up, ids differ, and an old id stays what it was.
pub fn an_id_stays_what_it_was_when_newer_versions_come(world: &mut impl World) {
    let subject = world.subject("grows-value");
    let client = world.client();
    let first = client.register(&subject, &avro(ID)).unwrap();
    let grown = avro(&format!("{ID},{NOTE}"));
    let second = client.register(&subject, &grown).unwrap();
    assert_eq!(second.at, at(&subject, 2));
    assert_ne!(first.id, second.id);
    assert_eq!(client.schema(first.id).unwrap(), Some(avro(ID)));
    assert_eq!(client.schema(second.id).unwrap(), Some(grown));
    assert_eq!(
        world.client().version(&subject, 1).unwrap().unwrap().id,
        first.id
    );
}

/// What is not there is none, and no error.
pub fn what_is_not_there_is_none(world: &mut impl World) {
    let (subject, other) = (world.subject("absent-value"), world.subject("there-value"));
    let client = world.client();
    client.register(&other, &avro(ID)).unwrap();
    assert_eq!(client.schema(SchemaId(987_654_321)).unwrap(), None);
    assert_eq!(client.places(SchemaId(987_654_321)).unwrap(), []);
    assert_eq!(client.latest(&subject).unwrap(), None);
    assert_eq!(client.version(&subject, 1).unwrap(), None);
    assert_eq!(client.version(&other, 2).unwrap(), None);
    assert_eq!(client.versions(&subject).unwrap(), Vec::<u32>::new());
    assert_eq!(client.differences(&subject, &avro(ID)).unwrap(), []);
}

/// An incompatible schema is refused with the path of the field and both types, and leaves nothing.
pub fn an_incompatible_schema_is_refused_and_the_field_named(world: &mut impl World) {
    let subject = world.subject("refused-value");
    let client = world.client();
    let old = format!(r#"{ID},{{"name":"amount","type":"string"}}"#);
    client.register(&subject, &avro(&old)).unwrap();
    world.set_level(&subject, Compatibility::Backward);
    assert_eq!(client.level(&subject).unwrap(), Compatibility::Backward);
    let new = avro(&format!(r#"{ID},{{"name":"amount","type":"long"}}"#));
    let differences = client.differences(&subject, &new).unwrap();
    assert_eq!(differences[0].path, "amount", "{differences:?}");
    assert!(
        differences[0].what.contains("string") && differences[0].what.contains("long"),
        "{differences:?}"
    );
    let refused = client.register(&subject, &new).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    for part in [&*subject, "'amount'", "string", "long"] {
        assert!(refused.message.contains(part), "{refused}");
    }
    assert_eq!(client.versions(&subject).unwrap(), [1]);
}

/// What a level asks for decides: a field without a default may come or go by it.
pub fn the_level_decides_what_may_come_and_go(world: &mut impl World) {
    let subject = world.subject("levels-value");
    let client = world.client();
    client.register(&subject, &avro(ID)).unwrap();
    let more = avro(&format!(r#"{ID},{{"name":"amount","type":"long"}}"#));
    let other = avro(r#"{"name":"id","type":"long"}"#);
    let mut check = |level, more_may_come, other_may_come| {
        world.set_level(&subject, level);
        assert_eq!(client.level(&subject).unwrap(), level);
        let may = |schema| client.differences(&subject, schema).unwrap().is_empty();
        assert_eq!(
            (may(&more), may(&other)),
            (more_may_come, other_may_come),
            "{level}"
        );
    };
    check(Compatibility::None, true, true);
    check(Compatibility::Backward, false, false);
    check(Compatibility::Forward, true, false);
    check(Compatibility::Full, false, false);
    world.set_level(&subject, Compatibility::None);
    client.register(&subject, &other).unwrap();
    client.register(&subject, &more).unwrap();
    // Against the newest alone it would do.
    world.set_level(&subject, Compatibility::BackwardTransitive);
    let grown = avro(&format!(r#"{ID},{{"name":"amount","type":"long"}},{NOTE}"#));
    assert!(!client.differences(&subject, &grown).unwrap().is_empty());
    world.set_level(&subject, Compatibility::Backward);
    assert_eq!(client.differences(&subject, &grown).unwrap(), []);
}

/// What is no schema is refused, and leaves no subject.
pub fn what_is_no_schema_is_refused(world: &mut impl World) {
    let subject = world.subject("garbage-value");
    let client = world.client();
    let wrong = [
        Schema::new(SchemaKind::Avro, r#"{"type": "rec"#),
        Schema::new(SchemaKind::Avro, r#"{"type": "record", "name": "P"}"#),
        Schema::new(SchemaKind::Protobuf, "message {"),
    ];
    for schema in wrong {
        let refused = client.register(&subject, &schema).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{schema:?}: {refused}");
    }
    assert_eq!(client.versions(&subject).unwrap(), Vec::<u32>::new());
}

/// Many who register the same schema at once get one id, and one version where registrations come in turn.
pub fn who_register_the_same_at_once_get_one_id<W: World>(world: &mut W) {
    let subject = world.subject("at-once-value");
    let clients: Vec<_> = (0..8).map(|_| world.client()).collect();
    let start = Barrier::new(clients.len());
    let mut ids: Vec<SchemaId> = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|client| {
                let (start, subject) = (&start, &subject);
                scope.spawn(move || {
                    start.wait();
                    client.register(subject, &avro(ID)).unwrap().id
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let client = world.client();
    assert_eq!(client.schema(ids[0]).unwrap(), Some(avro(ID)));
    let versions = client.versions(&subject).unwrap();
    assert!(!versions.is_empty());
    assert!(!W::IN_TURN || versions == [1], "{versions:?}");
    for version in versions {
        let there = client.version(&subject, version).unwrap().unwrap();
        assert_eq!((there.id, there.schema), (ids[0], avro(ID)));
    }
    let again = client.register(&subject, &avro(ID)).unwrap();
    assert_eq!(again.id, ids[0], "{again:?}");
}

/// A type of Avro that lies under another subject is found, however far.
pub fn named_types_of_avro_are_found_under_other_subjects(world: &mut impl World) {
    let client = world.client();
    let [currency, money, payment] = ["currency", "money", "bill"].map(|name| world.subject(name));
    let enumeration =
        r#"{"type":"enum","name":"Currency","namespace":"studio","symbols":["EUR","USD"]}"#;
    let enumeration = Schema::new(SchemaKind::Avro, enumeration);
    client.register(&currency, &enumeration).unwrap();
    let record = Schema {
        references: vec![reference("studio.Currency", &currency)],
        ..Schema::new(
            SchemaKind::Avro,
            r#"{"type":"record","name":"Money","namespace":"studio","fields":[{"name":"currency","type":"studio.Currency"}]}"#,
        )
    };
    client.register(&money, &record).unwrap();
    let schema = Schema {
        references: vec![reference("studio.Money", &money)],
        ..avro(r#"{"name":"total","type":"studio.Money"}"#)
    };
    let registered = client.register(&payment, &schema).unwrap();
    let found = world.client().schema(registered.id).unwrap().unwrap();
    assert_eq!(found, schema);
    let references = with_references(&*world.client(), &found).unwrap();
    let names: Vec<_> = references.iter().map(|named| &*named.name).collect();
    assert_eq!(names, ["studio.Currency", "studio.Money"]);
    assert_eq!(references[0].schema, enumeration);
    assert_eq!(client.differences(&payment, &schema).unwrap(), []);
}

/// An import of Protobuf that lies under another subject is found, and a field that changed in it is named.
pub fn imports_of_protobuf_are_found_under_other_subjects(world: &mut impl World) {
    let client = world.client();
    let [money, payment] = ["money-proto", "bill-proto"].map(|name| world.subject(name));
    let import = "syntax = \"proto3\";\npackage studio;\nmessage Money { int64 cents = 1; }\n";
    let import = Schema::new(SchemaKind::Protobuf, import);
    client.register(&money, &import).unwrap();
    let text = |field: &str| {
        format!(
            "syntax = \"proto3\";\npackage studio;\nimport \"studio/money.proto\";\nimport \"google/protobuf/timestamp.proto\";\n\
             message Bill {{\n  Money total = 1;\n  google.protobuf.Timestamp at = 2;\n  {field} note = 3;\n}}\n"
        )
    };
    let schema = |field| Schema {
        references: vec![reference("studio/money.proto", &money)],
        ..Schema::new(SchemaKind::Protobuf, text(field))
    };
    let registered = client.register(&payment, &schema("string")).unwrap();
    let found = world.client().schema(registered.id).unwrap().unwrap();
    assert_eq!(found.references, schema("string").references);
    let references = with_references(&*world.client(), &found).unwrap();
    assert_eq!(references.len(), 1);
    assert_eq!(references[0].name, "studio/money.proto");
    world.set_level(&payment, Compatibility::Backward);
    let differences = client.differences(&payment, &schema("double")).unwrap();
    assert_eq!(differences[0].path, "studio.Bill.note", "{differences:?}");
}

/// A reference to what is not there is refused.
pub fn a_reference_to_nothing_is_refused(world: &mut impl World) {
    let subject = world.subject("dangling-value");
    let nowhere = world.subject("nowhere");
    let schema = Schema {
        references: vec![reference("studio.Money", &nowhere)],
        ..avro(r#"{"name":"total","type":"studio.Money"}"#)
    };
    let refused = world.client().register(&subject, &schema).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
}

/// A `.proto` that changes in a compatible way is the next version; one that does not is refused with the field.
pub fn a_proto_keeps_to_its_numbers(world: &mut impl World) {
    let subject = world.subject("proto-value");
    let client = world.client();
    client
        .register(&subject, &protobuf("  int64 amount = 2;"))
        .unwrap();
    world.set_level(&subject, Compatibility::Backward);
    let differences = client
        .differences(&subject, &protobuf("  string amount = 2;"))
        .unwrap();
    assert_eq!(
        differences[0].path, "studio.Payment.amount",
        "{differences:?}"
    );
    let grown = protobuf("  int64 amount = 2;\n  string note = 3;");
    assert_eq!(client.differences(&subject, &grown).unwrap(), []);
    assert_eq!(
        client.register(&subject, &grown).unwrap().at,
        at(&subject, 2)
    );
}

/// A JSON Schema is kept as it is.
pub fn a_json_schema_is_kept_as_it_is(world: &mut impl World) {
    let subject = world.subject("json-value");
    let schema = Schema::new(
        SchemaKind::Json,
        r#"{"type":"object","properties":{"id":{"type":"string"}}}"#,
    );
    let registered = world.client().register(&subject, &schema).unwrap();
    assert_eq!(world.client().schema(registered.id).unwrap(), Some(schema));
}

/// Subjects may be called as topics are and as record names are, and otherwise.
pub fn subjects_may_have_unusual_names(world: &mut impl World) {
    for name in ["a/b c", "prod:müller?x=1#2", "_hidden", "..", "100%25"] {
        let subject = world.subject(name);
        let registered = world.client().register(&subject, &avro(ID)).unwrap();
        assert_eq!(registered.at, at(&subject, 1));
        assert_eq!(
            world.client().latest(&subject).unwrap(),
            Some(registered),
            "{subject}"
        );
        assert!(world.client().subjects().unwrap().contains(&subject));
    }
}

fn reference(name: &str, subject: &str) -> Reference {
    Reference {
        name: name.to_owned(),
        subject: subject.to_owned(),
        version: 1,
    }
}

/// Makes a test of every contract of a registry, each in a new world.
#[macro_export]
macro_rules! registry_contracts {
    ($world:expr) => {
        $crate::contracts! { $world;
            registries::what_is_registered_is_answered_to_all,
            registries::the_same_schema_again_is_the_same_version,
            registries::an_id_stays_what_it_was_when_newer_versions_come,
            registries::what_is_not_there_is_none,
            registries::an_incompatible_schema_is_refused_and_the_field_named,
            registries::the_level_decides_what_may_come_and_go,
            registries::what_is_no_schema_is_refused,
            registries::who_register_the_same_at_once_get_one_id,
            registries::named_types_of_avro_are_found_under_other_subjects,
            registries::imports_of_protobuf_are_found_under_other_subjects,
            registries::a_reference_to_nothing_is_refused,
            registries::a_proto_keeps_to_its_numbers,
            registries::a_json_schema_is_kept_as_it_is,
            registries::subjects_may_have_unusual_names,
        }
    };
}
