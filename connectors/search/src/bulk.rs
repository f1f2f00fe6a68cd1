//! The bodies of `_bulk` requests, and what the answers mean.
//!
//! Promises: a body has as many bytes as it may, and more only where one record has; an answer that does not have a result for each record is
//! taken for none. Pure: sends nothing.
//!
//! Source: "Bulk API" in the documentation of OpenSearch 2.19 and of Elasticsearch 7.10.

use std::io::Write;

use serde::Deserialize;
use serde_json::json;

use crate::batch::{Batch, Record};

/// The types of errors by which an index refuses a document for what is in it.
const OF_THE_DOCUMENT: [&str; 7] = [
    "mapper_parsing_exception",
    "document_parsing_exception",
    "strict_dynamic_mapping_exception",
    "parsing_exception",
    "parse_exception",
    "x_content_parse_exception",
    "illegal_argument_exception",
];
/// How errors of that last type begin that are not of the document.
const OF_THE_INDEX: [&str; 2] = ["pipeline with id", "no write index"];

/// A body and the records in it.
#[derive(Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// In the order of the body.
    pub records: Vec<usize>,
}

impl Body {
    /// Takes the next records of a batch: at least one if there is one, and no more bytes than `bytes_max` but for that.
    pub fn fill(&mut self, batch: &mut Batch<'_>, bytes_max: usize) {
        self.bytes.clear();
        self.records.clear();
        while let Some(at) = batch.next() {
            let before = self.bytes.len();
            self.push(&batch.id(at), batch.record(at));
            if self.bytes.len() > bytes_max && !self.records.is_empty() {
                self.bytes.truncate(before);
                batch.put_back(at);
                break;
            }
            self.records.push(at);
        }
    }

    fn push(&mut self, id: &str, record: &Record<'_>) {
        let what = json!({"_id": id, "version": record.epoch.0, "version_type": "external"});
        let action = match record.value {
            Some(_) => "index",
            None => "delete",
        };
        writeln!(self.bytes, r#"{{"{action}":{what}}}"#).expect("a vector takes what is written");
        if let Some(value) = record.value {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(value);
            // Between the values of JSON a line feed is a blank; within them it cannot be.
            for byte in &mut self.bytes[start..] {
                if *byte == b'\n' {
                    *byte = b' ';
                }
            }
            self.bytes.push(b'\n');
        }
    }
}

/// What an answer says of each record.
#[derive(Debug, Deserialize)]
pub struct Results {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Item {
    Index(Outcome),
    Delete(Outcome),
}

#[derive(Debug, Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Cause>,
}

/// Why something was not done, in the server's words.
#[derive(Debug, Clone, Deserialize)]
pub struct Cause {
    #[serde(rename = "type")]
    pub name: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub caused_by: Option<Box<Cause>>,
}

impl Cause {
    /// All that is said.
    pub fn words(&self) -> String {
        let mut words = self.name.clone();
        if let Some(reason) = &self.reason {
            words = format!("{words}: {reason}");
        }
        match &self.caused_by {
            Some(cause) => format!("{words}; {}", cause.words()),
            None => words,
        }
    }
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, or a newer one is.
    There,
    /// The index does not take it.
    Rejected(String),
    /// Not now.
    Busy(String),
    /// Something is wrong that is not the record.
    Wrong(String),
}

impl Results {
    /// Reads an answer to a request of so many records; none if it is no such answer.
    pub fn parse(body: &[u8], records: usize) -> Option<Self> {
        let results: Self = serde_json::from_slice(body).ok()?;
        (results.items.len() == records).then_some(results)
    }

    /// In the order of the body.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.items.iter().map(|item| match item {
            Item::Index(outcome) => verdict(outcome, false),
            Item::Delete(outcome) => verdict(outcome, true),
        })
    }
}

