//! Names of tables and columns. A wrong one is an error where it is written.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::{Error, Ident, LitStr, Result};

/// A name that every database accepts, and where it is written.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Name {
    /// Checks a name by the rules for a projection's name.
    pub(crate) fn new(text: String, span: Span) -> Result<Self> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let refuse =
            |why: &str| Err(Error::new(span, format!("\"{text}\" can't name a table or a column: {why}")));
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return refuse("a name begins with a lower-case letter");
        }
        if !text.bytes().all(letters) {
            return refuse("a name consists of lower-case letters, digits and _");
        }
        if text.len() > 48 {
            return refuse("a name has at most 48 characters");
        }
        if text.starts_with("ees_") || text.starts_with("sqlite_") {
            return refuse("names that begin with ees_ or sqlite_ are reserved");
        }
        if ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"].contains(&text.as_str()) {
            return refuse("every table of PostgreSQL has a column of this name");
        }
        Ok(Self { text, span })
    }

    pub(crate) fn of(ident: &Ident) -> Result<Self> {
        Self::new(ident.unraw().to_string(), ident.span())
    }

    pub(crate) fn literal(literal: &LitStr) -> Result<Self> {
        Self::new(literal.value(), literal.span())
    }
}

/// `AccountBalance` as `account_balance`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for letter in name.chars() {
        if letter.is_uppercase() && before != '_' && !before.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
        before = letter;
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_called_like_its_struct() {
        for (name, table) in
            [("Account", "account"), ("AccountBalance", "account_balance"), ("HTTP2Log", "http2_log")]
        {
            assert_eq!(snake_case(name), table);
        }
    }

    #[test]
    fn a_name_that_some_database_would_not_take_is_refused() {
        let takes = |name: &str| Name::new(name.to_owned(), Span::call_site()).is_ok();
        assert!(takes("accounts_2"));
        for name in
            ["", "Accounts", "2accounts", "_accounts", "a b", "a\"b", "größe", "ees_log", "sqlite_x", "ctid"]
        {
            assert!(!takes(name), "{name:?}");
        }
        assert!(takes(&"a".repeat(48)) && !takes(&"a".repeat(49)));
    }
}
