//! Exact decimals as text: `-12.50`, `1e3`, into and out of an unscaled `i128`. Never through floating point.

/// Why a text is not a decimal of the wanted precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// It is not a decimal number.
    Malformed,
    /// It has non-zero digits beyond the scale; nothing is rounded.
    Inexact,
    /// It has more digits than the precision.
    Overflow,
}

/// The significant digits of a decimal: its value is `mantissa * 10^exponent`, and the mantissa has no trailing zero.
#[derive(Default)]
struct Digits {
    mantissa: u128,
    exponent: i64,
    /// Zeros seen since the last other digit; they become part of the mantissa only if another digit follows.
    zeros: u32,
    /// More significant digits than any decimal has.
    overflow: bool,
}

impl Digits {
    #[inline]
    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros += u32::from(self.mantissa != 0);
            return;
        }
        let shifted = 10_u128
            .checked_pow(self.zeros + 1)
            .and_then(|power| self.mantissa.checked_mul(power));
        match shifted.and_then(|shifted| shifted.checked_add(u128::from(digit))) {
            Some(mantissa) => self.mantissa = mantissa,
            None => self.overflow = true,
        }
        self.zeros = 0;
    }
}

/// Parses a decimal number exactly, as the unscaled value at `scale`.
///
/// Accepts an optional sign, digits, an optional fraction and an optional exponent: every JSON number, and also leading zeros and `+`.
///
/// # Errors
/// See [`ParseError`]. Digits beyond the scale are fine if they are zeros.
pub fn parse(text: &str, precision: u8, scale: i8) -> Result<i128, ParseError> {
    let bytes = text.as_bytes();
    let (negative, unsigned) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let magnitude = match plain(unsigned, scale) {
        Some(magnitude) => magnitude,
        None => at_scale(&digits(unsigned)?, scale)?,
    };
    if magnitude >= 10_u128.pow(u32::from(precision.min(38))) {
        return Err(ParseError::Overflow);
    }
    let magnitude = i128::try_from(magnitude).map_err(|_| ParseError::Overflow)?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// A decimal from the bytes of its unscaled value, big-endian in two's complement, of which `digits` are behind the point.
///
/// # Errors
/// As [`parse`].
pub fn from_bytes(bytes: &[u8], digits: i8, precision: u8, scale: i8) -> Result<i128, ParseError> {
    let (&first, _) = bytes.split_first().ok_or(ParseError::Malformed)?;
    let sign = if first & 0x80 == 0 { 0 } else { 0xff };
    let leading = bytes.len().saturating_sub(16);
    let (extension, bytes) = bytes.split_at(leading);
    let mut unscaled = [sign; 16];
    unscaled[16 - bytes.len()..].copy_from_slice(bytes);
    let unscaled = i128::from_be_bytes(unscaled);
    if extension.iter().any(|&byte| byte != sign) || (unscaled < 0) != (sign != 0) {
        return Err(ParseError::Overflow);
    }
    rescale(unscaled, digits, precision, scale)
}

/// A decimal with `digits` behind the point as one with `scale` of them.
///
/// # Errors
/// As [`parse`].
pub fn rescale(unscaled: i128, digits: i8, precision: u8, scale: i8) -> Result<i128, ParseError> {
    let shift = i32::from(scale) - i32::from(digits);
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    let rescaled = match power {
        _ if unscaled == 0 => 0,
        Some(power) if shift >= 0 => unscaled.checked_mul(power).ok_or(ParseError::Overflow)?,
        Some(power) if unscaled % power == 0 => unscaled / power,
        None if shift >= 0 => return Err(ParseError::Overflow),
        _ => return Err(ParseError::Inexact),
    };
    if rescaled.unsigned_abs() >= 10_u128.pow(u32::from(precision.min(38))) {
        return Err(ParseError::Overflow);
    }
    Ok(rescaled)
}

/// The common case, in 64 bits: up to 18 digits, at most `scale` of them after the point, no exponent.
#[inline]
fn plain(unsigned: &[u8], scale: i8) -> Option<u128> {
    const POWERS: [u64; 19] = {
        let mut powers = [1; 19];
        let mut i = 1;
        while i < powers.len() {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    let scale = usize::try_from(scale).ok()?;
    if unsigned.len() > 19
        || !unsigned.first()?.is_ascii_digit()
        || !unsigned.last()?.is_ascii_digit()
    {
        return None;
    }
    let (mut value, mut point) = (0_u64, None);
    for (i, &byte) in unsigned.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b'.' if point.is_none() => point = Some(i),
            _ => return None,
        }
    }
    let fraction = point.map_or(0, |point| unsigned.len() - point - 1);
    let missing = scale.checked_sub(fraction)?;
    Some(u128::from(value) * u128::from(*POWERS.get(missing)?))
}

/// Any decimal number.
fn digits(unsigned: &[u8]) -> Result<Digits, ParseError> {
    let mut digits = Digits::default();
    let (mut fraction, mut any, mut rest) = (None, false, unsigned);
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                any = true;
                if let Some(fraction) = &mut fraction {
                    *fraction += 1_i64;
                }
            }
            b'.' if any && fraction.is_none() => fraction = Some(0),
            b'e' | b'E' => break,
            _ => return Err(ParseError::Malformed),
        }
        rest = after;
    }
    if !any || fraction == Some(0) {
        return Err(ParseError::Malformed);
    }
    digits.exponent = exponent(rest)?
        .saturating_sub(fraction.unwrap_or(0))
        .saturating_add(i64::from(digits.zeros));
    Ok(digits)
}

