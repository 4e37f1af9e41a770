//! What to do or to type next, for each code of an error.

use ees_store::Error;

/// The hint for an error with this code, if there is one that always helps.
pub(crate) fn of(code: &str) -> Option<&'static str> {
    Some(match code {
        "STREAM_NOT_FOUND" => "check the id: `ees tail` prints the latest changesets with their streams",
        "IDEMPOTENCY_KEY_REUSED" => "use another --idempotency-key, or leave it out",
        "STREAM_TYPE_MISMATCH" => "leave out --stream-type, or give the type that the stream has",
        "CHANGESET_TOO_LARGE" => "commit fewer events at a time",
        "UNAUTHORIZED" => "give the key with --api-key or in EES_API_KEY",
        "FORBIDDEN" => "use another key, with --api-key or in EES_API_KEY",
        "TIMEOUT" => "wait longer with --timeout, or look for the cause with `ees projections list`",
        _ => return None,
    })
}

/// The hint for an error of a store or of a call to a server.
pub(crate) fn of_error(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Unavailable(why) if is_without_answer(why) => {
            Some("is a server running there? `ees serve` starts one, --url names another")
        }
        _ => of(error.code()),
    };
    hint.map(ToOwned::to_owned)
}

/// Where no server answered, the client says `URL: why`. A server that answers, and a database, say it in other
/// words.
fn is_without_answer(why: &str) -> bool {
    let url = why.split_once(": ").map_or("", |(url, _)| url);
    !url.contains(' ') && (url.starts_with("http://") || url.starts_with("https://"))
}

/// Which of the known names a misspelt one may stand for.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let nearest = known.into_iter().min_by_key(|known| distance(known))?;
    let is_near = distance(nearest) <= 1 + nearest.chars().count() / 4;
    (is_near || !name.is_empty() && nearest.starts_with(name)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_stands_for_the_nearest_one() {
        let known = ["statistics", "stream_catalogue"];
        for (typed, meant) in [
            ("statistic", Some("statistics")),
            ("statsitics", Some("statistics")),
            ("stream_catalog", Some("stream_catalogue")),
            ("stat", Some("statistics")),
            ("nope", None),
            ("", None),
        ] {
            assert_eq!(similar(typed, known), meant, "{typed}");
        }
    }
}
