//! The contracts of deliveries, on a real OpenSearch and on a real Elasticsearch. And what only a real one does: a `kill -9`, mappings that
//! conflict, aliases, documents of 10 MB.
//!
//! Needs `scripts/setup.sh opensearch`. Most tests share a node, and reach it through a door of their own, which can be shut.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Error, Options, Parcel};
use tidemill_connectors_search::{PROGRESS_INDEX, Search};
use tidemill_tests_broker::door::Door;
use tidemill_tests_broker::search::{Engine, SearchNode};
use tidemill_tests_contract::deliveries::{self, KEY, Target, schema};
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};

const HISTORY: &str = "history-1";

/// A node of this process's own.
fn node(name: &str, engine: Engine) -> SearchNode {
    let name = format!("search-{name}-{}", process::id());
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    SearchNode::start(&data, engine).unwrap()
}

/// The nodes that tests share.
fn shared(engine: Engine) -> &'static SearchNode {
    static OPENSEARCH: OnceLock<SearchNode> = OnceLock::new();
    static ELASTICSEARCH: OnceLock<SearchNode> = OnceLock::new();
    match engine {
        Engine::OpenSearch => OPENSEARCH.get_or_init(|| node("opensearch", engine)),
        Engine::Elasticsearch => ELASTICSEARCH.get_or_init(|| node("elasticsearch", engine)),
    }
}

/// What a test has of a node: the indices whose names begin with its own.
struct Space {
    port: u16,
    name: String,
}

