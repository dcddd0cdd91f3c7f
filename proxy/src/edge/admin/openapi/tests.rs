use std::collections::BTreeSet;

use http::HeaderMap;
use secrecy::ExposeSecret;

use super::*;
use crate::edge::admin::{
    ROOT,
    kit::{Guarded, answer, request},
};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Method, path and description of each operation.
fn operations() -> Vec<(&'static str, &'static str, &'static Json)> {
    let paths = document()["paths"].as_object().unwrap();
    let of = |(path, item): (&'static String, &'static Json)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(|(method, about)| (method.as_str(), path.as_str(), about)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn parameter<'a>(operation: &'a Json, name: &str) -> Option<&'a Json> {
    operation["parameters"].as_array()?.iter().find(|parameter| parameter["name"] == name)
}

fn statuses(operation: &Json) -> BTreeSet<u16> {
    operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect()
}

#[test]
fn every_operation_says_what_it_does_under_an_id_of_its_own() {
    let (mut ids, tags): (_, Vec<_>) = (BTreeSet::new(), tags::TAGS.iter().map(|(name, _)| *name).collect());
    for (method, path, operation) in operations() {
        let at = format!("{method} {path}");
        assert!(METHODS.contains(&method), "{at}");
        let summary = operation["summary"].as_str().unwrap();
        assert!(!summary.is_empty() && !summary.ends_with('.') && !summary.contains('\n'), "{at}: {summary}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: its operationId is another one's too");
        let own = operation["tags"][0].as_str().unwrap();
        assert!(tags.contains(&own), "{at}: `{own}` is not in TAGS, which say what the nouns are");
        for name in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
            let parameter = parameter(operation, name).unwrap_or_else(|| panic!("{at}: {name} is not described"));
            assert!(parameter["description"].as_str().is_some_and(|text| text.ends_with('.')), "{at}: {name}");
            assert!(parameter["schema"].get("pattern").is_some(), "{at}: nothing says what {name} looks like");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_said =
                response.get("$ref").is_some() || response["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(is_said, "{at}: {status}");
            if status.starts_with('2') && status != "204" {
                assert!(response["content"].as_object().is_some_and(|content| !content.is_empty()), "{at}: {status}");
            }
        }
        assert!(statuses(operation).iter().any(|status| *status < 300), "{at}: nothing says how it succeeds");
    }
    assert!(ids.len() > 50, "{}", ids.len());
    let unused: Vec<_> =
        tags.iter().filter(|tag| !operations().iter().any(|(_, _, about)| about["tags"][0] == **tag)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn conditions_and_idempotency_keys_are_described_where_they_count() {
    for (method, path, operation) in operations() {
        let (at, statuses) = (format!("{method} {path}"), statuses(operation));
        let is_conditional = parameter(operation, "If-Match").is_some();
        assert_eq!(is_conditional, statuses.contains(&412) && statuses.contains(&428), "{at}");
        let expected = matches!(method, "put" | "patch") || (method == "delete" && !path.contains("/sessions/"));
        assert_eq!(is_conditional, expected, "{at}");
        assert_eq!(parameter(operation, "If-None-Match").is_some(), method == "put" && statuses.contains(&201), "{at}");
        let once = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
        let listed = operation["parameters"].as_array().is_some_and(|listed| listed.contains(&once));
        assert_eq!(listed, method == "post", "{at}");
        let has_body = operation.get("requestBody").is_some();
        assert!(!has_body || statuses.is_superset(&[413, 415, 422].into()), "{at}");
        assert_eq!(statuses.contains(&413), has_body, "{at}");
        for status in [400, 401, 403, 429, 500, 503] {
            assert!(statuses.contains(&status), "{at}: {status}");
        }
    }
}

/// The names that types of the API give their shapes, as their sources say them: utoipa takes one of two that are the same, and
/// says nothing.
fn shapes_of(source: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    let (mut derived, mut renamed) = (false, None);
    for line in source.lines() {
        derived |= line.starts_with("#[derive(") && line.contains("ToSchema");
        if let Some(name) = line.strip_prefix("#[schema(as = ") {
            renamed = Some(word(name));
        }
        let named = ["pub(crate) struct ", "pub(crate) enum "].iter().find_map(|start| line.strip_prefix(start));
        if let Some(own) = named {
            names.extend(derived.then(|| renamed.take().unwrap_or_else(|| word(own))));
            derived = false;
        }
        // The parts of tenant files, which a macro makes.
        if let Some((part, _)) = line.split_once(" = \"").filter(|(_, of)| of.contains("File\" + [")) {
            names.push(part.trim().to_owned());
        }
    }
    names
}

fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("tests.rs") && path.extension().is_some_and(|kind| kind == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn no_two_things_have_shapes_of_one_name() {
    let mut texts = Vec::new();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/edge/admin"), &mut texts);
    let mut names: Vec<_> = texts.iter().flat_map(|text| shapes_of(text)).collect();
    names.sort_unstable();
    let several: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(several.is_empty(), "give all but one of these types a #[schema(as = …)]: {several:?}");
    for name in ["Toolset", "ToolsetInForce", "AdminKey", "AuditOutcome", "ServerBody", "Problem"] {
        assert!(names.iter().any(|known| known == name), "{name} is not found in {names:?}");
    }
}

#[test]
fn names_of_shapes_say_what_they_are() {
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    for name in ["Kind", "Outcome", "InForce", "Answer", "Filter", "Listed", "Wanted"] {
        assert!(!schemas.contains_key(name), "{name} says nothing: give the type a #[schema(as = …)]");
    }
    let mut unlinked = Vec::new();
    for (name, schema) in schemas {
        let text = schema.to_string();
        if text.contains("[`") || text.contains("](") {
            unlinked.push(name);
        }
    }
    assert!(unlinked.is_empty(), "links of the code's documentation lead nowhere here: {unlinked:?}");
}

#[test]
fn shapes_of_parts_have_examples() {
    let schemas = &document()["components"]["schemas"];
    assert_eq!(
        schemas["Page_Server"]["properties"]["items"]["items"],
        json!({ "$ref": "#/components/schemas/Server" })
    );
    assert!(schemas["Revocation"].is_object());
    for name in ["AuditPolicy", "Issuer", "Limits", "Server", "TenantDocument", "Toolset"] {
        let (example, fields) = (&schemas[name]["examples"][0], schemas[name]["properties"].as_object().unwrap());
        let known = |field: &String| fields.contains_key(field);
        assert!(example.as_object().is_some_and(|example| example.len() > 1 && example.keys().all(known)), "{name}");
    }
}

#[test]
fn nothing_in_a_query_can_be_null() {
    for (method, path, operation) in operations() {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            assert!(!parameter["schema"].to_string().contains("null"), "{method} {path}: {parameter}");
        }
    }
}

#[tokio::test]
async fn the_document_and_the_reference_are_for_everybody_and_sent_once() {
    let guarded = Guarded::new().await;
    for (path, kind) in [
        ("//admin/v1/openapi.json", "application/json"),
        ("//admin/v1/", "text/html; charset=utf-8"),
        ("//admin/v1", "text/html; charset=utf-8"),
        ("//", "text/html; charset=utf-8"),
    ] {
        let line = format!("GET {path}");
        let first = answer(&guarded.router, request(&line, &[], "")).await;
        assert_eq!(
            (first.status, first.header("content-type"), first.header("cache-control")),
            (200, kind, "no-cache"),
            "{path}"
        );
        let again = answer(&guarded.router, request(&line, &[("if-none-match", first.header("etag"))], "")).await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, first.header("etag")), "{path}");
        let line = format!("POST {path}");
        assert_eq!(answer(&guarded.router, request(&line, &[], "")).await.status, 401, "{path}");
    }
    let served = answer(&guarded.router, request("GET /openapi.json", &[], "")).await.json();
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(served, *document());
}

