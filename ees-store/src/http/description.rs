//! The OpenAPI description: what applies to all routes. Each handler has its own part.

use serde_json::json;
use utoipa::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
};

use super::{Scope, schema, typed};
use crate::{IdempotencyKey, StreamId, StreamType};

const API_KEY: &str = "api_key";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ees",
        description = "An event store: streams of changesets under optimistic concurrency, and one global order over \
            all of them.\n\nEvents and metadata are opaque JSON and come back token for token. Of each changeset the \
            events are kept together, numbered from 1 within their stream, without gaps.\n\nErrors are \
            `{\"error\": \"CODE\", \"message\": \"...\"}`, with `stream_id` where it is known. Every answer has an \
            `X-Request-Id`: the caller's, if it sent one. Answers with a list are cut at 4 MiB, and then say where the \
            rest begins. With `pp=true` any answer comes with line breaks.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "commit", description = "Appending to streams."),
        (name = "read", description = "Reading streams, and everything in order."),
        (name = "typed", description = "A second, smaller contract over the same store: a stream has a type and a UUID, an \
            append is one event at a revision. Errors are `{\"message\", \"requestId\", \"details\"}` here."),
        (name = "operation", description = "Running it."),
    ),
    components(schemas(
        schema::Error, schema::Include, schema::Internal, schema::StreamOrder, typed::ErrorSchema, StreamId, StreamType, IdempotencyKey
    )),
)]
struct Description;

/// What all routes are added to.
pub(super) fn description() -> Document {
    let mut document = Description::openapi();
    let components = document.components.get_or_insert_with(Components::new);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API key with the scope that the call needs: `read`, `commit` or `admin`. Not needed where the server has no \
         keys.",
    ));
    components.add_security_scheme(API_KEY, SecurityScheme::Http(scheme.build()));
    for failure in FAILURES {
        components.responses.insert(failure.name.to_owned(), RefOr::T(failure.response()));
    }
    document
}

/// Adds to each operation the scope that its key needs, if any, and the failures that any call may meet.
///
/// A server without keys takes calls with a key too, so that clients made from its description can give one.
pub(super) fn demand(document: &mut Document, scope: Option<Scope>, has_keys: bool) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let mut security = vec![SecurityRequirement::new(API_KEY, scope.map(Scope::name))];
        if !has_keys {
            security.push(SecurityRequirement::default());
        }
        operation.security = Some(security);
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && may_be_empty(body, document.components.as_ref())
        {
            body.required = Some(Required::False);
        }
        let with_body = operation.request_body.is_some();
        for failure in FAILURES.iter().filter(|failure| with_body || !failure.is_of_bodies()) {
            let response = RefOr::Ref(Ref::from_response_name(failure.name));
            operation.responses.responses.entry(failure.status.to_owned()).or_insert(response);
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with(['4', '5'])
                && response.content.is_empty()
            {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
                response.content.insert("application/json".to_owned(), RefOr::T(content));
            }
        }
    }
}

/// Says of the store's parameters what their types don't: whole numbers may have any length, and the value of a
/// query parameter that may be left out may be empty, which counts as absent.
pub(super) fn describe_parameters(document: &mut Document) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for parameter in operation.parameters.iter_mut().flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
                && schema.format == Some(SchemaFormat::KnownFormat(KnownFormat::Int64))
            {
                schema.format = None;
            }
            if parameter.parameter_in == ParameterIn::Query && parameter.required == Required::False {
                // utoipa knows this member by no name of its own.
                parameter.extensions = Some(Extensions::from_iter([("allowEmptyValue", true)]));
            }
        }
    }
}

/// Whether a body may be left out, because it is an object whose members may all be.
fn may_be_empty(body: &RequestBody, components: Option<&Components>) -> bool {
    body.content.values().all(|content| {
        let schema = match content {
            RefOr::T(content) => content.schema.as_ref(),
            RefOr::Ref(_) => None,
        };
        let schema = match schema {
            Some(RefOr::Ref(to)) => {
                let name = to.ref_location.rsplit('/').next().unwrap_or_default();
                components.and_then(|components| components.schemas.get(name))
            }
            schema => schema,
        };
        matches!(schema, Some(RefOr::T(Schema::Object(object))) if object.required.is_empty())
    })
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch].into_iter().flatten()
}

struct Failure {
    status: &'static str,
    name: &'static str,
    schema: &'static str,
    description: &'static str,
}

const FAILURES: [Failure; 9] = [
    Failure {
        status: "400",
        name: "Invalid",
        schema: "Error",
        description: "`UNKNOWN_PARAMETER`: the call has a query parameter that is not described here. `INVALID_BODY`, \
            `INVALID_REQUEST`, `INVALID_HEADER`: another part of it is wrong.",
    },
    Failure {
        status: "401",
        name: "Unauthorized",
        schema: "Error",
        description: "`UNAUTHORIZED`: the server has keys, and the call came without one of them.",
    },
    Failure {
        status: "403",
        name: "Forbidden",
        schema: "Error",
        description: "`FORBIDDEN`: the key lacks the scope that the call needs.",
    },
    Failure {
        status: "408",
        name: "Slow",
        schema: "Error",
        description: "`REQUEST_TIMEOUT`: the body did not arrive in time.",
    },
    Failure {
        status: "413",
        name: "TooLarge",
        schema: "Error",
        description: "`BODY_TOO_LARGE`: the body is larger than the server accepts.",
    },
    Failure {
        status: "415",
        name: "Compressed",
        schema: "Error",
        description: "`UNSUPPORTED_ENCODING`: the body is compressed; its `Content-Encoding` is not `identity`.",
    },
    Failure {
        status: "421",
        name: "Misdirected",
        schema: "Error",
        description: "`UNKNOWN_HOST`: the server has no API keys, and the `Host` is no loopback name and none of its \
            setting `hosts`.",
    },
    Failure {
        status: "500",
        name: "Internal",
        schema: "Internal",
        description: "`INTERNAL`: a failure of the server's own. Its log has the rest under the request's id.",
    },
    Failure {
        status: "503",
        name: "Unavailable",
        schema: "Error",
        description: "`OVERLOADED`: more requests are under way than the server takes on. `UNAVAILABLE`: the store can't be \
            reached or does not answer in time, or the server is stopping. Try again after `Retry-After` seconds; a commit with the same idempotency \
            key.",
    },
];

impl Failure {
    /// Whether only a call with a body can meet it.
    fn is_of_bodies(&self) -> bool {
        matches!(self.status, "408" | "413" | "415")
    }

    fn response(&self) -> Response {
        let code = self.description.split('`').nth(1).unwrap_or_default();
        let example = match self.schema {
            "Internal" => json!({"error": code, "request_id": "6f1c2b9e04d7-42"}),
            _ => json!({"error": code, "message": "..."}),
        };
        let content =
            ContentBuilder::new().schema(Some(Ref::from_schema_name(self.schema))).example(Some(example));
        ResponseBuilder::new()
            .description(self.description)
            .content("application/json", content.build())
            .build()
    }
}
