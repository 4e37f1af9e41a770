//! JSON as text: validated once, and never parsed into values.
//!
//! `serde_json` validates. This module does the rest: it removes the white space between tokens, counts the
//! nesting, splits an array into its elements, and indents.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memchr2;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One JSON value as text: valid, without white space between tokens, and otherwise verbatim.
///
/// Members keep their order and their duplicates, numbers keep their digits (`1.0`, `1e400`), and strings
/// their escapes. Cloning is cheap.
///
/// ```
/// use ees_store::Json;
/// let json = Json::parse(r#"{ "price": 1.0, "price": 1e400 }"#)?;
/// assert_eq!(json.as_str(), r#"{"price":1.0,"price":1e400}"#);
/// # Ok::<(), ees_store::InvalidJson>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

/// A text that is not JSON, or not the JSON that was expected. The message says what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJson(pub(crate) String);

impl Json {
    /// The maximum nesting of arrays and objects.
    pub const DEPTH_MAX: usize = 128;

    /// Validates a text and removes the white space between its tokens.
    ///
    /// # Errors
    /// [`InvalidJson`] when the text is not one JSON value, or nests deeper than [`Json::DEPTH_MAX`].
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| InvalidJson(e.to_string()))?;
        Self::from_valid(raw.get(), Self::DEPTH_MAX)
    }

    /// Serializes a value.
    ///
    /// # Errors
    /// [`InvalidJson`] when the value can't be serialized as JSON (a map whose keys are not strings), or
    /// nests too deep.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, InvalidJson> {
        let text = serde_json::to_string(value).map_err(|e| InvalidJson(e.to_string()))?;
        Self::from_valid(&text, Self::DEPTH_MAX)
    }

    /// `text` is known to be valid JSON.
    pub(crate) fn from_valid(text: &str, depth_max: usize) -> Result<Self, InvalidJson> {
        let (compact, depth) = compact(text);
        within(depth, depth_max)?;
        Ok(Self(compact.into()))
    }

    /// A value that was read within another one may nest deeper than it may by itself.
    pub(crate) fn check_depth(&self, depth_max: usize) -> Result<(), InvalidJson> {
        within(compact(&self.0).1, depth_max)
    }

    /// A text that was checked before it was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// `[]`.
    pub fn empty_array() -> Self {
        Self("[]".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text as a `T`.
    ///
    /// # Errors
    /// [`InvalidJson`] when the text is not a `T`.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, InvalidJson> {
        serde_json::from_str(&self.0).map_err(|e| InvalidJson(e.to_string()))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        // Room for the list around the events: their own depth is checked where they are committed.
        Self::from_valid(raw.get(), Self::DEPTH_MAX + 1).map_err(serde::de::Error::custom)
    }
}

/// Levels around a value that is checked with others don't count in the message.
fn within(depth: usize, depth_max: usize) -> Result<(), InvalidJson> {
    if depth <= depth_max {
        return Ok(());
    }
    let around = depth_max.saturating_sub(Json::DEPTH_MAX);
    let (depth, allowed) = (depth - around, depth_max - around);
    Err(InvalidJson(format!("the JSON nests {depth} levels deep; {allowed} are allowed")))
}

/// Valid JSON without the white space between tokens, and how deep it nests.
fn compact(text: &str) -> (Cow<'_, str>, usize) {
    let (mut depth, mut depth_max) = (0_usize, 0);
    let mut spaces = false;
    let mut scan = Scanner::new(text);
    while let Some(token) = scan.next() {
        match token {
            b'[' | b'{' => {
                depth += 1;
                depth_max = depth_max.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => spaces = true,
            _ => {}
        }
    }
    if !spaces {
        return (Cow::Borrowed(text), depth_max);
    }
    let mut out = String::with_capacity(text.len());
    let mut scan = Scanner::new(text);
    let mut from = 0;
    while let Some(token) = scan.next() {
        if matches!(token, b' ' | b'\t' | b'\n' | b'\r') {
            out.push_str(&text[from..scan.at - 1]);
            from = scan.at;
        }
    }
    out.push_str(&text[from..]);
    (Cow::Owned(out), depth_max)
}

/// The top-level elements of an array that is valid and compact.
pub(crate) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let inner = array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or("");
    let mut scan = Scanner::new(inner);
    let mut depth = 0_usize;
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= inner.len() {
            return None;
        }
        while let Some(token) = scan.next() {
            match token {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    let element = &inner[from..scan.at - 1];
                    from = scan.at;
                    return Some(element);
                }
                _ => {}
            }
        }
        let element = &inner[from..];
        from = inner.len();
        Some(element)
    })
}