impl Space {
    fn of(node: &SearchNode) -> Self {
        static SPACES: AtomicUsize = AtomicUsize::new(0);
        Self {
            port: node.port(),
            name: format!("space-{}", SPACES.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn shared() -> Self {
        Self::of(shared(Engine::OpenSearch))
    }

    fn index(&self, sink: &str) -> String {
        format!("{}-{sink}", self.name)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(self.url(path)).call().unwrap();
        let body = answer.body_mut().with_config().limit(1 << 30);
        serde_json::from_slice(&body.read_to_vec().unwrap()).unwrap()
    }

    fn put(&self, path: &str, body: &Value) {
        let put = ureq::put(self.url(path)).header("Content-Type", "application/json");
        put.send(body.to_string()).unwrap();
    }

    fn uuid(&self, index: &str) -> String {
        let settings = self.get(&format!("{index}/_settings?flat_settings=true"));
        let uuid = &settings[index]["settings"]["index.uuid"];
        uuid.as_str().unwrap().to_owned()
    }

    /// The documents of an index, or those that a query finds.
    fn found(&self, index: &str, query: &str) -> Vec<Value> {
        self.get(&format!("{index}/_refresh"));
        let found = self.get(&format!("{index}/_search?size=1000&sort=id&{query}"));
        let hits = found["hits"]["hits"].as_array().unwrap();
        hits.iter().map(|hit| hit["_source"].clone()).collect()
    }

    fn ids(&self, index: &str, query: &str) -> Vec<i64> {
        let found = self.found(index, query);
        found
            .iter()
            .map(|row| row["id"].as_i64().unwrap())
            .collect()
    }

    /// A delivery of a sink of the job `job`, to an index, with more options.
    fn built(
        &self,
        sink: &str,
        index: &str,
        more: &[(&str, &str)],
    ) -> Result<Box<dyn Delivery>, Error> {
        let url = self.url("");
        let given = [("url", url.as_str()), ("index", index)];
        let given = given.iter().chain(more);
        let options: Options = given
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Search::default().delivery(&DeliverySpec {
            job: &self.name,
            name: sink,
            options: &options,
            schema: &schema(),
            key: &[KEY.to_owned()],
            contents: Contents::States,
        })
    }

    fn delivery(&self, index: &str) -> Box<dyn Delivery> {
        self.built("sink", index, &[]).unwrap()
    }

    /// What opening a delivery to an index says that cannot be.
    fn refused(&self, index: &str, more: &[(&str, &str)]) -> String {
        let mut delivery = self.built("sink", index, more).unwrap();
        let error = delivery.open(HISTORY).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(';'), "what to do: {error}");
        error.message
    }
}

/// A target behind a door of its own.
struct Behind {
    /// What is there, and where.
    space: Space,
    door: Door,
}

impl Behind {
    fn of(engine: Engine) -> Self {
        let node = shared(engine);
        Self {
            space: Space::of(node),
            door: Door::to(node.port()).unwrap(),
        }
    }
}

fn delivery_of(space: &Space, url: &str, sink: &str, contents: Contents) -> Box<dyn Delivery> {
    let options = [("url", url.to_owned()), ("index", space.index(sink))];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    let spec = DeliverySpec {
        job: &space.name,
        name: sink,
        options: &Options::from(options),
        schema: &schema(),
        key: match contents {
            Contents::Rows => &[],
            Contents::States | Contents::Changes => &[KEY.to_owned()],
        },
        contents,
    };
    Search::default().delivery(&spec).unwrap()
}

fn misfit() -> Value {
    json!({"id": 2, "label": "misfit", "amount": "1.00", "at": "the day before"})
}

impl Target for Behind {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        let url = format!("http://127.0.0.1:{}", self.door.port());
        delivery_of(&self.space, &url, sink, contents)
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        self.space.found(&self.space.index(sink), "")
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

/// A node of a test's own, which is really killed.
struct Own {
    node: SearchNode,
    space: Space,
}

impl Target for Own {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        delivery_of(&self.space, &self.node.url(), sink, contents)
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        self.space.found(&self.space.index(sink), "")
    }

    fn go_away(&mut self) {
        self.node.kill().unwrap();
    }

    fn come_back(&mut self) {
        self.node.start_again().unwrap();
    }

    fn misfit(&mut self, _: &str) -> Option<Value> {
        Some(misfit())
    }
}

mod opensearch {
    use tidemill_tests_broker::search::Engine;
    use tidemill_tests_contract::delivery_contracts;

    delivery_contracts!(crate::Behind::of(Engine::OpenSearch));
}

mod elasticsearch {
    use tidemill_tests_broker::search::Engine;
    use tidemill_tests_contract::delivery_contracts;

    delivery_contracts!(crate::Behind::of(Engine::Elasticsearch));
}

fn row(id: i64, label: &str) -> Value {
    json!({"id": id, "label": label, "amount": "12.50", "at": "2026-05-01T09:30:00.250Z"})
}

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

fn give(delivery: &mut dyn Delivery, records: &[(i64, Option<Value>)]) {
    let epoch = delivery.open(HISTORY).unwrap();
    let parcel = parcel(epoch.0 + 1, records);
    assert_eq!(delivery.deliver(&[parcel]).unwrap(), []);
}

#[test]
fn a_node_that_was_killed_has_everything_in_the_end() {
    let node = node("killed", Engine::OpenSearch);
    let space = Space::of(&node);
    deliveries::a_target_that_was_away_has_everything_in_the_end(&mut Own { node, space });
}

#[test]
fn fields_are_found_as_the_page_of_the_connector_says() {
    let space = Space::shared();
    let index = space.index("fields");
    let cents = |id: i64, amount: &str| {
        let mut row = row(id, "The Long Goodbye");
        row["amount"] = amount.into();
        (id, Some(row))
    };
    let rows = [
        cents(1, "9999999999999999.99"),
        cents(2, "9999999999999999.98"),
        cents(3, "7.00"),
    ];
    give(space.delivery(&index).as_mut(), &rows);
    let ids = |query: &str| space.ids(&index, &format!("q={query}"));
    assert_eq!(ids("amount:9999999999999999.99"), [1]);
    assert_eq!(ids("amount.number:%3E100"), [1, 2]);
    assert_eq!(ids("label:goodbye"), [1, 2, 3]);
    assert_eq!(ids("label.keyword:goodbye"), Vec::<i64>::new());
    assert_eq!(ids("label.keyword:%22The%20Long%20Goodbye%22"), [1, 2, 3]);
    assert_eq!(ids("at:%5B2026-05-01%20TO%202026-05-02%5D"), [1, 2, 3]);
    assert_eq!(ids("id:%3E2"), [3]);
}

#[test]
fn where_the_newest_record_is_rejected_the_one_before_counts() {
    let space = Space::shared();
    let index = space.index("before");
    let mut delivery = space.delivery(&index);
    delivery.open(HISTORY).unwrap();
    let parcels = [
        parcel(1, &[(2, Some(row(2, "good")))]),
        parcel(2, &[(2, Some(misfit()))]),
    ];
    let rejected = delivery.deliver(&parcels).unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].epoch, rejected[0].record), (Epoch(2), 0));
    assert!(
        rejected[0].reason.contains("the day before"),
        "{rejected:?}"
    );
    assert_eq!(space.found(&index, ""), [row(2, "good")]);
}

