#![cfg_attr(docsrs, feature(doc_cfg))]

//! `#[derive(ReadModel)]` for `ees-projector`, which re-exports it.
//!
//! `attributes` reads what is said of the table and of a field, `serde_attributes` what serde does to a field's name
//! and form, `column_type` what a field's type holds; `expand` puts them together and checks the names.

mod attributes;
mod column_type;
mod expand;
mod name;
mod serde_attributes;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a `ReadModel` of a struct with named fields: a column for each, named and filled as serde does.
///
/// Of the struct, `#[read_model(...)]`:
/// - `key = "account_id"`: the column that names a row, text. `key(account_id = "bigint")` or `"uuid"` for another
///   type. It is not a field.
/// - `table = "accounts"`: the table; the struct's name in snake_case unless said.
/// - `index(owner)`, `index(status, opened_at)`: an index over these columns; any number of them.
///
/// Of a field, `#[read_model(...)]`:
/// - `column = "text"` (`"bigint"`, `"double"`, `"boolean"`, `"timestamp"`, `"uuid"`, `"json"`): what it holds, where the
///   type's name does not tell: a unit enum or a type of your own.
/// - `json`: short for `column = "json"`.
///
/// Unless said, the last part of a type's name tells: `String`, `StreamId` and the like are text, integers `bigint`,
/// `f32` and `f64` `double`, `bool` `boolean`, `Timestamp` and `DateTime` `timestamp`, `Uuid` `uuid`; an `Option` of them
/// is nullable, and all else is JSON. What a column can't hold (a `u64` above `i64::MAX`, NaN) is refused when it is
/// written.
///
/// `Serialize` and `Deserialize` are derived beside it. `#[serde(rename)]` and `#[serde(skip)]` of a field count; what
/// would make a row other than one column a field (`flatten`, `tag`, generics, an enum) does not compile.
#[proc_macro_derive(ReadModel, attributes(read_model))]
pub fn read_model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::read_model(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
