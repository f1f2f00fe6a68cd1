//! Exact money with two fractional digits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// An amount in hundredths. Wide enough for the sum of any number of 18-digit amounts that fit in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(pub i128);

impl Money {
    /// Reads a plain decimal such as `-12.5`: digits with at most one point, at most two fractional digits that are not zero, no exponent.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || (fraction.is_empty() && digits.ends_with('.')) {
            return None;
        }
        let fraction = if fraction.len() > 2 {
            fraction.trim_end_matches('0')
        } else {
            fraction
        };
        if fraction.len() > 2 {
            return None;
        }
        let padding = [b'0'; 2];
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .chain(padding.into_iter().skip(fraction.len()));
        let mut cents = 0_i128;
        for digit in digits {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            cents = cents.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        Some(Self(if negative { -cents } else { cents }))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::ops::Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Money;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("money as a decimal string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Money, E> {
                Money::parse(text).ok_or_else(|| {
                    E::custom(format_args!(
                        "'{text}' is not money with two fractional digits"
                    ))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, cents) in [
            ("0", 0),
            ("0.00", 0),
            ("-0.01", -1),
            ("12.5", 1250),
            ("7.1000", 710),
            ("9999999999999999.99", 999_999_999_999_999_999),
        ] {
            assert_eq!(Money::parse(text), Some(Money(cents)), "{text}");
        }
        for text in [
            "", "-", ".", "1.", ".5", "1.005", "1e3", "+1", " 1", "1,00", "1.2.3",
        ] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn money_is_written_with_two_fractional_digits() {
        assert_eq!(Money(-5).to_string(), "-0.05");
        assert_eq!(Money(123_456).to_string(), "1234.56");
    }
}
