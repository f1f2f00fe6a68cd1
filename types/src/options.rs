//! The options of a `WITH`, and who takes which.

use std::collections::BTreeMap;

/// Options by name: as a profile leaves them, `${…}` resolved.
pub type Options = BTreeMap<String, String>;

/// The options that a connector takes, beside those of formats and stages, which are the planner's business.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// The name in `connector = '…'`.
    pub name: &'static str,
    /// Of a source.
    pub source: Vec<&'static str>,
    /// Of a sink.
    pub sink: Vec<&'static str>,
    /// The option of a sink that names what it writes to, within what the others reach.
    pub target: &'static str,
    /// How its sinks come to have what is committed.
    pub sinks: SinkKind,
}

/// How a sink comes to have what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// In the transaction of the journal.
    Transactional,
    /// After the journal has it, in one of these formats; the first is the one that is meant where none is named.
    Delivered {
        /// Their names.
        formats: &'static [&'static str],
    },
}

/// True if an option of that name is among those known; one that ends in `.*` stands for all names with that beginning.
#[must_use]
pub fn is_among(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.len() > beginning.len() && name.starts_with(beginning),
        None => *known == name,
    })
}