/// Indents compact JSON: line breaks, and 4 spaces for each level.
pub fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    // Writing to a String does not fail.
    let _ = indent_into(&mut out, text, 0);
    out
}

/// Indents compact JSON, unless it has more bytes than this then, by this measure of its parts.
///
/// Each line of a value that nests deep has hundreds of spaces: one megabyte can become hundreds.
#[cfg(feature = "http")]
pub(crate) fn indent_within(text: &str, bytes_max: usize, measure: fn(&str) -> usize) -> Option<String> {
    let mut out = Bounded { to: String::new(), left: bytes_max, measure };
    indent_into(&mut out, text, 0).ok().map(|()| out.to)
}

/// The size of compact JSON once it is indented, at this depth, by this measure of its parts; `None` when it is
/// larger than this.
#[cfg(feature = "http")]
pub(crate) fn indented_len(
    text: &str,
    depth: usize,
    bytes_max: usize,
    measure: fn(&str) -> usize,
) -> Option<usize> {
    let mut count = Bounded { to: Nowhere, left: bytes_max, measure };
    indent_into(&mut count, text, depth).ok().map(|()| bytes_max - count.left)
}

/// Writes on until a limit.
#[cfg(feature = "http")]
struct Bounded<W> {
    to: W,
    left: usize,
    measure: fn(&str) -> usize,
}

#[cfg(feature = "http")]
impl<W: fmt::Write> fmt::Write for Bounded<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub((self.measure)(text)).ok_or(fmt::Error)?;
        self.to.write_str(text)
    }
}

#[cfg(feature = "http")]
struct Nowhere;

#[cfg(feature = "http")]
impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

fn indent_into(out: &mut impl fmt::Write, text: &str, mut depth: usize) -> fmt::Result {
    fn new_line(out: &mut impl fmt::Write, depth: usize) -> fmt::Result {
        out.write_char('\n')?;
        (0..depth).try_for_each(|_| out.write_str("    "))
    }
    let bytes = text.as_bytes();
    let mut scan = Scanner::new(text);
    let mut from = 0;
    while let Some(token) = scan.next() {
        let at = scan.at - 1;
        if !matches!(token, b'[' | b'{' | b']' | b'}' | b',' | b':') {
            continue;
        }
        out.write_str(&text[from..at])?;
        from = scan.at;
        match token {
            b'[' | b'{' => {
                out.write_char(char::from(token))?;
                depth += 1;
                if !matches!(bytes.get(scan.at), Some(b']' | b'}')) {
                    new_line(out, depth)?;
                }
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if at > 0 && !matches!(bytes[at - 1], b'[' | b'{') {
                    new_line(out, depth)?;
                }
                out.write_char(char::from(token))?;
            }
            b',' => {
                out.write_char(',')?;
                new_line(out, depth)?;
            }
            _ => out.write_str(": ")?,
        }
    }
    out.write_str(&text[from..])
}

/// The bytes of valid JSON that are outside its strings; `at` is just past the last one given.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == b'"' {
            self.skip_string();
        }
        Some(byte)
    }

    fn skip_string(&mut self) {
        while let Some(found) = self.bytes.get(self.at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            self.at += found + 1;
            if self.bytes[self.at - 1] == b'"' {
                return;
            }
            // What is escaped.
            self.at += 1;
        }
        self.at = self.bytes.len();
    }
}

