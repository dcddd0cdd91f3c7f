//! The OpenAPI document, and where it is served. utoipa reads the operations off the code; what all of them have in common is added
//! here, once: who may ask, the answers that refuse, conditions, `Idempotency-Key`, what names look like, examples of bodies. The
//! page for people is [`super::reference`]'s, made of this document.

mod examples;
mod parameters;
mod problems;
mod tags;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value as Json, json};
use utoipa::OpenApi;

pub(super) use self::problems::SORTS as PROBLEMS;
use super::{
    problem::{FieldError, Problem},
    tag::Tag,
};

/// What stands above the operations.
#[derive(OpenApi)]
#[openapi(
    info(title = "Patchbay admin API", description = include_str!("openapi/about.md")),
    components(schemas(Problem, FieldError))
)]
pub(super) struct Head;

/// Something that never changes while the program runs, and whoever has it already is not sent it again.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) kind: HeaderValue,
    pub(super) bytes: Bytes,
    pub(super) tag: Tag,
    /// The policy for pages; none means that of every answer.
    pub(super) policy: Option<HeaderValue>,
}

/// The whole document.
static DOCUMENT: LazyLock<Json> = LazyLock::new(|| complete(super::operations().into_openapi()));

static SERVED: LazyLock<Fixed> = LazyLock::new(|| Fixed::new("application/json", DOCUMENT.to_string(), None));

/// The whole document.
pub(super) fn document() -> &'static Json {
    &DOCUMENT
}

/// Serves the document.
pub(super) async fn serve(headers: HeaderMap) -> Response {
    SERVED.answer(&headers)
}

impl Fixed {
    pub(super) fn new(kind: &'static str, text: String, policy: Option<HeaderValue>) -> Self {
        Self { kind: HeaderValue::from_static(kind), tag: Tag::of(&text), bytes: text.into(), policy }
    }

    /// All of it, or that it is as it was.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if self.tag.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, [self.tag.header(), cache]).into_response();
        }
        let kind = (header::CONTENT_TYPE, self.kind.clone());
        let mut response = ([kind, self.tag.header(), cache], self.bytes.clone()).into_response();
        if let Some(policy) = &self.policy {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        response
    }
}

/// How the name of a page of items begins.
const PAGE: &str = "Page_";

/// An operation, as far as what is added depends on it.
pub(super) struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    about: &'a Json,
}

impl Operation<'_> {
    /// Whether it reads a body.
    fn has_body(&self) -> bool {
        self.about.get("requestBody").is_some()
    }

    /// Whether it wants to know the state that a change is made to.
    fn is_conditional(&self) -> bool {
        let parameters = self.about["parameters"].as_array();
        parameters.into_iter().flatten().any(|parameter| parameter["name"] == "If-Match")
    }
}

fn complete(read: utoipa::openapi::OpenApi) -> Json {
    let mut document = serde_json::to_value(read).expect("a document is always JSON");
    let about = |(name, about): &(&str, &str)| json!({ "name": name, "description": about });
    document["tags"] = tags::TAGS.iter().map(about).collect();
    document["servers"] = json!([{ "url": "/", "description": "The gateway that this document comes from." }]);
    document["security"] = json!([{ "bearer": [] }]);
    let components = &mut document["components"];
    components["securitySchemes"] = json!({ "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An admin key (`pba_…`), or an access token of one of the operator's issuers.",
    } });
    components["responses"] = Json::Object(problems::components());
    components["parameters"] = Json::Object(parameters::components());
    if let Some(schemas) = components["schemas"].as_object_mut() {
        items_by_name(schemas);
        schemas.sort_keys();
        examples::add_shapes(schemas);
    }
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation);
        }
    }
    document
}

/// utoipa writes the items of a page out; they have names, and are said once.
fn items_by_name(schemas: &mut Map<String, Json>) {
    let pages: Vec<String> = schemas.keys().filter(|name| name.starts_with(PAGE)).cloned().collect();
    for page in pages {
        let name = &page[PAGE.len()..];
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        let Some(items) = schemas.get_mut(&page).and_then(|page| page.pointer_mut("/properties/items/items")) else {
            continue;
        };
        let written_out = std::mem::replace(items, reference);
        schemas.entry(name).or_insert(written_out);
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Json) {
    let about = operation.clone();
    let known = Operation { method, path, about: &about };
    say(operation);
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    parameters::complete(&known, &mut parameters);
    if !parameters.is_empty() {
        operation["parameters"] = Json::from(parameters);
    }
    examples::add(operation);
    if let Some(responses) = operation["responses"].as_object_mut() {
        problems::add(&known, responses);
        if method == "post" {
            replayed(responses);
        }
    }
}

/// The first sentence is the summary, the others the description.
fn say(operation: &mut Json) {
    let text = |name: &str| operation[name].as_str().unwrap_or_default();
    let whole = [text("summary"), text("description")].join(" ");
    let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    let (summary, rest) = whole.split_once(". ").unwrap_or((whole.trim_end_matches('.'), ""));
    let (summary, rest) = (summary.to_owned(), rest.to_owned());
    operation["summary"] = Json::from(summary);
    if let Some(members) = operation.as_object_mut() {
        members.shift_remove("description");
    }
    if !rest.is_empty() {
        operation["description"] = Json::from(rest);
    }
}

/// What a POST was answered may come again.
fn replayed(responses: &mut Map<String, Json>) {
    let about = "`true` when this was done before, and the `Idempotency-Key` gives the first answer again.";
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with('2')) {
        response["headers"]["Idempotent-Replayed"] =
            json!({ "description": about, "schema": { "type": "string", "enum": ["true"] } });
    }
}
