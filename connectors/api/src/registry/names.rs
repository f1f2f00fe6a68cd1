//! The names that levels have in Confluent's API, in files and in messages.

use std::fmt;

use super::Compatibility;

impl Compatibility {
    /// As Confluent's API calls it.
    ///
    /// ```
    /// use tidemill_connectors_api::registry::Compatibility;
    ///
    /// assert_eq!(Compatibility::FullTransitive.name(), "FULL_TRANSITIVE");
    /// assert_eq!(Compatibility::named("BACKWARD"), Some(Compatibility::Backward));
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
