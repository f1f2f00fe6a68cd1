//! What registries answer, and the schemas that they have: texts of Avro, JSON Schema and Protobuf, each held against another.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::thread;

use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::{
    Compatibility, Schema, SchemaId, SchemaKind, SubjectVersion,
};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_registry::options::ConfluentOptions;
use tidemill_connectors_registry::{Confluent, Whole, compatibility, diff};
use tiny_http::{Response, Server};

/// A server that answers whatever it is told to, and a client of it; a thread has its own.
struct Pair {
    answer: Arc<Mutex<Vec<u8>>>,
    client: Confluent,
}

thread_local! {
    static PAIR: RefCell<Option<Pair>> = const { RefCell::new(None) };
}

impl Pair {
    fn start() -> Self {
        let server = Server::http("127.0.0.1:0").expect("a port is free");
        let address = server.server_addr().to_ip().expect("it listens on a port");
        let answer = Arc::<Mutex<Vec<u8>>>::default();
        let answers = Arc::clone(&answer);
        thread::spawn(move || {
            for request in server.incoming_requests() {
                let body = answers.lock().expect("nobody panics with it").clone();
                // The client may be gone.
                let _ = request.respond(Response::from_data(body));
            }
        });
        let options = ConfluentOptions::new(&format!("http://{address}"));
        let options = options.expect("an address is a URL");
        let client = Confluent::new(&options, Policy::OWN);
        Self {
            answer,
            client: client.expect("there are no certificates to read"),
        }
    }
}

/// An answer of a registry, to every question that there is.
pub fn answer(input: &[u8]) {
    PAIR.with_borrow_mut(|pair| {
        let Pair { answer, client } = pair.get_or_insert_with(Pair::start);
        let (question, body) = crate::input::variant(input);
        *answer.lock().expect("nobody panics with it") = body.to_vec();
        let schema = Schema::new(SchemaKind::Avro, r#""string""#);
        let said = match question % 9 {
            0 => client.schema(SchemaId(7)).map(drop),
            1 => client.places(SchemaId(7)).map(drop),
            2 => client.subjects().map(drop),
            3 => client.versions("a-value").map(drop),
            4 => client.version("a-value", 1).map(drop),
            5 => client.latest("a-value").map(drop),
            6 => client.level("a-value").map(drop),
            7 => client.differences("a-value", &schema).map(drop),
            _ => client.register("a-value", &schema).map(drop),
        };
        if let Err(error) = said {
            assert!(
                error.message.len() < 4096,
                "an error is a sentence: {error}"
            );
        }
    });
}

/// Two schemas of a kind, parted by a zero byte, each held against the other.
fn schemas(kind: SchemaKind, input: &[u8]) {
    let at = input.iter().position(|&byte| byte == 0);
    let (old, new) = input.split_at(at.unwrap_or(input.len()));
    let new = new.get(1..).unwrap_or(old);
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return;
    };
    let whole = |text: &str| Whole::alone(Schema::new(kind, text));
    let (old, new) = (whole(old), whole(new));
    let are_schemas = compatibility::check(&old).is_ok() && compatibility::check(&new).is_ok();
    let different = diff(&old, &new);
    assert_eq!(
        different.is_ok(),
        are_schemas,
        "what is a schema can be compared, and nothing else"
    );
    let at = SubjectVersion {
        subject: "a-value".to_owned(),
        version: 1,
    };
    let found = compatibility::incompatible(Compatibility::Full, (&at, &old), &new);
    if kind != SchemaKind::Json {
        assert_eq!(found.is_ok(), are_schemas, "{found:?}");
    }
    let itself = diff(&new, &new);
    assert!(
        itself.is_err() || itself.is_ok_and(|found| found.is_empty()),
        "a schema does not differ from itself"
    );
    let _ = compatibility::is_same(&old, &new);
}

/// Schemas of Avro.
pub fn avro(input: &[u8]) {
    schemas(SchemaKind::Avro, input);
}

/// JSON Schemas.
pub fn json(input: &[u8]) {
    schemas(SchemaKind::Json, input);
}

/// Schemas of Protobuf.
pub fn protobuf(input: &[u8]) {
    schemas(SchemaKind::Protobuf, input);
}

/// Answers as servers give them.
pub fn answer_seeds() -> Vec<Vec<u8>> {
    let answers = [
        r#"{"schema": "\"string\""}"#,
        r#"[{"subject": "a-value", "version": 1}]"#,
        r#"["a-value", "b-value"]"#,
        "[1, 2, 3]",
        r#"{"subject": "a-value", "version": 1, "id": 7, "schemaType": "PROTOBUF", "schema": "message M {}", "references": [{"name": "x", "subject": "y", "version": 1}]}"#,
        r#"{"subject": "a-value", "version": 2, "id": 7, "schema": "\"long\""}"#,
        r#"{"compatibilityLevel": "FULL_TRANSITIVE"}"#,
        r#"{"is_compatible": false, "messages": ["READER_FIELD_MISSING_DEFAULT_VALUE"]}"#,
        r#"{"id": 7}"#,
    ];
    (0..)
        .zip(answers)
        .map(|(question, answer)| [&[question][..], answer.as_bytes()].concat())
        .collect()
}

fn pairs(texts: &[&str]) -> Vec<Vec<u8>> {
    let pairs = texts.iter().zip(texts.iter().cycle().skip(1));
    pairs
        .map(|(old, new)| [old.as_bytes(), b"\0", new.as_bytes()].concat())
        .collect()
}

/// Schemas of Avro.
pub fn avro_seeds() -> Vec<Vec<u8>> {
    pairs(&[
        r#"{"type":"record","name":"P","namespace":"n","fields":[{"name":"id","type":"long"},{"name":"next","type":["null","P"],"default":null},{"name":"tags","type":{"type":"array","items":"string"}}]}"#,
        r#"{"type":"record","name":"P","namespace":"n","aliases":["Q"],"fields":[{"name":"id","type":"int","aliases":["key"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["a","b"],"default":"a"}},{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#,
        r#"["null",{"type":"map","values":{"type":"fixed","name":"F","size":16}},"string"]"#,
        r#""long""#,
    ])
}

/// JSON Schemas.
pub fn json_seeds() -> Vec<Vec<u8>> {
    pairs(&[
        r#"{"type":"object","properties":{"id":{"type":"integer"},"all":{"type":"array","items":{"type":"string"}}},"required":["id"]}"#,
        r#"{"$id":"x","allOf":[{"type":"object"},{"properties":{"id":{"type":"number"}}}]}"#,
        "true",
    ])
}

/// Schemas of Protobuf.
pub fn protobuf_seeds() -> Vec<Vec<u8>> {
    pairs(&[
        "syntax = \"proto3\"; package p; message M { int64 id = 1; repeated M all = 2; map<string, M> by = 3; oneof c { string a = 4; bytes b = 5; } }",
        "syntax = \"proto3\"; package p; message M { sint64 id = 1; optional M all = 2; enum E { X = 0; Y = 1; } E e = 4; reserved 5; }",
        "syntax = \"proto2\"; message M { required int32 id = 1 [default = 5]; optional group G = 2 { optional string a = 3; } extensions 100 to 200; }",
        "import \"google/protobuf/timestamp.proto\"; import \"confluent/type/decimal.proto\"; message M { confluent.type.Decimal d = 1; google.protobuf.Timestamp t = 2; }",
    ])
}
