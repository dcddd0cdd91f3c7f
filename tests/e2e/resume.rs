//! Streams of legacy sessions that break while a call runs: the client comes back with `Last-Event-ID` and gets the rest of its own
//! stream, once and in order, and nobody else gets anything. The SDKs come back by themselves.

use std::net::SocketAddr;

use patchbay_e2e::{
    Ask, Client, Event, Events, Fixture, Installed, Reply, TestGateway, Wire,
    client::gather,
    installed::source,
    process::Running,
    setup::{scripted, tenant},
    wait_until, within,
};
use rmcp::{
    ServiceExt,
    model::CallToolRequestParams,
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};

/// A legacy server over HTTP, the same over stdio, and a modern one.
const SERVERS: [&str; 3] = ["old", "child", "new"];

struct World {
    gateway: TestGateway,
    _fixtures: [Fixture; 2],
}

async fn world() -> World {
    let fixtures = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let servers = [("old", fixtures[0].server()), ("child", scripted(&["--no-odd"])), ("new", fixtures[1].server())];
    let limits = json!({ "sse_after_s": 1, "keepalive_s": 1, "principal_concurrency": 1000, "principal_burst": 5000 });
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", servers))
        .tenant(tenant("globex", [] as [(&str, Value); 0]))
        .set("limits", limits)
        .start()
        .await;
    World { gateway, _fixtures: fixtures }
}

/// A call that reports so many steps.
fn steps(client: &Client, id: &str, server: &str, count: u64, ms: u64) -> Ask {
    let params = json!({
        "name": format!("{server}_progress"), "arguments": { "n": count, "ms": ms }, "_meta": { "progressToken": "same" }
    });
    client.ask_as(id, "tools/call", params)
}

/// Comes back after this event.
fn back(client: &Client, last: &str) -> Ask {
    let ask = Ask::get(client.path.clone()).header("Accept", "text/event-stream").header("Last-Event-ID", last);
    let ask = ask.header("Mcp-Session-Id", client.session.clone().unwrap());
    let ask = ask.header("MCP-Protocol-Version", client.version.clone());
    ask.bearer(client.key.as_deref().unwrap())
}

/// Reads so many messages of progress and leaves; the id of the last.
async fn read_and_leave(reply: Reply, count: u64) -> String {
    let mut events = reply.events();
    for step in 1..=count {
        assert_eq!(events.message().await["params"]["progress"], step);
    }
    last_id(&events)
}

fn last_id(events: &Events) -> String {
    events.ids.last().expect("events have ids").clone()
}

/// The rest of a stream: these steps, the response, and nothing more.
async fn expect_rest(reply: Reply, from: u64, to: u64, id: &str) {
    assert_eq!((reply.status, reply.kind()), (200, "text/event-stream"));
    let answer = gather(reply).await;
    let steps: Vec<_> = answer.before.iter().map(|message| message["params"]["progress"].as_u64().unwrap()).collect();
    assert_eq!(steps, (from..=to).collect::<Vec<_>>());
    assert_eq!((answer.text(), answer.response["id"].to_string().as_str()), (format!("{to} steps").as_str(), id));
}

