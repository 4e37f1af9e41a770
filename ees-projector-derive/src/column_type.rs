//! The type of a column, derived from the name of a field's type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, GenericArgument, LitStr, PathArguments, Result, Type};

/// The variants of `ees_projector::ColumnType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Text,
    BigInt,
    Double,
    Boolean,
    Timestamp,
    Uuid,
    Json,
}

const NAMES: [(&str, ColumnType); 7] = [
    ("text", ColumnType::Text),
    ("bigint", ColumnType::BigInt),
    ("double", ColumnType::Double),
    ("boolean", ColumnType::Boolean),
    ("timestamp", ColumnType::Timestamp),
    ("uuid", ColumnType::Uuid),
    ("json", ColumnType::Json),
];

impl ColumnType {
    pub(crate) fn named(literal: &LitStr) -> Result<Self> {
        let name = literal.value();
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, ty)| *ty).ok_or_else(|| {
            let known = NAMES.map(|(known, _)| known).join(", ");
            Error::new(literal.span(), format!("the type of a column is one of {known}"))
        })
    }

    pub(crate) fn tokens(self) -> TokenStream {
        match self {
            Self::Text => quote!(::ees_projector::read_model::ColumnType::Text),
            Self::BigInt => quote!(::ees_projector::read_model::ColumnType::BigInt),
            Self::Double => quote!(::ees_projector::read_model::ColumnType::Double),
            Self::Boolean => quote!(::ees_projector::read_model::ColumnType::Boolean),
            Self::Timestamp => quote!(::ees_projector::read_model::ColumnType::Timestamp),
            Self::Uuid => quote!(::ees_projector::read_model::ColumnType::Uuid),
            Self::Json => quote!(::ees_projector::read_model::ColumnType::Json),
        }
    }

    /// The type of the column of a field, if the field's type has a name that tells.
    fn of(ty: &Type) -> Option<Self> {
        if let Type::Reference(reference) = ty {
            return Self::of(&reference.elem);
        }
        let (name, inner) = last_part(ty)?;
        match name.as_str() {
            "String" | "str" | "char" | "StreamId" | "StreamType" => Some(Self::Text),
            "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
            | "usize" | "ChangesetId" | "Checkpoint" | "EventId" => Some(Self::BigInt),
            "f32" | "f64" => Some(Self::Double),
            "bool" => Some(Self::Boolean),
            "Timestamp" | "DateTime" => Some(Self::Timestamp),
            "Uuid" => Some(Self::Uuid),
            // Serde writes these as what they contain.
            "Box" | "Arc" | "Rc" | "Cow" => inner.and_then(Self::of),
            _ => None,
        }
    }
}

/// The type of the column of a field, by the field's type. Only serde knows whether a type of the user's is
/// an enum without data.
pub(crate) fn inferred(ty: &Type) -> TokenStream {
    match (ColumnType::of(ty), ty) {
        (Some(known), _) => known.tokens(),
        (None, Type::Path(_)) => quote!(::ees_projector::read_model::ColumnType::inferred::<#ty>()),
        (None, _) => ColumnType::Json.tokens(),
    }
}

/// The `T` of an `Option<T>`.
pub(crate) fn optional(ty: &Type) -> Option<&Type> {
    match last_part(ty)? {
        (name, Some(inner)) if name == "Option" => Some(inner),
        _ => None,
    }
}

/// The last part of a type's path, and its first type argument.
fn last_part(ty: &Type) -> Option<(String, Option<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(given) => given.args.iter().find_map(|argument| match argument {
            GenericArgument::Type(inner) => Some(inner),
            _ => None,
        }),
        _ => None,
    };
    Some((last.ident.to_string(), inner))
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::*;

    #[test]
    fn the_last_part_of_a_type_tells_what_its_column_holds() {
        for (ty, expected) in [
            ("String", Some(ColumnType::Text)),
            ("std::borrow::Cow<'static, str>", Some(ColumnType::Text)),
            ("Arc<str>", Some(ColumnType::Text)),
            ("&'static str", Some(ColumnType::Text)),
            ("u64", Some(ColumnType::BigInt)),
            ("ees_store::Checkpoint", Some(ColumnType::BigInt)),
            ("f32", Some(ColumnType::Double)),
            ("bool", Some(ColumnType::Boolean)),
            ("chrono::DateTime<chrono::Utc>", Some(ColumnType::Timestamp)),
            ("uuid::Uuid", Some(ColumnType::Uuid)),
            ("Vec<String>", None),
            ("(i64, i64)", None),
            ("Status", None),
        ] {
            assert_eq!(ColumnType::of(&parse_str(ty).unwrap()), expected, "{ty}");
        }
        assert!(optional(&parse_str("Option<i64>").unwrap()).is_some());
        assert!(optional(&parse_str("Vec<i64>").unwrap()).is_none());
    }
}
