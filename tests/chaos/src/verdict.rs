//! What was found in a topic.

use std::fmt;

/// How many differences are described.
const EXAMPLES: usize = 5;

/// Rows by what was found about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The topic.
    pub topic: String,
    /// As they must be.
    pub equal: u64,
    /// Not there.
    pub missing: u64,
    /// There, and should not be, or for the second time.
    pub extra: u64,
    /// There, with another content.
    pub different: u64,
    /// The first differences.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Of a topic in which nothing was found yet.
    #[must_use]
    pub fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            ..Self::default()
        }
    }

    /// Rows that are not as they must be.
    #[must_use]
    pub const fn wrong(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    /// A row is not there.
    pub fn missing(&mut self, text: impl FnOnce() -> String) {
        self.missing += 1;
        self.example("missing", text);
    }

    /// A row should not be there.
    pub fn extra(&mut self, text: impl FnOnce() -> String) {
        self.extra += 1;
        self.example("extra", text);
    }

    /// A row has another content.
    pub fn different(&mut self, text: impl FnOnce() -> String) {
        self.different += 1;
        self.example("different", text);
    }

    fn example(&mut self, what: &str, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{what}: {}", text()));
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            equal,
            missing,
            extra,
            different,
            ..
        } = self;
        write!(
            f,
            "{topic:<28} {equal:>10} {missing:>9} {extra:>7} {different:>9}"
        )?;
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        Ok(())
    }
}
