//! Reads `#[read_model(...)]` on a struct and on its fields.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Field, Ident, LitStr, Result, Token, parenthesized, token};

use crate::column_type::ColumnType;
use crate::name::{Name, snake_case};

pub(crate) struct TableAttributes {
    pub(crate) table: Name,
    pub(crate) key: (Name, ColumnType),
    pub(crate) indexes: Vec<Vec<Name>>,
    /// Conditions in SQL.
    pub(crate) checks: Vec<LitStr>,
}

impl TableAttributes {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let (mut table, mut key, mut indexes, mut checks) = (None, None, Vec::new(), Vec::new());
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("read_model")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("table") {
                    once(&meta, &mut table, Name::literal(&meta.value()?.parse()?)?)
                } else if meta.path.is_ident("key") {
                    once(&meta, &mut key, read_key(&meta)?)
                } else if meta.path.is_ident("index") {
                    indexes.push(read_index(&meta)?);
                    Ok(())
                } else if meta.path.is_ident("check") {
                    let check: LitStr = meta.value()?.parse()?;
                    if check.value().trim().is_empty() {
                        return Err(Error::new(check.span(), "a check is a condition in SQL"));
                    }
                    checks.push(check);
                    Ok(())
                } else {
                    Err(meta.error(
                        "`read_model` on a struct takes table = \"...\", key = \"...\", index(...) and \
                         check = \"...\"",
                    ))
                }
            })?;
        }
        let Some(key) = key else {
            let message = "the key column is missing: add #[read_model(key = \"...\")]";
            return Err(Error::new(input.ident.span(), message));
        };
        let table = match table {
            Some(table) => table,
            None => Name::new(snake_case(&input.ident.to_string()), input.ident.span())?,
        };
        Ok(Self { table, key, indexes, checks })
    }
}

/// `key = "account_id"` or `key(account_id = "uuid")`.
fn read_key(meta: &ParseNestedMeta<'_>) -> Result<(Name, ColumnType)> {
    if !meta.input.peek(token::Paren) {
        return Ok((Name::literal(&meta.value()?.parse()?)?, ColumnType::Text));
    }
    let content;
    parenthesized!(content in meta.input);
    let name = Name::of(&content.parse()?)?;
    content.parse::<Token![=]>()?;
    let literal: LitStr = content.parse()?;
    match ColumnType::named(&literal)? {
        ty @ (ColumnType::Text | ColumnType::BigInt | ColumnType::Uuid) if content.is_empty() => {
            Ok((name, ty))
        }
        _ if !content.is_empty() => Err(content.error("the key is one column")),
        _ => Err(Error::new(literal.span(), "the type of a key is text, bigint or uuid")),
    }
}

fn read_index(meta: &ParseNestedMeta<'_>) -> Result<Vec<Name>> {
    let content;
    let parenthesis = parenthesized!(content in meta.input);
    let columns = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
    if columns.is_empty() {
        return Err(Error::new(parenthesis.span.join(), "name the columns of the index"));
    }
    columns.iter().map(Name::of).collect()
}

/// `#[read_model(...)]` on a field.
#[derive(Default)]
pub(crate) struct ColumnAttributes {
    pub(crate) ty: Option<ColumnType>,
    /// Whether it is added without a rebuild, and where that is said.
    pub(crate) added: Option<Span>,
    /// The table that it refers to, perhaps with its key.
    pub(crate) references: Option<String>,
}

impl ColumnAttributes {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let mut read = Self::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("read_model")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("json") {
                    once(&meta, &mut read.ty, ColumnType::Json)
                } else if meta.path.is_ident("jsonb") {
                    once(&meta, &mut read.ty, ColumnType::Jsonb)
                } else if meta.path.is_ident("column") {
                    once(&meta, &mut read.ty, ColumnType::named(&meta.value()?.parse()?)?)
                } else if meta.path.is_ident("added") {
                    once(&meta, &mut read.added, meta.path.span())
                } else if meta.path.is_ident("references") {
                    once(&meta, &mut read.references, read_reference(&meta.value()?.parse()?)?)
                } else {
                    Err(meta.error(
                        "`read_model` on a field takes json, jsonb, column = \"...\", references = \"...\" and added",
                    ))
                }
            })?;
        }
        Ok(read)
    }
}

/// `"orders"` or `"orders(order_id)"`.
fn read_reference(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let (table, key) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((table, key)) => (table, Some(key)),
        None => (text.as_str(), None),
    };
    for name in std::iter::once(table).chain(key) {
        Name::new(name.to_owned(), literal.span())?;
    }
    Ok(text)
}

fn once<T>(meta: &ParseNestedMeta<'_>, place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is given twice")),
    }
}
