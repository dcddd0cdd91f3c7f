//! Nothing of one tenant serves another: who gets in where, whose session is whose, whose answer goes to whom. The first test
//! is made from the gateway's own route table, so that a route cannot be added without being looked at here.

use std::collections::BTreeSet;

use patchbay::edge::routes::{Listener, Route, TABLE};
use patchbay_e2e::{
    Ask, Client, TestGateway,
    client::gather,
    database,
    setup::{scripted, tenant},
};
use serde_json::{Value, json};

mod tokens;

/// Somebody who comes to the door of `acme`.
struct Caller {
    who: &'static str,
    key: Option<String>,
}

/// What the caller is to be told at a route of `acme`'s default toolset, and at one of its toolset `narrow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// 401, as anywhere.
    SignIn,
    /// 404, as where nothing is.
    NotThere,
    /// Whatever the route does.
    Welcome,
}

fn told(who: &str, toolset: &str) -> Told {
    match who {
        "nobody" | "garbage" | "expired" | "revoked" => Told::SignIn,
        "foreign" => Told::NotThere,
        "scoped to narrow" if toolset == "narrow" => Told::Welcome,
        "scoped to narrow" => Told::NotThere,
        "at home" => Told::Welcome,
        other => panic!("what is {other} to be told?"),
    }
}

