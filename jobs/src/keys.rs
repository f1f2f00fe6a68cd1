//! What a key can be: a value without others in it.
//!
//! Equal structs, arrays and maps have equal bytes, but keys are shown to people and written into records: a part of the value serves both
//! better.

use arrow_schema::DataType;
use tidemill_types::sql_type;

use crate::error::{Error, Location};

/// Refuses a column that cannot be in a key; `of` is what the key is for, such as `PRIMARY KEY`.
pub fn check(of: &str, column: &str, data_type: &DataType, at: Location) -> Result<(), Error> {
    if !data_type.is_nested() {
        return Ok(());
    }
    Err(Error::unsupported(
        at,
        format!(
            "{of} '{column}', which is {}, is",
            sql_type::name(data_type)
        ),
        "take a value in it, such as address.city or tags[1], or of a source a column FROM 'address.city'",
    ))
}
