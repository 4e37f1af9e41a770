//! A second reader of JSON, to compare with: recursive, simple, and without anything of `serde_json`.
//!
//! It keeps what `serde_json` would not: the digits of numbers, duplicates, and lone surrogates.

/// A value. Texts are UTF-16, which can hold a lone surrogate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Word(&'static str),
    Number(String),
    Text(Vec<u16>),
    List(Vec<Value>),
    Object(Vec<(Vec<u16>, Value)>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Refused {
    NotJson,
    /// Deeper than this reader goes, and so far deeper than anything accepts.
    TooDeep,
}

/// Deeper than what is accepted anywhere, and far from the end of the stack.
const DEPTH_MAX: usize = 200;

/// A value, and its text without the white space between tokens.
pub(super) fn read(text: &str) -> Result<(Value, String), Refused> {
    let mut reader = Reader { rest: text, tokens: String::new() };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok((value, reader.tokens)) } else { Err(Refused::NotJson) }
}

pub(super) fn text(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

impl Value {
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Of several members of that name the last one.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(found, _)| *found == text(name)).map(|(_, value)| value)
    }

    /// The text that it is, if a `str` can hold it.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => String::from_utf16(text).ok(),
            _ => None,
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    /// What was read so far, without the white space.
    tokens: String,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused::TooDeep);
        }
        self.skip_space();
        let value = match self.rest.chars().next() {
            Some('[') => {
                self.take('[')?;
                let mut elements = Vec::new();
                self.list(']', |reader| {
                    elements.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                Value::List(elements)
            }
            Some('{') => {
                self.take('{')?;
                let mut members = Vec::new();
                self.list('}', |reader| {
                    reader.skip_space();
                    let name = reader.string()?;
                    reader.skip_space();
                    reader.take(':')?;
                    members.push((name, reader.value(depth + 1)?));
                    Ok(())
                })?;
                Value::Object(members)
            }
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        self.skip_space();
        Ok(value)
    }

    fn list(
        &mut self,
        end: char,
        mut element: impl FnMut(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.skip_space();
        if self.rest.starts_with(end) {
            return self.take(end);
        }
        loop {
            element(self)?;
            if self.rest.starts_with(end) {
                return self.take(end);
            }
            self.take(',')?;
        }
    }

    fn word(&mut self) -> Result<Value, Refused> {
        for word in ["null", "true", "false"] {
            if self.rest.starts_with(word) {
                self.advance(word.len());
                return Ok(Value::Word(word));
            }
        }
        Err(Refused::NotJson)
    }

    fn number(&mut self) -> Result<Value, Refused> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let mut length = usize::from(self.rest.starts_with('-'));
        let whole = digits(&self.rest[length..]);
        if whole == 0 || (whole > 1 && self.rest[length..].starts_with('0')) {
            return Err(Refused::NotJson);
        }
        length += whole;
        if self.rest[length..].starts_with('.') {
            let fraction = digits(&self.rest[length + 1..]);
            if fraction == 0 {
                return Err(Refused::NotJson);
            }
            length += 1 + fraction;
        }
        if self.rest[length..].starts_with(['e', 'E']) {
            length += 1;
            length += usize::from(self.rest[length..].starts_with(['+', '-']));
            let exponent = digits(&self.rest[length..]);
            if exponent == 0 {
                return Err(Refused::NotJson);
            }
            length += exponent;
        }
        let number = self.rest[..length].to_owned();
        self.advance(length);
        Ok(Value::Number(number))
    }

    fn string(&mut self) -> Result<Vec<u16>, Refused> {
        self.take('"')?;
        let mut units = Vec::new();
        loop {
            let letter = self.letter()?;
            match letter {
                '"' => return Ok(units),
                '\\' => units.push(self.escaped()?),
                '\0'..='\u{1f}' => return Err(Refused::NotJson),
                _ => units.extend_from_slice(letter.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escaped(&mut self) -> Result<u16, Refused> {
        let of = |letter: char| Ok(letter as u16);
        match self.letter()? {
            letter @ ('"' | '\\' | '/') => of(letter),
            'b' => of('\u{8}'),
            'f' => of('\u{c}'),
            'n' => of('\n'),
            'r' => of('\r'),
            't' => of('\t'),
            'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = self.letter()?.to_digit(16).ok_or(Refused::NotJson)?;
                    unit = unit * 16 + digit as u16;
                }
                Ok(unit)
            }
            _ => Err(Refused::NotJson),
        }
    }

    fn letter(&mut self) -> Result<char, Refused> {
        let letter = self.rest.chars().next().ok_or(Refused::NotJson)?;
        self.advance(letter.len_utf8());
        Ok(letter)
    }

    fn take(&mut self, wanted: char) -> Result<(), Refused> {
        if self.letter()? == wanted { Ok(()) } else { Err(Refused::NotJson) }
    }

    fn advance(&mut self, length: usize) {
        let (token, rest) = self.rest.split_at(length);
        self.tokens.push_str(token);
        self.rest = rest;
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}
