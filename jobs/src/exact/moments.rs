//! Arithmetic on moments: milliseconds since 1970-01-01T00:00:00, of any year.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Utc};

use super::domain::MS_PER_DAY;

/// Days from 0001-01-01 to 1970-01-01, and one.
const EPOCH_FROM_CE: i64 = 719_163;

/// What a moment can be truncated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole multiples of so many milliseconds since 1970.
    Fixed(i64),
    /// The Monday.
    Week,
    /// The first of so many months of a year.
    Months(u32),
}

impl Unit {
    /// The unit of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "microsecond" | "millisecond" => Self::Fixed(1),
            "second" => Self::Fixed(1_000),
            "minute" => Self::Fixed(60_000),
            "hour" => Self::Fixed(3_600_000),
            "day" => Self::Fixed(MS_PER_DAY),
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => return None,
        })
    }

    /// The beginning of the unit that a moment is in; none beyond the calendar.
    #[must_use]
    pub fn truncate(self, ms: i64) -> Option<i64> {
        match self {
            Self::Fixed(size) => ms.checked_sub(ms.rem_euclid(size)),
            Self::Week => {
                let days = ms.div_euclid(MS_PER_DAY);
                // 1970-01-01 was a Thursday.
                let monday = days.checked_sub((days + 3).rem_euclid(7))?;
                monday.checked_mul(MS_PER_DAY)
            }
            Self::Months(size) => {
                let date = moment(ms)?.date();
                let month = date.month0() / size * size + 1;
                at_midnight(NaiveDate::from_ymd_opt(date.year(), month, 1)?)
            }
        }
    }
}

/// The size of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stride {
    /// Milliseconds, at least one.
    Fixed(i64),
    /// Months, at least one.
    Months(i32),
}

impl Stride {
    /// The stride of an interval.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn of(months: i32, days: i32, nanoseconds: i64) -> Result<Self, &'static str> {
        if months != 0 {
            return match (days, nanoseconds) {
                (0, 0) if months > 0 => Ok(Self::Months(months)),
                (0, 0) => Err("a bin has a positive size"),
                _ => Err("a bin is of months, or of days and parts of them"),
            };
        }
        let ns = i128::from(days) * i128::from(MS_PER_DAY) * 1_000_000 + i128::from(nanoseconds);
        if ns <= 0 {
            return Err("a bin has a positive size");
        }
        if ns % 1_000_000 != 0 {
            return Err("a bin is a whole number of milliseconds");
        }
        i64::try_from(ns / 1_000_000)
            .map(Self::Fixed)
            .map_err(|_| "a bin is shorter than that")
    }

    /// The beginning of the bin that a moment is in, if one begins at `origin`; none beyond the calendar.
    #[must_use]
    pub fn bin(self, ms: i64, origin: i64) -> Option<i64> {
        match self {
            Self::Fixed(size) => {
                let since = i128::from(ms) - i128::from(origin);
                let begin = i128::from(ms) - since.rem_euclid(i128::from(size));
                i64::try_from(begin).ok()
            }
            Self::Months(size) => {
                let (source, first) = (moment(ms)?, moment(origin)?);
                let size = i64::from(size);
                let since = months(&source) - months(&first);
                let begin = since.div_euclid(size).checked_mul(size)?;
                let mut bin = later(first, begin)?;
                if bin > source {
                    // The origin is later in its month than the moment in its own.
                    bin = later(first, begin - size)?;
                }
                Some(bin.and_utc().timestamp_millis())
            }
        }
    }
}

/// Months since the year 0.
fn months(moment: &NaiveDateTime) -> i64 {
    i64::from(moment.year()) * 12 + i64::from(moment.month0())
}

fn later(moment: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 {
        moment.checked_sub_months(by)
    } else {
        moment.checked_add_months(by)
    }
}

/// A moment in the calendar; none beyond it (some 260,000 years).
fn moment(ms: i64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp_millis(ms).map(|moment| moment.naive_utc())
}

fn at_midnight(date: NaiveDate) -> Option<i64> {
    (i64::from(date.num_days_from_ce()) - EPOCH_FROM_CE).checked_mul(MS_PER_DAY)
}

/// A text in one of the formats of [chrono](https://docs.rs/chrono/latest/chrono/format/strftime/index.html), the first
/// that fits. Without a zone it is UTC.
#[must_use]
pub fn parse<'a>(text: &str, formats: impl Iterator<Item = &'a str>) -> Option<i64> {
    let in_format = |format: &str| {
        let zoned = DateTime::parse_from_str(text, format).map(|moment| moment.naive_utc());
        let moment = zoned.or_else(|_| NaiveDateTime::parse_from_str(text, format));
        let at = |moment: NaiveDateTime| moment.and_utc().timestamp_millis();
        let midnight = || {
            NaiveDate::parse_from_str(text, format)
                .ok()
                .and_then(at_midnight)
        };
        moment.ok().map(at).or_else(midnight)
    };
    formats.into_iter().find_map(in_format)
}
