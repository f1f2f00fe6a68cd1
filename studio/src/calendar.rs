//! Days and times as numbers, and back as ISO text. UTC only.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 in days of the common era.
const UNIX_DAY_CE: i32 = 719_163;

/// The date that lies this many days after 1970-01-01, as `YYYY-MM-DD`.
///
/// # Panics
/// If the day is out of the calendar (262,000 years).
#[must_use]
pub fn iso_date(day: i32) -> [u8; 10] {
    let date = NaiveDate::from_num_days_from_ce_opt(day + UNIX_DAY_CE)
        .expect("days come from dates and stay near them");
    let (year, month, day) = (date.year().unsigned_abs(), date.month(), date.day());
    let digit = |value: u32, unit: u32| {
        b'0' + u8::try_from(value / unit % 10).expect("a digit is below 10")
    };
    let mut text = *b"0000-00-00";
    for (at, value, unit) in [
        (0, year, 1000),
        (1, year, 100),
        (2, year, 10),
        (3, year, 1),
        (5, month, 10),
        (6, month, 1),
        (8, day, 10),
        (9, day, 1),
    ] {
        text[at] = digit(value, unit);
    }
    text
}

/// Days since 1970-01-01 of exactly `YYYY-MM-DD`.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| {
            if at == 4 || at == 7 {
                *byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        });
    if !shaped {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
    };
    let year = i32::try_from(number(0..4)).ok()?;
    Some(
        NaiveDate::from_ymd_opt(year, number(5..7), number(8..10))?.num_days_from_ce()
            - UNIX_DAY_CE,
    )
}

/// The year of a day.
#[must_use]
pub fn year(day: i32) -> Option<i32> {
    Some(NaiveDate::from_num_days_from_ce_opt(day.checked_add(UNIX_DAY_CE)?)?.year())
}

/// Milliseconds since 1970 of an ISO time; without a zone it is UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc().timestamp_millis())
}

/// A time as `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[must_use]
pub fn iso_time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// The first millisecond of the UTC day that a time falls in.
#[must_use]
pub const fn start_of_day(ms: i64) -> i64 {
    ms - ms.rem_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, iso_date, iso_time, parse_date, parse_time, start_of_day, year};

    #[test]
    fn dates_are_read_back_as_written() {
        for text in ["1970-01-01", "1928-02-29", "2026-12-31", "9999-12-31"] {
            let day = parse_date(text).expect("is a date");
            assert_eq!(std::str::from_utf8(&iso_date(day)), Ok(text));
        }
        for text in [
            "2026-1-01",
            "2026-02-30",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
        assert_eq!(
            year(parse_date("2027-01-01").expect("is a date")),
            Some(2027)
        );
    }

    #[test]
    fn times_are_read_in_all_their_spellings() {
        for text in [
            "2026-01-02T00:00:00.000Z",
            "2026-01-02T00:00:00",
            "2026-01-02 00:00:00.0",
            "2026-01-02T01:00:00+01:00",
        ] {
            assert_eq!(
                parse_time(text).map(iso_time).as_deref(),
                Some("2026-01-02T00:00:00.000Z"),
                "{text}"
            );
        }
        assert_eq!(start_of_day(-1), -DAY_MS);
    }
}
