//! A column of a source, and where its values come from.

use std::fmt::{Display, Formatter};

use arrow_schema::DataType;

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL.
    pub name: String,
    /// Type that its values are converted to. `UUID` is `FixedSizeBinary(16)`, `TIMESTAMP` is milliseconds without zone.
    pub data_type: DataType,
    /// False if declared `NOT NULL`: then a state without it is a dead letter.
    pub nullable: bool,
    /// Where its values come from.
    pub origin: ColumnOrigin,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnOrigin {
    /// A member of the state.
    Data(Path),
    /// A member of the record's key.
    Key(Path),
    /// A metadata field of the envelope, or of the record's position.
    Metadata(String),
}

impl ColumnOrigin {
    /// The name that a producer knows it by.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Data(path) | Self::Key(path) => path.to_string(),
            Self::Metadata(field) => field.clone(),
        }
    }
}

/// The names that lead to a member: its own, after those of the members that it lies in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// A member of the outermost value; its name may have dots.
    #[must_use]
    pub fn member(name: impl Into<String>) -> Self {
        Self(vec![name.into()])
    }

    /// Names with dots between them; none if one of them is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        (!names.iter().any(String::is_empty)).then_some(Self(names))
    }

    /// The path of the same member, seen from the value that a member lies in.
    #[must_use]
    pub fn within(&self, outer: &[&str]) -> Self {
        let outer = outer.iter().map(|&name| name.to_owned());
        Self(outer.chain(self.0.iter().cloned()).collect())
    }

    /// The names, from the outermost on.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// True if it is a member of the outermost value, of that name.
    #[must_use]
    pub fn is_member(&self, name: &str) -> bool {
        matches!(self.0.as_slice(), [only] if only == name)
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
