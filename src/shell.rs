//! Texts as a part of a command line that is shown.

/// One word for a shell, whatever the text holds.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_one_word_and_runs_nothing() {
        for text in ["a/b", "$(touch x)", "`id`", "it's \"$HOME\"", "a\\b!", ""] {
            let line = format!("printf %s {}", quoted(text));
            let ran = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap(), text);
        }
    }
}
