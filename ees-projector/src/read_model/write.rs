//! Turns a state into its row.

use std::fmt::Display;

use serde::ser::{Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeTuple, Serializer};

use super::column::{Column, ColumnType, Element};
use super::row_error::RowError;
use super::table::Table;
use super::value::{Row, Value};
use super::{form, json};

/// The row of a state.
pub(crate) fn to_row<S: Serialize>(table: &Table, state: &S) -> Result<Row, RowError> {
    let row = if table.is_document() {
        json::text(state).map(|text| vec![Value::Json(text)]).map_err(|error| error.in_column("state"))
    } else {
        state.serialize(Columns(&table.columns))
    };
    row.map_err(|error| error.of_table(&table.name))
}

/// Refuses the types that a serializer can't take. The error names the type.
macro_rules! refused {
    ($($what:literal: $method:ident $(<$t:ident>)? ($($argument:ty),*) -> $ok:ty;)+) => {
        $(fn $method $(<$t: ?Sized + Serialize>)? (self, $(_: $argument),*) -> Result<$ok, RowError> {
            Err(self.refuse($what))
        })+
    };
}

/// Writes a struct as a row: a column for each field.
struct Columns<'a>(&'a [Column]);

impl Columns<'_> {
    fn refuse(&self, what: &str) -> RowError {
        RowError::new(format_args!(
            "the state is {what}, and only a struct has columns: keep the state as a document (`Table::document`)"
        ))
    }
}

impl<'a> Serializer for Columns<'a> {
    type Ok = Row;
    type Error = RowError;
    type SerializeSeq = Impossible<Row, RowError>;
    type SerializeTuple = Impossible<Row, RowError>;
    type SerializeTupleStruct = Impossible<Row, RowError>;
    type SerializeTupleVariant = Impossible<Row, RowError>;
    type SerializeMap = Impossible<Row, RowError>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<Row, RowError>;

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, RowError> {
        Ok(Fields { columns: self.0, next: 0, row: vec![Value::Null; self.0.len()] })
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        inner: &T,
    ) -> Result<Row, RowError> {
        inner.serialize(self)
    }

    refused! {
        "a bool": serialize_bool(bool) -> Row;
        "a number": serialize_i8(i8) -> Row;
        "a number": serialize_i16(i16) -> Row;
        "a number": serialize_i32(i32) -> Row;
        "a number": serialize_i64(i64) -> Row;
        "a number": serialize_u8(u8) -> Row;
        "a number": serialize_u16(u16) -> Row;
        "a number": serialize_u32(u32) -> Row;
        "a number": serialize_u64(u64) -> Row;
        "a number": serialize_f32(f32) -> Row;
        "a number": serialize_f64(f64) -> Row;
        "a text": serialize_char(char) -> Row;
        "a text": serialize_str(&str) -> Row;
        "bytes": serialize_bytes(&[u8]) -> Row;
        "none": serialize_none() -> Row;
        "an option": serialize_some<T>(&T) -> Row;
        "a unit": serialize_unit() -> Row;
        "a unit": serialize_unit_struct(&'static str) -> Row;
        "an enum": serialize_unit_variant(&'static str, u32, &'static str) -> Row;
        "an enum": serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Row;
        "a sequence": serialize_seq(Option<usize>) -> Self::SerializeSeq;
        "a tuple": serialize_tuple(usize) -> Self::SerializeTuple;
        "a tuple": serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        "an enum": serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        "a map": serialize_map(Option<usize>) -> Self::SerializeMap;
        "an enum": serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

struct Fields<'a> {
    columns: &'a [Column],
    /// The index of the next column, if the columns are in the order of the fields. Derived tables are.
    next: usize,
    row: Row,
}

impl SerializeStruct for Fields<'_> {
    type Ok = Row;
    type Error = RowError;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        field: &T,
    ) -> Result<(), RowError> {
        let in_order = self.columns.get(self.next).filter(|column| column.name == name);
        let place = match in_order {
            Some(_) => Some(self.next),
            None => self.columns.iter().position(|column| column.name == name),
        };
        let found = place.and_then(|place| Some((place, self.columns.get(place)?, self.row.get_mut(place)?)));
        let Some((place, column, value)) = found else {
            return Err(RowError::new(format_args!("there is no column for the field {name}")));
        };
        *value = write(column, field).map_err(|error| error.in_column(&column.name))?;
        self.next = place + 1;
        Ok(())
    }

