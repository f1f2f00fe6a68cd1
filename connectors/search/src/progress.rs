//! How far an index is: one document for each, under the index's UUID, in an index of its own.
//!
//! A document says who brings records there and how far that came, and is only ever replaced by who has seen its last state (`if_seq_no`). So
//! who takes an index over by writing it shuts out the owner before, it never goes backwards, and what is written there holds for that very
//! index: one that is deleted and made again has another UUID.
//!
//! Promises that only an owner's document says that everything through an epoch is there. Does not shut out a request that is under way.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemill_connectors_api::Error;
use tidemill_connectors_http::StatusCode;
use tidemill_types::{Epoch, ErrorKind};

use crate::index::segment;
use crate::server::{Reply, Server};
use crate::{invalid, retry};

/// The index of these documents.
pub const INDEX: &str = ".tidemill-deliveries";

/// Who brings records to an index, and how far that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The name of the index, for people.
    pub index: String,
    pub job: String,
    pub sink: String,
    /// The journal that epochs are counted in.
    pub history: String,
    /// Everything through this epoch is there.
    pub epoch: u64,
    /// Records may be there.
    pub begun: bool,
    /// Counts the owners.
    pub owner: u64,
}

/// Which state of a document somebody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Seen {
    #[serde(rename = "_seq_no")]
    number: i64,
    #[serde(rename = "_primary_term")]
    term: i64,
}

/// A document as it is there.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(flatten)]
    seen: Seen,
    #[serde(rename = "_source")]
    progress: Progress,
}

/// What is there of an index.
#[derive(Debug)]
pub enum There {
    /// Not even the index of these documents.
    Nothing,
    /// No document.
    None,
    /// A document.
    Some(Progress, Seen),
}

/// Who may go on with an index.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody brought anything there: this sink may, if the index is empty.
    Begin,
    /// This sink did.
    GoOn(Epoch),
    /// Another sink does.
    Foreign { job: String, sink: String },
    /// This sink did, in another history.
    OtherHistory,
}

/// Whether a sink may bring records of a history to an index of which there is this document.
pub fn claim(there: Option<&Progress>, [job, sink, history]: [&str; 3]) -> Claim {
    let Some(there) = there.filter(|there| there.begun) else {
        return Claim::Begin;
    };
    if there.job != job || there.sink != sink {
        return Claim::Foreign {
            job: there.job.clone(),
            sink: there.sink.clone(),
        };
    }
    if there.history != history {
        return Claim::OtherHistory;
    }
    Claim::GoOn(Epoch(there.epoch))
}

/// Reads the document of an index.
pub fn read(server: &Server, uuid: &str) -> Result<There, Error> {
    let reply = server.get(&path(uuid))?;
    if reply.status == StatusCode::NOT_FOUND {
        return match reply.cause() {
            Some(cause) if cause.name == "index_not_found_exception" => Ok(There::Nothing),
            Some(_) => Err(cannot("read", &reply)),
            None => Ok(There::None),
        };
    }
    if !reply.status.is_success() {
        return Err(cannot("read", &reply));
    }
    let document: Document = serde_json::from_slice(&reply.body).map_err(|error| {
        invalid(format!(
            "document '{uuid}' of index '{INDEX}' cannot be read: {error}; delete it if the index that it is of is to be filled anew"
        ))
    })?;
    Ok(There::Some(document.progress, document.seen))
}

/// Writes the document of an index in place of the state that was seen, none if there was none; the state that it has now.
///
/// # Errors
/// `Fenced` if somebody else wrote it since.
pub fn write(
    server: &Server,
    uuid: &str,
    progress: &Progress,
    seen: Option<Seen>,
) -> Result<Seen, Error> {
    let condition = match seen {
        Some(Seen { number, term }) => format!("if_seq_no={number}&if_primary_term={term}"),
        None => "op_type=create".to_owned(),
    };
    let reply = server.put(&format!("{}?{condition}", path(uuid)), &json!(progress))?;
    match reply.status {
        StatusCode::CONFLICT => Err(fenced(&progress.index)),
        status if status.is_success() => server.parsed(&reply),
        _ => Err(cannot("write", &reply)),
    }
}

/// That somebody else owns an index meanwhile.
pub fn fenced(index: &str) -> Error {
    let message = format!(
        "index '{index}' was taken over by a newer run of the sink; let that one go on, or end it and start this one again"
    );
    Error::new(ErrorKind::Fenced, message)
}

/// Makes the index of these documents.
pub fn make_index(server: &Server) -> Result<(), Error> {
    let body = json!({
        "settings": {"index.hidden": true, "index.number_of_shards": 1, "index.auto_expand_replicas": "0-1"},
        "mappings": {"dynamic": false},
    });
    let reply = server.put(&format!("/{INDEX}"), &body)?;
    // Somebody else may have been quicker.
    if reply.status.is_success() || reply.is_error("resource_already_exists_exception") {
        return Ok(());
    }
    Err(invalid(format!(
        "index '{INDEX}', which says how far deliveries are, cannot be made at '{}': {}; allow it, or make it",
        server.url(),
        reply.words()
    )))
}

fn path(uuid: &str) -> String {
    format!("/{INDEX}/_doc/{}", segment(uuid))
}

fn cannot(what: &str, reply: &Reply) -> Error {
    retry(format!(
        "cannot {what} how far deliveries are, in index '{INDEX}': {}; it is tried again, look at that index if this stays",
        reply.words()
    ))
}

#[cfg(test)]
mod tests {
    use tidemill_types::Epoch;

    use super::{Claim, Progress, claim};

    fn there(begun: bool) -> Progress {
        Progress {
            index: "films".to_owned(),
            job: "j".to_owned(),
            sink: "s".to_owned(),
            history: "h".to_owned(),
            epoch: 7,
            begun,
            owner: 1,
        }
    }

    #[test]
    fn only_the_sink_that_began_goes_on() {
        let ours = ["j", "s", "h"];
        assert_eq!(claim(None, ours), Claim::Begin);
        assert_eq!(claim(Some(&there(true)), ours), Claim::GoOn(Epoch(7)));
        let foreign = Claim::Foreign {
            job: "j".to_owned(),
            sink: "s".to_owned(),
        };
        assert_eq!(claim(Some(&there(true)), ["j", "t", "h"]), foreign);
        assert_eq!(claim(Some(&there(true)), ["k", "s", "h"]), foreign);
        assert_eq!(
            claim(Some(&there(true)), ["j", "s", "i"]),
            Claim::OtherHistory
        );
    }

    #[test]
    fn who_brought_nothing_yet_stands_in_nobodys_way() {
        assert_eq!(claim(Some(&there(false)), ["k", "t", "i"]), Claim::Begin);
    }

    #[test]
    fn the_layout_of_a_document_stays_readable() {
        let frozen = r#"{"index":"films","job":"j","sink":"s","history":"h","epoch":7,"begun":true,"owner":1}"#;
        assert_eq!(
            serde_json::from_str::<Progress>(frozen).unwrap(),
            there(true)
        );
        assert_eq!(serde_json::to_string(&there(true)).unwrap(), frozen);
    }
}
