//! JSON numbers as exact decimals: whole ones (`5e3` is 5000, `1e400` is more than 64 bits hold), and amounts of money without
//! a float.

/// The value of a JSON number that is whole and not negative, however it is written; `u64::MAX` where it is larger than that.
/// `None` for any other JSON value.
///
/// ```
/// use json_extract::decimal::whole;
///
/// assert_eq!(whole("5e3"), Some(5000));
/// assert_eq!(whole("4000.5"), None);
/// assert_eq!(whole("-0"), Some(0));
/// ```
#[must_use]
pub fn whole(value: &str) -> Option<u64> {
    // as nearly all are written; so many digits fit
    if (1..20).contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(value.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
    }
    match value.as_bytes().first() {
        Some(b'0'..=b'9') => unsigned(value),
        // no negative number is whole here, but `-0` is 0
        Some(b'-') => unsigned(&value[1..]).filter(|value| *value == 0),
        _ => None,
    }
}

/// The value of a JSON number without sign; `None` if it has a fraction.
fn unsigned(number: &str) -> Option<u64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || integer.bytes().chain(fraction.bytes());
    if digits().all(|digit| digit == b'0') {
        return Some(0);
    }
    // the number is `digits` without its zeros at the end, times ten to the power of `scale`
    let zeros = digits().rev().take_while(|digit| *digit == b'0').count();
    let significant = integer.len() + fraction.len() - zeros;
    let scale = length(zeros).saturating_sub(length(fraction.len())).saturating_add(power(exponent));
    let scale = u64::try_from(scale).ok()?;
    let value = digits()
        .take(significant)
        .fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    // twenty digits overflow a `u64`, so more powers of ten change nothing
    Some((0..scale.min(20)).fold(value, |value, _| value.saturating_mul(10)))
}

/// A JSON number without sign, times ten to the power of `digits`, rounded to a whole number; as many as there can be where it is
/// more.
#[must_use]
pub fn scaled(number: &str, digits: i64) -> Option<u64> {
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // so many of the digits stand before the point
    let whole = length(integer.len()).saturating_add(digits).saturating_add(power(exponent));
    let mut value = 0_u64;
    let mut at = 0;
    for digit in integer.bytes().chain(fraction.bytes()) {
        let digit = u64::from(digit - b'0');
        if at == whole {
            return Some(value.saturating_add(u64::from(digit >= 5)));
        }
        if at > whole {
            return Some(0);
        }
        value = value.saturating_mul(10).saturating_add(digit);
        at += 1;
    }
    // twenty digits overflow a `u64`, so more powers of ten change nothing
    Some((0..whole.saturating_sub(at).clamp(0, 20)).fold(value, |value, _| value.saturating_mul(10)))
}

fn length(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// An exponent; beyond 64 bits it is as good as infinite.
fn power(exponent: &str) -> i64 {
    exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_count_however_they_are_written() {
        for (text, tokens) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e9", 0),
            ("0e99999999999999999999", 0),
            ("4000", 4000),
            ("4000.0", 4000),
            ("5e3", 5000),
            ("5E+3", 5000),
            ("0.5e4", 5000),
            ("50000e-1", 5000),
            ("0.00000000000000000000000000005e32", 5000),
            ("5000.000000000000000000000000000000e0", 5000),
            ("9999999999999999999", 9_999_999_999_999_999_999),
            ("10000000000000000000", 10_000_000_000_000_000_000),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", u64::MAX),
            ("1e19", 10_000_000_000_000_000_000),
            ("1e20", u64::MAX),
            ("1e400", u64::MAX),
            ("1.5e400", u64::MAX),
            ("1e99999999999999999999", u64::MAX),
        ] {
            assert_eq!(whole(text), Some(tokens), "{text}");
        }
        assert_eq!(whole(&format!("{}e-99999", "1".to_owned() + &"0".repeat(100_000))), Some(10));
    }

    #[test]
    fn money_is_scaled_without_a_float() {
        for (text, digits, scaled_to) in [
            ("0.0123", 12, Some(12_300_000_000)),
            ("0", 12, Some(0)),
            ("0.95", 12, Some(950_000_000_000)),
            ("1.4e-4", 12, Some(140_000_000)),
            ("2E-13", 12, Some(0)),
            ("5e-13", 12, Some(1)),
            ("0.0000000000015", 12, Some(2)),
            ("1e-99999999999999999999", 12, Some(0)),
            ("19", 12, Some(19_000_000_000_000)),
            ("232856000", 2, Some(23_285_600_000)),
            ("1e400", 12, Some(u64::MAX)),
            ("-1", 12, None),
            ("\"1\"", 12, None),
            ("{}", 12, None),
            ("null", 12, None),
        ] {
            assert_eq!(scaled(text, digits), scaled_to, "{text}");
        }
    }

    #[test]
    fn no_other_value_is_a_whole_number() {
        for text in [
            "-1",
            "-1e-400",
            "0.5",
            "4000.5",
            "4000.00000000000000000000000001",
            "5e-1",
            "1e-400",
            "1e-99999999999999999999",
            "\"4000\"",
            "null",
            "true",
            "false",
            "[4000]",
            "{}",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
