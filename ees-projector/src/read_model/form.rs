//! The one form in which a column holds a time, a UUID or a decimal number. Texts that a database would read in
//! another way are refused; where two texts mean the same, one of them is written.

use std::borrow::Cow;

use ees_store::Timestamp;
use uuid::Uuid;

use super::row_error::RowError;

/// The digits that `numeric` of PostgreSQL takes before and after the point.
const WHOLE_DIGITS_MAX: usize = 131_072;
const FRACTION_DIGITS_MAX: usize = 16_383;

/// A time as [`Timestamp`] writes it.
pub(super) fn time(text: &str) -> Result<String, RowError> {
    let time: Timestamp = text.parse().map_err(RowError::new)?;
    let refuse = |why: &str| {
        Err(RowError::new(format_args!(
            "{text:?} {why}, which a Timestamp column can't hold: round it, or keep it as text \
             (#[read_model(column = \"text\")])"
        )))
    };
    let is_utc = ["Z", "z", "+00:00", "-00:00"].into_iter().find_map(|utc| text.strip_suffix(utc));
    let Some(local) = is_utc else { return refuse("is not in UTC, and has a zone or an offset") };
    let fraction = local.split_once(['.', ',']).map_or("", |(_, fraction)| fraction);
    if fraction.len() > 6 && fraction[6..].bytes().any(|digit| digit != b'0') {
        return refuse("has parts of a microsecond");
    }
    // The 60th second, which `Timestamp` reads as the 59th.
    if local.get(17..19) == Some("60") {
        return refuse("is a leap second");
    }
    Ok(time.to_string())
}

/// A UUID in lower case, with hyphens.
pub(super) fn uuid(text: &str) -> Result<&str, RowError> {
    match text.parse::<Uuid>() {
        Ok(id) if id.to_string() == text => Ok(text),
        Ok(id) => Err(RowError::new(format_args!(
            "{text:?} is not the form of a UUID that a Uuid column holds, {id}: keep it as text \
             (#[read_model(column = \"text\")])"
        ))),
        Err(error) => Err(RowError::new(format_args!("{text:?} is no UUID: {error}"))),
    }
}

/// A decimal number without an exponent or superfluous zeros before its digits.
pub(super) fn decimal(text: &str) -> Result<Cow<'_, str>, RowError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_number =
        |part: &str, max| (1..=max).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit());
    let is_fraction = fraction.is_none_or(|fraction| is_number(fraction, FRACTION_DIGITS_MAX));
    if !is_number(whole, WHOLE_DIGITS_MAX) || !is_fraction || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(RowError::new(format_args!(
            "{text:?} is not the form of a number that a Decimal column holds, such as -1.50"
        )));
    }
    let is_zero = digits.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    Ok(if is_zero { digits.into() } else { text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_form_and_loses_nothing() {
        for (text, written) in [
            ("2026-11-21T09:30:00Z", "2026-11-21T09:30:00.000000Z"),
            ("2026-11-21T09:30:00.5+00:00", "2026-11-21T09:30:00.500000Z"),
            ("2026-11-21T09:30:00.123456000Z", "2026-11-21T09:30:00.123456Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(time(text).unwrap(), written);
        }
        for text in [
            "2026-11-21T09:30:00.1234567Z",
            "2026-11-21T09:30:00+02:00",
            "2026-11-21T09:30:00",
            "2026-11-21T09:30:00+00:00[Europe/London]",
            "2016-12-31T23:59:60Z",
            "10000-01-01T00:00:00Z",
            "infinity",
            "",
        ] {
            assert!(time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_decimal_has_one_form_and_keeps_its_zeros() {
        for text in
            ["0", "1.50", "-1.50", "0.00", "79228162514264337593543950335", "-0.0000000000000000000000000001"]
        {
            assert_eq!(decimal(text).unwrap(), text);
        }
        assert_eq!(decimal("-0.00").unwrap(), "0.00");
        for text in ["", "-", ".5", "5.", "07", "+7", "1e5", "NaN", "1,5", " 1", "1.2.3", "٣"] {
            assert!(decimal(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_uuid_has_one_form() {
        assert!(uuid("00000000-0000-0000-0000-00000000000a").is_ok());
        for text in ["00000000-0000-0000-0000-00000000000A", "0000000000000000000000000000000a", "a", ""] {
            assert!(uuid(text).is_err(), "{text:?}");
        }
    }
}
