//! Reads `#[read_model(...)]` on a struct and on its fields.

use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Error, Field, Ident, LitStr, Result, Token, parenthesized, token};

use crate::column_type::ColumnType;
use crate::name::{Name, snake_case};

pub(crate) struct TableAttributes {
    pub(crate) table: Name,
    pub(crate) key: (Name, ColumnType),
    pub(crate) indexes: Vec<Vec<Name>>,
}

impl TableAttributes {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let (mut table, mut key, mut indexes) = (None, None, Vec::new());
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("read_model")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("table") {
                    once(&meta, &mut table, Name::literal(&meta.value()?.parse()?)?)
                } else if meta.path.is_ident("key") {
                    once(&meta, &mut key, read_key(&meta)?)
                } else if meta.path.is_ident("index") {
                    indexes.push(read_index(&meta)?);
                    Ok(())
                } else {
                    Err(meta.error(
                        "`read_model` on a struct takes table = \"...\", key = \"...\" and index(...)",
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
        Ok(Self { table, key, indexes })
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

/// What the attributes of a field say.
#[derive(Default)]
pub(crate) struct ColumnAttributes {
    /// The type of its column.
    pub(crate) ty: Option<ColumnType>,
    /// The table that it refers to.
    pub(crate) references: Option<Name>,
}

impl ColumnAttributes {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let Self { mut ty, mut references } = Self::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("read_model")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("json") {
                    once(&meta, &mut ty, ColumnType::Json)
                } else if meta.path.is_ident("column") {
                    once(&meta, &mut ty, ColumnType::named(&meta.value()?.parse()?)?)
                } else if meta.path.is_ident("references") {
                    once(&meta, &mut references, Name::literal(&meta.value()?.parse()?)?)
                } else {
                    Err(meta.error(
                        "`read_model` on a field takes json, column = \"...\" and references = \"...\"",
                    ))
                }
            })?;
        }
        Ok(Self { ty, references })
    }
}

fn once<T>(meta: &ParseNestedMeta<'_>, place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is given twice")),
    }
}
