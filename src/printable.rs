//! Untrusted text on a terminal.

use std::fmt;

/// Control characters are escaped, so that they cannot control the terminal.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(char::is_control) {
            let text = piece.trim_end_matches(char::is_control);
            f.write_str(text)?;
            piece[text.len()..].chars().try_for_each(|control| write!(f, "\\u{:04x}", u32::from(control)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Printable("a\u{7f}b\u{9b}\n").to_string(), "a\\u007fb\\u009b\\u000a");
        assert_eq!(Printable("no control").to_string(), "no control");
    }
}