    fn end(self) -> Result<Row, RowError> {
        let missing = |(column, value): &(&Column, &Value)| !column.nullable && **value == Value::Null;
        match self.columns.iter().zip(&self.row).find(missing) {
            Some((column, _)) => {
                Err(RowError::new("the column is not nullable, but the state has no value for it")
                    .in_column(&column.name))
            }
            None => Ok(self.row),
        }
    }
}

fn write<T: ?Sized + Serialize>(column: &Column, field: &T) -> Result<Value, RowError> {
    let value = match column.ty {
        // NULL and a JSON `null` are the same here.
        ColumnType::Json => json_or_null(column, json::text(field)?),
        ColumnType::Jsonb => json_or_null(column, json::text_for_jsonb(field)?),
        ColumnType::Array(element) => field.serialize(List(element))?,
        ty => field.serialize(Cell(ty))?,
    };
    if let Value::Text(text) = &value
        && !column.values.is_empty()
        && !column.values.iter().any(|known| known == text)
    {
        let known = column.values.join(", ");
        return Err(RowError::new(format_args!("{text:?} is none of the texts that it may hold: {known}")));
    }
    Ok(value)
}

fn json_or_null(column: &Column, text: String) -> Value {
    if column.nullable && text == "null" { Value::Null } else { Value::Json(text) }
}

/// Writes a field that is not JSON.
struct Cell(ColumnType);

impl Cell {
    fn refuse(&self, what: &str) -> RowError {
        RowError::new(format_args!(
            "{what} does not fit a {:?} column; a column with #[read_model(json)] takes any value",
            self.0
        ))
    }

    fn text(&self, text: impl Into<String>) -> Result<Value, RowError> {
        let text = text.into();
        match self.0 {
            ColumnType::Text => Ok(Value::Text(text)),
            ColumnType::Timestamp => form::time(&text).map(Value::Text),
            ColumnType::Uuid => form::uuid(&text).map(str::to_owned).map(Value::Text),
            ColumnType::Decimal => form::decimal(&text).map(|text| Value::Text(text.into_owned())),
            _ => Err(self.refuse("text")),
        }
    }

    fn int<N: TryInto<i64> + Display + Copy>(&self, number: N) -> Result<Value, RowError> {
        match self.0 {
            ColumnType::BigInt => {}
            ColumnType::Decimal => return Ok(Value::Text(number.to_string())),
            _ => return Err(self.refuse("a whole number")),
        }
        let outside = |_| RowError::new(format_args!("{number} is outside of what a BigInt column holds"));
        number.try_into().map(Value::Int).map_err(outside)
    }
}

macro_rules! ints {
    ($($method:ident($number:ty);)+) => {
        $(fn $method(self, number: $number) -> Result<Value, RowError> {
            self.int(number)
        })+
    };
}

impl Serializer for Cell {
    type Ok = Value;
    type Error = RowError;
    type SerializeSeq = Impossible<Value, RowError>;
    type SerializeTuple = Impossible<Value, RowError>;
    type SerializeTupleStruct = Impossible<Value, RowError>;
    type SerializeTupleVariant = Impossible<Value, RowError>;
    type SerializeMap = Impossible<Value, RowError>;
    type SerializeStruct = Impossible<Value, RowError>;
    type SerializeStructVariant = Impossible<Value, RowError>;

    ints! {
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
    }

    fn serialize_bool(self, value: bool) -> Result<Value, RowError> {
        if self.0 == ColumnType::Boolean { Ok(Value::Bool(value)) } else { Err(self.refuse("a bool")) }
    }

    fn serialize_f32(self, number: f32) -> Result<Value, RowError> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Value, RowError> {
        match self.0 {
            // Not every database stores these: some would read back as NULL.
            ColumnType::Double if !number.is_finite() => {
                Err(RowError::new(format_args!("{number} is no number")))
            }
            // `-0.0` and `0.0` are equal, and some databases have one zero only.
            ColumnType::Double => Ok(Value::Float(if number == 0.0 { 0.0 } else { number })),
            _ => Err(self.refuse("a floating-point number")),
        }
    }

    fn serialize_char(self, letter: char) -> Result<Value, RowError> {
        self.text(letter)
    }

    fn serialize_str(self, text: &str) -> Result<Value, RowError> {
        self.text(text)
    }

