//! What lives in one process is found from another, or refused in words: questions that wait, calls that are parked, streams that
//! broke off, children of sessions, calls that are taken back. Requests go to whichever gateway did not begin it.

use std::net::{SocketAddr, TcpListener};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    Client, Event, Fixture, Setup, TestGateway,
    client::gather,
    database::Postgres,
    setup::{scripted, tenant},
    wait::within,
    wait_until,
};
use serde_json::{Value, json};

use super::ADMIN;

/// Two gateways on one Postgres, each with the other's word for it.
struct Pair {
    gateways: [TestGateway; 2],
    key: String,
    _server: Fixture,
}

/// A port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

fn url(port: u16) -> Value {
    json!(format!("http://127.0.0.1:{port}"))
}

impl Pair {
    /// Both say how they are reached.
    async fn start(database: &Postgres) -> Self {
        let ports = [port(), port()];
        Self::with(database, ports, ports.map(url)).await
    }

    /// Gateways at these ports that say these addresses of themselves.
    async fn with(database: &Postgres, ports: [u16; 2], urls: [Value; 2]) -> Self {
        let server = Fixture::scripted(&["--no-odd"]);
        let mut own = scripted(&["--no-odd"]);
        own["sharing"] = json!("session");
        let acme = tenant("acme", [("old", server.server()), ("own", own)]);
        let setup = |index: usize| -> Setup {
            TestGateway::setup()
                .postgres(database)
                .first_admin_key(ADMIN)
                .set("listen", json!({ "mcp": format!("127.0.0.1:{}", ports[index]) }))
                .set("replica_url", urls[index].clone())
                .set("limits", json!({ "sse_after_s": 1, "keepalive_s": 1 }))
        };
        let first = setup(0).tenant(acme).start().await;
        let second = setup(1).start().await;
        let key = first.key("acme").to_owned();
        let pair = Self { gateways: [first, second], key, _server: server };
        let there = pair.modern(1);
        wait_until("the second gateway knows the tools", || async {
            let tools = there.ask("tools/list", json!({})).send(there.address).await;
            tools.status == 200 && tools.text().await.contains("own_grow")
        })
        .await;
        pair
    }

    fn at(&self, index: usize) -> SocketAddr {
        self.gateways[index].address
    }

    /// A client that can be asked, with a session of this gateway.
    async fn legacy(&self, index: usize) -> Client {
        let can = json!({ "elicitation": {} });
        Client::legacy_as(self.at(index), &TestGateway::path("acme"), Some(&self.key), "2025-11-25", can).await
    }

    fn modern(&self, index: usize) -> Client {
        let mut client = Client::modern(self.at(index), &TestGateway::path("acme"), Some(&self.key));
        client.capabilities = json!({ "elicitation": {} });
        client
    }

    /// How often this gateway handed a request of this kind on, with this outcome.
    async fn forwarded(&self, index: usize, kind: &str, outcome: &str) -> u64 {
        let sample = format!("patchbay_forwarded_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} ");
        let metrics = self.gateways[index].metrics().await;
        metrics.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0, |count| count.parse().unwrap())
    }
}

fn answer(id: &Value, name: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept", "content": { "name": name } } }).to_string()
}

