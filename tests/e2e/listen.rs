//! Streams of changes: who hears of which, in either era; what a client finds that comes again, also at another gateway; how a
//! stream ends.

use std::time::Duration;

use patchbay_e2e::{
    Ask, Client, Event, Fixture, TestGateway,
    database::Postgres,
    http::{Events, Reply},
    setup::{scripted, tenant},
    wait_until, within,
};
use serde_json::{Value, json};

/// The resource of the conformance fixture that can be watched.
const WATCHED: &str = "test://watched-resource";
/// Where a modern message names its stream.
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

fn listen(client: &Client, id: &str, notifications: Value) -> Ask {
    client.ask_as(id, "subscriptions/listen", Value::from_iter([("notifications", notifications)]))
}

/// Opens a modern stream and gives it with what was acknowledged.
async fn open(client: &Client, id: &str, notifications: Value) -> (Events, Value) {
    let mut events = listen(client, id, notifications).send(client.address).await.events();
    let mut first = events.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!(first["params"]["_meta"][META_SUBSCRIPTION].to_string(), id, "{first}");
    (events, first["params"]["notifications"].take())
}

fn get(client: &Client) -> Ask {
    let ask = Ask::get(&client.path).bearer(client.key.as_ref().unwrap()).header("Accept", "text/event-stream");
    let ask = ask.header("MCP-Protocol-Version", &client.version);
    ask.header("Mcp-Session-Id", client.session.as_ref().unwrap())
}

/// Opens the stream of a legacy session.
async fn stream(client: &Client) -> Events {
    get(client).send(client.address).await.events()
}

/// Reads a stream as text until this stands in it.
async fn until(reply: &mut Reply, wanted: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains(wanted) {
            match reply.piece().await.unwrap() {
                Some(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
                None => panic!("the stream ended without {wanted}: {text}"),
            }
        }
    };
    within(format!("{wanted} on a stream"), read).await;
    text
}

/// The last id among events.
fn last_id(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id").to_owned()
}

