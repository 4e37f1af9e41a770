//! The columns of a table and the types of their values.

use std::borrow::Cow;

use serde::Deserialize;

use super::unit_enum::variants;

/// A column of a [`Table`](super::Table).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name: the name that serde gives to the field. The rules for table names hold, and the names of
    /// PostgreSQL's own columns are taken (`ctid`, `xmin`, `xmax`, `cmin`, `cmax`, `tableoid`).
    pub name: Cow<'static, str>,
    /// The type of its values.
    pub ty: ColumnType,
    /// Whether it may be NULL: the field is an `Option`.
    pub nullable: bool,
    /// Whether PostgreSQL sorts its text by the bytes, as all other databases do. Default: `false`, which means
    /// the order of the database's language.
    pub sorted_by_bytes: bool,
    /// The only texts that it may hold, sorted. Default: none, which means any text.
    pub values: Vec<Cow<'static, str>>,
    /// Whether it is added to an existing table without a rebuild. See [`added`](Self::added()).
    pub added: bool,
}

/// The type of a [`Column`]. Every database has these types, each in its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// Text. Also a unit variant of an enum, as its name.
    Text,
    /// A whole number in the range of an `i64`.
    BigInt,
    /// A finite `f64`: neither NaN nor infinite. It has one zero: `-0.0` is written as `0.0`.
    Double,
    /// `true` or `false`.
    Boolean,
    /// A time that serde writes as RFC 3339 text in UTC, such as [`ees_store::Timestamp`], of a year from 1 to
    /// 9999, in whole microseconds. `timestamptz` on PostgreSQL; elsewhere text with six fractional digits.
    Timestamp,
    /// A UUID that serde writes as text, in lower case with hyphens. Text on SQLite.
    Uuid,
    /// A decimal number that serde writes as text without an exponent, such as `-1.50`, or any whole number.
    /// `numeric` on PostgreSQL; elsewhere text. Trailing zeros are kept.
    Decimal,
    /// Any other value that serde can write, as JSON text. `json` on PostgreSQL, which keeps the text.
    Json,
    /// As [`Json`](Self::Json), and `jsonb` on PostgreSQL, which has indexes for it. It can't hold the character
    /// NUL, and has one zero.
    Jsonb,
    /// A list of values of one type, each of which may be NULL. An array on PostgreSQL; elsewhere a JSON array.
    Array(Element),
}

/// The type of the elements of a [`ColumnType::Array`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// See [`ColumnType::Text`].
    Text,
    /// See [`ColumnType::BigInt`].
    BigInt,
    /// See [`ColumnType::Double`].
    Double,
    /// See [`ColumnType::Boolean`].
    Boolean,
    /// See [`ColumnType::Timestamp`].
    Timestamp,
    /// See [`ColumnType::Uuid`].
    Uuid,
    /// See [`ColumnType::Decimal`].
    Decimal,
}

impl From<Element> for ColumnType {
    fn from(element: Element) -> Self {
        match element {
            Element::Text => Self::Text,
            Element::BigInt => Self::BigInt,
            Element::Double => Self::Double,
            Element::Boolean => Self::Boolean,
            Element::Timestamp => Self::Timestamp,
            Element::Uuid => Self::Uuid,
            Element::Decimal => Self::Decimal,
        }
    }
}

impl ColumnType {
    /// The type of a column for a type of your own: [`Text`](Self::Text) for an enum whose variants have no
    /// data, and [`Json`](Self::Json) for every other type.
    pub fn inferred<T: Deserialize<'static>>() -> Self {
        if variants::<T>().is_some() { Self::Text } else { Self::Json }
    }

    /// Whether a value of this type is a [`Value::Json`](super::Value::Json).
    pub const fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonb | Self::Array(_))
    }

    /// Whether a value of this type is a [`Value::Text`](super::Value::Text).
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Timestamp | Self::Uuid | Self::Decimal)
    }
}

impl Column {
    /// A column that is not nullable.
    pub fn new(name: impl Into<Cow<'static, str>>, ty: ColumnType) -> Self {
        Self {
            name: name.into(),
            ty,
            nullable: false,
            sorted_by_bytes: false,
            values: Vec::new(),
            added: false,
        }
    }

    /// A column for a type of your own: text that names a variant, for an enum whose variants have no data, and
    /// JSON for every other type.
    pub fn inferred<T: Deserialize<'static>>(name: impl Into<Cow<'static, str>>) -> Self {
        match variants::<T>() {
            Some(variants) => Self::new(name, ColumnType::Text).one_of(variants.iter().copied()),
            None => Self::new(name, ColumnType::Json),
        }
    }

    /// Makes the column nullable.
    #[must_use]
    pub fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// Sorts the text of the column by its bytes, on PostgreSQL too (`COLLATE "C"`): then an index finds the rows
    /// whose text begins with a prefix, and every database has the same order.
    #[must_use]
    pub fn sorted_by_bytes(self) -> Self {
        Self { sorted_by_bytes: true, ..self }
    }

    /// Allows these texts only. A CHECK constraint on PostgreSQL and SQLite; every database refuses others.
    #[must_use]
    pub fn one_of<T: Into<Cow<'static, str>>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let mut values: Vec<_> = values.into_iter().map(Into::into).collect();
        values.sort();
        values.dedup();
        Self { values, ..self }
    }

    /// Adds the column to a table that lacks it without a rebuild, as NULL in each row. The column must be
    /// nullable.
    ///
    /// It is your word that a rebuild would give the same: no event up to now sets the value. Nothing can check
    /// that but a verification.
    #[must_use]
    pub fn added(self) -> Self {
        Self { added: true, ..self }
    }
}
