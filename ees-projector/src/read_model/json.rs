//! JSON text of a state or a field. What JSON would change is refused: NaN and the infinities, which would be
//! `null`, and `Some` of a value that is `null` itself, which would come back as `None`.

use std::fmt::Display;
use std::io::{self, Write};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::row_error::RowError;

/// The JSON text of a value.
pub(super) fn text<T: ?Sized + Serialize>(value: &T) -> Result<String, RowError> {
    let text = serde_json::to_string(value).map_err(RowError::new)?;
    comes_back(value, &text)?;
    Ok(text)
}

/// The JSON text of a value for `jsonb`, which reads numbers as decimal numbers: it has no NUL, one zero, and no
/// exponents.
pub(super) fn text_for_jsonb<T: ?Sized + Serialize>(value: &T) -> Result<String, RowError> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Jsonb);
    value.serialize(&mut serializer).map_err(RowError::new)?;
    let text = String::from_utf8(bytes).map_err(RowError::new)?;
    comes_back(value, &text)?;
    Ok(text)
}

fn comes_back<T: ?Sized + Serialize>(value: &T, text: &str) -> Result<(), RowError> {
    // Only `null` may stand for something else.
    if text.contains("null") { value.serialize(Probe).map(drop) } else { Ok(()) }
}

struct Jsonb;

impl Jsonb {
    fn write_float<W: ?Sized + Write>(writer: &mut W, number: &str, is_zero: bool) -> io::Result<()> {
        // A point keeps it apart from whole numbers.
        let point = if number.contains('.') { "" } else { ".0" };
        let number = if is_zero { "0" } else { number };
        writer.write_all(number.as_bytes())?;
        writer.write_all(point.as_bytes())
    }
}

impl Formatter for Jsonb {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        Self::write_float(writer, &number.to_string(), number == 0.0)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, number: f32) -> io::Result<()> {
        Self::write_float(writer, &number.to_string(), number == 0.0)
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        if matches!(escape, CharEscape::AsciiControl(0)) {
            return Err(io::Error::other("it has the character NUL, which a Jsonb column can't hold"));
        }
        CompactFormatter.write_char_escape(writer, escape)
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(io::Error::other("it has raw JSON text, which a Jsonb column would change: use a Json column"))
    }
}

/// What a part of a value looks like in JSON.
#[derive(PartialEq)]
enum Seen {
    Null,
    Other,
}

/// Looks through a value for what JSON would change.
struct Probe;

fn finite(number: impl Display, is_finite: bool) -> Result<Seen, RowError> {
    match is_finite {
        true => Ok(Seen::Other),
        false => Err(RowError::new(format_args!("{number} is no number that JSON has"))),
    }
}

/// Values in which nothing is lost.
macro_rules! kept {
    ($($method:ident($value:ty);)+) => {
        $(fn $method(self, _: $value) -> Result<Seen, RowError> {
            Ok(Seen::Other)
        })+
    };
}

impl Serializer for Probe {
    type Ok = Seen;
    type Error = RowError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    kept! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
    }

    fn serialize_f32(self, number: f32) -> Result<Seen, RowError> {
        finite(number, number.is_finite())
    }
    fn serialize_f64(self, number: f64) -> Result<Seen, RowError> {
        finite(number, number.is_finite())
    }
    fn collect_str<T: ?Sized + Display>(self, _: &T) -> Result<Seen, RowError> {
        Ok(Seen::Other)
    }
    fn serialize_none(self) -> Result<Seen, RowError> {
        Ok(Seen::Null)
    }
    fn serialize_some<T: ?Sized + Serialize>(self, inner: &T) -> Result<Seen, RowError> {
        match inner.serialize(self)? {
            Seen::Null => Err(RowError::some_of_nothing()),
            Seen::Other => Ok(Seen::Other),
        }
    }
    fn serialize_unit(self) -> Result<Seen, RowError> {
        Ok(Seen::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Seen, RowError> {
        Ok(Seen::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Seen, RowError> {
        Ok(Seen::Other)
    }
    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        inner: &T,
    ) -> Result<Seen, RowError> {
        inner.serialize(self)
    }
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        inner: &T,
    ) -> Result<Seen, RowError> {
        inner.serialize(self).map(|_| Seen::Other)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, RowError> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, RowError> {
        Ok(self)
    }
}

macro_rules! elements {
    ($($of:ident::$method:ident;)+) => {
        $(impl $of for Probe {
            type Ok = Seen;
            type Error = RowError;
            fn $method<T: ?Sized + Serialize>(&mut self, element: &T) -> Result<(), RowError> {
                element.serialize(Probe).map(drop)
            }
            fn end(self) -> Result<Seen, RowError> {
                Ok(Seen::Other)
            }
        })+
    };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($of:ident),+) => {
        $(impl $of for Probe {
            type Ok = Seen;
            type Error = RowError;
            fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, field: &T) -> Result<(), RowError> {
                field.serialize(Probe).map(drop).map_err(|error| error.in_field(name))
            }
            fn end(self) -> Result<Seen, RowError> {
                Ok(Seen::Other)
            }
        })+
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Probe {
    type Ok = Seen;
    type Error = RowError;
    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), RowError> {
        Ok(())
    }
    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), RowError> {
        value.serialize(Probe).map(drop)
    }
    fn end(self) -> Result<Seen, RowError> {
        Ok(Seen::Other)
    }
}
