//! Turns a row back into the state that it was made from.

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::column::Column;
use super::row_error::RowError;
use super::table::Table;
use super::value::Value;

/// The state that a row was made from.
pub(crate) fn from_row<S: DeserializeOwned>(table: &Table, row: &[Value]) -> Result<S, RowError> {
    let read = match row {
        [Value::Json(text)] if table.is_document() => serde_json::from_str(text).map_err(RowError::new),
        _ => S::deserialize(Columns { columns: &table.columns, row, value: None }),
    };
    read.map_err(|error| error.of_table(&table.name))
}

/// Presents a row to serde as a struct with a field for each column.
struct Columns<'de> {
    columns: &'de [Column],
    row: &'de [Value],
    value: Option<(&'de Column, &'de Value)>,
}

impl<'de> Deserializer<'de> for Columns<'de> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_map(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Columns<'de> {
    type Error = RowError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, RowError> {
        let (Some((column, columns)), Some((value, row))) =
            (self.columns.split_first(), self.row.split_first())
        else {
            return Ok(None);
        };
        (self.columns, self.row, self.value) = (columns, row, Some((column, value)));
        seed.deserialize(BorrowedStrDeserializer::new(&column.name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, RowError> {
        let Some((column, value)) = self.value.take() else {
            return Err(RowError::new("serde asked for a value before its name"));
        };
        read(value, seed).map_err(|error| error.in_column(&column.name))
    }
}

fn read<'de, V: DeserializeSeed<'de>>(value: &'de Value, seed: V) -> Result<V::Value, RowError> {
    let Value::Json(text) = value else { return seed.deserialize(Cell(value)) };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = seed.deserialize(&mut json).map_err(RowError::new)?;
    json.end().map_err(RowError::new)?;
    Ok(read)
}

/// Whole numbers from a `Decimal` column, where they are text.
macro_rules! decimals {
    ($($($method:ident)+: $visit:ident;)+) => {
        $($(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
            match self.0 {
                Value::Text(text) => match text.parse() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => visitor.visit_borrowed_str(text),
                },
                _ => self.deserialize_any(visitor),
            }
        })+)+
    };
}

/// Presents a value that is not JSON to serde.
struct Cell<'de>(&'de Value);

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) | Value::Json(text) => visitor.visit_borrowed_str(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        match self.0 {
            Value::Text(name) => visitor.visit_enum(Variant(name)),
            _ => self.deserialize_any(visitor),
        }
    }

    decimals! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64: visit_i64;
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64: visit_u64;
        deserialize_i128: visit_i128;
        deserialize_u128: visit_u128;
    }

    forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// Presents a unit variant to serde, by its name.
struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = RowError;
    type Variant = <StrDeserializer<'de, RowError> as EnumAccess<'de>>::Variant;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), RowError> {
        self.0.into_deserializer().variant_seed(seed)
    }
}
