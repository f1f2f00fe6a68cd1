//! The ids of documents: a row's key, or its place where it has none.
//!
//! Promises: different keys have different ids, and so have different places. An id is never empty, and has at most [`BYTES_MAX`] bytes, which
//! is what servers take.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use tidemill_types::Epoch;

/// How long an id may be.
pub const BYTES_MAX: usize = 512;
/// How many characters a hash has.
const HASH_CHARS: usize = 64;

/// The id of a key, which is JSON: as it is, but a text without its quotes.
///
/// Texts that would then be something else keep the quotes: the empty one, `null`, and those that begin with a quote. What has 512 bytes or
/// more is its beginning, `#` up to 448 bytes, and the SHA-256 of all of it, so that it has exactly 512.
pub fn id_of_key(key: &[u8]) -> String {
    let text = match key.first() {
        Some(b'"') => serde_json::from_slice::<String>(key).ok(),
        _ => None,
    };
    let bare = text.filter(|text| !text.is_empty() && text != "null" && !text.starts_with('"'));
    let id = bare.unwrap_or_else(|| String::from_utf8_lossy(key).into_owned());
    if id.len() < BYTES_MAX {
        return id;
    }
    shortened(&id)
}

fn shortened(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let before_hash = BYTES_MAX - HASH_CHARS;
    let mut short = id[..id.floor_char_boundary(before_hash - 1)].to_owned();
    while short.len() < before_hash {
        short.push('#');
    }
    for byte in hash {
        write!(short, "{byte:02x}").expect("a string takes what is written");
    }
    short
}

/// The id of a row without a key.
pub fn id_of_place(history: &str, epoch: Epoch, record: usize) -> String {
    let id = format!("{history}-{}-{record}", epoch.0);
    if id.len() < BYTES_MAX {
        return id;
    }
    shortened(&id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tidemill_types::Epoch;

    use super::{BYTES_MAX, id_of_key, id_of_place};

    #[test]
    fn a_key_is_its_own_id() {
        for (key, id) in [
            ("42", "42"),
            (r#""US""#, "US"),
            (r#""M\u00fcller \"x\"""#, "Müller \"x\""),
            (
                r#"{"production_id":42,"currency":"USD"}"#,
                r#"{"production_id":42,"currency":"USD"}"#,
            ),
            ("null", "null"),
            (r#""null""#, r#""null""#),
            (r#""""#, r#""""#),
            (r#""\"a""#, r#""\"a""#),
        ] {
            assert_eq!(id_of_key(key.as_bytes()), id);
        }
    }

    #[test]
    fn long_keys_keep_apart_in_the_bytes_that_there_are() {
        let lengths = (500..530).chain([1_000, 100_000]);
        let texts = lengths.flat_map(|length| ["a".repeat(length), "é".repeat(length)]);
        let mut ids = BTreeSet::new();
        let mut count = 0;
        for text in texts {
            let id = id_of_key(serde_json::to_string(&text).unwrap().as_bytes());
            assert!(id.len() <= BYTES_MAX);
            // What an id is taken for that somebody chose as a key.
            ids.insert(id_of_key(serde_json::to_string(&id).unwrap().as_bytes()));
            ids.insert(id.clone());
            count += if id == text { 1 } else { 2 };
        }
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn places_have_ids_of_their_own() {
        assert_eq!(id_of_place("h-1", Epoch(2), 3), "h-1-2-3");
        assert_eq!(id_of_place(&"h".repeat(900), Epoch(2), 3).len(), BYTES_MAX);
    }
}
