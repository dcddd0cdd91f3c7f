//! What callers and operators are told: names, headers, what is left, what would be refused; and floods that come without a
//! credential, or with wrong ones.

use patchbay_e2e::{Client, Fixture, TestGateway, wait_until};
use serde_json::{Value, json};

use super::{limited, rate};

#[tokio::test]
async fn answers_say_how_much_is_left_where_the_operator_wants_it() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let acme =
        limited(&fixture, json!({ "rules": { "few": { "by": ["principal"], "count": 1, "per_s": 60, "burst": 4 } } }));
    let gateway = TestGateway::setup().set("limits", json!({ "headers": true })).tenant(acme).at_once().start().await;
    let client = gateway.modern("acme");
    let mut left = Vec::new();
    let refused = loop {
        let reply = client.ask("tools/list", json!({})).send(gateway.address).await;
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""few";q=1;w=60"#));
        let limit = reply.header("ratelimit").unwrap().to_owned();
        if reply.status == 429 {
            break (reply, limit);
        }
        left.push(limit.split_once("r=").unwrap().1.split(';').next().unwrap().parse::<u32>().unwrap());
        assert!(left.len() < 10, "the limit never refuses");
    };
    assert!(left.is_sorted_by(|one, next| one > next) && left.last() == Some(&0), "{left:?}");
    assert!(refused.1.starts_with(r#""few";r=0;t="#), "{}", refused.1);
    let body = refused.0.json().await;
    assert_eq!((&body["error"]["code"], &body["error"]["data"]["limit"]), (&json!(42901), &json!("few")), "{body}");
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_tells_whom_it_would() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let mut rule = rate(&["principal", "tool"], 1, 1);
    rule["dry_run"] = json!(true);
    let gateway = TestGateway::setup().tenant(limited(&fixture, json!({ "rules": { "trial": rule } }))).start().await;
    let client = gateway.modern("acme");
    for _ in 0..5 {
        assert_eq!(client.request("tools/call", json!({ "name": "one_echo", "arguments": {} })).await.status, 200);
    }
    let metrics = gateway.metrics().await;
    let told = metrics.lines().find(|line| line.contains("would_deny") && line.contains("trial"));
    assert!(told.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[tokio::test]
async fn the_command_line_shows_what_somebody_has_left_and_takes_nothing() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let limits = json!({ "rules": { "few": { "by": ["principal"], "count": 1, "per_s": 600, "burst": 9 } } });
    let gateway = TestGateway::setup().tenant(limited(&fixture, limits)).start().await;
    let client = gateway.modern("acme");
    let keys: Value =
        serde_json::from_str(&gateway.patchbay(&["key", "list", "--tenant", "acme", "--json"]).good()).unwrap();
    let id = keys[0]["id"].as_str().unwrap();
    let operations = format!("PATCHBAY_LISTEN_OPERATIONS={}", gateway.operations);
    let show = || {
        let args = ["limits", "show", "--tenant", "acme", "--principal", id, "--json"];
        let out = gateway.patchbay_with(&[&operations], &args).good();
        let shown: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        let limits = shown["limits"].as_array().cloned().unwrap_or_else(|| panic!("no limits in {shown}"));
        limits.iter().find(|limit| limit["name"] == "few").unwrap()["left"].as_u64().unwrap()
    };
    let before = show();
    assert_eq!(show(), before, "looking has taken something");
    client.tools().await;
    assert_eq!(show(), before - 1);
    let args = ["limits", "show", "--tenant", "nobody", "--principal", id];
    let wrong = gateway.patchbay_with(&[&operations], &args);
    assert!(wrong.code != 0 && wrong.err.contains("nobody"), "{wrong:?}");
}

#[tokio::test]
async fn a_flood_of_wrong_credentials_is_stopped_and_good_ones_go_on() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let gateway = TestGateway::setup()
        .set("limits", json!({ "failed_sign_ins_per_minute": 1, "failed_sign_ins_burst": 5 }))
        .tenant(limited(&fixture, json!({})))
        .start()
        .await;
    let good = gateway.modern("acme");
    let mut statuses = Vec::new();
    for number in 0..12 {
        let wrong = Client::modern(gateway.address, "/t/acme/mcp", Some(&format!("pb_wrong_{number}")));
        statuses.push(wrong.ask("tools/list", json!({})).send(gateway.address).await.status);
        assert_eq!(good.request("tools/list", json!({})).await.status, 200, "a good key is locked out");
    }
    assert!(statuses.starts_with(&[401, 401, 401, 401, 401]) && statuses.ends_with(&[429, 429]), "{statuses:?}");
    let elsewhere = Client::modern(gateway.address, "/t/nobody/mcp", Some("pb_wrong"));
    let reply = elsewhere.ask("tools/list", json!({})).send(gateway.address).await;
    assert_eq!(reply.status, 429, "it tells where something is");
}

#[tokio::test]
async fn one_address_cannot_ask_for_ever() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let gateway = TestGateway::setup()
        .set("limits", json!({ "address_per_second": 1, "address_burst": 10 }))
        .tenant(limited(&fixture, json!({})))
        .at_once()
        .start()
        .await;
    let nobody = Client::modern(gateway.address, "/t/acme/mcp", None);
    let mut told = None;
    for _ in 0..40 {
        let reply = nobody.ask("tools/list", json!({})).send(gateway.address).await;
        if reply.status == 429 {
            told = Some(reply);
            break;
        }
        assert_eq!(reply.status, 401);
    }
    let body = told.expect("nobody is ever told").json().await;
    assert_eq!(body["error"]["data"]["limit"], "address", "{body}");
    wait_until("there is room again", || async {
        gateway.modern("acme").ask("tools/list", json!({})).send(gateway.address).await.status == 200
    })
    .await;
}