/// The exponent at the end of a number: nothing, or `e`, a sign, digits. Saturates.
fn exponent(text: &[u8]) -> Result<i64, ParseError> {
    let Some((_, text)) = text.split_first() else {
        return Ok(0);
    };
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseError::Malformed);
    }
    let magnitude = digits.iter().fold(0_i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Ok(if negative { -magnitude } else { magnitude })
}

/// The unscaled magnitude at `scale`.
fn at_scale(digits: &Digits, scale: i8) -> Result<u128, ParseError> {
    if digits.mantissa == 0 {
        return Ok(0);
    }
    let shift = digits.exponent.saturating_add(i64::from(scale));
    if shift < 0 {
        // The mantissa ends in another digit than zero, and that digit lies beyond the scale.
        return Err(ParseError::Inexact);
    }
    if digits.overflow {
        return Err(ParseError::Overflow);
    }
    u32::try_from(shift)
        .ok()
        .and_then(|shift| 10_u128.checked_pow(shift))
        .and_then(|power| digits.mantissa.checked_mul(power))
        .ok_or(ParseError::Overflow)
}

/// Appends an unscaled value with exactly `scale` fractional digits, such as `-0.05`.
pub fn write(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let magnitude = unscaled.unsigned_abs();
    // Formatting 64 bits is much faster than 128, and nearly all amounts fit.
    let digits = match u64::try_from(magnitude) {
        Ok(magnitude) => buffer.format(magnitude),
        Err(_) => buffer.format(magnitude),
    }
    .as_bytes();
    if unscaled < 0 {
        out.push(b'-');
    }
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if magnitude != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if let Some(whole) = digits.len().checked_sub(scale).filter(|&whole| whole > 0) {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ParseError, at_scale, digits, parse, plain, write};

    fn written(unscaled: i128, scale: i8) -> String {
        let mut out = Vec::new();
        write(unscaled, scale, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn numbers_are_parsed_exactly_or_refused() {
        use ParseError::{Inexact, Malformed, Overflow};
        let nines = "9".repeat(38);
        let zeros = format!("1{}e-50", "0".repeat(50));
        let long = format!("0.{}1", "0".repeat(50));
        let cases: &[(&str, u8, i8, Result<i128, ParseError>)] = &[
            ("0", 18, 2, Ok(0)),
            ("-0.00", 18, 2, Ok(0)),
            ("123.45", 18, 2, Ok(12_345)),
            ("-123.4", 18, 2, Ok(-12_340)),
            ("+7", 18, 2, Ok(700)),
            ("007.50", 18, 2, Ok(750)),
            ("1e3", 18, 2, Ok(100_000)),
            ("1E+3", 18, 2, Ok(100_000)),
            ("12345e-2", 18, 2, Ok(12_345)),
            ("1234500e-4", 18, 2, Ok(12_345)),
            ("123.4500000", 18, 2, Ok(12_345)),
            ("0.1", 18, 2, Ok(10)),
            ("0e999999999999999999999", 18, 2, Ok(0)),
            (&zeros, 18, 2, Ok(100)),
            (&nines, 38, 0, Ok(10_i128.pow(38) - 1)),
            ("9999999999999999.99", 18, 2, Ok(999_999_999_999_999_999)),
            ("10000000000000000", 18, 2, Err(Overflow)),
            ("1e16", 18, 2, Err(Overflow)),
            ("1e999999999999999999999", 18, 2, Err(Overflow)),
            (&format!("{nines}0"), 38, 0, Err(Overflow)),
            (&format!("{nines}{nines}"), 38, 0, Err(Overflow)),
            ("123.456", 18, 2, Err(Inexact)),
            ("0.001", 18, 2, Err(Inexact)),
            ("1e-3", 18, 2, Err(Inexact)),
            ("1e-99999999999999999999", 18, 2, Err(Inexact)),
            (&long, 18, 2, Err(Inexact)),
            ("1200", 5, -2, Ok(12)),
            ("1250", 5, -2, Err(Inexact)),
            ("", 18, 2, Err(Malformed)),
            ("-", 18, 2, Err(Malformed)),
            (".5", 18, 2, Err(Malformed)),
            ("5.", 18, 2, Err(Malformed)),
            ("5.e1", 18, 2, Err(Malformed)),
            ("1e", 18, 2, Err(Malformed)),
            ("1e+", 18, 2, Err(Malformed)),
            ("1.2.3", 18, 2, Err(Malformed)),
            ("1,200", 18, 2, Err(Malformed)),
            (" 1", 18, 2, Err(Malformed)),
            ("--1", 18, 2, Err(Malformed)),
            ("NaN", 18, 2, Err(Malformed)),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(
                parse(text, *precision, *scale),
                *expected,
                "{text} as DECIMAL({precision}, {scale})"
            );
        }
    }

    #[test]
    fn values_are_written_with_all_digits_of_the_scale() {
        let cases = [
            (12_345, 2, "123.45"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (100, 2, "1.00"),
            (12, -2, "1200"),
            (0, -2, "0"),
        ];
        for (unscaled, scale, expected) in cases {
            assert_eq!(written(unscaled, scale), expected);
        }
        assert_eq!(
            written(-(10_i128.pow(38) - 1), 38),
            format!("-0.{}", "9".repeat(38))
        );
    }

    proptest! {
        #[test]
        fn parsing_gives_back_what_was_written(unscaled in -(10_i128.pow(38) - 1)..10_i128.pow(38), drop in 0_u32..38, scale in -5_i8..=38) {
            let unscaled = unscaled / 10_i128.pow(drop);
            prop_assert_eq!(parse(&written(unscaled, scale), 38, scale), Ok(unscaled));
        }

        #[test]
        fn the_64_bit_path_agrees_with_the_general_one(whole in 0_u64..=u64::MAX, fraction in "[0-9]{0,4}", scale in 0_i8..=20) {
            let text = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
            if let Some(magnitude) = plain(text.as_bytes(), scale) {
                let general = digits(text.as_bytes()).and_then(|digits| at_scale(&digits, scale));
                prop_assert_eq!(general, Ok(magnitude));
            }
        }
    }
}
