//! Values in requests that check themselves, so that what is described is what is accepted.

use std::borrow::Cow;
use std::fmt;

use ees_store::Checkpoint;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::projection::NAME_MAX;
use crate::read_model_id::Slot;

/// Characters of a reason at most.
const REASON_MAX: usize = 1_024;
/// At least one character that is no white space, as `str::trim` sees it.
const NOT_BLANK: &str =
    r"[^\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]";

/// The name of a projection, as operators write it: the one of its standby has a suffix.
pub(super) struct ProjectionName;

impl PartialSchema for ProjectionName {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z][a-z0-9_]*$"));
        let name = name.min_length(Some(1)).max_length(Some(NAME_MAX + Slot::Standby.suffix().len()));
        RefOr::T(Schema::Object(name.description(Some("The name of a projection or a reactor.")).build()))
    }
}

impl ToSchema for ProjectionName {}

/// The reason of an operation, for the audit. (utoipa writes the default that it has where it is left out.)
#[derive(Default, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(super) struct Reason(String);

impl Reason {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            length if length > REASON_MAX => {
                Err(format!("`reason` has {length} characters; the limit is {REASON_MAX}"))
            }
            _ => Ok(Self(text)),
        }
    }
}

fn reason() -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(REASON_MAX));
    text.description(Some("The reason, up to 1,024 characters. Recorded in the audit."))
}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(reason().build()))
    }
}

impl ToSchema for Reason {}

/// A reason that is mandatory.
#[derive(Deserialize)]
#[serde(try_from = "Reason")]
pub(super) struct GivenReason(String);

impl GivenReason {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Reason> for GivenReason {
    type Error = &'static str;
    fn try_from(Reason(text): Reason) -> Result<Self, &'static str> {
        match text.trim() {
            "" => Err("`reason` is empty. It is recorded in the audit"),
            reason => Ok(Self(reason.to_owned())),
        }
    }
}

impl PartialSchema for GivenReason {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(reason().min_length(Some(1)).pattern(Some(NOT_BLANK)).build()))
    }
}

impl ToSchema for GivenReason {}

/// A whole number within bounds. By default: as large as numbers of changesets and places in the order can be.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Number<const MIN: u64 = 0, const MAX: u64 = { Checkpoint::MAX.get() }>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    pub(super) fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Whole::<MIN, MAX>).map(Self)
    }
}

/// Reads a whole number, also one that is written as `7.0`: to JSON it is the same.
struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        match number {
            number if (MIN..=MAX).contains(&number) => Ok(number),
            number => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        // Beyond this, a float is not one number.
        const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
        if number.trunc() == number && (0.0..=EXACT_MAX).contains(&number) {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

impl<const MIN: u64, const MAX: u64> PartialSchema for Number<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let number = number.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        RefOr::T(Schema::Object(number.minimum(Some(bound(MIN))).maximum(Some(bound(MAX))).build()))
    }
}

impl ToSchema for Number {
    fn name() -> Cow<'static, str> {
        "WholeNumber".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_within_its_bounds_however_it_is_written() {
        let read = |text| serde_json::from_str::<Number<1, 256>>(text).map(Number::get).ok();
        assert_eq!(["1", "256", "7.0", "2e1"].map(read), [Some(1), Some(256), Some(7), Some(20)]);
        assert_eq!(["0", "257", "7.5", "-1", "-1.0", "\"7\"", "null", "1e300"].map(read), [None; 8]);
        let largest = Checkpoint::MAX.get();
        let read = |text: String| serde_json::from_str::<Number>(&text).map(Number::get).ok();
        assert_eq!(read(largest.to_string()), Some(largest));
        assert_eq!(read((largest + 1).to_string()), None);
    }

    #[test]
    fn a_reason_is_counted_in_characters_and_one_that_is_given_is_not_blank() {
        let read = |text: &str| serde_json::from_value::<Reason>(text.into()).is_ok();
        assert!(read("") && read(&"ä".repeat(REASON_MAX)) && !read(&"ä".repeat(REASON_MAX + 1)));
        let read = |text: &str| serde_json::from_value::<GivenReason>(text.into()).map(|it| it.0).ok();
        assert_eq!(read(" why\n").as_deref(), Some("why"));
        assert_eq!([read(""), read(" \u{3000}\n"), read(&"x".repeat(REASON_MAX + 1))], [None, None, None]);
    }
}
