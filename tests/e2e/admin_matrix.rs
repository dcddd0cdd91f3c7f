//! Who may do what on the listener of admins: real keys of every kind against the real gateway, and how the first of them comes to
//! be. What each operation of the API demands is a table beside the API itself; here it is that nobody comes in beside the gate.

use std::fs;

use patchbay_e2e::{
    Ask, TestGateway,
    database::Postgres,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

const FIRST: &str = "pba_0123456789abcdef0123456789abcdef-e2e-tests";

fn ask(line: &str, key: Option<&str>) -> Ask {
    let (method, path) = line.split_once(' ').unwrap();
    let ask = Ask::new(method, format!("/admin/v1{path}"));
    match key {
        Some(key) => ask.bearer(key),
        None => ask,
    }
}

async fn status(gateway: &TestGateway, line: &str, key: Option<&str>) -> u16 {
    ask(line, key).send(gateway.admin).await.status
}

/// Makes an admin key and gives its id and its text.
async fn make(gateway: &TestGateway, role: &str, tenant: Option<&str>) -> (String, String) {
    let new = json!({ "label": "e2e", "role": role, "tenant": tenant });
    let post = ask("POST /admin-keys", Some(FIRST)).header("Content-Type", "application/json").body(new.to_string());
    let reply = post.send(gateway.admin).await;
    assert_eq!(reply.status, 201);
    let made = reply.json().await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

/// Waits until this first key has been put in.
async fn wait_for_first_key(gateway: &TestGateway) {
    wait_until("the first admin key opens", || async { status(gateway, "GET /me", Some(FIRST)).await == 200 }).await;
}

#[tokio::test]
async fn each_credential_opens_what_is_its_own_and_the_rest_is_on_record() {
    let setup = TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .tenant(tenant("umbrella", [("one", scripted(&["--no-odd"]))]));
    let gateway = setup.first_admin_key(FIRST).start().await;
    wait_for_first_key(&gateway).await;
    let (_, viewer) = make(&gateway, "tenant_viewer", Some("acme")).await;
    let (_, admin) = make(&gateway, "tenant_admin", Some("acme")).await;
    let (_, other) = make(&gateway, "tenant_admin", Some("umbrella")).await;
    let tenants_key = gateway.key("acme").to_owned();
    let who = [None, Some(&*tenants_key), Some(&*viewer), Some(&*other), Some(&*admin), Some(FIRST)];
    for (line, expected) in [
        ("GET /me", [401, 401, 200, 200, 200, 200]),
        ("GET /tenants", [401, 401, 200, 200, 200, 200]),
        ("GET /tenants/acme", [401, 401, 200, 404, 200, 200]),
        ("GET /tenants/nowhere", [401, 401, 404, 404, 404, 404]),
        ("GET /admin-keys", [401, 401, 403, 200, 200, 200]),
        ("DELETE /tenants/acme", [401, 401, 403, 403, 403, 428]),
        ("GET /nothing", [401, 401, 404, 404, 404, 404]),
    ] {
        let mut told = Vec::new();
        for key in who {
            told.push(status(&gateway, line, key).await);
        }
        assert_eq!(told, expected, "{line}");
    }
    let bodies = async |line: &str| ask(line, Some(&other)).send(gateway.admin).await.text().await;
    assert_eq!(bodies("GET /tenants/acme").await, bodies("GET /tenants/nowhere").await);
    let listed = ask("GET /tenants", Some(&other)).send(gateway.admin).await.json().await;
    assert_eq!(listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect::<Vec<_>>(), ["umbrella"]);

    // Admin keys open nothing where clients are, and nothing of the admin API is there or where operators are.
    let client = patchbay_e2e::Client::modern(gateway.address, "/t/acme/mcp", Some(FIRST));
    assert_eq!(client.ask("tools/list", json!({})).send(gateway.address).await.status, 401);
    for elsewhere in [gateway.address, gateway.operations] {
        assert_eq!(ask("GET /me", Some(FIRST)).send(elsewhere).await.status, 404);
    }
    for (header, value, expected) in
        [("Host", "evil.example", 403), ("Origin", "http://localhost:3000", 403), ("Host", "localhost:1", 200)]
    {
        let asked = ask("GET /me", Some(FIRST)).header(header, value).send(gateway.admin).await;
        assert_eq!(asked.status, expected, "{header}: {value}");
        assert_eq!(asked.header("x-content-type-options"), Some("nosniff"));
        assert!(asked.header("access-control-allow-origin").is_none());
    }
    let plain = ask("POST /admin-keys", Some(FIRST)).header("Content-Type", "text/plain").body("{}");
    assert_eq!(plain.send(gateway.admin).await.status, 415);

    let refused = ask("DELETE /tenants/umbrella", Some(&viewer)).send(gateway.admin).await;
    let id = refused.header("x-request-id").unwrap().to_owned();
    wait_until("the refusal is on record", || async {
        let record = |record: &Value| {
            record["event"] == id.as_str()
                && record["action"] == "admin.refused"
                && record["actor"]["kind"] == "admin_key"
                && record["rule"] == "DELETE /tenants/umbrella"
                && (record["status"].clone(), record["reason"].clone()) == (json!(403), json!("role"))
        };
        gateway.audit().await.iter().any(record)
    })
    .await;
    let made = gateway
        .audit()
        .await
        .into_iter()
        .filter(|record| record["action"] == "config.update" && record["actor"]["kind"] == "admin_key");
    assert_eq!(made.count(), 3, "each key that was made has its record");
}

#[tokio::test]
async fn the_first_key_is_shown_once_and_found_nowhere() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let mark = "admin key (shown once): ";
    wait_until("the key is shown", || async { gateway.written().contains(mark) }).await;
    let written = gateway.written();
    let key = written.split(mark).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(status(&gateway, "GET /me", Some(&key)).await, 200);
    assert!(!gateway.log().contains(&key), "it is on standard output alone");
    let home = gateway.stop();
    for entry in fs::read_dir(home.path("data")).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!found, "the key is in {}", entry.path().display());
    }
}