/// The paths that a route's pattern stands for, with the toolset that each means.
fn paths(route: &Route, tenant: &str, toolsets: &[&'static str]) -> Vec<(String, &'static str)> {
    let path = route.path.replace("{tenant}", tenant);
    let paths: Vec<_> = if path.contains("{toolset}") {
        toolsets.iter().map(|toolset| (path.replace("{toolset}", toolset), *toolset)).collect()
    } else {
        vec![(path, "default")]
    };
    for (path, _) in &paths {
        assert!(!path.contains('{'), "the matrix does not know what varies in {}: add it here", route.path);
    }
    paths
}

/// A request that the route answers with success to whoever is welcome, and the status of that success. What it needs, like a
/// session, is made with `key`.
async fn good_request(route: &Route, gateway: &TestGateway, path: &str, key: &str) -> (Ask, u16) {
    match route.method {
        "POST" => (Client::modern(gateway.address, path, None).ask("tools/list", json!({})), 200),
        // A stream would not end. Who is welcome is told that the modern era has none, and nobody else is.
        "GET" => {
            let get = Ask::get(path).header("Accept", "text/event-stream");
            (get.header("MCP-Protocol-Version", "2026-07-28"), 405)
        }
        "DELETE" => {
            let session = Client::legacy(gateway.address, path, Some(key)).await.session.unwrap();
            (Ask::new("DELETE", path).header("Mcp-Session-Id", session), 200)
        }
        other => panic!("the matrix does not know the method {other} of {}: add it here", route.path),
    }
}

/// All that a caller sees of an answer; the date is not part of what is asked.
pub(crate) async fn seen(ask: &Ask, gateway: &TestGateway) -> (u16, Vec<(String, String)>, String) {
    let reply = ask.send(gateway.address).await;
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (reply.status, headers, reply.text().await)
}

async fn callers(gateway: &TestGateway) -> Vec<Caller> {
    let made = |label, more: &[&str]| gateway.new_key("acme", label, more);
    let revoked = made("revoked", &[]);
    gateway.patchbay(&["key", "revoke", "--tenant", "acme", &revoked.id]).good();
    let expired = made("expired", &["--expires-days", "1"]);
    let scoped = made("scoped", &["--toolset", "narrow"]);
    let caller = |who, key: &str| Caller { who, key: Some(key.to_owned()) };
    vec![
        Caller { who: "nobody", key: None },
        caller("garbage", "pb_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        caller("expired", &expired.text),
        caller("revoked", &revoked.text),
        caller("foreign", gateway.key("globex")),
        caller("scoped to narrow", &scoped.text),
        caller("at home", gateway.key("acme")),
    ]
}

/// The toolsets of a tenant.
const TOOLSETS: [&str; 2] = ["default", "narrow"];

/// Two tenants with the same two toolsets over servers of their own.
fn two_tenants() -> [Value; 2] {
    ["acme", "globex"].map(|name| {
        let mut tenant =
            tenant(name, [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd", "--tools", "3"]))]);
        tenant["toolsets"] = json!({ "narrow": { "servers": ["one"] } });
        tenant
    })
}

#[tokio::test]
async fn every_route_tells_every_caller_what_it_must_and_nobody_more() {
    let [acme, globex] = two_tenants();
    let mut gateway = TestGateway::setup().tenant(acme).tenant(globex).start().await;
    let callers = callers(&gateway).await;
    // The day of the key is over, without a day going by.
    let store = gateway.home().path("data/patchbay.db");
    database::execute_sqlite(&store, "UPDATE api_keys SET expires_ms = 1 WHERE label = 'expired'").await;
    gateway.terminate();
    gateway.ended();
    let gateway = gateway.again().await;

    let mut rows = BTreeSet::new();
    for route in TABLE.iter().filter(|route| route.tenant) {
        assert_eq!(route.listener, Listener::Public, "a tenant's route on the operators' listener: {route:?}");
        for ((path, toolset), (nowhere, _)) in
            paths(route, "acme", &TOOLSETS).into_iter().zip(paths(route, "nobody-lives-here", &TOOLSETS))
        {
            for caller in &callers {
                let row = format!("{} {path} as {}", route.method, caller.who);
                let welcome = told(caller.who, toolset) == Told::Welcome;
                let opener = caller.key.as_deref().filter(|_| welcome).unwrap_or(gateway.key("acme"));
                let (good, success) = good_request(route, &gateway, &path, opener).await;
                let knock = |ask: Ask| caller.key.as_ref().map_or(ask.clone(), |key| ask.bearer(key));
                let here = seen(&knock(good.clone()), &gateway).await;
                let elsewhere = seen(&knock(Ask { path: nowhere.clone(), ..good }), &gateway).await;
                match told(caller.who, toolset) {
                    Told::SignIn => {
                        assert_eq!(here.0, 401, "{row}: {here:?}");
                        assert!(here.1.iter().any(|(name, _)| name == "www-authenticate"), "{row}: {here:?}");
                        assert_eq!(here, elsewhere, "{row}");
                    }
                    Told::NotThere => {
                        assert_eq!(here.0, 404, "{row}: {here:?}");
                        assert_eq!(here, elsewhere, "{row}");
                    }
                    Told::Welcome => {
                        assert_eq!(here.0, success, "{row}: {here:?}");
                        assert_eq!(elsewhere.0, 404, "{row}: {elsewhere:?}");
                    }
                }
                rows.insert(row);
            }
        }
    }
    assert_eq!(rows.len(), 9 * callers.len(), "{rows:#?}");
}

#[tokio::test]
async fn routes_without_a_tenant_say_nothing_of_one_and_operators_have_a_door_of_their_own() {
    let [acme, _] = two_tenants();
    let gateway = TestGateway::setup().tenant(acme).start().await;
    for route in TABLE.iter().filter(|route| !route.tenant && !route.sign_in) {
        let (own, other) = match route.listener {
            Listener::Public => (gateway.address, None),
            Listener::Operations => (gateway.operations, Some(gateway.address)),
        };
        let ask = Ask::new(route.method, route.path);
        let reply = ask.send(own).await;
        assert_eq!(reply.status, 200, "{route:?}");
        let text = reply.text().await;
        assert!(route.path == "/metrics" || !text.contains("acme"), "{route:?}: {text}");
        if let Some(public) = other.filter(|_| route.path != "/health") {
            assert_eq!(ask.send(public).await.status, 404, "{route:?} is served to clients");
        }
    }
    for spelling in
        ["/t/acme/mcp/", "/t//acme/mcp", "/t/acme/../acme/mcp", "/t/%61cme/mcp", "/T/acme/mcp", "/t/acme", "/"]
    {
        let ask = gateway.modern("acme").ask("tools/list", json!({}));
        assert_eq!(Ask { path: spelling.to_owned(), ..ask }.send(gateway.address).await.status, 404, "{spelling}");
    }
}

#[tokio::test]
async fn a_tenant_that_is_switched_off_says_so_to_its_own_alone() {
    let [mut acme, globex] = two_tenants();
    acme["enabled"] = json!(false);
    let gateway = TestGateway::setup().tenant(acme).tenant(globex).start().await;
    let ask = gateway.modern("acme").ask("tools/list", json!({}));
    let own = ask.send(gateway.address).await;
    assert_eq!(own.status, 403);
    assert_eq!(own.json().await["error"]["code"], 40301);
    let foreign = ask.clone().bearer(gateway.key("globex"));
    let nowhere = Ask { path: "/t/nobody-lives-here/mcp".into(), ..foreign.clone() };
    assert_eq!(seen(&foreign, &gateway).await, seen(&nowhere, &gateway).await);
    assert_eq!(seen(&foreign, &gateway).await.0, 404);
}

#[tokio::test]
async fn a_session_serves_nobody_but_the_principal_that_opened_it() {
    let [acme, globex] = two_tenants();
    let gateway = TestGateway::setup().tenant(acme).tenant(globex).start().await;
    let owner = gateway.legacy("acme").await;
    let colleague = gateway.new_key("acme", "colleague", &[]);
    let colleagues = || async {
        let mut other = owner.clone();
        other.key = Some(colleague.text.clone());
        other
    };
    patchbay_e2e::wait_until("the new key opens the door", || async {
        let probe = Client::modern(gateway.address, &owner.path, Some(&colleague.text)).ask("tools/list", json!({}));
        probe.send(gateway.address).await.status == 200
    })
    .await;
    let mut neighbour = gateway.legacy("globex").await;
    neighbour.session.clone_from(&owner.session);
    let mut forged = owner.clone();
    forged.session = owner.session.as_ref().map(|id| format!("{}A", &id[..id.len() - 1]));
    let mut random = owner.clone();
    random.session = Some("no-session-at-all".into());

    let mut words = BTreeSet::new();
    for (who, thief) in
        [("a colleague", colleagues().await), ("a neighbour", neighbour), ("a forger", forged), ("chance", random)]
    {
        if who == "a forger" && thief.session == owner.session {
            continue;
        }
        for ask in [thief.ask("tools/list", json!({})), thief.ask("ping", json!({}))] {
            let reply = ask.send(gateway.address).await;
            assert_eq!(reply.status, 404, "{who}");
            let body = reply.json().await;
            words.insert(body["error"].to_string());
        }
        let end = Ask { body: "".into(), ..thief.ask("ping", json!({})) };
        let end = Ask { method: "DELETE".parse().unwrap(), ..end };
        assert_eq!(end.send(gateway.address).await.status, 404, "{who}");
        assert_eq!(owner.request("ping", json!({})).await.status, 200, "after {who}");
    }
    assert_eq!(words.len(), 1, "the refusals differ: {words:?}");

    let end = Ask { method: "DELETE".parse().unwrap(), body: "".into(), ..owner.ask("ping", json!({})) };
    assert_eq!(end.send(gateway.address).await.status, 200);
    let after = owner.ask("ping", json!({})).send(gateway.address).await;
    assert_eq!(after.status, 404);
    assert!(
        words.contains(&after.json().await["error"].to_string()),
        "an ended session is told from one that never was"
    );
}

/// The clients that call at once.
const CLIENTS: usize = 200;
/// What each of them asks one after the other.
const ROUNDS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_crosses_between_two_hundred_clients_that_all_use_the_same_id() {
    let shared = |name| tenant(name, [("echo", scripted(&[]))]);
    let gateway = TestGateway::setup()
        .tenant(shared("acme"))
        .tenant(shared("globex"))
        .set(
            "limits",
            json!({ "principal_per_second": 100_000, "principal_burst": 100_000, "principal_concurrency": 1000 }),
        )
        .start()
        .await;
    let mut pids = BTreeSet::new();
    for name in ["acme", "globex"] {
        let seen = gateway.modern(name).call("echo_seen", json!({})).await;
        let seen: Value = serde_json::from_str(seen.text()).unwrap();
        pids.insert(seen["pid"].as_u64().unwrap());
    }
    assert_eq!(pids.len(), 2, "the tenants share a child");

    let mut tasks = tokio::task::JoinSet::new();
    for (tenant, clients) in [("acme", CLIENTS), ("globex", CLIENTS / 4)] {
        let (legacy, modern) = (gateway.legacy(tenant).await, gateway.modern(tenant));
        for number in 0..clients {
            let client = if number % 2 == 0 { legacy.clone() } else { modern.clone() };
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    let nonce = format!("{tenant}-{number}-{round}");
                    let params = json!({ "name": "echo_echo", "arguments": { "nonce": nonce } });
                    let ask = client.ask_as("1", "tools/call", params);
                    let answer = gather(ask.send(client.address).await).await;
                    assert_eq!(answer.response["id"], 1, "{}", answer.raw);
                    assert_eq!(answer.result()["structuredContent"], json!({ "nonce": nonce }), "{}", answer.raw);
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let live: BTreeSet<u64> = gateway.children().iter().map(|child| u64::from(child.pid)).collect();
    assert_eq!(live, pids, "each tenant still has its one child");
}

#[tokio::test]
async fn a_child_serves_those_alone_who_share_it() {
    let shared_by = |who: &str| {
        let mut server = scripted(&["--no-odd"]);
        server["sharing"] = json!(who);
        server
    };
    let servers = ["shared", "principal", "session"].map(|who| (who, shared_by(who)));
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let colleague = gateway.new_key("acme", "colleague", &[]);
    let at = |key: &str| Client::modern(gateway.address, "/t/acme/mcp", Some(key));
    patchbay_e2e::wait_until("the new key opens the door", || async {
        at(&colleague.text).ask("tools/list", json!({})).send(gateway.address).await.status == 200
    })
    .await;
    let other = Client::legacy(gateway.address, "/t/acme/mcp", Some(&colleague.text)).await;
    let [one, same, other] = [gateway.legacy("acme").await, gateway.legacy("acme").await, other];
    let pid = async |client: &Client, server: &str| {
        let seen = client.call(&format!("{server}_seen"), json!({})).await;
        serde_json::from_str::<Value>(seen.text()).unwrap()["pid"].as_u64().unwrap()
    };
    for (server, with_own_session, with_another_key) in
        [("shared", true, true), ("principal", true, false), ("session", false, false)]
    {
        let first = pid(&one, server).await;
        assert_eq!(pid(&one, server).await, first, "{server}: a caller loses its child");
        assert_eq!(pid(&same, server).await == first, with_own_session, "{server}: another session of the principal");
        assert_eq!(pid(&other, server).await == first, with_another_key, "{server}: another principal");
    }
}

#[tokio::test]
async fn a_cursor_is_worth_nothing_to_anybody_else_and_nowhere_else() {
    let [acme, globex] = two_tenants();
    let gateway = TestGateway::setup().tenant(acme).tenant(globex).limit("page_size", 4).start().await;
    let owner = gateway.modern("acme");
    let first = owner.request("tools/list", json!({})).await;
    let cursor = first.result()["nextCursor"].as_str().unwrap().to_owned();
    let second = owner.request("tools/list", json!({ "cursor": cursor })).await;
    assert_eq!(second.result()["tools"].as_array().unwrap().len(), 4);

    let colleague = gateway.new_key("acme", "colleague", &[]);
    patchbay_e2e::wait_until("the new key opens the door", || async {
        let probe = Client::modern(gateway.address, &owner.path, Some(&colleague.text)).ask("tools/list", json!({}));
        probe.send(gateway.address).await.status == 200
    })
    .await;
    let at = |path: &str, key: &str| Client::modern(gateway.address, path, Some(key));
    let flipped = {
        let mut bytes = cursor.clone().into_bytes();
        let middle = bytes.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let key = gateway.key("acme");
    let mut words = BTreeSet::new();
    for (who, client, method, cursor) in [
        ("a colleague", at(&owner.path, &colleague.text), "tools/list", &*cursor),
        ("a neighbour", gateway.modern("globex"), "tools/list", &*cursor),
        ("another toolset", at("/t/acme/narrow/mcp", key), "tools/list", &*cursor),
        ("another list", owner.clone(), "prompts/list", &*cursor),
        ("a forger", owner.clone(), "tools/list", &*flipped),
        ("a guess", owner.clone(), "tools/list", "page-2"),
        ("an empty guess", owner.clone(), "tools/list", ""),
    ] {
        let refused = client.request(method, json!({ "cursor": cursor })).await;
        assert_eq!((refused.status, refused.code()), (200, -32602), "{who}: {}", refused.raw);
        words.insert(refused.response["error"].to_string());
    }
    assert_eq!(words.len(), 1, "the refusals differ: {words:?}");
    assert_eq!(owner.tools().await.len(), 2 * 16 + 3);
}
