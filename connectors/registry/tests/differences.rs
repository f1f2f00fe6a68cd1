//! What differs between two schemas, and what of it keeps one from reading the other, in words.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use tidemill_connectors_api::registry::{
    Compatibility, Difference, Schema, SchemaKind, SubjectVersion,
};
use tidemill_connectors_registry::compatibility::incompatible;
use tidemill_connectors_registry::{Whole, diff};

fn avro(fields: &str) -> Whole {
    let text = format!(r#"{{"type":"record","name":"P","fields":[{fields}]}}"#);
    Whole::alone(Schema::new(SchemaKind::Avro, text))
}

fn proto(text: &str) -> Whole {
    let text = format!("syntax = \"proto3\";\n{text}");
    Whole::alone(Schema::new(SchemaKind::Protobuf, text))
}

fn words(found: &[Difference]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

/// The paths at which the first of two does not read the second.
fn unread(reader: &Whole, writer: &Whole) -> Vec<String> {
    let at = SubjectVersion {
        subject: "s".to_owned(),
        version: 1,
    };
    let found = incompatible(Compatibility::Backward, (&at, writer), reader).unwrap();
    found.into_iter().map(|of| of.path).collect()
}

#[test]
fn every_change_of_a_record_is_told_with_its_path() {
    let old = avro(
        r#"{"name":"id","type":"int"},{"name":"gone","type":"string"},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"kind","type":{"type":"enum","name":"K","symbols":["A","B"]}},
           {"name":"lines","type":{"type":"array","items":{"type":"record","name":"L","fields":[{"name":"n","type":"int"}]}}}"#,
    );
    let new = avro(
        r#"{"name":"key","type":"long","aliases":["id"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
           {"name":"kind","type":{"type":"enum","name":"K","symbols":["A","C"]}},
           {"name":"lines","type":["null",{"type":"array","items":{"type":"record","name":"L","fields":[{"name":"n","type":"string"}]}}]},
           {"name":"note","type":["null","string"],"default":null}"#,
    );
    assert_eq!(
        words(&diff(&old, &new).unwrap()),
        [
            "'key' was called 'id'",
            "'key' was int, is long",
            "'at' was long (timestamp-millis), is long (timestamp-micros)",
            "'kind' has a new symbol 'C'",
            "'kind' has no symbol 'B' any more",
            "'lines' can be null",
            "'lines.[].n' was int, is string",
            "'note' is new: null or string, with the default null",
            "'gone' is gone: it was string",
        ]
    );
    assert_eq!(unread(&new, &old), ["at", "kind", "lines.[].n"]);
}

#[test]
fn avro_reads_what_its_specification_says() {
    let field = |of: &str| avro(&format!(r#"{{"name":"a","type":{of}}}"#));
    let decimal = |scale| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":10,"scale":{scale}}}"#)
    };
    for (reader, writer, reads) in [
        (r#""long""#, r#""int""#, true),
        (r#""int""#, r#""long""#, false),
        (r#""double""#, r#""float""#, true),
        (r#""string""#, r#""bytes""#, true),
        (r#"["null","long"]"#, r#""int""#, true),
        (r#""long""#, r#"["null","long"]"#, false),
        (r#"["string","null"]"#, r#"["null","string"]"#, true),
        (&*decimal(2), &*decimal(2), true),
        (&*decimal(2), &*decimal(4), false),
        (
            r#"{"type":"map","values":"long"}"#,
            r#"{"type":"map","values":"int"}"#,
            true,
        ),
        (
            r#"{"type":"fixed","name":"F","size":4}"#,
            r#"{"type":"fixed","name":"F","size":8}"#,
            false,
        ),
        (r#"["null","P"]"#, r#"["null","P"]"#, true),
    ] {
        let found = unread(&field(reader), &field(writer));
        assert_eq!(
            found.is_empty(),
            reads,
            "{reader} reads {writer}: {found:?}"
        );
    }
}

#[test]
fn every_change_of_a_message_is_told_with_its_number() {
    let old = proto(
        "message P { int32 id = 1; string gone = 2; L line = 3; int64 a = 4; int64 b = 5; }\nmessage L { int32 n = 1; }",
    );
    let new = proto(
        "message P { int32 key = 1; repeated L line = 3; oneof c { int64 a = 4; int64 b = 5; } }\nmessage L { string n = 1; }\nmessage N {}",
    );
    assert_eq!(
        words(&diff(&old, &new).unwrap()),
        [
            "'P.key' (number 1) was called 'id'",
            "'P.line' (number 3) was message 'L', is repeated message 'L'",
            "'P.gone' (number 2) is gone: it was string",
            "'L.n' (number 1) was int32, is string",
            "'N' is a new message",
        ]
    );
    assert_eq!(unread(&new, &old), ["P.line", "P.a", "P.b", "L.n"]);
}

#[test]
fn schemas_that_are_deep_or_hold_themselves_are_compared_within_a_bound() {
    let chain = |of: &str| {
        let mut types = vec![format!(
            r#"{{"type":"record","name":"R0","fields":[{{"name":"a","type":"{of}"}}]}}"#
        )];
        for at in 1..5_000 {
            types.push(format!(
                r#"{{"type":"record","name":"R{at}","fields":[{{"name":"a","type":"R{}"}}]}}"#,
                at - 1
            ));
        }
        types.reverse();
        types
    };
    let union = |of: &str| {
        let mut types = chain(of);
        types.reverse();
        let text = format!("[{}]", types.join(","));
        Whole::alone(Schema::new(SchemaKind::Avro, text))
    };
    assert!(!unread(&union("string"), &union("long")).is_empty());
    let nested = "message P {".repeat(100_000);
    let deep = diff(&proto(&nested), &proto(&nested)).unwrap_err();
    assert!(deep.message.contains("nested over"), "{deep}");
    let angles = format!("option (x) = {{ {}", "a <".repeat(100_000));
    let deep = diff(&proto(&angles), &proto(&angles)).unwrap_err();
    assert!(deep.message.contains("nested over"), "{deep}");
    let deep = format!(
        r#"{{"name":"a","type":{}"int"{}}}"#,
        r#"{"type":"array","items":"#.repeat(100),
        "}".repeat(100)
    );
    let deep = diff(&avro(&deep), &avro(&deep)).unwrap_err();
    assert!(deep.message.contains("no Avro schema"), "{deep}");
}
