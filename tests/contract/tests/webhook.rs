//! The contracts of deliveries, with a service that takes records over HTTP and ignores idempotency keys that it has seen. And what it is told
//! that way.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Options, Parcel, Rejected};
use tidemill_connectors_webhook::Webhook;
use tidemill_tests_broker::door::Door;
use tidemill_tests_contract::deliveries::{KEY, Target, schema};
use tidemill_tests_contract::delivery_contracts;
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};
use tiny_http::{Header, Method, Response, Server};

const HISTORY: &str = "history-1";

/// What a service has been told.
#[derive(Default)]
struct Told {
    /// The idempotency keys of what it took.
    seen: BTreeSet<String>,
    /// By sink and key, or place, a value.
    values: BTreeMap<(String, String), Value>,
    /// All that it took, in order.
    bodies: Vec<Value>,
    /// What it answers next, before anything else, the last one first.
    answers: Vec<u16>,
    /// Who posted last.
    authorization: Option<String>,
}

impl Told {
    /// Takes a record; the status.
    fn take(&mut self, idempotency_key: &str, body: &str) -> u16 {
        if let Some(status) = self.answers.pop() {
            return status;
        }
        let body: Value = serde_json::from_str(body).unwrap();
        if body["value"]["at"] == "the day before" {
            return 422;
        }
        if !self.seen.insert(idempotency_key.to_owned()) {
            return 200;
        }
        let at = match &body["key"] {
            Value::Null => format!("{}/{}", body["epoch"], body["index"]),
            key => key.to_string(),
        };
        let at = (body["sink"].as_str().unwrap().to_owned(), at);
        match &body["value"] {
            Value::Null => drop(self.values.remove(&at)),
            value => drop(self.values.insert(at, value.clone())),
        }
        self.bodies.push(body);
        200
    }
}

/// A service behind a door, and the folder of the progress of those who post to it. It ends with this process.
struct Service {
    told: Arc<Mutex<Told>>,
    door: Door,
    folder: TempDir,
}

impl Service {
    fn new() -> Self {
        let server = Server::http("127.0.0.1:0").unwrap();
        let port = server.server_addr().to_ip().unwrap().port();
        let told = Arc::<Mutex<Told>>::default();
        let tell = Arc::clone(&told);
        thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let status = match request.method() {
                    Method::Post => {
                        let header = |name: &'static str| {
                            let mut headers = request.headers().iter();
                            let found = headers.find(|header: &&Header| header.field.equiv(name));
                            found.map(|header| header.value.to_string())
                        };
                        let key = header("Idempotency-Key").unwrap();
                        let authorization = header("Authorization");
                        let mut body = String::new();
                        request.as_reader().read_to_string(&mut body).unwrap();
                        let mut told = tell.lock().unwrap();
                        told.authorization = authorization;
                        told.take(&key, &body)
                    }
                    _ => 405,
                };
                // The client may have gone already.
                let _ = request.respond(Response::empty(status));
            }
        });
        Self {
            told,
            door: Door::to(port).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, sink: &str) -> PathBuf {
        self.folder.path().join(format!("{sink}.json"))
    }

    fn built(&self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        let file = self.file(sink);
        let options = [
            ("url", format!("http://127.0.0.1:{}/hook", self.door.port())),
            ("progress.path", file.to_str().unwrap().to_owned()),
            ("timeout", "5 s".to_owned()),
            ("bearer.token", "hunter2".to_owned()),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value));
        let spec = DeliverySpec {
            job: "job",
            name: sink,
            options: &Options::from(options),
            schema: &schema(),
            key: &[KEY.to_owned()],
            contents,
        };
        Webhook::default().delivery(&spec).unwrap()
    }
}

impl Target for Service {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        self.built(sink, contents)
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        let of_sink = told.values.iter().filter(|((of, _), _)| of == sink);
        let mut values: Vec<Value> = of_sink.map(|(_, value)| value.clone()).collect();
        values.sort_by_key(|value| value["id"].as_i64());
        values
    }

    fn go_away(&mut self) {
        self.door.shut();
    }

    fn come_back(&mut self) {
        self.door.open();
    }

    fn misfit(&mut self, _: &str) -> Option<Value> {
        Some(misfit())
    }
}

fn misfit() -> Value {
    json!({"id": 2, "label": "misfit", "amount": "1.00", "at": "the day before"})
}

delivery_contracts!(Service::new());

fn parcel(epoch: u64, records: &[(i64, Option<Value>)]) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    for (id, value) in records {
        let value = value.as_ref().map(Value::to_string);
        let value = value.as_ref().map(String::as_bytes);
        parcel.records.push(id.to_string().as_bytes(), value);
    }
    parcel
}

