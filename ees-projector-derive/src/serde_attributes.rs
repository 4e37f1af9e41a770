//! Reads serde's attributes on a struct and on its fields, as far as they change columns.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, DeriveInput, Expr, Field, LitStr, Result, parenthesized, token};

use crate::name::Name;

/// Refuses attributes by which serde does not write each field under its own name.
pub(crate) fn check_struct(input: &DeriveInput) -> Result<()> {
    each(&input.attrs, |meta| {
        if meta.path.is_ident("rename_all") {
            if meta.input.peek(token::Paren) {
                return Err(meta.error("a column has one name, for writing and for reading"));
            }
            let rule: LitStr = meta.value()?.parse()?;
            return match rule.value().as_str() {
                "snake_case" | "lowercase" => Ok(()),
                _ => Err(syn::Error::new(rule.span(), "columns have lower-case names: use \"snake_case\"")),
            };
        }
        for other in ["tag", "untagged", "transparent", "from", "try_from", "into", "remote"] {
            if meta.path.is_ident(other) {
                return Err(meta.error(
                    "with this attribute, serde does not write a struct of these fields, which columns need",
                ));
            }
        }
        skip_value(&meta)
    })
}

/// What serde does to a field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) name: Option<Name>,
    /// Neither written nor read: the field has no column.
    pub(crate) skipped: bool,
    /// Written in another form than that of its type.
    pub(crate) other_form: bool,
}

impl FieldAttributes {
    pub(crate) fn read(field: &Field, optional: bool) -> Result<Self> {
        let mut read = Self::default();
        each(&field.attrs, |meta| {
            if meta.path.is_ident("rename") {
                if meta.input.peek(token::Paren) {
                    return Err(meta.error("a column has one name, for writing and for reading"));
                }
                read.name = Some(Name::literal(&meta.value()?.parse()?)?);
                return Ok(());
            }
            if meta.path.is_ident("flatten") {
                return Err(meta.error(
                    "a column can't hold several fields: list the fields, or keep them in one JSON column",
                ));
            }
            if meta.path.is_ident("skip_serializing") || meta.path.is_ident("skip_deserializing") {
                return Err(meta.error("a column is both written and read: skip both ways, or neither"));
            }
            if meta.path.is_ident("skip_serializing_if") && !optional {
                return Err(meta.error("a column that is not an Option always has a value"));
            }
            read.skipped |= meta.path.is_ident("skip");
            read.other_form |=
                ["with", "serialize_with", "deserialize_with"].iter().any(|form| meta.path.is_ident(form));
            skip_value(&meta)
        })?;
        Ok(read)
    }
}

fn each(attributes: &[Attribute], mut read: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(&mut read)?;
    }
    Ok(())
}

/// Skips `name = ...` and `name(...)`, which serde checks.
fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(token::Paren) {
        let content;
        parenthesized!(content in meta.input);
        content.parse::<proc_macro2::TokenStream>()?;
    } else if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<Expr>()?;
    }
    Ok(())
}