#[tokio::test]
async fn a_second_start_shows_no_key() {
    let setup = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]));
    let mut gateway = setup.first_admin_key(FIRST).start().await;
    wait_for_first_key(&gateway).await;
    gateway.terminate();
    gateway.ended();
    let again = gateway.again().await;
    wait_for_first_key(&again).await;
    assert!(!again.written().contains("admin key"), "{}", again.written());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_at_one_replica_is_refused_by_the_other_at_once() {
    let Some(database) = Postgres::fresh().await else { return };
    let acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    let one = TestGateway::setup().first_admin_key(FIRST).postgres(&database).tenant(acme).start().await;
    let two = TestGateway::setup().first_admin_key(FIRST).postgres(&database).start().await;
    for gateway in [&one, &two] {
        wait_for_first_key(gateway).await;
    }
    let (id, key) = make(&one, "tenant_admin", Some("acme")).await;
    assert_eq!(status(&two, "GET /tenants/acme", Some(&key)).await, 200);
    let revoke = ask(&format!("DELETE /admin-keys/{id}"), Some(FIRST)).header("If-Match", "*");
    assert_eq!(revoke.send(one.admin).await.status, 204);
    assert_eq!(status(&two, "GET /tenants/acme", Some(&key)).await, 401);

    // A request with the same key for doing it once is known to both.
    let new = json!({ "label": "once", "role": "tenant_viewer", "tenant": "acme" }).to_string();
    let post = ask("POST /admin-keys", Some(FIRST))
        .header("Idempotency-Key", "7")
        .header("Content-Type", "application/json")
        .body(new);
    let first = post.send(one.admin).await.json().await;
    let again = post.send(two.admin).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json().await, first);
    drop((one, two));
    database.clear().await;
}
