//! Lengths of time: `INTERVAL '5' SECOND` in SQL and `5 s` in options.

const UNITS: [(&[&str], i64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1),
    (&["s", "second", "seconds"], 1_000),
    (&["min", "minute", "minutes"], 60_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 604_800_000),
];

/// What a length of time must look like.
pub const EXPECTED: &str = "a whole number and a unit of millisecond, second, minute, hour, day or week, such as '5 second'";

/// Milliseconds of a number and a unit (`500 ms`, `1 day`), or of a number whose unit stands apart. `None` if it is not such a text,
/// or too long for 64 bits.
pub fn milliseconds(text: &str, unit: Option<&str>) -> Option<i64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let unit = match (rest.trim(), unit) {
        ("", Some(unit)) | (unit, None) => unit.to_lowercase(),
        _ => return None,
    };
    let (_, factor) = UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit.as_str()))?;
    number.parse::<i64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_unit_stands_in_the_text_or_after_it() {
        assert_eq!(milliseconds("500 ms", None), Some(500));
        assert_eq!(milliseconds("5s", None), Some(5_000));
        assert_eq!(milliseconds("1", Some("DAY")), Some(86_400_000));
        assert_eq!(milliseconds("2 weeks", None), Some(1_209_600_000));
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused() {
        for (text, unit) in [
            ("5", None),
            ("", Some("day")),
            ("1 day", Some("day")),
            ("-1", Some("day")),
            ("1.5", Some("day")),
            ("1", Some("month")),
            ("9223372036854775807", Some("day")),
        ] {
            assert_eq!(milliseconds(text, unit), None, "{text:?} {unit:?}");
        }
    }
}
