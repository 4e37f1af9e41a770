//! JSON in all its forms, valid by construction.

use fastrand::Rng;

/// One value, with white space, escapes, duplicates and numbers of any length; sometimes as deep as is allowed, or
/// deeper.
pub fn random_json(random: &mut Rng) -> String {
    let mut text = String::new();
    if random.u8(..) < 8 {
        let depth = random.usize(125..132);
        text.push_str(&"[".repeat(depth));
        text.push_str(&"]".repeat(depth));
    } else {
        value(random, 4, &mut text);
    }
    text
}

const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "1.0",
    "-0.0",
    "1e400",
    "-1e-400",
    "0.1",
    "1E+2",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "2.2250738585072014e-308",
    "4.9e-324",
];
const PIECES: [&str; 24] = [
    "",
    "a",
    "type",
    "id",
    "opened",
    "ä",
    "\u{1f600}",
    "\u{ffff}",
    " ",
    "/",
    "\\\"",
    "\\\\",
    "\\/",
    "\\n",
    "\\u0000",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\udfff",
    "[",
    "}",
    ",",
    ":",
    "\u{7f}",
];
const SPACE: [&str; 8] = ["", "", "", "", " ", "\n", "\t", " \r\n"];

fn value(random: &mut Rng, depth: usize, text: &mut String) {
    space(random, text);
    match random.u8(0..if depth == 0 { 5 } else { 9 }) {
        0 => text.push_str(NUMBERS[random.usize(..NUMBERS.len())]),
        1 => text.push_str(&random.i64(-1_000..1_000).to_string()),
        2 => text.push_str(["true", "false", "null"][random.usize(..3)]),
        3 | 4 => string(random, text),
        5 | 6 => list(random, text, ('[', ']'), |random, text| value(random, depth - 1, text)),
        _ => list(random, text, ('{', '}'), |random, text| {
            space(random, text);
            string(random, text);
            space(random, text);
            text.push(':');
            value(random, depth - 1, text);
        }),
    }
    space(random, text);
}

fn list(random: &mut Rng, text: &mut String, around: (char, char), element: impl Fn(&mut Rng, &mut String)) {
    text.push(around.0);
    for number in 0..random.usize(0..4) {
        if number > 0 {
            text.push(',');
        }
        element(random, text);
    }
    space(random, text);
    text.push(around.1);
}

fn string(random: &mut Rng, text: &mut String) {
    text.push('"');
    for _ in 0..random.usize(0..4) {
        text.push_str(PIECES[random.usize(..PIECES.len())]);
    }
    text.push('"');
}

fn space(random: &mut Rng, text: &mut String) {
    text.push_str(SPACE[random.usize(..SPACE.len())]);
}
