//! The options of a source that say how its producer writes values, for encodings whose records do not say so themselves.

use arrow_schema::DataType;
use tidemill_types::format::{Error, KEY_FORMAT, Options};

use crate::encoding::Conversion;

/// How decimals travel: as `text` (or number), or as the `base64` of their unscaled bytes.
pub const DECIMALS: &str = "decimals";
/// What the numbers of timestamps count; `timestamps.COLUMN` for one column.
pub const TIMESTAMPS: &str = "timestamps";
/// How dates travel: as `text`, or as the number of `days` since 1970-01-01.
pub const DATES: &str = "dates";

/// Whether records may be `{"schema": …, "payload": …}`, as Kafka Connect's JSON converter writes them: `true` or `false`.
pub const CONNECT_SCHEMA: &str = "connect.schema";

/// The options of a source in an encoding of text.
pub const SOURCE_OPTIONS: [&str; 6] = [
    KEY_FORMAT,
    DECIMALS,
    DATES,
    TIMESTAMPS,
    "timestamps.*",
    CONNECT_SCHEMA,
];

/// The options of a sink.
pub const SINK_OPTIONS: [&str; 1] = [KEY_FORMAT];

/// What the options say of values of a type, in a column of that name; a database's changes have days as numbers and booleans as 0 and 1, too.
///
/// # Errors
/// If an option has a value that does not exist.
pub fn conversion(
    column: &str,
    data_type: &DataType,
    options: &Options,
    is_of_database: bool,
) -> Result<Conversion, Error> {
    let wrong = |option: &str, value: &str, expected: &str| {
        Err(Error::OptionValue {
            option: option.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        })
    };
    let value = |option: &str| options.get(option).map(String::as_str);
    match data_type {
        DataType::Decimal128(_, scale) => match value(DECIMALS) {
            None | Some("text") => Ok(Conversion::Usual),
            Some("base64") => Ok(Conversion::Unscaled(*scale)),
            Some(other) => wrong(DECIMALS, other, "'text' or 'base64'"),
        },
        DataType::Date32 => match value(DATES) {
            Some("days") => Ok(Conversion::Days),
            None if is_of_database => Ok(Conversion::Days),
            None | Some("text") => Ok(Conversion::Usual),
            Some(other) => wrong(DATES, other, "'text' or 'days'"),
        },
        DataType::Timestamp(..) => {
            let own = format!("{TIMESTAMPS}.{column}");
            match value(&own).or_else(|| value(TIMESTAMPS)) {
                None | Some("milliseconds") => Ok(Conversion::Usual),
                Some("microseconds") => Ok(Conversion::PerMillisecond(1_000)),
                Some("nanoseconds") => Ok(Conversion::PerMillisecond(1_000_000)),
                Some(other) => {
                    let expected = "'milliseconds', 'microseconds' or 'nanoseconds'";
                    wrong(TIMESTAMPS, other, expected)
                }
            }
        }
        DataType::Boolean if is_of_database => Ok(Conversion::ZeroOrOne),
        _ => Ok(Conversion::Usual),
    }
}
