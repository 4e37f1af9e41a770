//! Paths and queries.

use axum::http::Uri;

use crate::client::transport::encoded;
use crate::http::path::decode;
use crate::http::query::{Params, Whole, seconds};

/// Parameters are those that a simple reading finds, and numbers are what their digits say.
pub fn query(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(uri) = format!("/x?{text}").parse::<Uri>() {
        parameters(&uri);
    }
    whole(text);
    if let Some(duration) = seconds(text) {
        let number: Result<f64, _> = text.parse();
        assert!(
            number.is_ok_and(|number| (number - duration.as_secs_f64()).abs() <= number * 1e-9 + 1e-9),
            "{text}"
        );
        assert!(!text.starts_with(['+', '-']) || duration.is_zero());
    }
}

fn parameters(uri: &Uri) {
    let params = Params::of(uri);
    let query = uri.query().unwrap_or_default();
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let given: Vec<(String, String)> = pieces
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect();
    assert_eq!(params.names().collect::<Vec<_>>(), given.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for (name, _) in &given {
        let values = || given.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        assert_eq!(params.get(name), values().next_back().filter(|value| !value.is_empty()), "{name}");
        assert!(params.all(name).eq(values().filter(|value| !value.is_empty())), "{name}");
    }
}

/// A part of a query, decoded as HTML has it.
fn plain(text: &str) -> String {
    let bytes = text.replace('+', " ").into_bytes();
    String::from_utf8_lossy(&unescaped(&bytes)).into_owned()
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                plain.push(byte);
                rest = &others[2..];
            }
            _ => {
                plain.push(*first);
                rest = others;
            }
        }
    }
    plain
}

fn whole(text: &str) {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = Whole::parse(text);
    assert_eq!(whole.is_some(), is_whole);
    let Some(whole) = whole else { return };
    assert_eq!(Whole::parse(whole.as_str()), Some(whole.clone()));
    if let Ok(number) = text.parse::<u64>() {
        assert_eq!((whole.get(), whole.as_str()), (number, &*number.to_string()));
        assert_eq!(whole.cmp(&Whole::from(1_000)), number.cmp(&1_000));
    } else {
        assert!(whole.get() == u64::MAX && whole > Whole::from(u64::MAX - 1));
    }
}

/// A segment of a path is decoded strictly, and the client's escapes lead to the text that it was given.
pub fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    assert_eq!(decode(&encoded(text).to_string()).as_deref(), Some(text));
    let mut escapes = text.split('%').skip(1).map(|rest| rest.as_bytes().get(..2));
    let are_whole = escapes.all(|digits| digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit)));
    let wanted = String::from_utf8(unescaped(text.as_bytes())).ok().filter(|_| are_whole);
    assert_eq!(decode(text), wanted);
}