#[test]
fn a_mapping_of_somebody_else_rejects_what_does_not_fit_it() {
    let space = Space::shared();
    let index = space.index("mapped");
    let integer = json!({"mappings": {"properties": {"label": {"type": "integer"}}}});
    space.put(&index, &integer);
    let mut delivery = space.delivery(&index);
    delivery.open(HISTORY).unwrap();
    let records = [(1, Some(row(1, "17"))), (2, Some(row(2, "seventeen")))];
    let rejected = delivery.deliver(&[parcel(1, &records)]).unwrap();
    assert_eq!((rejected.len(), rejected[0].record), (1, 1));
    assert!(
        rejected[0].reason.contains("'label'") || rejected[0].reason.contains("[label]"),
        "{rejected:?}"
    );
    assert_eq!(space.ids(&index, ""), [1]);
}

#[test]
fn a_document_of_ten_megabytes_is_there() {
    let space = Space::shared();
    let index = space.index("large");
    let words = "goodbye ".repeat(10 << 17);
    let rows = [
        (1, Some(row(1, "small"))),
        (2, Some(row(2, &words))),
        (3, Some(row(3, "small"))),
    ];
    give(space.delivery(&index).as_mut(), &rows);
    let there = space.found(&index, "");
    assert_eq!(there.len(), 3);
    assert!(there[1]["label"] == words.as_str());
}

#[test]
fn an_alias_of_one_index_is_its_name() {
    let space = Space::shared();
    let (index, alias) = (space.index("one"), space.index("alias"));
    space.put(&index, &json!({"aliases": {&alias: {}}}));
    give(space.delivery(&alias).as_mut(), &[(1, Some(row(1, "a")))]);
    assert_eq!(space.ids(&index, ""), [1]);
    // By whichever name.
    assert_eq!(space.delivery(&index).open(HISTORY).unwrap(), Epoch(1));
    space.put(&space.index("two"), &json!({"aliases": {&alias: {}}}));
    assert!(space.refused(&alias, &[]).contains("several indices"));
}

#[test]
fn an_index_of_somebody_else_is_refused() {
    let space = Space::shared();
    let (index, used) = (space.index("foreign"), space.index("used"));
    space.put(&format!("{index}/_doc/1"), &row(1, "not ours"));
    assert!(space.refused(&index, &[]).contains("did not bring"));
    let mut first = space.built("first", &used, &[]).unwrap();
    // Who brought nothing yet stands in nobody's way.
    first.open("history-0").unwrap();
    give(first.as_mut(), &[(1, Some(row(1, "a")))]);
    assert!(space.refused(&used, &[]).contains("sink 'first'"));
}

#[test]
fn an_index_that_would_lose_what_it_took_is_refused() {
    let space = Space::shared();
    let index = space.index("settings");
    let made = |settings: Value| {
        let index = format!("{index}-{}", settings.to_string().len());
        space.put(&index, &json!({ "settings": settings }));
        index
    };
    let forgets = made(json!({"index.translog.durability": "async"}));
    assert!(space.refused(&forgets, &[]).contains("'async'"));
    let forgets = made(json!({"index.gc_deletes": "20s"}));
    assert!(space.refused(&forgets, &[]).contains("gc_deletes"));
    let mut sooner = space
        .built("sink", &forgets, &[("timeout", "10 s")])
        .unwrap();
    assert_eq!(sooner.open(HISTORY).unwrap(), Epoch(0));
    let absent = space.index("absent");
    assert!(
        space
            .refused(&absent, &[("create", "false")])
            .contains("create = 'false'")
    );
}

