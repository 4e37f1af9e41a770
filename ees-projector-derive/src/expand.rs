//! Generates the implementation of `ReadModel`.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, Result};

use crate::attributes::{ColumnAttributes, TableAttributes};
use crate::column_type::{inferred, of_type, optional};
use crate::name::Name;
use crate::serde_attributes::{FieldAttributes, check_struct};

struct Column {
    name: Name,
    /// An expression.
    made: TokenStream,
    /// The table that it refers to.
    references: Option<String>,
}

pub(crate) fn read_model(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a read model is one table, so its struct can't be generic",
        ));
    }
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => {
                return Err(Error::new(
                    input.ident.span(),
                    "columns are named after fields: name the fields",
                ));
            }
        },
        _ => {
            let message =
                "only a struct has columns; leave out `Fold::table` to keep this type as a JSON document";
            return Err(Error::new(input.ident.span(), message));
        }
    };
    check_struct(input)?;
    let attributes = TableAttributes::read(input)?;
    let columns = fields.iter().filter_map(|field| column(field).transpose()).collect::<Result<Vec<_>>>()?;
    check_names(&attributes, &columns)?;
    Ok(expand(input, &attributes, &columns))
}

/// The column of a field; `None` when serde skips the field.
fn column(field: &Field) -> Result<Option<Column>> {
    let Some(ident) = &field.ident else { return Ok(None) };
    let inner = optional(&field.ty);
    let serde = FieldAttributes::read(field, inner.is_some())?;
    if serde.skipped {
        return Ok(None);
    }
    let name = match serde.name {
        Some(name) => name,
        None => Name::of(ident)?,
    };
    let ColumnAttributes { ty, added, references } = ColumnAttributes::read(field)?;
    let made = match ty {
        Some(ty) => of_type(&name.text, ty),
        None if serde.other_form => {
            let message = "serde writes this field in another form: give the column's type by #[read_model(column = \"...\")]";
            return Err(Error::new(ident.span(), message));
        }
        None => inferred(&name.text, inner.unwrap_or(&field.ty)),
    };
    if let (Some(span), None) = (added, inner) {
        let message = "a column that is added to rows without a value must be an Option";
        return Err(Error::new(span, message));
    }
    let nullable = inner.map(|_| quote!(.nullable()));
    let added = added.map(|_| quote!(.added()));
    Ok(Some(Column { name, made: quote!(#made #nullable #added), references }))
}

fn check_names(attributes: &TableAttributes, columns: &[Column]) -> Result<()> {
    let (key, _) = &attributes.key;
    let mut names = HashSet::from([key.text.as_str()]);
    for Column { name, .. } in columns {
        if name.text == key.text {
            let message =
                "the key is a column of its own, with the fold's key: leave out the field, or rename one";
            return Err(Error::new(name.span, message));
        }
        if !names.insert(&name.text) {
            return Err(Error::new(name.span, format!("there are two columns named \"{}\"", name.text)));
        }
    }
    let mut known = HashSet::new();
    for index in &attributes.indexes {
        if let Some(unknown) = index.iter().find(|column| !names.contains(column.text.as_str())) {
            return Err(Error::new(unknown.span, format!("there is no column \"{}\"", unknown.text)));
        }
        let list: Vec<&str> = index.iter().map(|column| column.text.as_str()).collect();
        if let (false, Some(first)) = (known.insert(list), index.first()) {
            return Err(Error::new(first.span, "this index exists already"));
        }
    }
    Ok(())
}

fn expand(input: &DeriveInput, attributes: &TableAttributes, columns: &[Column]) -> TokenStream {
    let (ident, table) = (&input.ident, &attributes.table.text);
    let (key, key_type) = (&attributes.key.0.text, attributes.key.1.tokens());
    let references = columns.iter().filter_map(|Column { name, references, .. }| {
        let (column, table) = (&name.text, references.as_ref()?);
        Some(quote!(.with_reference(#column, #table)))
    });
    let columns = columns.iter().map(|Column { made, .. }| quote!(.with_column(#made)));
    let checks = attributes.checks.iter().map(|check| quote!(.with_check(#check)));
    let indexes = attributes.indexes.iter().map(|index| {
        let columns = index.iter().map(|column| &column.text);
        quote!(.with_index([#(#columns),*]))
    });
    quote! {
        #[automatically_derived]
        impl ::ees_projector::ReadModel for #ident {
            fn table() -> ::ees_projector::Table {
                ::ees_projector::Table::new(#table, ::ees_projector::read_model::Column::new(#key, #key_type))
                    #(#columns)*
                    #(#indexes)*
                    #(#checks)*
                    #(#references)*
            }
        }
    }
}

#[cfg(test)]
mod tests;
