//! The type of a column, by the name of a field's type.

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
    Decimal,
    Json,
    Jsonb,
    Array(Element),
}

/// The variants of `ees_projector::read_model::Element`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Text,
    BigInt,
    Double,
    Boolean,
    Timestamp,
    Uuid,
    Decimal,
}

const NAMES: [(&str, ColumnType); 16] = [
    ("text", ColumnType::Text),
    ("bigint", ColumnType::BigInt),
    ("double", ColumnType::Double),
    ("boolean", ColumnType::Boolean),
    ("timestamp", ColumnType::Timestamp),
    ("uuid", ColumnType::Uuid),
    ("decimal", ColumnType::Decimal),
    ("json", ColumnType::Json),
    ("jsonb", ColumnType::Jsonb),
    ("text[]", ColumnType::Array(Element::Text)),
    ("bigint[]", ColumnType::Array(Element::BigInt)),
    ("double[]", ColumnType::Array(Element::Double)),
    ("boolean[]", ColumnType::Array(Element::Boolean)),
    ("timestamp[]", ColumnType::Array(Element::Timestamp)),
    ("uuid[]", ColumnType::Array(Element::Uuid)),
    ("decimal[]", ColumnType::Array(Element::Decimal)),
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
            Self::Decimal => quote!(::ees_projector::read_model::ColumnType::Decimal),
            Self::Json => quote!(::ees_projector::read_model::ColumnType::Json),
            Self::Jsonb => quote!(::ees_projector::read_model::ColumnType::Jsonb),
            Self::Array(element) => {
                let element = element.tokens();
                quote!(::ees_projector::read_model::ColumnType::Array(#element))
            }
        }
    }

    /// The type of the elements of a list of values of this type, if PostgreSQL has such arrays.
    fn element(self) -> Option<Element> {
        match self {
            Self::Text => Some(Element::Text),
            Self::BigInt => Some(Element::BigInt),
            Self::Double => Some(Element::Double),
            Self::Boolean => Some(Element::Boolean),
            Self::Timestamp => Some(Element::Timestamp),
            Self::Uuid => Some(Element::Uuid),
            Self::Decimal => Some(Element::Decimal),
            Self::Json | Self::Jsonb | Self::Array(_) => None,
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
            "Decimal" => Some(Self::Decimal),
            "Vec" => inner.and_then(Self::list_of),
            // Serde writes these as what they contain.
            "Box" | "Arc" | "Rc" | "Cow" => inner.and_then(Self::of),
            _ => None,
        }
    }
}

impl ColumnType {
    /// The type of a list. `Vec<u8>` is usually bytes, and no list of numbers.
    fn list_of(element: &Type) -> Option<Self> {
        let element = optional(element).unwrap_or(element);
        match last_part(element) {
            Some((name, _)) if name == "u8" => None,
            _ => Self::of(element)?.element().map(Self::Array),
        }
    }
}

impl Element {
    fn tokens(self) -> TokenStream {
        match self {
            Self::Text => quote!(::ees_projector::read_model::Element::Text),
            Self::BigInt => quote!(::ees_projector::read_model::Element::BigInt),
            Self::Double => quote!(::ees_projector::read_model::Element::Double),
            Self::Boolean => quote!(::ees_projector::read_model::Element::Boolean),
            Self::Timestamp => quote!(::ees_projector::read_model::Element::Timestamp),
            Self::Uuid => quote!(::ees_projector::read_model::Element::Uuid),
            Self::Decimal => quote!(::ees_projector::read_model::Element::Decimal),
        }
    }
}

/// The column of a field, by the field's type. Only serde knows whether a type of the user's is an enum without
/// data, and its variants.
pub(crate) fn inferred(name: &str, ty: &Type) -> TokenStream {
    match (ColumnType::of(ty), ty) {
        (Some(known), _) => of_type(name, known),
        (None, Type::Path(_)) => quote!(::ees_projector::read_model::Column::inferred::<#ty>(#name)),
        (None, _) => of_type(name, ColumnType::Json),
    }
}

/// A column of a type.
pub(crate) fn of_type(name: &str, ty: ColumnType) -> TokenStream {
    let ty = ty.tokens();
    quote!(::ees_projector::read_model::Column::new(#name, #ty))
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
            ("rust_decimal::Decimal", Some(ColumnType::Decimal)),
            ("Vec<String>", Some(ColumnType::Array(Element::Text))),
            ("Vec<Option<i64>>", Some(ColumnType::Array(Element::BigInt))),
            ("Vec<u8>", None),
            ("Vec<Vec<i64>>", None),
            ("Vec<Status>", None),
            ("(i64, i64)", None),
            ("Status", None),
        ] {
            assert_eq!(ColumnType::of(&parse_str(ty).unwrap()), expected, "{ty}");
        }
        assert!(optional(&parse_str("Option<i64>").unwrap()).is_some());
        assert!(optional(&parse_str("Vec<i64>").unwrap()).is_none());
    }
}