    fn collect_str<T: ?Sized + Display>(self, text: &T) -> Result<Value, RowError> {
        self.text(text.to_string())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<Value, RowError> {
        self.text(name)
    }

    fn serialize_none(self) -> Result<Value, RowError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, inner: &T) -> Result<Value, RowError> {
        match inner.serialize(self)? {
            Value::Null => Err(RowError::some_of_nothing()),
            value => Ok(value),
        }
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        inner: &T,
    ) -> Result<Value, RowError> {
        inner.serialize(self)
    }

    refused! {
        "bytes": serialize_bytes(&[u8]) -> Value;
        "a unit": serialize_unit() -> Value;
        "a unit": serialize_unit_struct(&'static str) -> Value;
        "an enum with data": serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Value;
        "a sequence": serialize_seq(Option<usize>) -> Self::SerializeSeq;
        "a tuple": serialize_tuple(usize) -> Self::SerializeTuple;
        "a tuple": serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        "an enum with data":
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        "a map": serialize_map(Option<usize>) -> Self::SerializeMap;
        "a struct": serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        "an enum with data":
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

/// Writes a field that is a list, as a JSON array.
struct List(Element);

impl List {
    fn refuse(&self, what: &str) -> RowError {
        RowError::new(format_args!(
            "{what} does not fit a column of lists of {:?}; a column with #[read_model(json)] takes any value",
            self.0
        ))
    }
}

struct Elements {
    element: Element,
    json: String,
}

impl Elements {
    fn push<T: ?Sized + Serialize>(&mut self, element: &T) -> Result<(), RowError> {
        let value = element.serialize(Cell(self.element.into()))?;
        self.json.push(if self.json.is_empty() { '[' } else { ',' });
        self.json.push_str(&match value {
            Value::Null => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => serde_json::to_string(&number).map_err(RowError::new)?,
            Value::Text(text) | Value::Json(text) => serde_json::to_string(&text).map_err(RowError::new)?,
        });
        Ok(())
    }

    fn finish(self) -> Value {
        Value::Json(if self.json.is_empty() { "[]".to_owned() } else { self.json + "]" })
    }
}

impl SerializeSeq for Elements {
    type Ok = Value;
    type Error = RowError;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, element: &T) -> Result<(), RowError> {
        self.push(element)
    }
    fn end(self) -> Result<Value, RowError> {
        Ok(self.finish())
    }
}

impl SerializeTuple for Elements {
    type Ok = Value;
    type Error = RowError;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, element: &T) -> Result<(), RowError> {
        self.push(element)
    }
    fn end(self) -> Result<Value, RowError> {
        Ok(self.finish())
    }
}

impl Serializer for List {
    type Ok = Value;
    type Error = RowError;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
    type SerializeTupleStruct = Impossible<Value, RowError>;
    type SerializeTupleVariant = Impossible<Value, RowError>;
    type SerializeMap = Impossible<Value, RowError>;
    type SerializeStruct = Impossible<Value, RowError>;
    type SerializeStructVariant = Impossible<Value, RowError>;

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, RowError> {
        Ok(Elements { element: self.0, json: String::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements, RowError> {
        Ok(Elements { element: self.0, json: String::new() })
    }

    fn serialize_none(self) -> Result<Value, RowError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, inner: &T) -> Result<Value, RowError> {
        match inner.serialize(self)? {
            Value::Null => Err(RowError::some_of_nothing()),
            value => Ok(value),
        }
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        inner: &T,
    ) -> Result<Value, RowError> {
        inner.serialize(self)
    }

    refused! {
        "a bool": serialize_bool(bool) -> Value;
        "a number": serialize_i8(i8) -> Value;
        "a number": serialize_i16(i16) -> Value;
        "a number": serialize_i32(i32) -> Value;
        "a number": serialize_i64(i64) -> Value;
        "a number": serialize_u8(u8) -> Value;
        "a number": serialize_u16(u16) -> Value;
        "a number": serialize_u32(u32) -> Value;
        "a number": serialize_u64(u64) -> Value;
        "a number": serialize_f32(f32) -> Value;
        "a number": serialize_f64(f64) -> Value;
        "a text": serialize_char(char) -> Value;
        "a text": serialize_str(&str) -> Value;
        "bytes": serialize_bytes(&[u8]) -> Value;
        "a unit": serialize_unit() -> Value;
        "a unit": serialize_unit_struct(&'static str) -> Value;
        "an enum": serialize_unit_variant(&'static str, u32, &'static str) -> Value;
        "an enum": serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Value;
        "a tuple": serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        "an enum": serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        "a map": serialize_map(Option<usize>) -> Self::SerializeMap;
        "a struct": serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        "an enum": serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}
