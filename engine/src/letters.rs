//! Dead letters by the contract that their records' writers kept to: which version of which subject is not read.
//!
//! Counts since the process started, as the other counts of the status do: what is replayed counts again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemill_types::DeadLetter;
use tidemill_types::format::Schemas;

use crate::contracts::Named;

/// The version of a record whose id the registry does not know.
const UNKNOWN: &str = "unknown";
/// The version of a record that names no schema.
const NONE: &str = "none";

/// Counts by subject and version.
#[derive(Debug, Default)]
pub struct ByContract(Mutex<BTreeMap<(String, String), u64>>);

impl ByContract {
    /// Counts letters of a source that is planned with a subject: by their values, or by their keys if only these have contracts.
    pub fn count(&self, letters: &[DeadLetter], planned: (&str, Named), schemas: &dyn Schemas) {
        for letter in letters {
            let contract = contract(letter, planned, schemas);
            *self.lock().entry(contract).or_default() += 1;
        }
    }

    /// Every subject and version of which there are letters, with how many.
    pub fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Subject and version of a letter's writer.
fn contract(
    letter: &DeadLetter,
    (subject, named): (&str, Named),
    schemas: &dyn Schemas,
) -> (String, String) {
    let of = |version: &str| (subject.to_owned(), version.to_owned());
    let [of_key, of_value] = named.numbers(letter.key.as_deref(), letter.bytes.as_deref());
    let number = if named.values { of_value } else { of_key };
    let Some(id) = number else {
        return of(NONE);
    };
    let Some(writer) = schemas.schema(id) else {
        return of(UNKNOWN);
    };
    match writer.place(Some(subject)) {
        Some((place, version)) => (place.clone(), version.to_string()),
        None => of(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidemill_types::DeadLetter;
    use tidemill_types::format::{SchemaText, Schemas, WriterSchema};

    use super::{ByContract, Named};

    #[derive(Debug)]
    struct Two;

    impl Schemas for Two {
        fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
            let places = match id {
                1 => vec![("other".to_owned(), 7), ("orders-value".to_owned(), 2)],
                2 => vec![("other".to_owned(), 7)],
                _ => return None,
            };
            let schema = SchemaText {
                text: String::new(),
                references: Vec::new(),
            };
            Some(Arc::new(WriterSchema { schema, places }))
        }
    }

    #[test]
    fn a_letter_counts_for_the_version_of_its_writer() {
        let letter = |bytes: Option<&[u8]>| DeadLetter {
            bytes: bytes.map(<[u8]>::to_vec),
            ..DeadLetter::default()
        };
        let framed = |id: u8| letter(Some(&[0, 0, 0, 0, id, 1]));
        let counts = ByContract::default();
        let letters = [
            framed(1),
            framed(1),
            framed(2),
            framed(9),
            letter(Some(b"{}")),
            letter(None),
        ];
        let named = |values| Named {
            values,
            keys: !values,
        };
        counts.count(&letters, ("orders-value", named(true)), &Two);
        let of_key = DeadLetter {
            key: framed(1).bytes,
            ..framed(2)
        };
        counts.count(&[of_key], ("orders-key", named(false)), &Two);
        let counts = counts.counts().into_iter();
        let counts: Vec<_> = counts
            .map(|((subject, version), count)| format!("{subject} {version} {count}"))
            .collect();
        let expected = [
            "orders-value 2 2",
            "orders-value none 2",
            "orders-value unknown 1",
            "other 7 2",
        ];
        assert_eq!(counts, expected);
    }
}
