//! A value that no message, log or `Debug` shows.

use std::fmt;

/// A value that nobody sees.
///
/// ```
/// use tidemill_connectors_api::Secret;
///
/// let password = Secret::new("hunter2");
/// assert_eq!((format!("{password:?}"), password.value()), ("…".to_owned(), "hunter2"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for who it is given to.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
