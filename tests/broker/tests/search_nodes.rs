//! A node of OpenSearch and one of Elasticsearch: what they took they have after a `kill -9`.
//!
//! Needs `scripts/setup.sh opensearch`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::path::Path;

use tidemill_tests_broker::search::{Engine, SearchNode};

fn keeps_what_it_took(engine: Engine) {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let node = SearchNode::start(&folder.path().join("node"), engine).unwrap();
    let document = format!("{}/films/_doc/1", node.url());
    let taken = ureq::put(&document)
        .header("Content-Type", "application/json")
        .send(r#"{"title":"Sunrise"}"#);
    assert_eq!(taken.unwrap().status(), 201);
    node.kill().unwrap();
    assert!(ureq::get(&document).call().is_err());
    node.start_again().unwrap();
    let source = format!("{}/films/_source/1", node.url());
    let there = ureq::get(&source).call().unwrap();
    let there = there.into_body().read_to_string().unwrap();
    assert_eq!(there, r#"{"title":"Sunrise"}"#);
    node.stop().unwrap();
    assert!(ureq::get(&document).call().is_err());
}

#[test]
fn opensearch_has_after_a_crash_what_it_took() {
    keeps_what_it_took(Engine::OpenSearch);
}

#[test]
fn elasticsearch_has_after_a_crash_what_it_took() {
    keeps_what_it_took(Engine::Elasticsearch);
}
