//! The admin API against its own document: schemathesis asks the real gateway for whatever the OpenAPI document allows, and for much
//! that it does not, once in each role and once as nobody. No answer may be one that the document does not have, and none a fault
//! of ours. What is not tried has its reason in `tests/clients/python/schemathesis.toml`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use patchbay_e2e::{
    Ask, TestGateway,
    database::Postgres,
    installed::{source, variable},
    process::{Running, command},
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const FIRST: &str = "pba_0123456789abcdef0123456789abcdef-e2e-tests";
/// Examples of each operation in each phase, unless `PATCHBAY_TEST_ADMIN_API_EXAMPLES` says otherwise.
const EXAMPLES: &str = "12";
/// What makes a run come again, unless `PATCHBAY_TEST_ADMIN_API_SEED` says otherwise.
const SEED: &str = "20261121";
/// A run that takes longer is stuck.
const RUN_TIME_MAX: Duration = Duration::from_secs(600);

/// A gateway with three tenants, two of which nobody needs any more; on this database, or on SQLite.
async fn gateway(database: Option<&Postgres>) -> TestGateway {
    let whole = |name: &str| {
        let mut tenant = tenant(name, [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))]);
        tenant["toolsets"] = json!({ "default": {}, "reading": { "servers": ["one"], "prefix": "never" } });
        tenant["issuers"] = json!({ "corp": { "issuer": "https://login.example.com" } });
        tenant
    };
    let setup = TestGateway::setup().tenant(whole("acme")).tenant(whole("umbrella")).tenant(whole("spare"));
    let setup = match database {
        Some(database) => setup.postgres(database),
        None => setup,
    };
    let gateway = setup.first_admin_key(FIRST).at_once().start().await;
    wait_until("the first admin key opens", || async { me(&gateway, FIRST).await.status == 200 }).await;
    gateway
}

async fn me(gateway: &TestGateway, key: &str) -> patchbay_e2e::Reply {
    Ask::get("/admin/v1/me").bearer(key).send(gateway.admin).await
}

/// Makes an admin key and gives its id and its text.
async fn make(gateway: &TestGateway, role: &str, tenant: Option<&str>) -> (String, String) {
    let new = json!({ "label": "schemathesis", "role": role, "tenant": tenant });
    let post = Ask::new("POST", "/admin/v1/admin-keys").bearer(FIRST).header("Content-Type", "application/json");
    let made = post.body(new.to_string()).send(gateway.admin).await.json().await;
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    (text("id"), text("key"))
}

fn python() -> Option<PathBuf> {
    variable("PATCHBAY_TEST_PY_SCHEMATHESIS")
}

fn chosen(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

/// Lets schemathesis ask with this key, whose id it may not revoke; or as nobody.
async fn try_out(python: &Path, gateway: &TestGateway, key: Option<(&str, &str)>) {
    let (examples, seed) =
        (chosen("PATCHBAY_TEST_ADMIN_API_EXAMPLES", EXAMPLES), chosen("PATCHBAY_TEST_ADMIN_API_SEED", SEED));
    let folder = TempDir::with_prefix("patchbay-e2e-").unwrap();
    let config = source("python").join("schemathesis.toml");
    let url = format!("http://{}/admin/v1/openapi.json", gateway.admin);
    let mut args = vec!["-m", "schemathesis.cli", "--config-file", config.to_str().unwrap(), "run", &url];
    args.extend(["--max-examples", &examples, "--seed", &seed, "--continue-on-failure"]);
    args.extend(["--generation-database", "none", "--request-timeout", "30"]);
    let bearer = key.map(|(_, text)| format!("Authorization: Bearer {text}"));
    match &bearer {
        Some(bearer) => args.extend(["-H", bearer]),
        // Nobody gets as far as to a method: a credential that is made up is refused before (400, if it is none at all).
        None => args.extend(["--exclude-checks", "unsupported_method"]),
    }
    let mut command = command(python, args);
    command
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", source("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_COLOR", "1")
        .env("HOME", folder.path())
        .current_dir(folder.path());
    if let Some((id, _)) = key {
        command.env("ADMIN_API_OWN_KEY", id);
    }
    let (mut running, end) = (Running::start(&mut command), Instant::now() + RUN_TIME_MAX);
    let code = loop {
        if let Some(status) = running.status() {
            break status.code();
        }
        assert!(Instant::now() < end, "schemathesis does not come to its end: {}", running.out());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let (out, err) = running.collected();
    assert_eq!(code, Some(0), "{out}\n{err}");
}

/// The same as one role, whose key is still good at the end.
async fn try_out_as(role: &str, tenant: Option<&str>, database: Option<&Postgres>) {
    let Some(python) = python() else { return };
    let gateway = gateway(database).await;
    let (id, key) = make(&gateway, role, tenant).await;
    try_out(&python, &gateway, Some((&id, &key))).await;
    assert_eq!(me(&gateway, &key).await.status, 200, "what was tried was tried as {role}");
}

#[tokio::test]
async fn a_platform_admin_of_a_gateway_on_postgres_meets_nothing_that_the_document_does_not_say() {
    let Some(database) = Postgres::fresh().await else { return };
    try_out_as("platform_admin", None, Some(&database)).await;
    database.clear().await;
}

#[tokio::test]
async fn an_admin_of_a_tenant_meets_nothing_that_the_document_does_not_say() {
    try_out_as("tenant_admin", Some("acme"), None).await;
}

#[tokio::test]
async fn a_viewer_of_a_tenant_meets_nothing_that_the_document_does_not_say() {
    try_out_as("tenant_viewer", Some("acme"), None).await;
}

#[tokio::test]
async fn nobody_meets_nothing_that_the_document_does_not_say() {
    let Some(python) = python() else { return };
    try_out(&python, &gateway(None).await, None).await;
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_open_to_all_with_its_reference() {
    let gateway = gateway(None).await;
    let page = Ask::get("/").send(gateway.admin).await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let page = String::from_utf8(page.bytes().await.unwrap().to_vec()).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Patchbay admin API"));
    let document: Value = Ask::get("/admin/v1/openapi.json").send(gateway.admin).await.json().await;
    assert_eq!(document["openapi"], "3.1.0");
    let Some(python) = python() else { return };
    let folder = TempDir::with_prefix("patchbay-e2e-").unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let args = ["-m", "openapi_spec_validator", "--errors", "all", "--schema", "3.1"].map(std::ffi::OsString::from);
    patchbay_e2e::process::run(&mut command(&python, args.into_iter().chain([file.into_os_string()]))).good();
}
