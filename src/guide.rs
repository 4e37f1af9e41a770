//! The guides, in the order in which you are likely to need them.
//!
//! They are also in the folder `docs`. Their code is compiled with the tests.

#[doc = include_str!("../docs/projections.md")]
pub mod projections {}

#[doc = include_str!("../docs/aggregates.md")]
pub mod aggregates {}

#[doc = include_str!("../docs/reactors.md")]
pub mod reactors {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/following.md")]
pub mod following {}

#[doc = include_str!("../docs/running.md")]
pub mod running {}

#[doc = include_str!("../docs/error-handling.md")]
pub mod error_handling {}

#[doc = include_str!("../docs/rebuilding.md")]
pub mod rebuilding {}

#[doc = include_str!("../docs/several-workers.md")]
pub mod several_workers {}

#[doc = include_str!("../docs/aws.md")]
pub mod aws {}

#[doc = include_str!("../docs/dynamodb.md")]
pub mod dynamodb {}

#[doc = include_str!("../docs/typed-streams.md")]
pub mod typed_streams {}

#[doc = include_str!("../docs/backends.md")]
pub mod backends {}

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// The derive crate can't depend on the crate that its README is about.
#[cfg(doctest)]
#[doc = include_str!("../ees-projector-derive/README.md")]
mod derive_readme {}

#[cfg(test)]
mod tests {
    const PAGES: [(&str, &str); 17] = [
        ("README.md", include_str!("../README.md")),
        ("ees-projector-derive/README.md", include_str!("../ees-projector-derive/README.md")),
        ("aggregates.md", include_str!("../docs/aggregates.md")),
        ("aws.md", include_str!("../docs/aws.md")),
        ("backends.md", include_str!("../docs/backends.md")),
        ("dynamodb.md", include_str!("../docs/dynamodb.md")),
        ("error-handling.md", include_str!("../docs/error-handling.md")),
        ("following.md", include_str!("../docs/following.md")),
        ("guarantees.md", include_str!("../docs/guarantees.md")),
        ("limits.md", include_str!("../docs/limits.md")),
        ("operating.md", include_str!("../docs/operating.md")),
        ("projections.md", include_str!("../docs/projections.md")),
        ("reactors.md", include_str!("../docs/reactors.md")),
        ("rebuilding.md", include_str!("../docs/rebuilding.md")),
        ("running.md", include_str!("../docs/running.md")),
        ("several-workers.md", include_str!("../docs/several-workers.md")),
        ("typed-streams.md", include_str!("../docs/typed-streams.md")),
    ];

    /// A reader copies a block into a file: it must not rely on lines that only rustdoc sees.
    #[test]
    fn each_block_of_code_compiles_as_it_is_printed() {
        for (page, text) in PAGES {
            let mut language = None;
            for line in text.lines() {
                match (line.strip_prefix("```"), language) {
                    (Some(opened), None) => {
                        let is_compiled =
                            !opened.starts_with("rust") || matches!(opened, "rust" | "rust,no_run");
                        assert!(is_compiled, "{page}: {opened}");
                        language = Some(opened);
                    }
                    (Some(_), Some(_)) => language = None,
                    (None, Some(opened)) if opened.starts_with("rust") => {
                        let is_hidden = line.trim() == "#" || line.trim_start().starts_with("# ");
                        assert!(!is_hidden, "{page}: {line}");
                    }
                    _ => {}
                }
            }
        }
    }
}