fn verdict(outcome: &Outcome, is_delete: bool) -> Verdict {
    let Some(cause) = &outcome.error else {
        return match outcome.status {
            200..300 => Verdict::There,
            // There was nothing to delete.
            404 if is_delete => Verdict::There,
            status => Verdict::Wrong(format!("status {status} without a reason")),
        };
    };
    let words = cause.words();
    let is_of_the_index = || {
        let reason = cause.reason.as_deref().unwrap_or_default();
        OF_THE_INDEX.iter().any(|begins| reason.starts_with(begins))
    };
    match outcome.status {
        409 if cause.name == "version_conflict_engine_exception" => Verdict::There,
        400 if OF_THE_DOCUMENT.contains(&cause.name.as_str()) && !is_of_the_index() => {
            Verdict::Rejected(words)
        }
        // It is deleted: the next `open` makes it again, or says so.
        404 if cause.name == "index_not_found_exception" => Verdict::Busy(words),
        // A disk that is full, mostly.
        403 if cause.name == "cluster_block_exception" => Verdict::Busy(words),
        408 | 429 | 500.. => Verdict::Busy(words),
        status => Verdict::Wrong(format!("status {status}: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::Parcel;
    use tidemill_types::Epoch;

    use super::{Body, Results, Verdict};
    use crate::batch::{Batch, Ids};

    fn parcel(records: &[(&str, Option<&str>)]) -> [Parcel; 1] {
        let mut parcel = Parcel {
            epoch: Epoch(7),
            ..Parcel::default()
        };
        for (key, value) in records {
            parcel
                .records
                .push(key.as_bytes(), value.map(str::as_bytes));
        }
        [parcel]
    }

    #[test]
    fn a_body_is_a_line_for_what_to_do_and_one_for_the_value() {
        let parcels = parcel(&[(r#""a\n""#, Some("{\"x\":\n1}")), ("2", None)]);
        let mut batch = Batch::new(parcels.iter(), Ids::OfKeys);
        let mut body = Body::default();
        body.fill(&mut batch, 1_000);
        assert_eq!(
            String::from_utf8(body.bytes).unwrap(),
            concat!(
                r#"{"index":{"_id":"a\n","version":7,"version_type":"external"}}"#,
                "\n{\"x\": 1}\n",
                r#"{"delete":{"_id":"2","version":7,"version_type":"external"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_body_is_bounded_and_a_record_alone_is_not() {
        let long = "1".repeat(500);
        let parcels = parcel(&[
            ("1", Some("1")),
            ("2", Some(&long)),
            ("3", None),
            ("4", None),
        ]);
        let mut batch = Batch::new(parcels.iter(), Ids::OfKeys);
        let mut body = Body::default();
        let mut counts = Vec::new();
        loop {
            body.fill(&mut batch, 150);
            if body.records.is_empty() {
                break;
            }
            counts.push(body.records.len());
        }
        assert_eq!(counts, [1, 1, 2]);
    }

    #[test]
    fn every_outcome_has_its_meaning() {
        let error = |status: u16, name: &str, reason: &str| {
            format!(
                r#"{{"index":{{"status":{status},"error":{{"type":"{name}","reason":"{reason}"}}}}}}"#
            )
        };
        let there = Verdict::There;
        let rejected = Verdict::Rejected(String::new());
        let busy = Verdict::Busy(String::new());
        let wrong = Verdict::Wrong(String::new());
        for (item, expected) in [
            (r#"{"index":{"status":201}}"#.to_owned(), &there),
            (r#"{"delete":{"status":404}}"#.to_owned(), &there),
            (r#"{"index":{"status":404}}"#.to_owned(), &wrong),
            (error(409, "version_conflict_engine_exception", "x"), &there),
            (error(409, "resource_already_exists_exception", "x"), &wrong),
            (error(400, "mapper_parsing_exception", "x"), &rejected),
            (
                error(400, "illegal_argument_exception", "immense term"),
                &rejected,
            ),
            (
                error(
                    400,
                    "illegal_argument_exception",
                    "pipeline with id [x] does not exist",
                ),
                &wrong,
            ),
            (
                error(400, "action_request_validation_exception", "x"),
                &wrong,
            ),
            (error(403, "cluster_block_exception", "x"), &busy),
            (error(403, "security_exception", "x"), &wrong),
            (error(404, "index_not_found_exception", "x"), &busy),
            (error(429, "es_rejected_execution_exception", "x"), &busy),
            (error(503, "unavailable_shards_exception", "x"), &busy),
        ] {
            let results = Results::parse(format!(r#"{{"items":[{item}]}}"#).as_bytes(), 1).unwrap();
            let verdict = results.verdicts().next().unwrap();
            assert_eq!(
                std::mem::discriminant(&verdict),
                std::mem::discriminant(expected),
                "{item}: {verdict:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_leaves_something_out_is_none() {
        let body = br#"{"items":[{"index":{"status":201}}]}"#;
        assert!(Results::parse(body, 1).is_some());
        assert!(Results::parse(body, 2).is_none());
        assert!(Results::parse(b"{}", 0).is_none());
        assert!(Results::parse(br#"{"items":[{"create":{"status":201}}]}"#, 1).is_none());
    }
}
