//! What admins are told of a running gateway: how servers are and when they are tried again, what of them is shown and why not, which
//! sessions are open. And what they may have done: a server asked now, a session ended.

use patchbay_e2e::{
    Ask, Fixture, TestGateway, Wire,
    programs::program,
    setup::{Setup, scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

const KEY: &str = "pba_0123456789abcdef0123456789abcdef-e2e-tests";
const SECRET: &str = "s3cr3t-value-of-a-child";

/// Starts it, and waits until its admin key opens.
async fn start(setup: Setup) -> TestGateway {
    let gateway = setup.first_admin_key(KEY).start().await;
    wait_until("the admin key opens", || async {
        Ask::get("/admin/v1/me").bearer(KEY).send(gateway.admin).await.status == 200
    })
    .await;
    gateway
}

async fn ask(gateway: &TestGateway, method: &str, path: &str) -> (u16, String) {
    let reply = Ask::new(method, format!("/admin/v1{path}")).bearer(KEY).send(gateway.admin).await;
    (reply.status, reply.text().await)
}

async fn get(gateway: &TestGateway, path: &str) -> Value {
    let (status, text) = ask(gateway, "GET", path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn refresh(gateway: &TestGateway, server: &str) -> Value {
    let (status, text) = ask(gateway, "POST", &format!("/tenants/acme/servers/{server}/catalog/refresh")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_dead_server_says_when_it_is_tried_again_and_a_refresh_brings_its_new_tools_at_once() {
    let (first, second) = (Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--tools", "1"]));
    let wire = Wire::to(first.address).await;
    let servers = [("one", first.server_through(&wire)), ("two", scripted(&["--no-odd"]))];
    let gateway = start(TestGateway::setup().tenant(tenant("acme", servers))).await;
    let client = gateway.modern("acme");
    assert!(!client.tools().await.contains(&"one_tool_0001".to_owned()));
    let well = get(&gateway, "/tenants/acme/servers/one/health").await;
    assert_eq!((&well["state"], &well["failures"], &well["last_error"]), (&json!("up"), &json!(0), &Value::Null));
    assert_eq!((&well["speaks"]["era"], &well["catalog"]["stale"]), (&json!("legacy"), &json!(false)));

    wire.cut();
    // Each doubles the time after which it would be asked again by itself.
    for _ in 0..6 {
        let told = refresh(&gateway, "one").await;
        assert_eq!((&told["answered"], &told["changed"].is_boolean()), (&json!(false), &true), "{told}");
        assert!(told["error"].as_str().unwrap().contains("server"), "{told}");
    }
    let dead = get(&gateway, "/tenants/acme/servers/one/health").await;
    assert_eq!((&dead["state"], &dead["catalog"]["stale"]), (&json!("down"), &json!(true)));
    assert!(dead["failures"].as_u64().unwrap() >= 6 && dead["last_error"].is_string(), "{dead}");
    let (failed, retried) = (dead["last_failure"]["at"].as_str().unwrap(), dead["next_retry"].as_str().unwrap());
    assert!(retried > failed, "it is tried again at {retried}, and failed at {failed}");
    let down = get(&gateway, "/tenants/acme/health?state=down").await;
    assert_eq!(down["items"].as_array().unwrap().len(), 1, "its neighbour is well: {down}");

    wire.lead_to(second.address);
    wire.mend();
    let told = refresh(&gateway, "one").await;
    assert_eq!(told["answered"], true, "{told}");
    assert!(client.tools().await.contains(&"one_tool_0001".to_owned()), "what was read is in force when it is told");
    let well = get(&gateway, "/tenants/acme/servers/one/health").await;
    assert_eq!((&well["state"], &well["failures"], &well["next_retry"]), (&json!("up"), &json!(0), &Value::Null));
}

#[tokio::test]
async fn what_a_child_wrote_to_its_standard_error_is_shown_without_its_secrets() {
    let fixture = program("fixture-scripted");
    let talks = format!("echo \"the token is $TOKEN.\" >&2; exec '{}' --stdio --no-odd", fixture.display());
    let shell = |script: &str| json!({ "path": "/bin/sh", "args_prefix": ["-c", script] });
    let commands =
        json!({ "commands": { "talks": shell(&talks), "dies": shell("echo \"no luck with $TOKEN\" >&2; exit 3") } });
    let server = |command: &str| json!({ "command": command, "env": { "TOKEN": SECRET } });
    let servers = [("talks", server("talks")), ("dies", server("dies"))];
    let gateway = start(TestGateway::setup().set("stdio", commands).tenant(tenant("acme", servers))).await;

    let path = |server: &str| format!("/tenants/acme/servers/{server}/health");
    let well = get(&gateway, &path("talks")).await;
    assert_eq!((&well["state"], &well["children"]["running"]), (&json!("up"), &json!(1)), "{well}");
    assert_eq!(well["stderr_tail"], json!(["the token is [redacted]."]));
    wait_until("the other one has failed", || async { get(&gateway, &path("dies")).await["state"] == "down" }).await;
    let dead = get(&gateway, &path("dies")).await;
    assert!(dead["children"]["failures"].as_u64().unwrap() > 0 && dead["next_retry"].is_string(), "{dead}");
    assert_eq!(dead["stderr_tail"][0], "no luck with [redacted]");
    for path in ["/tenants/acme/health", "/tenants/acme/servers/dies/health", "/tenants/acme/servers/talks/catalog"] {
        assert!(!ask(&gateway, "GET", path).await.1.contains(SECRET), "{path}");
    }
    assert!(!ask(&gateway, "POST", "/tenants/acme/servers/dies/catalog/refresh").await.1.contains(SECRET));
}

#[tokio::test]
async fn the_catalog_says_of_each_tool_where_it_is_shown_and_why_not() {
    let mut acme = tenant("acme", [("one", scripted(&[])), ("two", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["tools"] = json!({ "deny": ["die"] });
    acme["toolsets"] =
        json!({ "default": {}, "small": { "servers": ["one"], "tools": { "allow": ["one/e*"] }, "tools_max": 2 } });
    let gateway = start(TestGateway::setup().tenant(acme)).await;
    let catalog = get(&gateway, "/tenants/acme/servers/one/catalog?limit=1000").await;
    let items = catalog["items"].as_array().unwrap();
    let of = |native: &str| items.iter().find(|item| item["native"] == native).unwrap();
    let small = |native: &str| of(native)["toolsets"].as_array().unwrap()[1].clone();
    assert_eq!(of("odd_no_schema")["left_out"]["reason"], "invalid");
    assert_eq!(small("die")["left_out"]["reason"], "server_rules");
    assert_eq!(small("slow")["left_out"]["reason"], "toolset_rules");
    // echo, elicit and env; two of them fit.
    assert_eq!(
        (&small("echo")["name"], &small("env")["left_out"]["reason"]),
        (&json!("one_echo"), &json!("tools_max"))
    );

    // What it says is what clients see.
    let mut shown: Vec<&str> = items.iter().filter_map(|item| item["toolsets"][0]["name"].as_str()).collect();
    shown.sort_unstable();
    let seen = gateway.modern("acme").tools().await;
    let own: Vec<&str> = seen.iter().map(String::as_str).filter(|name| name.starts_with("one_")).collect();
    assert_eq!(shown, own);
    let dropped = get(&gateway, "/tenants/acme/servers/one/catalog?dropped=true&toolset=default&limit=1000").await;
    assert_eq!(dropped["items"].as_array().unwrap().len() + own.len(), items.len());
    let snapshot = get(&gateway, "/tenants/acme/snapshot").await;
    assert_eq!(
        (&snapshot["current"], &snapshot["in_force"]["toolsets"][1]["tools_dropped"]),
        (&json!(true), &json!(1))
    );
}

#[tokio::test]
async fn a_state_of_which_no_snapshot_can_be_built_is_named_while_the_last_one_serves() {
    let gateway = start(TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))).await;
    let before = get(&gateway, "/tenants/acme/snapshot").await;
    let mut refused = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    refused["toolsets"] = json!({ "default": { "tools_max": 1, "overflow": "refuse" } });
    gateway.apply(&refused);
    wait_until("the error is told", || async {
        get(&gateway, "/tenants/acme/snapshot").await["build_error"].is_object()
    })
    .await;
    let after = get(&gateway, "/tenants/acme/snapshot").await;
    assert!(after["build_error"]["detail"].as_str().unwrap().contains("tools_max"), "{after}");
    assert_eq!(
        (&after["current"], &after["in_force"]["generation"]),
        (&json!(false), &before["in_force"]["generation"])
    );
    assert!(!gateway.modern("acme").tools().await.is_empty());
}

#[tokio::test]
async fn a_session_that_an_admin_ended_is_gone_for_its_client_alone() {
    let gateway = start(TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))).await;
    let (mine, other) = (gateway.legacy("acme").await, gateway.legacy("acme").await);
    assert!(!mine.call("one_echo", json!({})).await.is_error());
    let listed = get(&gateway, "/tenants/acme/sessions").await;
    assert_eq!((&listed["count"], listed["items"].as_array().unwrap().len()), (&json!(2), 2), "{listed}");
    assert_eq!(listed["items"][0]["principal"]["kind"], "key");
    let mut ended = 0;
    // Which is whose cannot be seen from outside: the first that is ended leaves one of the two.
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(ask(&gateway, "DELETE", &format!("/tenants/acme/sessions/{id}")).await.0, 204);
    for client in [&mine, &other] {
        let reply = client.ask_tool("one_echo", json!({})).send(gateway.address).await;
        ended += u32::from(reply.status == 404);
    }
    assert_eq!(ended, 1);
    assert_eq!(get(&gateway, "/tenants/acme/sessions").await["count"], 1);
    assert!(!gateway.modern("acme").call("one_echo", json!({})).await.is_error());
    wait_until("it is in the audit", || async {
        gateway
            .audit()
            .await
            .iter()
            .any(|record| record["action"] == "session.end" && record["actor"]["kind"] == "admin_key")
    })
    .await;
}

#[tokio::test]
async fn the_gateway_says_what_it_is_and_what_runs() {
    let gateway = start(TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))).await;
    let said = get(&gateway, "/gateway").await;
    assert_eq!((&said["state"], &said["limits"]), (&json!("serving"), &json!("memory")));
    assert_eq!(said["listeners"]["admin"], json!(gateway.admin.to_string()));
    let client = gateway.legacy("acme").await;
    let call = tokio::spawn(async move { client.call("one_hang", json!({})).await.status });
    wait_until("the call is seen", || async {
        let streams = get(&gateway, "/tenants/acme/streams").await;
        streams["running"] == 1 && streams["legacy_calls"] == 1 && streams["servers"][0]["server"] == "one"
    })
    .await;
    call.abort();
}
