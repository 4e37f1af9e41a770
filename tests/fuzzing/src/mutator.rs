//! Inputs that are almost those of a corpus.

use fastrand::Rng;

use crate::json::random_json;

/// Longer inputs find no more here, and take longer.
const BYTES_MAX: usize = 4_096;

/// What changes of single bytes would hardly ever write.
const TOKENS: [&[u8]; 56] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\udc00",
    b"\\u0000",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"\xef\xbb\xbf",
    b"\xc3\xa4",
    b"\xef\xbf\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"%",
    b"%2F",
    b"%00",
    b"%25",
    b"%C3%A4",
    b"%ff",
    b"+",
    b"&",
    b"=",
    b";",
    b"?",
    b"#",
    b"/",
    b".",
    b"..",
    b"@",
    b"-",
    b"Z",
    b"+14:00",
    b"[UTC]",
    b".9999999999",
    b"T24:00:60",
    b"!!!RESERVED:",
    b"\"type\":",
    b"\"events\":",
    b"\"metadata\":",
    b"\"Message\":",
    b"{\"S\":",
    b"{\"N\":",
];

/// At the ends of what the types of numbers hold, and just beyond.
const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "007",
    "127",
    "255",
    "256",
    "1023",
    "1025",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "99999999999999999999999999999999999999999",
];

/// Makes inputs of a corpus, the same ones for the same seed.
pub(crate) struct Mutator<'c> {
    random: Rng,
    corpus: &'c [Vec<u8>],
}

impl<'c> Mutator<'c> {
    pub(crate) fn new(seed: u64, corpus: &'c [Vec<u8>]) -> Self {
        Self { random: Rng::with_seed(seed), corpus }
    }

    /// The next input.
    pub(crate) fn mutated(&mut self) -> Vec<u8> {
        let mut input = self.corpus[self.random.usize(..self.corpus.len())].clone();
        for _ in 0..self.random.usize(1..6) {
            self.mutate(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(..=input.len());
        match self.random.u8(0..12) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.u8(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.random.u8(..);
                }
            }
            2 => input.insert(at, self.random.u8(b' '..=b'~')),
            3 => {
                let end = self.end_of_range(at, input.len());
                input.drain(at..end);
            }
            4 => {
                let end = self.end_of_range(at, input.len());
                let range = input[at..end].to_vec();
                input.splice(at..at, range);
            }
            5 => {
                let (from, to) = (self.random.usize(..=input.len()), self.end_of_range(at, input.len()));
                let range: Vec<u8> = input[at..to].to_vec();
                input.splice(from..from, range);
            }
            6 => {
                let other = &self.corpus[self.random.usize(..self.corpus.len())];
                let from = self.random.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            7 => {
                let other = &self.corpus[self.random.usize(..self.corpus.len())];
                let from = self.random.usize(..=other.len());
                let to = self.end_of_range(from, other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            8 => {
                let token = TOKENS[self.random.usize(..TOKENS.len())];
                input.splice(at..at, token.iter().copied());
            }
            9 => self.replace_number(input, at),
            10 => self.replace_json(input, at),
            _ => input.truncate(at),
        }
    }

    /// Mostly near.
    fn end_of_range(&mut self, from: usize, length: usize) -> usize {
        let left = length - from;
        let near = if self.random.u8(0..4) == 0 { left } else { left.min(8) };
        from + self.random.usize(..=near)
    }

    /// Writes another number in place of the next one.
    fn replace_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let digits = |byte: &u8| byte.is_ascii_digit();
        let Some(from) = input[at..].iter().position(digits).map(|found| at + found) else { return };
        let to =
            input[from..].iter().position(|byte| !digits(byte)).map_or(input.len(), |found| from + found);
        let number = NUMBERS[self.random.usize(..NUMBERS.len())];
        input.splice(from..to, number.bytes());
    }

    /// Writes other JSON in place of the next value, or between the next two.
    fn replace_json(&mut self, input: &mut Vec<u8>, at: usize) {
        let begins = |byte: &u8| matches!(byte, b':' | b',' | b'[');
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}');
        let Some(from) = input[at..].iter().position(begins).map(|found| at + found + 1) else {
            *input = random_json(&mut self.random).into_bytes();
            return;
        };
        let to = input[from..].iter().position(ends).map_or(input.len(), |found| from + found);
        let json = random_json(&mut self.random);
        input.splice(from..to, json.bytes());
    }
}
