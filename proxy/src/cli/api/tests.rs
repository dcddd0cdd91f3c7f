use http::header;
use patchbay_config::Environment;
use patchbay_store::{OpenOptions, Vault};
use serde_json::json;

use super::*;

/// The operations over an empty store.
async fn api() -> Api {
    let store = patchbay_store::open("sqlite::memory:", Vault::new(1, [7; 32]), OpenOptions::default()).await.unwrap();
    Api::over(store, patchbay_config::load(None, &Environment::default()).unwrap())
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

async fn make(api: &Api, names: &[&str]) {
    for name in names {
        api.ask(Ask::post("/tenants", &json!({ "name": name }))).await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_there_is_named_with_those_that_are() {
    let api = api().await;
    let told = api.tenant(&slug("acem")).await.unwrap_err().to_string();
    assert!(told.starts_with("there is no tenant `acem`, and no other"), "{told}");
    make(&api, &["acme", "globex"]).await;
    for path in ["", "/document", "/keys", "/keys/00", "/audit"] {
        let told = api.in_tenant(&slug("acem"), Ask::get(format!("/tenants/acem{path}"))).await.unwrap_err();
        assert_eq!(told.to_string(), "there is no tenant `acem`; there are: acme, globex", "{path}");
    }
    // What is missing of a tenant that is there is told as it is.
    let told = api.in_tenant(&slug("acme"), Ask::get("/tenants/acme/keys/00")).await.unwrap_err();
    assert!(told.downcast_ref::<Trouble>().unwrap().is(404) && !told.to_string().contains("no tenant"), "{told}");
}

#[tokio::test]
async fn lists_are_read_to_their_end() {
    let api = api().await;
    let names: Vec<String> = (0..1003).map(|number| format!("t{number:04}")).collect();
    make(&api, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let listed: Vec<Tenant> = api.all(|| Ask::get("/tenants")).await.unwrap();
    assert_eq!(listed.iter().map(|tenant| tenant.name.to_string()).collect::<Vec<_>>(), names);
    let some: Vec<Tenant> = api.all(|| Ask::get("/tenants").with("prefix", Some("t000"))).await.unwrap();
    assert_eq!(some.len(), 10);
}

#[tokio::test]
async fn what_a_gateway_alone_knows_is_said_to_need_one() {
    let api = api().await;
    make(&api, &["acme"]).await;
    let told = api.ask(Ask::get("/tenants/acme/health")).await.unwrap_err();
    assert!(told.to_string().contains("--server URL"), "{told}");
}

#[tokio::test]
async fn fields_that_are_wrong_are_told_all_at_once() {
    let api = api().await;
    make(&api, &["acme"]).await;
    let wrong = json!({ "label": "", "toolsets": ["none"], "expires_days": 0 });
    let told = api.ask(Ask::post("/tenants/acme/keys", &wrong)).await.unwrap_err();
    assert!(told.is(422) && told.is_at("/toolsets") && told.is_at("/label") && told.is_at("/expires_days"), "{told}");
    assert_eq!(told.to_string().lines().count(), 4, "{told}");
}

#[tokio::test]
async fn an_export_comes_piece_by_piece() {
    let api = api().await;
    make(&api, &["acme"]).await;
    let mut flow = api.flow_in_tenant(&slug("acme"), Ask::get("/tenants/acme/audit/export")).await.unwrap();
    assert_eq!(flow.headers.get(header::CONTENT_TYPE).unwrap(), "application/x-ndjson");
    assert_eq!(flow.headers.get("patchbay-unchained-records").unwrap(), "0");
    let mut text = Vec::new();
    while let Some(piece) = flow.next().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(text).unwrap().lines().any(|line| line.contains(r#""type":"record""#)));
    let told = api.flow_in_tenant(&slug("acem"), Ask::get("/tenants/acem/audit/export")).await.err().unwrap();
    assert!(told.to_string().contains("there are: acme"), "{told}");
}

#[test]
fn what_is_asked_survives_its_way_through_the_url() {
    let ask = Ask::get(format!("/tenants/acme/sessions/{}", segment("a/b?c#ü")));
    let ask = ask.with("principal", Some("corp:a&b=c d/ü")).with("kind", None::<&str>).with("limit", Some(5));
    let target = ask.target();
    assert_eq!(target, "/admin/v1/tenants/acme/sessions/a%2Fb%3Fc%23%C3%BC?principal=corp%3Aa%26b%3Dc+d%2F%C3%BC&limit=5");
    target.parse::<http::Uri>().unwrap();
    assert_eq!(Ask::get("/me").target(), "/admin/v1/me");
}