async fn pid(client: &Client) -> Value {
    let seen = client.call("own_seen", json!({})).await;
    serde_json::from_str::<Value>(seen.text()).unwrap()["pid"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_finds_the_replica_where_its_question_waits_and_nobody_elses_does() {
    let Some(database) = Postgres::fresh().await else { return };
    let pair = Pair::start(&database).await;
    let client = pair.legacy(0).await;
    let mut events = client.ask_tool("old_elicit", json!({})).send(client.address).await.events();
    let question = within("the question", events.message()).await;
    let id = &question["id"];
    // Somebody else of the same tenant, at the replica where the question is not, and with a word that no gateway has made.
    let colleague = pair.gateways[0].new_key("acme", "colleague", &[]);
    let stranger = client.at(pair.at(1)).with(Some(&colleague.text));
    wait_until("the new key opens the door there", || async {
        let probe = Client::modern(pair.at(1), &client.path, Some(&colleague.text)).ask("tools/list", json!({}));
        probe.send(pair.at(1)).await.status == 200
    })
    .await;
    let refused = stranger.post_in_era(answer(id, "Eve")).send(pair.at(1)).await.status;
    assert_eq!(refused, 404, "the session is not theirs");
    let forged = client.post_in_era(answer(&json!("pb-AQEAAAA"), "Eve")).header("x-patchbay-peer", "AQEAAAA");
    assert_eq!(forged.send(pair.at(1)).await.status, 202);
    assert_eq!(pair.forwarded(1, "question", "answered").await, 0);

    let said = client.post_in_era(answer(id, "Ada")).header("x-patchbay-peer", "forged");
    assert_eq!(within("the answer is taken", said.send(pair.at(1))).await.status, 202);
    let response = within("the result", events.message()).await;
    assert!(response["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{response}");
    assert_eq!(pair.forwarded(1, "question", "answered").await, 1);
    // The second one is late, wherever it comes.
    for index in [0, 1] {
        assert_eq!(client.post_in_era(answer(id, "Bob")).send(pair.at(index)).await.status, 202);
    }
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_parked_call_is_woken_from_another_replica_and_is_lost_with_its_own() {
    let Some(database) = Postgres::fresh().await else { return };
    let mut pair = Pair::start(&database).await;
    let client = pair.modern(0);
    let there = client.at(pair.at(1));
    let retry = |asked: &Value| {
        let state = &asked["result"]["requestState"];
        let key = asked["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let given = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
        json!({ "name": "old_elicit", "arguments": {}, "requestState": state, "inputResponses": given })
    };
    let asked = within("the question", client.call("old_elicit", json!({}))).await.response;
    let done = within("the result", there.request("tools/call", retry(&asked))).await;
    assert!(done.text().contains("Ada"), "{}", done.raw);
    assert_eq!(pair.forwarded(1, "parked", "answered").await, 1);
    let again = within("a replay", there.request("tools/call", retry(&asked))).await;
    assert!(!again.raw.contains("\"Ada"), "{}", again.raw);

    let asked = within("the question", client.call("old_elicit", json!({}))).await.response;
    pair.gateways[0].kill();
    let lost = within("words", there.request("tools/call", retry(&asked))).await;
    assert!(lost.is_error() && lost.text().contains("may have been carried out"), "{}", lost.raw);
    assert_eq!(pair.forwarded(1, "parked", "unreachable").await, 1);
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sessions_own_child_keeps_its_state_wherever_requests_come() {
    let Some(database) = Postgres::fresh().await else { return };
    let mut pair = Pair::start(&database).await;
    let client = pair.legacy(0).await;
    for number in 1..=6 {
        let client = client.at(pair.at(number % 2));
        let grown = within("a call", client.call("own_grow", json!({}))).await;
        assert_eq!(grown.text(), format!("grown_{number}"));
    }
    assert_eq!(pid(&client).await, pid(&client.at(pair.at(1))).await);
    assert_eq!(pair.forwarded(1, "session", "answered").await, 4);
    assert_eq!(pair.forwarded(0, "session", "answered").await, 0, "nothing comes back");
    // A long one is a stream, and what is for all stays where it comes.
    let slow = within("a stream", client.at(pair.at(1)).call("own_slow", json!({ "ms": 2500 }))).await;
    assert!(slow.comments > 0 && slow.text() == "slept 2500 ms", "{}", slow.raw);
    client.at(pair.at(1)).call("old_echo", json!({ "text": "here" })).await.result();
    assert_eq!(pair.forwarded(1, "session", "answered").await, 5);
    let other = pair.legacy(1).await;
    assert_ne!(pid(&other).await, pid(&client).await, "another session has another child");

    // A call that runs when its replica dies is not passed off as anything else, and no later one hangs.
    let there = client.at(pair.at(1));
    let running = tokio::spawn({
        let there = there.clone();
        async move { there.ask_tool("own_slow", json!({ "ms": 600 })).send(there.address).await.status }
    });
    wait_until("it runs", || async { pair.gateways[0].metrics().await.contains("patchbay_in_flight 1") }).await;
    pair.gateways[0].kill();
    assert_eq!(within("an answer", running).await.unwrap(), 503);
    let gone = within("words", there.ask_tool("own_seen", json!({})).send(there.address)).await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().await.contains("send initialize again"));
    there.call("old_echo", json!({ "text": "still here" })).await.result();
    assert_eq!(pair.legacy(1).await.call("own_grow", json!({})).await.text(), "grown_1");
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_frozen_holds_nobody_up_for_good() {
    let Some(database) = Postgres::fresh().await else { return };
    let pair = Pair::start(&database).await;
    let client = pair.legacy(0).await;
    let mut events = client.ask_tool("own_slow", json!({ "ms": 120_000 })).send(pair.at(1)).await.events();
    assert!(matches!(within("a sign of life", events.next()).await, Ok(Some(_))));
    // Its kernel still takes connections and acknowledges; nothing else comes.
    pair.gateways[0].signal(Signal::SIGSTOP);
    let ended = within("the end of the stream", async {
        loop {
            match events.next().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        }
    })
    .await;
    assert!(matches!(ended, Err(_) | Ok(None)), "{ended:?}");
    pair.gateways[0].signal(Signal::SIGCONT);
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_is_taken_back_at_another_replica() {
    let Some(database) = Postgres::fresh().await else { return };
    let pair = Pair::start(&database).await;
    let client = pair.legacy(0).await;
    let running = client.ask_as("77", "tools/call", json!({ "name": "old_hang" })).send(pair.at(0)).await;
    let mut events = running.events();
    assert!(matches!(within("a sign of life", events.next()).await, Ok(Some(_))));
    let note = |id: Value| client.notification("notifications/cancelled", json!({ "requestId": id }));
    for id in [json!(78), json!("77"), json!("x".repeat(1000))] {
        assert_eq!(note(id).send(pair.at(1)).await.status, 202);
    }
    let other = pair.legacy(1).await;
    let foreign = other.notification("notifications/cancelled", json!({ "requestId": 77 }));
    assert_eq!(foreign.send(pair.at(1)).await.status, 202);
    assert!(matches!(within("it runs on", events.next()).await, Ok(Some(Event::Comment(_)))));
    assert_eq!(note(json!(77)).send(pair.at(1)).await.status, 202);
    within("the stream ends without an answer", async {
        while let Ok(Some(event)) = events.next().await {
            if let Event::Message(text) = event {
                assert!(text.is_empty(), "{text}");
            }
        }
    })
    .await;
    wait_until("the server was told", || async {
        let seen = client.call("old_seen", json!({})).await;
        !serde_json::from_str::<Value>(seen.text()).unwrap()["cancelled"].as_array().unwrap().is_empty()
    })
    .await;
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_broke_off_goes_on_at_another_replica() {
    let Some(database) = Postgres::fresh().await else { return };
    let pair = Pair::start(&database).await;
    let client = pair.legacy(0).await;
    let mut reply = client.ask_tool("old_slow", json!({ "ms": 4000 })).send(pair.at(0)).await;
    assert_eq!(reply.kind(), "text/event-stream");
    let mut text = String::new();
    let id = loop {
        let piece = within("the first event", reply.piece()).await.unwrap().expect("an event with an id");
        text.push_str(std::str::from_utf8(&piece).unwrap());
        if let Some((id, _)) = text.split_once("id: ").and_then(|(_, rest)| rest.split_once('\n')) {
            break id.to_owned();
        }
    };
    drop(reply);
    let ask = |client: &Client| {
        let ask = patchbay_e2e::Ask::get(&client.path).bearer(client.key.as_deref().unwrap());
        let ask = ask.header("Accept", "text/event-stream").header("Last-Event-ID", &id);
        ask.header("MCP-Protocol-Version", &client.version).header("Mcp-Session-Id", client.session.as_deref().unwrap())
    };
    let resumed = within("the stream", ask(&client).send(pair.at(1))).await;
    assert_eq!(resumed.status, 200);
    let done = within("the answer", gather(resumed)).await;
    assert_eq!(done.text(), "slept 4000 ms");
    assert_eq!(pair.forwarded(1, "stream", "answered").await, 1);
    let other = pair.legacy(1).await;
    assert_eq!(within("another session", ask(&other).send(pair.at(1))).await.status, 400);
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn addresses_that_lead_astray_make_no_loop() {
    let Some(database) = Postgres::fresh().await else { return };
    let ports = [port(), port()];
    let pair = Pair::with(&database, ports, [url(ports[1]), url(ports[0])]).await;
    let client = pair.legacy(0).await;
    let mut events = client.ask_tool("old_elicit", json!({})).send(client.address).await.events();
    let question = within("the question", events.message()).await;
    let said = client.post_in_era(answer(&question["id"], "Ada"));
    assert_eq!(within("an answer", said.send(pair.at(1))).await.status, 202);
    let held = within("words", client.ask_tool("own_seen", json!({})).send(pair.at(1))).await;
    assert_eq!(held.status, 404);
    for kind in ["question", "session"] {
        assert_eq!(pair.forwarded(1, kind, "gone").await, 1, "{kind}");
    }
    assert_eq!(client.post_in_era(answer(&question["id"], "Ada")).send(pair.at(0)).await.status, 202);
    let response = within("the result", events.message()).await;
    assert!(response["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{response}");
    drop(pair);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_addresses_it_is_said_in_words() {
    let Some(database) = Postgres::fresh().await else { return };
    let pair = Pair::with(&database, [port(), port()], [Value::Null, Value::Null]).await;
    let client = pair.legacy(0).await;
    assert_eq!(client.call("own_grow", json!({})).await.text(), "grown_1");
    let refused = within("words", client.ask_tool("own_grow", json!({})).send(pair.at(1))).await;
    assert_eq!(refused.status, 404);
    let text = refused.text().await;
    assert!(text.contains("replica_url") && text.contains("initialize again"), "{text}");
    client.at(pair.at(1)).call("old_echo", json!({})).await.result();
    let modern = pair.modern(0);
    let asked = modern.call("old_elicit", json!({})).await.response;
    let given = json!({ "q1": { "action": "accept", "content": { "name": "Ada" } } });
    let retry = json!({ "name": "old_elicit", "arguments": {}, "requestState": asked["result"]["requestState"], "inputResponses": given });
    let elsewhere = within("words", modern.at(pair.at(1)).request("tools/call", retry.clone())).await;
    assert!(elsewhere.is_error() && elsewhere.text().contains("another replica"), "{}", elsewhere.raw);
    drop(pair);
    database.clear().await;
}
