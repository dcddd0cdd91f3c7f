//! Who may do what: every operation of the OpenAPI document against everybody who may ask, with real keys behind the real gate. An
//! operation that is not in [`ROUTES`] fails, so that nothing is ever added that nobody thought about.

use std::collections::BTreeSet;

use patchbay_core::{KeyId, admin::Grant};
use secrecy::ExposeSecret;

use super::{
    ROOT, document,
    kit::{Answer, Guarded, admin_of, answer, request, viewer_of},
};

/// Those who ask about the tenant `acme`, in the order of the columns.
const WHO: [&str; 6] =
    ["nobody", "an API key of acme", "a viewer of acme", "an admin of umbrella", "an admin of acme", "the platform"];

/// Each operation, what each of [`WHO`] is told, and a body that is understood.
///
/// | sign | told |
/// |---|---|
/// | `+` | comes through: neither 401 nor 403 nor 404, whatever it then lacks (a condition, for instance) |
/// | `?` | comes through, to what may not be there: neither 401 nor 403 |
/// | `1` | 401 |
/// | `3` | 403 |
/// | `4` | 404, in the very bytes that are told where nothing is |
///
/// Nothing sends a condition, so what exists is neither replaced nor removed.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET /admin-keys", "1 1 3 + + +", ""),
    ("POST /admin-keys", "1 1 3 4 + +", r#"{"label":"x","role":"tenant_viewer","tenant":"acme"}"#),
    ("GET /admin-keys/{id}", "1 1 3 4 + +", ""),
    ("DELETE /admin-keys/{id}", "1 1 3 4 + +", ""),
    ("POST /admin-keys/{id}/rotate", "1 1 3 4 + +", "{}"),
    ("GET /audit", "1 1 3 3 3 +", ""),
    ("GET /audit/export", "1 1 3 3 3 +", ""),
    ("GET /audit/public-keys", "1 1 + + + +", ""),
    ("POST /audit/verify", "1 1 3 3 3 +", "{}"),
    ("GET /gateway", "1 1 + + + +", ""),
    ("GET /me", "1 1 + + + +", ""),
    ("GET /sealing-key", "1 1 3 3 3 +", ""),
    ("POST /sealing-key/reseal", "1 1 3 3 3 +", ""),
    ("GET /tenants", "1 1 + + + +", ""),
    ("POST /tenants", "1 1 3 3 3 +", r#"{"name":"new"}"#),
    ("GET /tenants/{tenant}", "1 1 + 4 + +", ""),
    ("PATCH /tenants/{tenant}", "1 1 3 4 + +", "{}"),
    ("DELETE /tenants/{tenant}", "1 1 3 3 3 +", ""),
    ("GET /tenants/{tenant}/audit", "1 1 + 4 + +", ""),
    ("GET /tenants/{tenant}/audit-policy", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/audit-policy", "1 1 3 4 + +", "{}"),
    ("PATCH /tenants/{tenant}/audit-policy", "1 1 3 4 + +", "{}"),
    ("GET /tenants/{tenant}/audit/export", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/audit/verify", "1 1 + 4 + +", "{}"),
    ("GET /tenants/{tenant}/document", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/document", "1 1 3 4 + +", r#"{"tenant":"acme"}"#),
    ("GET /tenants/{tenant}/health", "1 1 + 4 + +", ""),
    ("GET /tenants/{tenant}/issuers", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/issuers", "1 1 3 4 + +", r#"{"name":"new"}"#),
    ("GET /tenants/{tenant}/issuers/{issuer}", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/issuers/{issuer}", "1 1 3 4 + +", "{}"),
    ("PATCH /tenants/{tenant}/issuers/{issuer}", "1 1 3 4 + +", "{}"),
    ("DELETE /tenants/{tenant}/issuers/{issuer}", "1 1 3 4 + +", ""),
    ("GET /tenants/{tenant}/keys", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/keys", "1 1 3 4 + +", r#"{"label":"x"}"#),
    ("GET /tenants/{tenant}/keys/{key}", "1 1 ? 4 ? ?", ""),
    ("DELETE /tenants/{tenant}/keys/{key}", "1 1 3 4 ? ?", ""),
    ("POST /tenants/{tenant}/keys/{key}/rotate", "1 1 3 4 ? ?", "{}"),
    ("GET /tenants/{tenant}/limits", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/limits", "1 1 3 4 + +", "{}"),
    ("PATCH /tenants/{tenant}/limits", "1 1 3 4 + +", "{}"),
    ("GET /tenants/{tenant}/limits/standing", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/probe", "1 1 3 4 + +", "{}"),
    ("GET /tenants/{tenant}/revocations", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/revocations", "1 1 3 4 + +", r#"{"jti":"x"}"#),
    ("GET /tenants/{tenant}/revocations/{revocation}", "1 1 ? 4 ? ?", ""),
    ("DELETE /tenants/{tenant}/revocations/{revocation}", "1 1 3 4 ? ?", ""),
    ("GET /tenants/{tenant}/servers", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/servers", "1 1 3 4 + +", r#"{"name":"new"}"#),
    ("GET /tenants/{tenant}/servers/{server}", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/servers/{server}", "1 1 3 4 + +", "{}"),
    ("PATCH /tenants/{tenant}/servers/{server}", "1 1 3 4 + +", "{}"),
    ("DELETE /tenants/{tenant}/servers/{server}", "1 1 3 4 + +", ""),
    ("GET /tenants/{tenant}/servers/{server}/catalog", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/servers/{server}/catalog/refresh", "1 1 3 4 + +", "{}"),
    ("GET /tenants/{tenant}/servers/{server}/health", "1 1 + 4 + +", ""),
    ("GET /tenants/{tenant}/sessions", "1 1 + 4 + +", ""),
    ("DELETE /tenants/{tenant}/sessions/{session}", "1 1 3 4 ? ?", ""),
    ("GET /tenants/{tenant}/snapshot", "1 1 + 4 + +", ""),
    ("GET /tenants/{tenant}/streams", "1 1 + 4 + +", ""),
    ("GET /tenants/{tenant}/toolsets", "1 1 + 4 + +", ""),
    ("POST /tenants/{tenant}/toolsets", "1 1 3 4 + +", r#"{"name":"new"}"#),
    ("GET /tenants/{tenant}/toolsets/{toolset}", "1 1 + 4 + +", ""),
    ("PUT /tenants/{tenant}/toolsets/{toolset}", "1 1 3 4 + +", "{}"),
    ("PATCH /tenants/{tenant}/toolsets/{toolset}", "1 1 3 4 + +", "{}"),
    ("DELETE /tenants/{tenant}/toolsets/{toolset}", "1 1 3 4 + +", ""),
];

/// What stands for the parameters of a path. `{id}` is an admin key of `acme`.
const PARAMETERS: &[(&str, &str)] = &[
    ("{tenant}", "acme"),
    ("{server}", "shop"),
    ("{toolset}", "default"),
    ("{issuer}", "corp"),
    ("{key}", NOTHING),
    ("{revocation}", NOTHING),
    ("{session}", NOTHING),
];

/// The id of nothing.
const NOTHING: &str = "0123456789abcdef0123456789abcdef";

fn listed() -> BTreeSet<String> {
    ROUTES.iter().map(|(route, ..)| (*route).to_owned()).collect()
}

/// The operations as the document has them.
fn documented() -> BTreeSet<String> {
    let paths = serde_json::to_value(document()).unwrap()["paths"].clone();
    let operations = |(path, item): (&String, &serde_json::Value)| -> Vec<String> {
        let below = path.strip_prefix(ROOT).unwrap_or(path).to_owned();
        let methods = item.as_object().unwrap().keys().filter(|key| {
            ["get", "put", "post", "patch", "delete", "head", "options", "trace"].contains(&key.as_str())
        });
        methods.map(|method| format!("{} {below}", method.to_uppercase())).collect()
    };
    paths.as_object().unwrap().iter().flat_map(operations).collect()
}

#[test]
fn every_operation_is_in_the_matrix() {
    let (listed, documented) = (listed(), documented());
    let new: Vec<_> = documented.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&documented).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "the admin API and its matrix (ROUTES in {}) differ.\nOperations that nobody has thought about, add a line for each: {new:#?}\n\
         Operations that are no more, remove their lines: {gone:#?}",
        file!()
    );
    assert_eq!(listed.len(), ROUTES.len(), "an operation has two lines");
}

/// The path with its parameters filled in, or with those of something that is not there.
fn filled(route: &str, key: &str, exists: bool) -> String {
    let mut path = route.replace("{id}", if exists { key } else { "0123456789abcdef0123456789abcdef" });
    for (parameter, value) in PARAMETERS {
        path = path.replace(parameter, if exists || *parameter != "{tenant}" { value } else { "nowhere" });
    }
    assert!(!path.contains('{'), "{route}: say in PARAMETERS what its parameters stand for");
    path
}

/// What somebody is told, with its headers and without the request's id.
fn bytes(answer: &Answer) -> (u16, Vec<u8>, Vec<String>) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id")
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    (answer.status, answer.body.clone(), headers)
}

#[tokio::test]
async fn everybody_comes_through_to_what_is_theirs_and_nowhere_else() {
    let mut wrong = Vec::new();
    for (route, expected, body) in ROUTES {
        let signs: Vec<_> = expected.split(' ').collect();
        assert_eq!(signs.len(), WHO.len(), "{route}: one sign for each of {WHO:?}");
        let guarded = Guarded::new().await;
        let acme = guarded.house.app.store.tenant_list().await.unwrap().remove(0);
        assert_eq!(acme.slug.as_str(), "acme");
        let (tenants_key, _) = guarded.house.key(acme.id);
        let subject: KeyId = guarded.key(viewer_of("acme")).await.row.id;
        let mut credentials = vec![None, Some(tenants_key)];
        for grant in [viewer_of("acme"), admin_of("umbrella"), admin_of("acme"), Grant::PlatformAdmin] {
            credentials.push(Some(guarded.key(grant).await.secret.expose_secret().to_owned()));
        }
        for ((who, credential), sign) in WHO.iter().zip(&credentials).zip(&signs) {
            let ask = async |exists: bool| {
                let line = filled(route, &subject.to_string(), exists);
                let body = if exists { (*body).to_owned() } else { body.replace("acme", "nowhere") };
                let bearer = credential.as_ref().map(|text| format!("Bearer {text}"));
                let mut headers = vec![("content-type", "application/json")];
                headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
                answer(&guarded.router, request(&line, &headers, &body)).await
            };
            let answer = ask(true).await;
            let is_right = match *sign {
                "+" => ![401, 403, 404].contains(&answer.status) && answer.status != 500,
                "?" => ![401, 403].contains(&answer.status) && answer.status != 500,
                "1" => answer.status == 401,
                "3" => answer.status == 403,
                "4" => answer.status == 404 && bytes(&answer) == bytes(&ask(false).await),
                other => panic!("{route}: `{other}` is no sign"),
            };
            if !is_right {
                let told = String::from_utf8_lossy(&answer.body).into_owned();
                wrong.push(format!("{route}, {who}: expected `{sign}`, told {} {told}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
