//! The statement that reads a page of the catalogue, in the SQL that SQLite and PostgreSQL share. Each of its
//! forms walks along one index, from the place where the page begins.

use ees_store::{StreamListOrder, StreamListQuery, Timestamp};

/// What the two databases write differently.
pub(super) struct Dialect {
    pub(super) table: &'static str,
    /// What stands before the number of a parameter.
    pub(super) mark: char,
    /// The columns with the times, as RFC 3339 text.
    pub(super) times: &'static str,
    /// The type to which a parameter with a time is cast.
    pub(super) time_cast: &'static str,
}

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Text(String),
    Number(i64),
}

/// The statement and its parameters. It reads one row more than the limit, which tells whether there is a next
/// page.
pub(super) fn statement(dialect: &Dialect, query: &StreamListQuery) -> (String, Vec<Parameter>) {
    let Dialect { table, mark, times, time_cast } = dialect;
    let (mut conditions, mut parameters) = (Vec::new(), Vec::new());
    let mut bind = |parameter: Parameter| {
        parameters.push(parameter);
        format!("{mark}{}", parameters.len())
    };
    if let Some(stream_type) = &query.stream_type {
        conditions.push(format!("stream_type = {}", bind(Parameter::Text(stream_type.to_string()))));
    }
    let sorting = match query.order {
        StreamListOrder::Id => {
            if !query.prefix.is_empty() {
                conditions.push(format!("stream_id >= {}", bind(Parameter::Text(query.prefix.clone()))));
            }
            if let Some(end) = end_of(&query.prefix) {
                conditions.push(format!("stream_id < {}", bind(Parameter::Text(end))));
            }
            if let Some(after) = &query.after {
                conditions.push(format!("stream_id > {}", bind(Parameter::Text(after.stream_id.clone()))));
            }
            "stream_id"
        }
        StreamListOrder::Longest => {
            if let Some(after) = &query.after {
                let rank = bind(Parameter::Number(after.rank));
                let stream_id = bind(Parameter::Text(after.stream_id.clone()));
                conditions.push(format!("(changesets, stream_id) < ({rank}, {stream_id})"));
            }
            "changesets DESC, stream_id DESC"
        }
        StreamListOrder::Newest => {
            if let Some(after) = &query.after {
                let time = bind(Parameter::Text(Timestamp::from_micros(after.rank).to_string()));
                let stream_id = bind(Parameter::Text(after.stream_id.clone()));
                conditions.push(format!("(first_commit, stream_id) < ({time}{time_cast}, {stream_id})"));
            }
            "first_commit DESC, stream_id DESC"
        }
    };
    let condition =
        if conditions.is_empty() { String::new() } else { format!("WHERE {} ", conditions.join(" AND ")) };
    let limit = bind(Parameter::Number(i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1)));
    let sql = format!(
        "SELECT stream_id, stream_type, changesets, events, {times} FROM {table} {condition}ORDER BY {sorting} \
         LIMIT {limit}"
    );
    (sql, parameters)
}

/// The first text, in the order of bytes, after all that begin with the prefix; `None` if there is none.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Skips what is no character: the surrogates.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_begin_with_it_and_before_all_else() {
        for (prefix, end) in [
            ("account/", Some("account0")),
            ("z", Some("{")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
