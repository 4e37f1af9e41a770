//! What is not understood is refused: unknown query parameters, and unknown members of bodies.
//!
//! The description of the API says which parameters an operation has, so an endpoint can't forget to check.

use std::collections::{BTreeMap, HashMap};

use axum::http::Method;
use serde::de::IgnoredAny;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi as Document, RefOr};

use super::Problem;
use super::query::Params;

/// Taken by every endpoint, in its description or not.
const EVERYWHERE: &str = "pp";

/// How alike two names must be for one to be a misspelling of the other, from 0 to 1.
const ALIKE: f64 = 0.75;

/// The query parameters of each operation, by its path.
#[derive(Default)]
pub(super) struct KnownParameters(HashMap<String, HashMap<Method, Vec<String>>>);

impl KnownParameters {
    pub(super) fn of(document: &Document) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let operations = [
                (Method::GET, &item.get),
                (Method::HEAD, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
                (Method::PATCH, &item.patch),
            ];
            let described = operations.into_iter().filter_map(|(method, operation)| {
                operation.as_ref().map(|operation| (method, query_parameters(operation)))
            });
            (path.clone(), described.collect())
        });
        Self(paths.collect())
    }

    /// Refuses a parameter that the operation does not have. What is not described is not checked.
    pub(super) fn check(&self, method: &Method, route: &str, params: &Params) -> Result<(), Problem> {
        if params.is_empty() {
            return Ok(());
        }
        let Some(known) = self.0.get(route).and_then(|path| path.get(method)) else { return Ok(()) };
        let is_known = |name: &str| name == EVERYWHERE || known.iter().any(|known| known == name);
        match params.names().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let (name, instead) = (shortened(name), instead(name, &known));
                let message = format!("The query parameter \"{name}\" is unknown here. {instead}");
                let problem = Problem::bad_request("UNKNOWN_PARAMETER", message);
                Err(problem.naming(name, format!("is unknown. {instead}")))
            }
        }
    }
}

fn query_parameters(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let of_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    of_query.collect()
}

/// The first member of an object that is not one of these, and what to write instead. `None` for a text that is
/// no object: that is another error.
pub(super) fn unknown_member(text: &str, known: &[&str]) -> Option<(String, String)> {
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_str(text).ok()?;
    let name = members.into_keys().find(|name| !known.contains(&name.as_str()))?;
    let instead = instead(&name, known);
    Some((shortened(&name).to_owned(), instead))
}

/// The name that was probably meant, or else all that there are.
pub(super) fn instead(name: &str, known: &[&str]) -> String {
    let name = shortened(name);
    let alike = known.iter().map(|known| (strsim::jaro_winkler(&name.to_lowercase(), known), *known));
    match alike.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((likeness, known)) if likeness >= ALIKE => format!("Did you mean \"{known}\"?"),
        Some(_) => format!("There are: {}.", known.join(", ")),
        None => "There are none.".to_owned(),
    }
}

/// A name as far as it helps to tell it.
fn shortened(name: &str) -> &str {
    name.char_indices().nth(64).map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_or_all() {
        let known = ["checkpoint", "limit", "wait"];
        assert_eq!(instead("limt", &known), "Did you mean \"limit\"?");
        assert_eq!(instead("Limit", &known), "Did you mean \"limit\"?");
        assert_eq!(instead("meta", &["events", "metadata"]), "Did you mean \"metadata\"?");
        assert_eq!(instead("zz", &known), "There are: checkpoint, limit, wait.");
        assert_eq!(instead("zz", &[]), "There are none.");
        assert_eq!(shortened(&"ä".repeat(100)).chars().count(), 64);
    }

    #[test]
    fn an_unknown_member_is_found_at_the_top_only() {
        let found = |text| unknown_member(text, &["events", "metadata"]).map(|(name, _)| name);
        assert_eq!(found(r#"{"events":[{"x":1}],"metadata":{"y":1}}"#), None);
        assert_eq!(found(r#"{"events":[],"m\u0065ta":{}}"#).as_deref(), Some("meta"));
        assert_eq!(found("[1]"), None);
    }
}
