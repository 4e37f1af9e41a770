//! Queued statements: many are sent in one round trip.

use std::collections::HashMap;
use std::fmt::Write;

use super::Tx;
use crate::error::BoxError;
use crate::read_model::Value;

/// The most statements in one round trip.
const STATEMENTS_MAX: usize = 1_000;

/// Queued statements, each as the number of its text and its arguments.
#[derive(Default)]
pub(super) struct Queue {
    texts: Vec<String>,
    numbers: HashMap<(&'static str, Vec<u8>), i32>,
    which: Vec<i32>,
    arguments: Vec<String>,
}

impl Tx {
    /// Queues a statement, so that many run in one round trip. This is about five times as fast as running
    /// them one by one. Queued statements run in order: when 1,000 are queued, at [`flush`](Tx::flush), and
    /// before the batch commits. When one fails, the whole batch fails, and its changesets are applied one at
    /// a time.
    ///
    /// Arguments are `$1`, `$2`, … as usual. Cast a text that should have another type in the statement
    /// (`$2::uuid`). A queued statement returns nothing. Call [`flush`](Tx::flush) before you read what it
    /// has written.
    ///
    /// ```
    /// # async fn apply(tx: &mut ees_projector::postgres::Tx) -> Result<(), ees_projector::BoxError> {
    /// let (amount, account) = (250_i64, "account/42");
    /// tx.queue("UPDATE balances SET cents = cents + $1 WHERE account = $2", [amount.into(), account.into()]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// An error of the database, from any queued statement.
    pub async fn queue(
        &mut self,
        statement: &'static str,
        arguments: impl AsRef<[Value]>,
    ) -> Result<(), BoxError> {
        self.queued.push(statement, arguments.as_ref());
        if self.queued.which.len() >= STATEMENTS_MAX { self.flush().await } else { Ok(()) }
    }

    /// Runs the queued statements.
    ///
    /// # Errors
    /// An error of the database, from any queued statement.
    pub async fn flush(&mut self) -> Result<(), BoxError> {
        let Queue { texts, which, arguments, .. } = std::mem::take(&mut self.queued);
        if which.is_empty() {
            return Ok(());
        }
        sqlx::query("SELECT ees.run($1, $2, $3)")
            .bind(texts)
            .bind(which)
            .bind(arguments)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.which.is_empty()
    }

    fn push(&mut self, statement: &'static str, arguments: &[Value]) {
        // Arguments of the same kinds share one text.
        let kinds: Vec<u8> = arguments.iter().map(kind).collect();
        let number = *self.numbers.entry((statement, kinds)).or_insert_with(|| {
            self.texts.push(with_arguments(statement, arguments));
            i32::try_from(self.texts.len()).unwrap_or(i32::MAX)
        });
        self.which.push(number);
        self.arguments.push(array(arguments));
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Text(_) => 4,
        Value::Json(_) => 5,
    }
}

fn cast(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::Text(_) => "",
        Value::Bool(_) => "::boolean",
        Value::Int(_) => "::bigint",
        Value::Float(_) => "::double precision",
        Value::Json(_) => "::json",
    }
}

/// Rewrites a statement to take its arguments from one array, each cast to its type. NULL needs no cast.
fn with_arguments(statement: &str, arguments: &[Value]) -> String {
    let mut text = String::with_capacity(statement.len() + 32);
    let mut rest = statement;
    while let Some(at) = rest.find(['$', '\'', '"', '-', '/']) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        let length = untouched(found);
        if length > 0 {
            text.push_str(&found[..length]);
            rest = &found[length..];
            continue;
        }
        let digits = found[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = found[1..=digits].parse().unwrap_or(0);
        match number.checked_sub(1).and_then(|number| arguments.get(number)) {
            Some(Value::Null) => text.push_str("NULL"),
            // Writing to a `String` can't fail.
            Some(value) => drop(write!(text, "(($1)[{number}]){}", cast(value))),
            None => text.push_str(&found[..=digits]),
        }
        rest = &found[digits + 1..];
    }
    text + rest
}

/// The number of bytes to copy unchanged: a string, a quoted name, a comment, or a character that begins none
/// of them; 0 for an argument.
fn untouched(text: &str) -> usize {
    let through =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    match text.as_bytes() {
        // A doubled quote ends one string and begins the next, which has the same effect here.
        [b'\'', ..] => through("'", 1),
        [b'"', ..] => through("\"", 1),
        [b'-', b'-', ..] => through("\n", 2),
        [b'/', b'*', ..] => through("*/", 2),
        [b'$', b'0'..=b'9', ..] => 0,
        [b'$', ..] => match text[1..].find('$') {
            Some(end) if text[1..=end].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                through(&text[..end + 2], end + 2)
            }
            _ => 1,
        },
        _ => 1,
    }
}

/// The values as a PostgreSQL literal of type `text[]`.
fn array(values: &[Value]) -> String {
    let mut text = String::from("{");
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        let _ = match value {
            Value::Null => write!(text, "NULL"),
            Value::Bool(truth) => write!(text, "{truth}"),
            Value::Int(number) => write!(text, "{number}"),
            Value::Float(number) => write!(text, "{number}"),
            Value::Text(value) | Value::Json(value) => {
                text.push('"');
                for character in value.chars() {
                    if matches!(character, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(character);
                }
                write!(text, "\"")
            }
        };
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_and_nothing_else() {
        let arguments = [Value::Int(1), Value::Text("x".into()), Value::Null];
        for (statement, sent) in [
            ("SET a = a + $1 WHERE b = $2", "SET a = a + (($1)[1])::bigint WHERE b = (($1)[2])"),
            ("VALUES ($3, $2::uuid)", "VALUES (NULL, (($1)[2])::uuid)"),
            ("SELECT '$1', \"$1\", $$ $1 $$, $t$ $2 $t$", "SELECT '$1', \"$1\", $$ $1 $$, $t$ $2 $t$"),
            (
                "a - $1 -- $2\n/* $1 */ 'it''s $1' / $1",
                "a - (($1)[1])::bigint -- $2\n/* $1 */ 'it''s $1' / (($1)[1])::bigint",
            ),
        ] {
            assert_eq!(with_arguments(statement, &arguments), sent);
        }
    }

    #[test]
    fn every_text_gets_into_an_array_and_out_again() {
        let values =
            [Value::Text("a\"b\\c,{}".into()), Value::Text(String::new()), Value::Null, Value::Float(0.5)];
        assert_eq!(array(&values), r#"{"a\"b\\c,{}","",NULL,0.5}"#);
    }
}
