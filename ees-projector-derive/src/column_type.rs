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

    pub(crate) fn of(ty: &Type) -> Self {
        if let Type::Reference(reference) = ty {
            return Self::of(&reference.elem);
        }
        let Some((name, inner)) = last_part(ty) else { return Self::Json };
        match name.as_str() {
            "String" | "str" | "char" | "StreamId" | "StreamType" => Self::Text,
            "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128"
            | "usize" | "ChangesetId" | "Checkpoint" | "EventId" => Self::BigInt,
            "f32" | "f64" => Self::Double,
            "bool" => Self::Boolean,
            "Timestamp" | "DateTime" => Self::Timestamp,
            "Uuid" => Self::Uuid,
            // Serde writes these as what they contain.
            "Box" | "Arc" | "Rc" | "Cow" => inner.map_or(Self::Json, Self::of),
            _ => Self::Json,
        }
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
            ("String", ColumnType::Text),
            ("std::borrow::Cow<'static, str>", ColumnType::Text),
            ("Arc<str>", ColumnType::Text),
            ("&'static str", ColumnType::Text),
            ("u64", ColumnType::BigInt),
            ("ees_store::Checkpoint", ColumnType::BigInt),
            ("f32", ColumnType::Double),
            ("bool", ColumnType::Boolean),
            ("chrono::DateTime<chrono::Utc>", ColumnType::Timestamp),
            ("uuid::Uuid", ColumnType::Uuid),
            ("Vec<String>", ColumnType::Json),
            ("(i64, i64)", ColumnType::Json),
            ("Status", ColumnType::Json),
        ] {
            assert_eq!(ColumnType::of(&parse_str(ty).unwrap()), expected, "{ty}");
        }
        assert!(optional(&parse_str("Option<i64>").unwrap()).is_some());
        assert!(optional(&parse_str("Vec<i64>").unwrap()).is_none());
    }
}
