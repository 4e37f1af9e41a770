#![cfg_attr(docsrs, feature(doc_cfg))]

//! `#[derive(ReadModel)]` for `ees-projector`, which re-exports it.
//!
//! `attributes` reads `#[read_model(...)]`, `serde_attributes` reads what serde does to a field's name and
//! form, `column_type` derives a column's type from a field's type, `name` checks names, and `expand`
//! generates the code.

mod attributes;
mod column_type;
mod expand;
mod name;
mod serde_attributes;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `ReadModel` for a struct with named fields: each field becomes a column, named and written as
/// serde does.
///
/// `#[read_model(...)]` on the struct takes:
/// - `key = "account_id"` (mandatory): the name of the key column, which identifies a row. Its type is text;
///   write `key(account_id = "bigint")` or `"uuid"` for another type. The key is not a field.
/// - `table = "accounts"`: the name of the table. Default: the struct's name in snake_case.
/// - `index(owner)`, `index(status, opened_at)`: an index over these columns. Any number of indexes.
/// - `check = "balance_cents >= 0"`: a condition that holds for each row, in SQL. Any number of conditions.
///
/// `#[read_model(...)]` on a field takes:
/// - `column = "text"` (or `"bigint"`, `"double"`, `"boolean"`, `"timestamp"`, `"uuid"`, `"decimal"`, `"json"`,
///   `"jsonb"`; or a list such as `"text[]"`): the type of the column, for a type of your own.
/// - `json`, `jsonb`: short for `column = "json"` and `column = "jsonb"`.
/// - `references = "orders"` or `"orders(order_id)"`: a foreign key to the key of a table of an earlier stage of
///   the same composite (`Table::with_reference`).
/// - `added`: the column is added to an existing table without a rebuild, with NULL in each row. It is your word
///   that no event up to now sets the field, which is an `Option`.
///
/// By default, the last part of the field's type decides: `String`, `StreamId` and the like become text,
/// integers `bigint`, `f32` and `f64` `double`, `bool` `boolean`, `Timestamp` and `DateTime` `timestamp`,
/// `Uuid` `uuid`, `Decimal` `decimal`, and a `Vec` of these a list. An enum whose variants have no data becomes
/// text: the names of its variants, as serde writes them. Everything else becomes JSON. An `Option` makes the
/// column nullable. A value that its column can't hold (a `u64` above `i64::MAX`, NaN) is refused when it is
/// written, and a text that names no variant when it is read.
///
/// Derive `Serialize` and `Deserialize` too. `#[serde(rename)]` and `#[serde(skip)]` on a field are honoured.
/// Whatever would not give one column for each field does not compile: `flatten`, `tag`, generics, an enum.
#[proc_macro_derive(ReadModel, attributes(read_model))]
pub fn read_model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::read_model(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
