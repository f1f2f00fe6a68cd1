//! The index that a sink brings its documents to: found, made if it is not there, and held to what deliveries need of it.
//!
//! Does not change an index that is there.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_connectors_api::Error;
use tidemill_connectors_http::StatusCode;

use crate::server::{Reply, Server};
use crate::{invalid, retry};

/// What stands in a part of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// How long an index that is made here knows the version of a document after it was deleted.
const GC_DELETES: &str = "10m";
/// The same of an index that does not say.
const GC_DELETES_DEFAULT: Duration = Duration::from_secs(60);

/// An index by its name, or by an alias of it alone.
#[derive(Debug)]
pub struct Index {
    pub name: String,
    /// How it is made if it is not there; none if it is not to be.
    pub make: Option<Value>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name behind an alias.
    pub name: String,
    /// What it is known by for as long as it lives: its UUID.
    pub uuid: String,
}

#[derive(Debug, Deserialize)]
struct OfIndex {
    settings: Settings,
}

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(rename = "index.uuid")]
    uuid: String,
    #[serde(rename = "index.gc_deletes")]
    gc_deletes: Option<String>,
    #[serde(rename = "index.translog.durability")]
    durability: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Counted {
    count: u64,
}

impl Index {
    /// The part of a path that names it.
    pub fn segment(&self) -> String {
        segment(&self.name)
    }

    /// How an index is made that has this mapping.
    pub fn body(mapping: &Value) -> Value {
        json!({"settings": {"index.gc_deletes": GC_DELETES}, "mappings": mapping})
    }

    /// Finds it, or makes it.
    pub fn find_or_make(&self, server: &Server) -> Result<Found, Error> {
        if let Some(found) = self.find(server)? {
            return Ok(found);
        }
        let (name, url) = (&self.name, server.url());
        let Some(body) = &self.make else {
            return Err(invalid(format!(
                "there is no index '{name}' at '{url}'; make it, or leave out create = 'false'"
            )));
        };
        let reply = server.put(&format!("/{}", self.segment()), body)?;
        // Somebody else may have been quicker.
        if !reply.status.is_success() && !reply.is_error("resource_already_exists_exception") {
            return Err(invalid(format!(
                "index '{name}' cannot be made at '{url}': {}; mend the columns, or make it yourself",
                reply.words()
            )));
        }
        self.find(server)?.ok_or_else(|| {
            retry(format!(
                "index '{name}' at '{url}' was made and is gone again; look who deletes it"
            ))
        })
    }

    /// Finds it.
    ///
    /// # Errors
    /// `Invalid` if it is not what a sink needs.
    pub fn find(&self, server: &Server) -> Result<Option<Found>, Error> {
        let path = format!("/{}/_settings?flat_settings=true", self.segment());
        let reply = server.get(&path)?;
        if reply.status == StatusCode::NOT_FOUND && reply.cause().is_some() {
            return Ok(None);
        }
        if !reply.status.is_success() {
            return Err(server.garbage(&reply.words()));
        }
        let mut found: BTreeMap<String, OfIndex> = server.parsed(&reply)?;
        let name = &self.name;
        let Some((own_name, OfIndex { settings })) = found.pop_first() else {
            return Ok(None);
        };
        if !found.is_empty() || own_name.starts_with(".ds-") {
            return Err(invalid(format!(
                "'{name}' is a data stream, or an alias of several indices, in which a row could be twice; name one index"
            )));
        }
        if settings
            .durability
            .is_some_and(|level| level.eq_ignore_ascii_case("async"))
        {
            return Err(invalid(format!(
                "index '{name}' forgets after a crash what it took (index.translog.durability is 'async'); set it to 'request'"
            )));
        }
        let gc_deletes = settings.gc_deletes.as_deref();
        let gc_deletes = gc_deletes.map_or(Some(GC_DELETES_DEFAULT), duration);
        if gc_deletes.is_some_and(|keeps| keeps < self.timeout) {
            return Err(invalid(format!(
                "index '{name}' forgets deleted documents sooner than a request ends, so one that comes late could bring them back; \
                 set its index.gc_deletes above the option 'timeout', or that below it"
            )));
        }
        Ok(Some(Found {
            name: own_name,
            uuid: settings.uuid,
        }))
    }

    /// Whether it has documents.
    pub fn is_empty(&self, server: &Server) -> Result<bool, Error> {
        // What was written just now is counted after a refresh.
        self.told(server, "_refresh")?;
        let counted: Counted = server.parsed(&self.told(server, "_count")?)?;
        Ok(counted.count == 0)
    }

    fn told(&self, server: &Server, what: &str) -> Result<Reply, Error> {
        let reply = server.get(&format!("/{}/{what}", self.segment()))?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(retry(format!(
            "the documents of index '{}' cannot be counted: {}; it is tried again, look at the index if this stays",
            self.name,
            reply.words()
        )))
    }
}

/// A part of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A time as servers write it; none if it is for ever, or cannot be read.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let unit_ms = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let count = text[..split].parse::<u64>().ok()?;
    Some(Duration::from_millis(count.saturating_mul(unit_ms)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, segment};

    #[test]
    fn times_are_read_as_servers_write_them() {
        for (text, seconds) in [("60s", Some(60)), ("1500ms", Some(1)), ("10m", Some(600))] {
            assert_eq!(duration(text).map(|of| of.as_secs()), seconds);
        }
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("-1"), None);
    }

    #[test]
    fn a_part_of_a_path_stays_one() {
        assert_eq!(segment("a/b?c d"), "a%2Fb%3Fc%20d");
        assert_eq!(segment("films-2026.11_b"), "films-2026.11_b");
    }
}
