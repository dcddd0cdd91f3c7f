//! Where an issuer's metadata is looked for, and what of it counts.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    key,
    server::{Plain, Reply, Server},
    set_of, spec,
};
use crate::keys::IssuerKeys;

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// A server with keys, and what its metadata says when it calls itself by this path.
async fn server(path: &str) -> (Server, Value) {
    let server = Server::start().await;
    server.set("/jwks", set_of(&[key("a")]));
    let url = &server.url;
    let metadata = json!({
        "issuer": format!("{url}{path}"),
        "jwks_uri": format!("{url}/jwks"),
        "introspection_endpoint": format!("{url}/introspect"),
    });
    (server, metadata)
}

fn keys(members: Value) -> Arc<IssuerKeys> {
    IssuerKeys::new(&spec(members), Arc::new(Plain))
}

/// The reason why the keys of the issuer cannot be had.
async fn refusal(keys: &Arc<IssuerKeys>) -> String {
    keys.for_kid(None).await.unwrap_err().0.to_string()
}

#[tokio::test]
async fn an_issuer_without_a_path_is_looked_for_at_two_places() {
    for path in ["", "/"] {
        let (server, metadata) = server(path).await;
        let keys = keys(json!({"issuer": metadata["issuer"]}));
        assert!(refusal(&keys).await.contains("HTTP 404"));
        assert_eq!(server.paths(), [OAUTH, OPENID]);
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_is_looked_for_at_three_places() {
    for path in ["/realms/one", "/realms/one/"] {
        let (server, metadata) = server(path).await;
        let appended = format!("/realms/one{OPENID}");
        server.set(&appended, Reply::json(&metadata));
        let keys = keys(json!({"issuer": metadata["issuer"]}));
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
        let inserted = [format!("{OAUTH}/realms/one"), format!("{OPENID}/realms/one")];
        assert_eq!(server.paths(), [&*inserted[0], &*inserted[1], &*appended, "/jwks"]);
    }
}

#[tokio::test]
async fn each_place_serves_and_later_ones_are_then_not_asked() {
    for (path, place) in [
        ("", OAUTH.to_owned()),
        ("", OPENID.to_owned()),
        ("/t", format!("{OAUTH}/t")),
        ("/t", format!("{OPENID}/t")),
        ("/t", format!("/t{OPENID}")),
    ] {
        let (server, metadata) = server(path).await;
        server.set(&place, Reply::json(&metadata));
        let keys = keys(json!({"issuer": metadata["issuer"]}));
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"), "{place}");
        assert_eq!(server.paths().into_iter().rev().take(2).collect::<Vec<_>>(), ["/jwks", &*place]);
    }
}

#[tokio::test]
async fn a_given_place_is_the_only_one() {
    let (server, metadata) = server("").await;
    server.set(OAUTH, Reply::json(&metadata));
    let keys = keys(json!({"issuer": server.url, "metadata_url": format!("{}/elsewhere?a=b", server.url)}));
    assert!(refusal(&keys).await.contains("/elsewhere"));
    assert_eq!(server.paths(), ["/elsewhere?a=b"]);
}

#[tokio::test]
async fn given_keys_need_no_metadata() {
    let (server, _) = server("").await;
    let keys = keys(json!({"issuer": "not a url", "jwks_url": format!("{}/jwks", server.url)}));
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    assert_eq!(server.paths(), ["/jwks"]);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused_with_the_reason() {
    for theirs in ["https://evil.test", "{url}/", "{url}/T", ""] {
        let (server, metadata) = server("/t").await;
        let theirs = theirs.replace("{url}", &server.url);
        let mut forged = metadata.clone();
        forged["issuer"] = json!(theirs);
        server.set(&format!("{OAUTH}/t"), Reply::json(&forged));
        let keys = keys(json!({"issuer": metadata["issuer"]}));
        let said = refusal(&keys).await;
        assert!(said.contains(&format!("of the issuer {theirs:?}")) && said.contains("exactly"), "{said}");
        assert_eq!(server.count("/jwks"), 0);
    }
}

#[tokio::test]
async fn what_is_no_metadata_of_the_issuer_is_passed_over() {
    let (server, metadata) = server("").await;
    let other = json!({"issuer": "https://evil.test", "jwks_uri": "https://evil.test/jwks"});
    let huge = format!("{metadata}{}", " ".repeat(64 * 1024));
    for reply in [
        Reply::new(500, metadata.to_string()),
        Reply::new(302, "").header("location", &format!("{}/jwks", server.url)),
        Reply::new(204, ""),
        Reply::new(200, "<html>"),
        Reply::new(200, "[]"),
        Reply::new(200, "{}"),
        Reply::new(200, huge),
        Reply::json(&other),
        Reply::json(&json!({"issuer": server.url})),
    ] {
        server.set(OAUTH, reply);
        server.set(OPENID, Reply::json(&metadata));
        let keys = keys(json!({"issuer": server.url}));
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    }
}

#[tokio::test]
async fn nobody_answering_ends_the_search_and_is_remembered() {
    let (server, metadata) = server("").await;
    server.set(OAUTH, Reply::nothing());
    server.set(OPENID, Reply::json(&metadata));
    let keys = keys(json!({"issuer": server.url}));
    let said = refusal(&keys).await;
    assert!(said.contains("no answer"), "{said}");
    assert_eq!(refusal(&keys).await, said);
    assert_eq!(server.paths(), [OAUTH]);
    assert_eq!(keys.status().last_error.as_deref(), Some(&*said));
}

#[tokio::test]
async fn endpoints_are_absolute_urls_with_hosts_and_without_passwords() {
    for uri in [json!("/jwks"), json!("jwks"), json!("file:///etc/passwd"), json!("http://u:p@127.0.0.1/"), json!(5)] {
        let (server, mut metadata) = server("").await;
        metadata["jwks_uri"] = uri.clone();
        server.set(OAUTH, Reply::json(&metadata));
        let said = refusal(&keys(json!({"issuer": server.url}))).await;
        assert!(said.contains("`jwks_uri`"), "{uri}: {said}");
        assert_eq!(server.paths(), [OAUTH, OPENID], "a later document may know better");
    }
}

#[tokio::test]
async fn metadata_is_asked_for_once_for_keys_and_introspection() {
    let (server, metadata) = server("").await;
    server.set(OPENID, Reply::json(&metadata));
    let keys = keys(json!({"issuer": server.url, "introspection": {"client_id": "gateway"}}));
    keys.for_kid(None).await.unwrap();
    let endpoint = keys.introspection_url().await.unwrap();
    assert_eq!(endpoint.path(), "/introspect");
    assert_eq!((server.count(OPENID), server.count("/jwks")), (1, 1));
}

#[tokio::test]
async fn an_issuer_of_opaque_tokens_needs_no_keys() {
    let (server, mut metadata) = server("").await;
    metadata.as_object_mut().unwrap().remove("jwks_uri");
    server.set(OPENID, Reply::json(&metadata));
    let keys = keys(json!({"issuer": server.url, "introspection": {"client_id": "gateway"}}));
    assert!(keys.introspection_url().await.is_ok());
    assert!(refusal(&keys).await.contains("has no `jwks_uri`"));
    metadata.as_object_mut().unwrap().remove("introspection_endpoint");
    let other = Server::start().await;
    other.set(OPENID, Reply::json(&json!({"issuer": other.url, "jwks_uri": format!("{}/jwks", other.url)})));
    let keys = self::keys(json!({"issuer": other.url, "introspection": {"client_id": "gateway"}}));
    assert!(keys.introspection_url().await.unwrap_err().0.contains("has no `introspection_endpoint`"));
}

#[tokio::test]
async fn what_is_no_url_is_said_and_nobody_is_asked() {
    for (members, word) in [
        (json!({"issuer": "accounts"}), "give `metadata_url`"),
        (json!({"issuer": "mailto:a@b.c"}), "give `metadata_url`"),
        (json!({"issuer": "https://i.test", "metadata_url": "/relative"}), "`metadata_url` must"),
        (json!({"issuer": "https://i.test", "jwks_url": "relative"}), "`jwks_url` must"),
    ] {
        let said = refusal(&keys(members)).await;
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn keys_that_moved_are_found_at_their_new_place() {
    let (server, mut metadata) = server("").await;
    server.set(OAUTH, Reply::json(&metadata).header("cache-control", "max-age=3600"));
    let keys = keys(json!({"issuer": server.url}));
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    server.set("/jwks", Reply::new(404, ""));
    server.set("/moved", set_of(&[key("b")]));
    metadata["jwks_uri"] = json!(format!("{}/moved", server.url));
    server.set(OAUTH, Reply::json(&metadata));
    assert!(!keys.for_kid(Some("b")).await.unwrap().has("b"), "the old place does not answer");
    super::later(31 * super::SECOND).await;
    assert!(keys.for_kid(Some("b")).await.unwrap().has("b"));
    assert_eq!(keys.status().source_url, Some(format!("{}/moved", server.url)));
}
