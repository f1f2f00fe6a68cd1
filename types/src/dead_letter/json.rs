//! Bytes and headers of a dead letter as text: base64, and a JSON array of headers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Header;

/// A header as it stands in the text.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    name: std::borrow::Cow<'a, str>,
    /// In base64.
    value: Option<String>,
}

/// Headers as the column `headers` has them: `[{"name":"trace","value":"eDE="}]`, values in base64; none without headers.
#[must_use]
pub fn headers_text(headers: &[Header]) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let written: Vec<_> = (headers.iter())
        .map(|header| Written {
            name: header.name.as_str().into(),
            value: header
                .value
                .as_ref()
                .map(|value| BASE64_STANDARD.encode(value)),
        })
        .collect();
    Some(serde_json::to_string(&written).expect("text and optional text are always JSON"))
}

/// The headers that [`headers_text`] wrote.
///
/// # Errors
/// If it did not.
pub fn parse_headers(text: &str) -> Result<Vec<Header>, String> {
    let written: Vec<Written<'_>> =
        serde_json::from_str(text).map_err(|error| format!("'headers': {error}"))?;
    let header = |written: Written<'_>| {
        let value = written.value.map(|value| BASE64_STANDARD.decode(value));
        Ok(Header {
            name: written.name.into_owned(),
            value: value
                .transpose()
                .map_err(|error| format!("'headers': {error}"))?,
        })
    };
    written.into_iter().map(header).collect()
}

/// Bytes in base64.
pub mod bytes {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        let text = bytes.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes));
        text.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let bytes = text.map(|text| BASE64_STANDARD.decode(text));
        bytes.transpose().map_err(D::Error::custom)
    }
}

/// Headers as text.
pub mod headers {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Header, headers_text, parse_headers};

    pub fn serialize<S: Serializer>(headers: &[Header], to: S) -> Result<S::Ok, S::Error> {
        headers_text(headers).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Header>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let headers = text.as_deref().map(parse_headers);
        Ok(headers
            .transpose()
            .map_err(D::Error::custom)?
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use crate::dead_letter::{DeadLetter, Header, Stage};

    #[test]
    fn a_letter_comes_back_from_its_json_as_it_was() {
        let header = |name: &str, value: Option<&[u8]>| Header {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        let letter = DeadLetter {
            plan: "9f86d081".to_owned(),
            stage: Stage::Decode,
            source: "orders".to_owned(),
            topic: "shop.orders".to_owned(),
            partition: 3,
            offset: 9_007_199_254_740_993,
            reason: "invalid UTF-8 at byte 0".to_owned(),
            timestamp_ms: Some(-1),
            key: Some(Vec::new()),
            headers: vec![header("trace", Some(b"\xff")), header("trace", None)],
            bytes: Some(b"\xff\0".to_vec()),
            truncated: false,
        };
        let text = serde_json::to_string(&letter).unwrap();
        assert_eq!(
            text,
            r#"{"plan":"9f86d081","stage":"decode","source":"orders","topic":"shop.orders","partition":3,"offset":9007199254740993,"reason":"invalid UTF-8 at byte 0","timestamp":-1,"key":"","headers":"[{\"name\":\"trace\",\"value\":\"/w==\"},{\"name\":\"trace\",\"value\":null}]","bytes":"/wA=","truncated":false}"#
        );
        assert_eq!(serde_json::from_str::<DeadLetter>(&text).unwrap(), letter);
        let none = DeadLetter {
            key: None,
            headers: Vec::new(),
            bytes: None,
            ..letter
        };
        let text = serde_json::to_string(&none).unwrap();
        assert_eq!(serde_json::from_str::<DeadLetter>(&text).unwrap(), none);
    }
}
