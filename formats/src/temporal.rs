//! Dates and times as text, by ISO 8601: `2026-01-31`, `2026-01-31T12:00:00.123Z`. All times are UTC.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Days from 0001-01-01 (day 1 of the common era) to 1970-01-01.
const UNIX_EPOCH_FROM_CE: i32 = 719_163;
/// How long a day is, in milliseconds.
pub const MS_PER_DAY: i64 = 86_400_000;
/// `0001-01-01T00:00:00Z`, the first time of SQL.
pub const FIRST_MS: i64 = -62_135_596_800_000;
/// `9999-12-31T23:59:59.999Z`, the last time of SQL.
pub const LAST_MS: i64 = 253_402_300_799_999;

/// Parses `yyyy-mm-dd`, exactly, to days since 1970-01-01. The first year is 0001, as in SQL.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().try_fold(0, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + u32::from(byte - b'0'))
        })
    };
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?;
    if year == 0 {
        return None;
    }
    Some(date.num_days_from_ce() - UNIX_EPOCH_FROM_CE)
}

/// Parses an ISO 8601 date and time to milliseconds since 1970-01-01T00:00:00Z; finer digits are cut off.
///
/// `T` or a space separates date and time; without an offset the time is UTC; a date alone is its midnight.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    // The parser below also knows names of time zones, in some builds: they are not part of the format.
    let known = |byte: u8| {
        byte.is_ascii_digit()
            || matches!(
                byte,
                b'-' | b':' | b'.' | b'+' | b'T' | b't' | b'Z' | b'z' | b' '
            )
    };
    if !text.bytes().all(known) {
        return None;
    }
    let time: DateTime<Utc> = arrow_cast::parse::string_to_datetime(&Utc, text).ok()?;
    Some(time.timestamp_millis())
}

/// Appends a date as `yyyy-mm-dd`; false, and nothing written, beyond the calendar (some 260,000 years).
pub fn write_date(days: i32, out: &mut Vec<u8>) -> bool {
    let date = days
        .checked_add(UNIX_EPOCH_FROM_CE)
        .and_then(NaiveDate::from_num_days_from_ce_opt);
    match date {
        Some(date) => {
            push_date(date, out);
            true
        }
        None => false,
    }
}

/// Appends a time as `yyyy-mm-ddThh:mm:ss.mmmZ`; false, and nothing written, beyond the calendar (some 260,000 years).
pub fn write_timestamp(ms: i64, out: &mut Vec<u8>) -> bool {
    let days = i32::try_from(ms.div_euclid(MS_PER_DAY)).ok();
    if !days.is_some_and(|days| write_date(days, out)) {
        return false;
    }
    // A remainder of a day in milliseconds is below 2^27.
    let ms = ms.rem_euclid(MS_PER_DAY) as u32;
    let seconds = ms / 1000;
    out.push(b'T');
    push_two(seconds / 3600, out);
    out.push(b':');
    push_two(seconds / 60 % 60, out);
    out.push(b':');
    push_two(seconds % 60, out);
    out.push(b'.');
    push_digit(ms % 1000 / 100, out);
    push_two(ms % 100, out);
    out.push(b'Z');
    true
}

fn push_date(date: NaiveDate, out: &mut Vec<u8>) {
    match u32::try_from(date.year()) {
        Ok(year) if year <= 9999 => {
            push_two(year / 100, out);
            push_two(year % 100, out);
            out.push(b'-');
            push_two(date.month(), out);
            out.push(b'-');
            push_two(date.day(), out);
        }
        // ISO 8601's expanded years carry a sign: chrono writes `+10000-01-01` and `-0001-01-01`.
        _ => out.extend_from_slice(date.to_string().as_bytes()),
    }
}

#[inline]
fn push_two(number: u32, out: &mut Vec<u8>) {
    push_digit(number / 10, out);
    push_digit(number % 10, out);
}

#[inline]
fn push_digit(digit: u32, out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "a digit")]
    out.push(b'0' + digit as u8);
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::{FIRST_MS, LAST_MS, parse_date, parse_timestamp, write_date, write_timestamp};

    fn timestamp(ms: i64) -> Option<String> {
        let mut out = Vec::new();
        write_timestamp(ms, &mut out).then(|| String::from_utf8(out).expect("ascii"))
    }

    #[test]
    fn dates_are_ten_characters_or_refused() {
        let cases = [
            ("1970-01-01", Some(0)),
            ("2026-01-31", Some(20_484)),
            ("1969-12-31", Some(-1)),
            ("2024-02-29", Some(19_782)),
            ("0001-01-01", Some(-719_162)),
            ("0000-12-31", None),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-1-31", None),
            ("26-01-0031", None),
            ("2026/01/31", None),
            ("2026-01-31T00:00:00Z", None),
            ("२०२६-01-31", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_date(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_utc() {
        let cases = [
            ("2026-01-31T12:00:00.123Z", Some(1_769_860_800_123)),
            ("2026-01-31 12:00:00.123", Some(1_769_860_800_123)),
            ("2026-01-31T13:00:00.123+01:00", Some(1_769_860_800_123)),
            ("2026-01-31T12:00:00.1239999Z", Some(1_769_860_800_123)),
            ("2026-01-31T12:00:00", Some(1_769_860_800_000)),
            ("2026-01-31", Some(1_769_817_600_000)),
            ("1969-12-31T23:59:59.9995Z", Some(-1)),
            ("2026-01-31T25:00:00Z", None),
            ("2026-01-31T12:00:00 America/New_York", None),
            ("2026-01-31T12:00:00é", None),
            ("1767225600123", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn the_range_of_sql_is_what_its_bounds_say() {
        assert_eq!(
            timestamp(FIRST_MS).as_deref(),
            Some("0001-01-01T00:00:00.000Z")
        );
        assert_eq!(
            timestamp(LAST_MS).as_deref(),
            Some("9999-12-31T23:59:59.999Z")
        );
        assert_eq!(
            timestamp(LAST_MS + 1).as_deref(),
            Some("+10000-01-01T00:00:00.000Z")
        );
        assert_eq!(timestamp(i64::MAX), None);
        assert!(!write_date(i32::MAX, &mut Vec::new()));
    }

    proptest! {
        #[test]
        fn parsing_a_written_time_gives_it_back(ms in FIRST_MS..=LAST_MS) {
            let text = timestamp(ms).expect("in the calendar");
            let chrono = DateTime::from_timestamp_millis(ms).expect("in the calendar").format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            prop_assert_eq!(&text, &chrono);
            prop_assert_eq!(parse_timestamp(&text), Some(ms));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "[-0-9T :.+Zzé]{0,40}|\\PC*") {
            let _ = (parse_date(&text), parse_timestamp(&text));
        }
    }
}