#[test]
fn an_index_that_is_deleted_begins_anew() {
    let space = Space::shared();
    let index = space.index("deleted");
    let mut delivery = space.delivery(&index);
    give(delivery.as_mut(), &[(1, Some(row(1, "a")))]);
    ureq::delete(space.url(&index)).call().unwrap();
    let error = delivery
        .deliver(&[parcel(2, &[(2, Some(row(2, "b")))])])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{error}");
    assert_eq!(delivery.open("history-2").unwrap(), Epoch(0));
    assert_eq!(
        delivery
            .deliver(&[parcel(1, &[(3, Some(row(3, "c")))])])
            .unwrap(),
        []
    );
    assert_eq!(space.ids(&index, ""), [3]);
    assert_eq!(delivery.open("history-2").unwrap(), Epoch(1));
}

#[test]
fn an_owner_before_is_shut_out() {
    let space = Space::shared();
    let index = space.index("owners");
    let mut before = space.delivery(&index);
    give(before.as_mut(), &[(1, Some(row(1, "a")))]);
    let mut owner = space.delivery(&index);
    give(owner.as_mut(), &[(1, None)]);
    let error = before
        .deliver(&[parcel(3, &[(1, Some(row(1, "late")))])])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
    assert_eq!(space.ids(&index, ""), Vec::<i64>::new());
}

#[test]
fn what_was_brought_before_a_crash_stays_when_it_comes_again() {
    let space = Space::shared();
    let index = space.index("crash");
    let parcels = [
        parcel(1, &[(1, Some(row(1, "a"))), (2, Some(row(2, "a")))]),
        parcel(2, &[(2, None), (3, Some(row(3, "b")))]),
        parcel(3, &[(1, Some(row(1, "c")))]),
    ];
    let mut delivery = space.delivery(&index);
    delivery.open(HISTORY).unwrap();
    assert_eq!(delivery.deliver(&parcels).unwrap(), []);
    for through in [1, 0] {
        // As if it had crashed before it said how far it was.
        let path = format!("{PROGRESS_INDEX}/_doc/{}", space.uuid(&index));
        let mut progress = space.get(&path)["_source"].clone();
        progress["epoch"] = through.into();
        space.put(&path, &progress);
        let mut delivery = space.delivery(&index);
        assert_eq!(delivery.open(HISTORY).unwrap(), Epoch(through));
        let again = usize::try_from(through).unwrap();
        let again = std::slice::from_ref(&parcels[again]);
        assert_eq!(delivery.deliver(again).unwrap(), []);
        assert_eq!(space.found(&index, ""), [row(1, "c"), row(3, "b")]);
    }
}

#[test]
fn a_blocked_index_goes_on_when_it_is_free_again() {
    let space = Space::shared();
    let index = space.index("blocked");
    let mut delivery = space.delivery(&index);
    give(delivery.as_mut(), &[(1, Some(row(1, "a")))]);
    let settings = format!("{index}/_settings");
    space.put(&settings, &json!({"index.blocks.write": true}));
    let error = delivery.deliver(&[parcel(2, &[(1, None)])]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{error}");
    assert!(error.message.contains("cluster_block_exception"), "{error}");
    space.put(&settings, &json!({"index.blocks.write": null}));
    give(delivery.as_mut(), &[(1, None)]);
    assert_eq!(space.ids(&index, ""), Vec::<i64>::new());
}

#[test]
fn how_far_an_index_is_can_be_read() {
    let space = Space::shared();
    let index = space.index("progress");
    give(space.delivery(&index).as_mut(), &[(1, Some(row(1, "a")))]);
    let uuid = space.uuid(&index);
    let progress = space.get(&format!("{PROGRESS_INDEX}/_source/{uuid}"));
    assert_eq!(
        progress,
        json!({"index": index, "job": space.name, "sink": "sink", "history": HISTORY, "epoch": 1, "begun": true, "owner": 1})
    );
}
