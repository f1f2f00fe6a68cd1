//! What is posted for a record, and what the service's answer means.
//!
//! Pure. The body is one JSON object, always the same for the same record.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use tidemill_connectors_http::StatusCode;
use tidemill_types::Epoch;

/// What stands in a part of an idempotency key as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Whose record it is.
#[derive(Debug, Clone, Copy)]
pub struct Of<'a> {
    pub job: &'a str,
    pub sink: &'a str,
    pub history: &'a str,
}

/// Where a record is: its epoch, and its place among the epoch's records of the sink.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub epoch: Epoch,
    pub index: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    job: &'a str,
    sink: &'a str,
    epoch: u64,
    index: usize,
    key: Option<Key<'a>>,
    value: Option<&'a RawValue>,
}

/// A key, as it is written where it is JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Key<'a> {
    Json(&'a RawValue),
    Text(String),
}

/// By what the service knows a record again: what no other record has, of whichever sink.
pub fn idempotency_key(of: Of<'_>, place: Place) -> String {
    let part = |text| utf8_percent_encode(text, PART);
    let (history, sink) = (part(of.history), part(of.sink));
    format!("{history}/{sink}/{}/{}", place.epoch.0, place.index)
}

/// The body of a record; none if its value is no JSON.
pub fn body(of: Of<'_>, place: Place, key: &[u8], value: Option<&[u8]>) -> Option<Vec<u8>> {
    let value = match value {
        Some(bytes) => Some(serde_json::from_slice::<&RawValue>(bytes).ok()?),
        None => None,
    };
    let key = (!key.is_empty()).then(|| match serde_json::from_slice(key) {
        Ok(json) => Key::Json(json),
        Err(_) => Key::Text(String::from_utf8_lossy(key).into_owned()),
    });
    let body = Body {
        job: of.job,
        sink: of.sink,
        epoch: place.epoch.0,
        index: place.index,
        key,
        value,
    };
    serde_json::to_vec(&body).ok()
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has the record.
    Taken,
    /// It does not take it, whoever posts it.
    Rejected,
    /// Not now.
    Busy,
    /// It does not let the job in.
    Locked,
    /// There is no such service.
    Wrong,
}

/// What a status means.
pub fn verdict(status: StatusCode) -> Verdict {
    match status {
        status if status.is_success() => Verdict::Taken,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Verdict::Locked,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Verdict::Wrong,
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS => Verdict::Busy,
        status if status.is_client_error() => Verdict::Rejected,
        status if status.is_server_error() => Verdict::Busy,
        _ => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_http::StatusCode;
    use tidemill_types::Epoch;

    use super::{Of, Place, Verdict, body, idempotency_key, verdict};

    const OF: Of<'static> = Of {
        job: "j",
        sink: "s",
        history: "h",
    };
    const PLACE: Place = Place {
        epoch: Epoch(7),
        index: 2,
    };

    #[test]
    fn a_record_is_one_object_with_its_value_as_it_was_written() {
        assert_eq!(idempotency_key(OF, PLACE), "h/s/7/2");
        let named = Of {
            sink: "a/b é",
            ..OF
        };
        assert_eq!(idempotency_key(named, PLACE), "h/a%2Fb%20%C3%A9/7/2");
        let text = |key: &str, value: Option<&str>| {
            let body = body(OF, PLACE, key.as_bytes(), value.map(str::as_bytes));
            String::from_utf8(body.unwrap()).unwrap()
        };
        assert_eq!(
            text("42", Some(r#"{"amount":"1.50","n":1.0}"#)),
            r#"{"job":"j","sink":"s","epoch":7,"index":2,"key":42,"value":{"amount":"1.50","n":1.0}}"#
        );
        assert_eq!(
            text(r#""US""#, None),
            r#"{"job":"j","sink":"s","epoch":7,"index":2,"key":"US","value":null}"#
        );
        assert_eq!(
            text("", Some("1")),
            r#"{"job":"j","sink":"s","epoch":7,"index":2,"key":null,"value":1}"#
        );
        assert_eq!(body(OF, PLACE, b"1", Some(b"{")), None);
    }

    #[test]
    fn every_status_has_its_meaning() {
        for (status, meaning) in [
            (200, Verdict::Taken),
            (204, Verdict::Taken),
            (302, Verdict::Wrong),
            (400, Verdict::Rejected),
            (401, Verdict::Locked),
            (403, Verdict::Locked),
            (404, Verdict::Wrong),
            (408, Verdict::Busy),
            (409, Verdict::Busy),
            (410, Verdict::Wrong),
            (413, Verdict::Rejected),
            (422, Verdict::Rejected),
            (429, Verdict::Busy),
            (500, Verdict::Busy),
            (503, Verdict::Busy),
        ] {
            assert_eq!(
                verdict(StatusCode::from_u16(status).unwrap()),
                meaning,
                "{status}"
            );
        }
    }
}
