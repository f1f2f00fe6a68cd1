//! A registry with one subject.

use std::sync::Arc;

use tidemill_types::format::{Contract, SchemaText, Schemas, WriterSchema};

const NAME: &str = "orders-value";

/// The versions of `orders-value`, from the first on.
#[derive(Debug)]
pub struct Subject(pub Vec<SchemaText>);

impl Subject {
    /// The number of a version's schema.
    pub fn number(version: usize) -> u32 {
        70 + u32::try_from(version).unwrap()
    }

    /// What a job is planned with.
    pub fn contract(&self, version: usize) -> Contract {
        Contract {
            subject: NAME.to_owned(),
            version: u32::try_from(version).unwrap(),
            id: Self::number(version),
            schema: self.0[version - 1].clone(),
        }
    }
}

impl Schemas for Subject {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        let version = (1..=self.0.len()).find(|&version| Self::number(version) == id)?;
        Some(Arc::new(WriterSchema {
            schema: self.0[version - 1].clone(),
            places: vec![(NAME.to_owned(), u32::try_from(version).unwrap())],
        }))
    }
}

/// A text that refers to nothing.
pub fn schema_text(text: &str) -> SchemaText {
    SchemaText {
        text: text.to_owned(),
        references: Vec::new(),
    }
}