/// Whether nothing but signs of life came on a stream for a while.
async fn is_quiet(events: &mut Events) -> bool {
    let heard = async {
        loop {
            match events.next().await {
                Ok(Some(Event::Comment(_))) => {}
                other => break other,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(2), heard).await.is_err()
}

/// A tenant of which one toolset has all servers and one has the first alone.
fn acme(more: &[&str]) -> Value {
    let servers = ["one"].iter().chain(more).map(|name| (*name, scripted(&["--no-odd"])));
    let mut acme = tenant("acme", servers);
    acme["toolsets"] = json!({ "default": {}, "narrow": { "servers": ["one"] } });
    acme
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sees_another_list_hears_of_it_and_all_streams_end_in_order_with_the_gateway() {
    let mut gateway = TestGateway::setup().tenant(acme(&[])).start().await;
    let modern = gateway.modern("acme");
    let narrow = Client::modern(gateway.address, "/t/acme/narrow/mcp", Some(gateway.key("acme")));
    let legacy = gateway.legacy("acme").await;
    let discovered = modern.request("server/discover", json!({})).await;
    for list in ["tools", "resources"] {
        let can = &discovered.result()["capabilities"][list];
        assert!(can.is_null() || can["listChanged"] == true, "{can}");
    }

    let all = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
    let asked = json!({ "toolsListChanged": true, "colourChanged": true, "taskIds": ["x"], "resourceSubscriptions": ["no://such"] });
    let (mut tools, acknowledged) = open(&modern, "\"a stream\"", asked).await;
    assert_eq!(acknowledged, json!({ "toolsListChanged": true }), "what cannot be told is left out");
    let (mut prompts, _) = open(&modern, "7", json!({ "promptsListChanged": true })).await;
    let (mut narrowed, _) = open(&narrow, "8", all).await;
    let mut old = stream(&legacy).await;

    gateway.apply(&acme(&["two"]));
    let heard = tools.message().await;
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    assert_eq!(heard["params"]["_meta"][META_SUBSCRIPTION], "a stream");
    assert_eq!(old.message().await["method"], "notifications/tools/list_changed");
    assert!(is_quiet(&mut prompts).await, "it did not ask for tools");
    assert!(is_quiet(&mut narrowed).await, "nothing changed for it");

    // A newer stream of the session takes the place of the one before.
    let mut newer = stream(&legacy).await;
    assert_eq!(old.next().await, Ok(None));

    gateway.terminate();
    for (stream, id) in [(&mut tools, json!("a stream")), (&mut prompts, json!(7)), (&mut narrowed, json!(8))] {
        let last = stream.message().await;
        assert_eq!((&last["id"], &last["result"]["resultType"]), (&id, &json!("complete")), "{last}");
        assert_eq!(last["result"]["_meta"][META_SUBSCRIPTION], id);
        assert_eq!(stream.next().await, Ok(None));
    }
    assert_eq!(newer.next().await, Ok(None));
    gateway.ended();
    let opened = gateway.audit().await.iter().filter(|record| record["action"] == "listen").count();
    assert_eq!(opened, 5, "each opening is on record");
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_there_are_no_more_than_are_allowed() {
    let gateway = TestGateway::setup().tenant(acme(&[])).limit("streams_per_principal", 2).start().await;
    let key = gateway.new_key("acme", "short", &[]);
    let client = gateway.modern("acme").with(Some(&key.text));
    wait_until("the key opens the door", || async {
        client.ask("tools/list", json!({})).send(client.address).await.status == 200
    })
    .await;
    let tools = json!({ "toolsListChanged": true });
    let (mut one, _) = open(&client, "1", tools.clone()).await;
    let (two, _) = open(&client, "2", tools.clone()).await;
    let refused = client.gather(&listen(&client, "3", tools.clone())).await;
    assert_eq!((refused.status, refused.code()), (429, 42901), "{}", refused.raw);
    drop(two);
    wait_until("there is room again", || async {
        listen(&client, "4", tools.clone()).send(client.address).await.status == 200
    })
    .await;
    for odd in [json!({}), json!({ "notifications": [] }), json!({ "notifications": { "toolsListChanged": 1 } })] {
        assert_eq!(client.request("subscriptions/listen", odd).await.code(), -32602);
    }
    gateway.patchbay(&["key", "revoke", "--tenant", "acme", &key.id]).good();
    assert_eq!(one.message().await["result"]["resultType"], "complete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_a_resource_reaches_who_subscribed_in_either_era() {
    let fixture = Fixture::conformance(&[]);
    let mut private = scripted(&["--no-odd"]);
    private["sharing"] = json!("principal");
    let gateway =
        TestGateway::setup().tenant(tenant("acme", [("conf", fixture.server()), ("own", private)])).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    let mut old = stream(&legacy).await;
    legacy.request("resources/subscribe", json!({ "uri": WATCHED })).await.result();
    assert_eq!(legacy.request("resources/subscribe", json!({ "uri": "no://such" })).await.code(), -32002);
    assert_eq!(legacy.request("resources/subscribe", json!({})).await.code(), -32602);
    let asked = json!({ "resourceSubscriptions": [WATCHED, "no://such"] });
    let (mut new, acknowledged) = open(&modern, "1", asked).await;
    assert_eq!(acknowledged, json!({ "resourceSubscriptions": [WATCHED] }));
    // The server is subscribed to after we were answered.
    let trigger = tokio::spawn({
        let modern = modern.clone();
        async move {
            loop {
                modern.call("conf_test_trigger_resource_change", json!({})).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    });
    for stream in [&mut old, &mut new] {
        let heard = stream.message().await;
        assert_eq!(heard["method"], "notifications/resources/updated", "{heard}");
        assert_eq!(heard["params"]["uri"], WATCHED);
    }
    trigger.abort();
    legacy.request("resources/unsubscribe", json!({ "uri": WATCHED })).await.result();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_session_asked_for_at_one_gateway_is_known_at_the_other() {
    let Some(database) = Postgres::fresh().await else { return };
    let fixture = Fixture::conformance(&[]);
    let doc = tenant("acme", [("conf", fixture.server()), ("log", scripted(&["--no-odd"]))]);
    let first = TestGateway::setup().postgres(&database).tenant(doc.clone()).start().await;
    let second = TestGateway::setup().postgres(&database).start().await;
    let here = first.legacy("acme").await;
    let there = here.at(second.address);
    here.request("resources/subscribe", json!({ "uri": WATCHED })).await.result();
    here.request("logging/setLevel", json!({ "level": "emergency" })).await.result();
    let mut reply = get(&there).send(there.address).await;
    let opened = until(&mut reply, "data: \n\n").await;
    let trigger = tokio::spawn({
        let there = there.clone();
        async move {
            loop {
                there.call("conf_test_trigger_resource_change", json!({})).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    });
    until(&mut reply, "notifications/resources/updated").await;
    trigger.abort();
    drop(reply);

    // It comes again at the first one, after a list has changed.
    let mut changed = doc.clone();
    changed["servers"]["log"]["prefix"] = json!("diary");
    first.apply(&changed);
    for address in [first.address, second.address] {
        let client = first.modern("acme").at(address);
        wait_until("the list is another one", || async {
            client.tools().await.iter().any(|name| name.starts_with("diary_"))
        })
        .await;
    }
    let mut reply = get(&here).header("Last-Event-ID", last_id(&opened)).send(here.address).await;
    let text = until(&mut reply, "notifications/resources/updated").await;
    assert!(text.contains("notifications/tools/list_changed"), "{text}");
    let mut again = get(&there).header("Last-Event-ID", last_id(&text)).send(there.address).await;
    let text = until(&mut again, "notifications/resources/updated").await;
    assert!(!text.contains("list_changed"), "it knows the lists: {text}");

    // The session's end is the stream's, and is told to all.
    let end = Ask::new("DELETE", &here.path).bearer(here.key.as_ref().unwrap());
    let end = end.header("Mcp-Session-Id", here.session.as_ref().unwrap());
    assert_eq!(end.send(here.address).await.status, 200);
    within("the other stream ends", async { while again.piece().await.unwrap().is_some() {} }).await;
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_hear_of_one_change() {
    let limits = json!({
        "streams_per_principal": 2000, "connections_per_ip_max": 3000, "principal_per_second": 10_000, "principal_burst": 10_000
    });
    let gateway = TestGateway::setup().tenant(acme(&[])).set("limits", limits).start().await;
    let client = gateway.modern("acme");
    let mut streams = Vec::new();
    for number in 0..1000 {
        streams.push(open(&client, &number.to_string(), json!({ "toolsListChanged": true })).await.0);
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("patchbay_streams 1000"), "{metrics}");
    gateway.apply(&acme(&["two"]));
    for stream in &mut streams {
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    }
    drop(streams);
    wait_until("their places are free", || async { gateway.metrics().await.contains("patchbay_streams 0") }).await;
}
