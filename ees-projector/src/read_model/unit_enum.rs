//! Finds out from serde whether a type is an enum without data.

use std::fmt::{self, Display};

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The names of the variants, if serde reads the type as an enum all of whose variants are unit variants.
pub(super) fn variants<T: Deserialize<'static>>() -> Option<&'static [&'static str]> {
    let is_unit = |variant: &&'static str| T::deserialize(Probe { variant: Some(variant) }).is_ok();
    match T::deserialize(Probe { variant: None }) {
        Err(Finding::Enum(variants)) if !variants.is_empty() && variants.iter().all(is_unit) => {
            Some(variants)
        }
        _ => None,
    }
}

/// What a type asks of serde.
#[derive(Debug)]
enum Finding {
    /// An enum of these variants.
    Enum(&'static [&'static str]),
    /// Anything else.
    Other,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Finding {}

impl de::Error for Finding {
    fn custom<T: Display>(_: T) -> Self {
        Self::Other
    }
}

/// Answers with what was asked. Or offers a variant without data, which only a unit variant takes.
struct Probe {
    variant: Option<&'static str>,
}

impl Deserializer<'static> for Probe {
    type Error = Finding;

    fn deserialize_any<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Finding> {
        Err(Finding::Other)
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Finding> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'static>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Finding> {
        match self.variant {
            Some(variant) => visitor.visit_enum(Offer(variant)),
            None => Err(Finding::Enum(variants)),
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'static>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

struct Offer(&'static str);

impl EnumAccess<'static> for Offer {
    type Error = Finding;
    type Variant = NoData;

    fn variant_seed<V: DeserializeSeed<'static>>(self, seed: V) -> Result<(V::Value, NoData), Finding> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.0))?, NoData))
    }
}

struct NoData;

impl VariantAccess<'static> for NoData {
    type Error = Finding;

    fn unit_variant(self) -> Result<(), Finding> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'static>>(self, _: T) -> Result<T::Value, Finding> {
        Err(Finding::Other)
    }

    fn tuple_variant<V: Visitor<'static>>(self, _: usize, _: V) -> Result<V::Value, Finding> {
        Err(Finding::Other)
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Finding> {
        Err(Finding::Other)
    }
}