/// Returns the `type` member of an event, if the event is an object and the member is a string. Of duplicates
/// the last one counts, as for most JSON readers.
pub fn event_type(event: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<RawText<'_>>(member(event, "type")?).ok()?.0
}

/// A member of an object, as it is written there; of several of that name the last one.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    struct Named<'n>(&'n str);

    impl<'de> serde::de::Visitor<'de> for Named<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<RawText<'de>>()? {
                let value: &RawValue = map.next_value()?;
                if key.0.as_deref() == Some(self.0) {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(object);
    reader.deserialize_map(Named(name)).ok()?.map(RawValue::get)
}

/// A text, borrowed where it can be; `None` when it holds a lone surrogate, which no `str` can.
struct RawText<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for RawText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> serde::de::Visitor<'de> for Text {
            type Value = RawText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<RawText<'de>, E> {
                Ok(RawText(std::str::from_utf8(bytes).ok().map(Cow::Borrowed)))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<RawText<'de>, E> {
                Ok(RawText(std::str::from_utf8(bytes).ok().map(|text| Cow::Owned(text.to_owned()))))
            }
        }
        // As bytes, because serde_json refuses a lone surrogate in a `str`.
        deserializer.deserialize_bytes(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_survives_and_only_the_space_between_them_goes() {
        for text in [
            r#"{"b":1,"a":1.0,"a":1e400}"#,
            r#"[123456789012345678901234567890,-0.0,"\u0000\ud800 \" x",true,null]"#,
            r#""a b\\""#,
        ] {
            assert_eq!(Json::parse(text).unwrap().as_str(), text);
        }
        let spaced = " { \"a b\" : [ 1 ,\t2 ] ,\n\"c\" : \" \\\" \" } ";
        assert_eq!(Json::parse(spaced).unwrap().as_str(), r#"{"a b":[1,2],"c":" \" "}"#);
    }

    #[test]
    fn nesting_is_limited_and_brackets_in_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(128)).is_ok());
        assert!(Json::parse(&nested(129)).unwrap_err().to_string().contains("129"));
        assert!(Json::parse(&nested(100_000)).is_err());
        assert!(Json::parse(&format!("{:?}", "[".repeat(500))).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for text in ["", "{", "[1,]", "nul", "1 2", "\"\u{1}\"", "{\"a\"}"] {
            assert!(Json::parse(text).unwrap_err().to_string().contains("line 1 column"), "{text}");
        }
    }

    #[test]
    fn an_array_falls_into_its_elements() {
        let cut = |text| elements(text).collect::<Vec<_>>();
        assert_eq!(cut("[]"), Vec::<&str>::new());
        assert_eq!(cut("[1]"), ["1"]);
        assert_eq!(
            cut(r#"[{"a":[1,2]},"x,]",[3,[4]],null]"#),
            [r#"{"a":[1,2]}"#, r#""x,]""#, "[3,[4]]", "null"]
        );
    }

    #[test]
    fn indenting_changes_white_space_only() {
        let text = r#"{"a":[],"b":{},"c":[1.0,{"d":"x:y,[z]"}]}"#;
        let want = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1.0,\n        {\n            \
                    \"d\": \"x:y,[z]\"\n        }\n    ]\n}";
        assert_eq!(indent(text), want);
        assert_eq!(Json::parse(&indent(text)).unwrap().as_str(), text);
    }

    #[test]
    fn the_type_of_an_event_is_its_type_member() {
        assert_eq!(event_type(r#"{"type":"opened"}"#).as_deref(), Some("opened"));
        assert_eq!(event_type(r#"{"x":{"type":"no"},"ty\u0070e":"o\u0070ened"}"#).as_deref(), Some("opened"));
        assert_eq!(event_type(r#"{"type":"a","type":"b"}"#).as_deref(), Some("b"));
        for none in [r#"{"type":1}"#, "{}", "[]", "7", r#"{"\ud800":1}"#] {
            assert_eq!(event_type(none), None, "{none}");
        }
        assert_eq!(event_type(r#"{"\ud800":"\ud800","type":"a"}"#).as_deref(), Some("a"));
    }
}