#[test]
fn a_weak_tag_is_known_and_another_one_is_not() {
    let (tag, other) = (Tag::of(&"a"), Tag::of(&"b"));
    let known = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
        tag.is_known(&headers)
    };
    let of = |tag: &Tag| tag.header().1.to_str().unwrap().to_owned();
    assert!(
        known(&of(&tag))
            && known(&format!("W/{}", of(&tag)))
            && known("*")
            && known(&format!("{}, {}", of(&other), of(&tag)))
    );
    assert!(!known(&of(&other)) && !tag.is_known(&HeaderMap::new()));
}

/// What stands for the ids in paths, made before each example.
async fn filled(guarded: &Guarded, path: &str) -> String {
    let (acme, key) = (
        guarded.house.app.store.tenant_list().await.unwrap()[0].id,
        guarded.key(crate::edge::admin::kit::admin_of("acme")).await,
    );
    let (_, api_key) = guarded.house.key(acme);
    guarded.house.app.store.key_create(&api_key, &patchbay_store::Note::by_operator("a test", 0)).await.unwrap();
    let names = [("{tenant}", "acme"), ("{server}", "shop"), ("{toolset}", "default"), ("{issuer}", "corp")];
    let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    path.replace("{id}", &key.row.id.to_string()).replace("{key}", &api_key.id.to_string())
}

#[tokio::test]
async fn every_body_has_an_example_that_is_taken() {
    let ids: BTreeSet<_> = examples::BODIES.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), examples::BODIES.len());
    let mut used = BTreeSet::new();
    for (method, path, operation) in operations() {
        let Some(contents) = operation["requestBody"]["content"].as_object() else { continue };
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.contains(id), "{id} has no example in openapi/examples.rs");
        used.insert(id);
        let (kind, content) = contents.iter().find(|(kind, _)| kind.ends_with("json")).unwrap();
        let guarded = Guarded::new().await;
        let platform = guarded.key(patchbay_core::admin::Grant::PlatformAdmin).await;
        let line = format!("{} {}", method.to_uppercase(), filled(&guarded, path.strip_prefix(ROOT).unwrap()).await);
        let mut headers = vec![("content-type", kind.as_str())];
        if method != "post" {
            headers.push(("if-match", "*"));
        }
        let answer = guarded.ask(platform.secret.expose_secret(), &line, &headers, &content["example"]).await;
        let told = String::from_utf8_lossy(&answer.body);
        assert!((200..300).contains(&answer.status), "{line} {}: {} {told}", content["example"], answer.status);
    }
    assert_eq!(used, ids, "examples without an operation");
}