/// A number of the gateway.
async fn metric(gateway: &TestGateway, name: &str) -> u64 {
    let metrics = gateway.metrics().await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {metrics}"));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn a_client_whose_connection_broke_gets_the_rest_once_and_in_order() {
    let world = world().await;
    let address = world.gateway.address;
    let client = world.gateway.legacy("acme").await;
    for server in ["old", "child"] {
        // The connection is cut under the client, as networks do it.
        let wire = Wire::to(address).await;
        let ask = steps(&client, "7", server, 20, 100);
        let reply = ask.send(wire.address()).await;
        let mut events = reply.events();
        for step in 1..=3 {
            assert_eq!(events.message().await["params"]["progress"], step);
        }
        assert!(events.ids[0].ends_with(".0") && events.retry_ms == Some(2000), "{events:?}");
        let third = last_id(&events);
        wire.cut();
        // It comes back, leaves again by itself, and comes back.
        let mut events = back(&client, &third).send(address).await.events();
        assert_eq!(events.message().await["params"]["progress"], 4);
        assert_eq!(events.ids[0], third, "the stream begins with where it goes on");
        let fourth = last_id(&events);
        drop(events);
        expect_rest(back(&client, &fourth).send(address).await, 5, 20, "7").await;
        // What was written may have been lost on the way: for some seconds it is there.
        let mut events = back(&client, &third).send(address).await.events();
        for step in 4..=20 {
            assert_eq!(events.message().await["params"]["progress"], step);
        }
        assert_eq!(events.message().await["result"]["content"][0]["text"], "20 steps");
        let last = last_id(&events);
        assert_eq!(events.next().await, Ok(None));
        let over = back(&client, &last).send(address).await;
        assert_eq!((over.status, over.header("allow")), (405, Some("POST, DELETE, OPTIONS")));
    }
    // Each call has run once and has one record.
    let seen: Value = serde_json::from_str(client.call("old_seen", json!({})).await.text()).unwrap();
    assert_eq!(seen["calls"]["progress"], 1);
    wait_until("the audit has the calls", || async {
        let audit = world.gateway.audit().await;
        audit.iter().filter(|record| record["native"] == "progress" && record["outcome"] == "answered").count() == 2
    })
    .await;
    wait_until("nothing is kept any more", || async { metric(&world.gateway, "patchbay_replay_bytes ").await == 0 })
        .await;
    assert_eq!(metric(&world.gateway, r#"patchbay_streams_resumed_total{outcome="continued"} "#).await, 6);
    assert_eq!(metric(&world.gateway, "patchbay_events_given_up_total ").await, 0);
}

#[tokio::test]
async fn an_answer_that_came_while_nobody_was_there_waits_for_its_client() {
    let world = world().await;
    let address = world.gateway.address;
    let client = world.gateway.legacy("acme").await;
    for server in SERVERS {
        let ask = client.ask_tool(&format!("{server}_slow"), json!({ "ms": 3000 }));
        let mut events = ask.send(address).await.events();
        // A sign of life, after the priming event.
        assert!(matches!(events.next().await, Ok(Some(Event::Comment(_)))));
        let id = last_id(&events);
        drop(events);
        wait_until("it was answered", || async { metric(&world.gateway, "patchbay_in_flight ").await == 0 }).await;
        let answer = gather(back(&client, &id).send(address).await).await;
        assert_eq!((answer.text(), answer.before.len()), ("slept 3000 ms", 0), "{server}");
    }
}

#[tokio::test]
async fn nobody_else_gets_anything_and_the_stream_goes_on_undisturbed() {
    let world = world().await;
    let gateway = &world.gateway;
    let address = gateway.address;
    let client = gateway.legacy("acme").await;
    let mut events = steps(&client, "7", "old", 20, 100).send(address).await.events();
    events.message().await;
    let id = last_id(&events);
    let colleague = gateway.new_key("acme", "colleague", &[]);
    wait_until("the key opens", || async {
        let ask = client.with(Some(&colleague.text)).initialize();
        ask.send(address).await.status == 200
    })
    .await;
    let colleague = Client::legacy(address, &client.path, Some(&colleague.text)).await;
    let others = [gateway.legacy("acme").await, colleague.clone(), gateway.legacy("globex").await];
    for other in &others {
        let refused = back(other, &id).send(address).await;
        assert_eq!(refused.status, 400);
        let said = refused.json().await;
        assert!(said["error"]["message"].as_str().unwrap().contains("Last-Event-ID"), "{said}");
    }
    // A colleague does not come in with the session either.
    assert_eq!(back(&colleague.in_session(client.session.as_ref().unwrap()), &id).send(address).await.status, 404);
    assert_eq!(back(&client, &id).without("Mcp-Session-Id").send(address).await.status, 400);
    assert_eq!(back(&client, &id).without("Authorization").send(address).await.status, 401);
    for step in 2..=20 {
        assert_eq!(events.message().await["params"]["progress"], step);
    }
    assert_eq!(events.message().await["result"]["content"][0]["text"], "20 steps");
    assert_eq!(metric(gateway, r#"patchbay_streams_resumed_total{outcome="unknown"} "#).await, 3);
}

#[tokio::test]
async fn the_modern_era_has_no_ids_and_ignores_them() {
    let world = world().await;
    let address = world.gateway.address;
    let legacy = world.gateway.legacy("acme").await;
    let id = read_and_leave(steps(&legacy, "7", "old", 20, 100).send(address).await, 1).await;
    let modern = world.gateway.modern("acme");
    let ask = steps(&modern, "7", "new", 3, 0).header("Last-Event-ID", id.clone());
    let mut events = ask.send(address).await.events();
    for step in 1..=3 {
        assert_eq!(events.message().await["params"]["progress"], step);
    }
    assert_eq!(events.message().await["result"]["content"][0]["text"], "3 steps");
    assert_eq!((events.next().await, events.ids.len(), events.retry_ms), (Ok(None), 0, None));
    let get = Ask::get(modern.path.clone()).header("Last-Event-ID", id).header("MCP-Protocol-Version", "2026-07-28");
    assert_eq!(get.bearer(modern.key.as_deref().unwrap()).send(address).await.status, 405);
}

#[tokio::test]
async fn older_revisions_get_ids_on_messages_alone() {
    let world = world().await;
    let address = world.gateway.address;
    let key = world.gateway.key("acme");
    for version in ["2025-06-18", "2025-03-26"] {
        let client = Client::legacy_as(address, "/t/acme/mcp", Some(key), version, json!({})).await;
        let mut events = steps(&client, "7", "old", 5, 100).send(address).await.events();
        events.message().await;
        assert_eq!((events.ids.len(), events.retry_ms), (1, None), "{version}");
        let id = last_id(&events);
        drop(events);
        expect_rest(back(&client, &id).send(address).await, 2, 5, "7").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_with_the_same_ids_come_back_each_to_their_own() {
    let world = world().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100_u64 {
        let client = world.gateway.legacy("acme").await;
        calls.spawn(async move {
            let (server, count) = (SERVERS[number as usize % 2], 3 + number % 17);
            let reply = steps(&client, "1", server, count, 20).send(client.address).await;
            let id = read_and_leave(reply, 2).await;
            expect_rest(back(&client, &id).send(client.address).await, 3, count, "1").await;
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_died_with_its_gateway_is_said_to_be_lost() {
    let mut world = world().await;
    let client = world.gateway.legacy("acme").await;
    let id = read_and_leave(steps(&client, "\"mine\"", "old", 100, 100).send(client.address).await, 2).await;
    world.gateway.kill();
    let gateway = world.gateway.again().await;
    let answer = gather(back(&client, &id).send(gateway.address).await).await;
    assert_eq!(answer.response["id"], "mine");
    assert!(
        answer.raw.contains("the answer is lost") && answer.raw.contains("check before trying again"),
        "{}",
        answer.raw
    );
    assert_eq!(metric(&gateway, r#"patchbay_streams_resumed_total{outcome="lost"} "#).await, 1);
}

#[tokio::test]
async fn a_call_that_was_taken_back_has_nothing_to_come_back_to() {
    let world = world().await;
    let address = world.gateway.address;
    let client = world.gateway.legacy("acme").await;
    let ask = client.ask_as("7", "tools/call", json!({ "name": "old_hang", "arguments": {} }));
    let mut events = ask.send(address).await.events();
    assert!(matches!(events.next().await, Ok(Some(Event::Comment(_)))));
    let note = client.notification("notifications/cancelled", json!({ "requestId": 7 }));
    assert_eq!(note.send(address).await.status, 202);
    assert_eq!(events.next().await, Ok(None));
    for id in events.ids {
        assert_eq!(back(&client, &id).send(address).await.status, 405);
    }
}

/// Calls a tool that takes its time through a wire which is cut meanwhile, and gives the text of the result.
async fn through_a_cut<F>(world: &World, call: impl FnOnce(Value) -> F) -> String
where
    F: Future<Output = Value>,
{
    let gateway = &world.gateway;
    let wire = Wire::to(gateway.address).await;
    let given = json!({
        "url": url(wire.address()), "key": gateway.key("acme"), "name": "old_slow", "arguments": { "ms": 4000 }
    });
    let cut = async {
        wait_until("the stream has begun", || async { metric(gateway, "patchbay_replay_bytes ").await > 0 }).await;
        wire.cut();
        wait_until("the client has left", || async { metric(gateway, "patchbay_connections ").await == 0 }).await;
        wire.mend();
    };
    let (result, ()) = tokio::join!(call(given), cut);
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}")).to_owned()
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}{}", TestGateway::path("acme"))
}

async fn finished(mut process: Running) -> Value {
    wait_until("the client ends", || {
        let ended = process.status().is_some();
        async move { ended }
    })
    .await;
    let (out, err) = process.collected();
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

#[tokio::test]
async fn the_typescript_sdk_comes_back_by_itself() {
    let Some(installed) = Installed::find() else { return };
    let world = world().await;
    let script = installed.node_script("resume_v1.mjs");
    let said = through_a_cut(&world, |given| {
        finished(installed.start(&installed.node, [script.as_os_str(), given.to_string().as_ref()]))
    });
    assert_eq!(said.await, "slept 4000 ms");
}

#[tokio::test]
async fn the_python_sdk_comes_back_by_itself() {
    let Some(installed) = Installed::find() else { return };
    let world = world().await;
    let script = source("python").join("resume_v1.py");
    let said = through_a_cut(&world, |given| {
        finished(installed.start(&installed.py_legacy, ["-B".as_ref(), script.as_os_str(), given.to_string().as_ref()]))
    });
    assert_eq!(said.await, "slept 4000 ms");
}

#[tokio::test]
async fn the_rust_sdk_comes_back_by_itself() {
    let world = world().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let said = through_a_cut(&world, |given| async move {
        let config = StreamableHttpClientTransportConfig::with_uri(given["url"].as_str().unwrap())
            .auth_header(given["key"].as_str().unwrap());
        let client = within("it connects", ().serve(StreamableHttpClientTransport::from_config(config))).await.unwrap();
        let params: CallToolRequestParams =
            serde_json::from_value(json!({ "name": given["name"], "arguments": given["arguments"] })).unwrap();
        let result = within("it is answered", client.call_tool(params)).await.unwrap();
        serde_json::to_value(result).unwrap()
    });
    assert_eq!(said.await, "slept 4000 ms");
}