#[test]
fn records_are_posted_in_their_order_with_all_that_they_have() {
    let service = Service::new();
    let mut delivery = service.built("order", Contents::Changes);
    delivery.open(HISTORY).unwrap();
    let (one, two) = (json!({"id": 1}), json!({"id": 2}));
    let parcels = [
        parcel(3, &[(2, Some(two.clone())), (1, Some(one.clone()))]),
        parcel(5, &[(2, None)]),
    ];
    assert_eq!(delivery.deliver(&parcels).unwrap(), []);
    let posted = |epoch: u64, index: u64, key: i64, value: Option<&Value>| json!({"job": "job", "sink": "order", "epoch": epoch, "index": index, "key": key, "value": value});
    let told = service.told.lock().unwrap();
    let expected = [
        posted(3, 0, 2, Some(&two)),
        posted(3, 1, 1, Some(&one)),
        posted(5, 0, 2, None),
    ];
    assert_eq!(told.bodies, expected);
    let seen: Vec<&str> = told.seen.iter().map(String::as_str).collect();
    assert_eq!(
        seen,
        [
            "history-1/order/3/0",
            "history-1/order/3/1",
            "history-1/order/5/0"
        ]
    );
}

#[test]
fn what_was_taken_before_a_failure_is_kept() {
    let service = Service::new();
    let mut delivery = service.built("kept", Contents::States);
    delivery.open(HISTORY).unwrap();
    let parcels: Vec<Parcel> = (1..=4)
        .map(|epoch| {
            parcel(
                epoch,
                &[(1, Some(json!({"id": 1, "label": epoch.to_string()})))],
            )
        })
        .collect();
    // The third record is not taken now.
    service.told.lock().unwrap().answers = vec![503, 200, 200];
    let error = delivery.deliver(&parcels).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{error}");
    assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(2));
    assert_eq!(delivery.deliver(&parcels[2..]).unwrap(), []);
    assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(4));
}

#[test]
fn what_was_rejected_before_a_failure_is_told_after_it() {
    let service = Service::new();
    let mut delivery = service.built("told", Contents::States);
    delivery.open(HISTORY).unwrap();
    let good = || Some(json!({"id": 1}));
    let parcels = [
        parcel(1, &[(1, good())]),
        parcel(2, &[(1, good()), (2, Some(misfit()))]),
        parcel(3, &[(1, good())]),
        parcel(4, &[(1, good())]),
    ];
    service.told.lock().unwrap().answers = vec![500, 200, 422, 200, 200];
    assert_eq!(
        delivery.deliver(&parcels).unwrap_err().kind,
        ErrorKind::Retry
    );
    assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(1));
    let rejected = delivery.deliver(&parcels[1..]).unwrap();
    let rejected: Vec<_> = rejected
        .iter()
        .map(|Rejected { epoch, record, .. }| (epoch.0, *record))
        .collect();
    assert_eq!(rejected, [(2, 1)]);
}

#[test]
fn a_service_that_takes_nothing_makes_no_dead_letters() {
    for (status, kind) in [
        (401, ErrorKind::Invalid),
        (404, ErrorKind::Invalid),
        (429, ErrorKind::Retry),
        (503, ErrorKind::Retry),
    ] {
        let service = Service::new();
        let mut delivery = service.built("nothing", Contents::States);
        delivery.open(HISTORY).unwrap();
        service.told.lock().unwrap().answers = vec![status];
        let error = delivery.deliver(&[parcel(1, &[(1, Some(json!({"id": 1})))])]);
        let error = error.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(';'), "what to do: {error}");
        assert!(!error.message.contains("hunter2"), "{error}");
        let authorization = service.told.lock().unwrap().authorization.take();
        assert_eq!(authorization.as_deref(), Some("Bearer hunter2"));
        assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(0));
    }
}

#[test]
fn an_owner_before_posts_nothing_more() {
    let service = Service::new();
    let mut before = service.built("owner", Contents::States);
    before.open(HISTORY).unwrap();
    service
        .built("owner", Contents::States)
        .open(HISTORY)
        .unwrap();
    let error = before.deliver(&[parcel(1, &[(1, None)])]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert!(service.told.lock().unwrap().bodies.is_empty());
    // Nor does one whose file was deleted.
    let mut owner = service.built("owner", Contents::States);
    owner.open(HISTORY).unwrap();
    std::fs::remove_file(service.file("owner")).unwrap();
    let error = owner.deliver(&[parcel(1, &[(1, None)])]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
}
