//! What comes before an answer, and instead of one: progress, log messages, questions, signs of life, cancellation, and answers
//! that are long or break off.

use std::time::Duration;

use patchbay_e2e::{
    Ask, Client, Event, Exchange, Fixture, TestGateway, Wire,
    client::{META_LOG_LEVEL, gather},
    setup::{scripted, tenant},
    wait::hold,
    wait_until,
};
use serde_json::{Value, json};

/// Servers of both eras over both transports, and which era each is of.
const SERVERS: [(&str, bool); 4] = [("old", false), ("new", true), ("child", false), ("kid", true)];

struct World {
    gateway: TestGateway,
    _fixtures: [Fixture; 2],
}

async fn world() -> World {
    let fixtures = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let servers = [
        ("old", fixtures[0].server()),
        ("new", fixtures[1].server()),
        ("child", scripted(&["--no-odd"])),
        ("kid", scripted(&["--no-odd", "--era", "modern"])),
    ];
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", servers))
        .set(
            "limits",
            json!({ "sse_after_s": 1, "keepalive_s": 1, "principal_concurrency": 1000, "principal_burst": 5000 }),
        )
        .start()
        .await;
    World { gateway, _fixtures: fixtures }
}

fn with_meta(client: &Client, tool: &str, arguments: Value, meta: Value) -> Ask {
    let mut params = json!({ "name": tool });
    params["arguments"] = arguments;
    params["_meta"] = meta;
    client.ask("tools/call", params)
}

async fn seen(client: &Client, server: &str) -> Value {
    serde_json::from_str(client.call(&format!("{server}_seen"), json!({})).await.text()).unwrap()
}

async fn begun(client: &Client, server: &str, tool: &str, count: u64) {
    wait_until(format!("{count} calls of {server}_{tool} run"), || async {
        seen(client, server).await["calls"][tool] == count
    })
    .await;
}

async fn cancelled(client: &Client, server: &str) -> usize {
    seen(client, server).await["cancelled"].as_array().unwrap().len()
}

/// Whether these are the steps of one call, in their order, under this token and no other.
fn expect_steps(answer: &Exchange, token: &Value, steps: u64) {
    let progress: Vec<_> =
        answer.before.iter().filter(|message| message["method"] == "notifications/progress").collect();
    assert_eq!(progress.len() as u64, steps, "{:?}", answer.before);
    for (step, message) in (1..).zip(progress) {
        assert_eq!(message["params"]["progress"], step, "{message}");
        assert_eq!(message["params"]["total"], steps, "{message}");
        assert_eq!(message["params"]["progressToken"], *token, "{message}");
    }
    assert_eq!(answer.text(), format!("{steps} steps"));
}

#[tokio::test]
async fn progress_comes_in_order_under_the_callers_own_token() {
    let world = world().await;
    for client in world.gateway.both("acme").await {
        for (server, modern) in SERVERS {
            for token in [json!("a token"), json!(0), json!(9_007_199_254_740_993_u64)] {
                let ask = with_meta(
                    &client,
                    &format!("{server}_progress"),
                    json!({ "n": 7 }),
                    json!({ "progressToken": token }),
                );
                let answer = client.gather(&ask).await;
                if modern == client.is_modern() {
                    expect_steps(&answer, &token, 7);
                } else {
                    assert_eq!(answer.text(), "7 steps");
                }
            }
            // Who wants no progress gets none, and the answer is one JSON object.
            let reply =
                client.ask_tool(&format!("{server}_progress"), json!({ "n": 7 })).send(world.gateway.address).await;
            assert_eq!(reply.kind(), "application/json");
            assert_eq!(gather(reply).await.text(), "7 steps");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_with_the_same_token_hear_each_only_of_their_own() {
    let world = world().await;
    for client in world.gateway.both("acme").await {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..100_u64 {
            let (server, _) = SERVERS
                .into_iter()
                .filter(|(_, modern)| *modern == client.is_modern())
                .nth(number as usize % 2)
                .unwrap();
            let client = client.clone();
            calls.spawn(async move {
                let steps = number % 17 + 1;
                let params = json!({
                    "name": format!("{server}_progress"), "arguments": { "n": steps }, "_meta": { "progressToken": "same" }
                });
                let answer = client.gather(&client.ask_as("1", "tools/call", params)).await;
                expect_steps(&answer, &json!("same"), steps);
            });
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn log_messages_reach_who_wants_their_level_and_nobody_else() {
    let world = world().await;
    let logged =
        |answer: &Exchange| answer.before.iter().filter(|message| message["method"] == "notifications/message").count();
    let legacy = world.gateway.legacy("acme").await;
    for (level, expected) in [("debug", 1), ("info", 1), ("warning", 0), ("emergency", 0), ("debug", 1)] {
        legacy.request("logging/setLevel", json!({ "level": level })).await.result();
        let answer = legacy.call("old_log", json!({})).await;
        assert_eq!((answer.text(), logged(&answer)), ("logged", expected), "{level}");
    }
    // The level is the session's own.
    legacy.request("logging/setLevel", json!({ "level": "emergency" })).await.result();
    let other = world.gateway.legacy("acme").await;
    assert_eq!(logged(&other.call("old_log", json!({})).await), 1);

    let modern = world.gateway.modern("acme");
    for (level, expected) in [(None, 0), (Some("debug"), 1), (Some("info"), 1), (Some("error"), 0), (Some("loud"), 0)] {
        let meta = level.map_or_else(|| json!({}), |level| json!({ META_LOG_LEVEL: level }));
        let answer = modern.gather(&with_meta(&modern, "new_log", json!({}), meta.clone())).await;
        assert_eq!((answer.text(), logged(&answer)), ("logged", expected), "{level:?}");
        // What a child logs that others share says of no call that it belongs to it.
        let answer = modern.gather(&with_meta(&modern, "kid_log", json!({}), meta)).await;
        assert_eq!((answer.text(), logged(&answer)), ("logged", 0), "{level:?}");
    }
}

#[tokio::test]
async fn a_modern_client_that_closes_its_stream_cancels_and_the_server_hears_of_it() {
    let world = world().await;
    let client = world.gateway.modern("acme");
    for (server, _) in SERVERS {
        let before = cancelled(&client, server).await;
        let ask = client.ask_tool(&format!("{server}_hang"), json!({}));
        let address = world.gateway.address;
        // One that has not been answered at all, and one of which the stream has begun.
        let early = tokio::spawn({
            let ask = ask.clone();
            async move { ask.try_send(address).await.map(drop) }
        });
        begun(&client, server, "hang", 1).await;
        early.abort();
        wait_until(format!("{server} hears of it"), || async { cancelled(&client, server).await == before + 1 }).await;

        let reply = ask.send(address).await;
        let mut events = reply.events();
        assert!(matches!(events.next().await, Ok(Some(Event::Comment(_)))));
        drop(events);
        wait_until(format!("{server} hears of it again"), || async { cancelled(&client, server).await == before + 2 })
            .await;
    }
    wait_until("the trail says what became of them", || async {
        let audit = world.gateway.audit().await;
        audit.iter().filter(|record| record["native"] == "hang" && record["outcome"] == "cancelled").count() == 8
    })
    .await;
}

#[tokio::test]
async fn a_legacy_call_outlives_its_clients_connection() {
    let world = world().await;
    let client = world.gateway.legacy("acme").await;
    let answered = async || {
        let audit = world.gateway.audit().await;
        audit.iter().filter(|record| record["native"] == "slow" && record["outcome"] == "answered").count()
    };
    for (count, (server, _)) in SERVERS.into_iter().enumerate() {
        let ask = client.ask_tool(&format!("{server}_slow"), json!({ "ms": 2200 }));
        let address = world.gateway.address;
        // One client leaves before anything was said, one when the stream has begun.
        let early = tokio::spawn({
            let ask = ask.clone();
            async move { ask.try_send(address).await.map(drop) }
        });
        begun(&client, server, "slow", 1).await;
        early.abort();
        let mut events = ask.send(address).await.events();
        assert!(matches!(events.next().await, Ok(Some(Event::Comment(_)))));
        drop(events);
        wait_until(format!("the calls to {server} are answered all the same"), || async {
            answered().await == 2 * (count + 1)
        })
        .await;
        assert_eq!(cancelled(&client, server).await, 0, "{server} was told to stop");
    }
}

#[tokio::test]
async fn a_legacy_client_takes_a_call_back_by_saying_so() {
    let world = world().await;
    let client = world.gateway.legacy("acme").await;
    let mut stranger = world.gateway.legacy("acme").await;
    for (server, _) in SERVERS {
        let ask =
            client.ask_as(r#""mine""#, "tools/call", json!({ "name": format!("{server}_hang"), "arguments": {} }));
        let address = world.gateway.address;
        let call = tokio::spawn(async move { ask.send(address).await.bytes().await });
        begun(&client, server, "hang", 1).await;
        // The same id in another session is another call.
        let note = |client: &Client, id: Value| {
            client.notification("notifications/cancelled", json!({ "requestId": id, "reason": "enough" }))
        };
        assert_eq!(note(&stranger, json!("mine")).send(address).await.status, 202);
        assert_eq!(note(&client, json!("other")).send(address).await.status, 202);
        assert!(!hold(Duration::from_millis(300), || async { cancelled(&client, server).await > 0 }).await, "{server}");
        assert_eq!(note(&client, json!("mine")).send(address).await.status, 202);
        wait_until(format!("{server} hears of it"), || async { cancelled(&client, server).await == 1 }).await;
        let answer = patchbay_e2e::within("the end of the stream", call).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains("jsonrpc"), "a cancelled call was answered: {answer:?}");
    }
    stranger.session = None;
}

#[tokio::test]
async fn a_silent_call_shows_signs_of_life_and_a_quick_one_stays_plain() {
    let world = world().await;
    let mut calls = tokio::task::JoinSet::new();
    for client in world.gateway.both("acme").await {
        for (server, _) in SERVERS {
            let (client, name) = (client.clone(), format!("{server}_slow"));
            calls.spawn(async move {
                let quick = client.ask_tool(&name, json!({ "ms": 1 })).send(client.address).await;
                assert_eq!(quick.kind(), "application/json", "{name}");
                let reply = client.ask_tool(&name, json!({ "ms": 2600 })).send(client.address).await;
                assert_eq!((reply.status, reply.kind()), (200, "text/event-stream"), "{name}");
                assert_eq!(reply.header("x-accel-buffering"), Some("no"));
                let answer = gather(reply).await;
                assert_eq!(answer.text(), "slept 2600 ms");
                assert!(answer.comments >= 1, "{name}: no sign of life within 2.6 s");
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_error_that_comes_late_is_still_an_answer() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["call_timeout_s"] = json!(3);
    let gateway =
        TestGateway::setup().tenant(acme).set("limits", json!({ "sse_after_s": 1, "keepalive_s": 1 })).start().await;
    for client in gateway.both("acme").await {
        let answer = client.call("one_hang", json!({})).await;
        assert!(answer.is_error() && answer.text().contains("did not answer in time"), "{}", answer.raw);
        assert!(answer.comments >= 1);
    }
}

#[tokio::test]
async fn a_servers_question_finds_its_user_and_the_answer_its_server() {
    let world = world().await;
    let gateway = &world.gateway;
    let can = json!({ "elicitation": {} });
    let client =
        Client::legacy_as(gateway.address, "/t/acme/mcp", Some(gateway.key("acme")), "2025-11-25", can.clone()).await;
    let reply = client.ask_tool("old_elicit", json!({})).send(gateway.address).await;
    let mut events = reply.events();
    let question = events.message().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "[old] What is your name?");
    assert_eq!(question["params"]["requestedSchema"]["required"], json!(["name"]));
    let id = question["id"].as_str().expect("an id that nobody guesses").to_owned();
    assert!(id.len() > 20, "{id}");

    // Somebody else who knows the id cannot answer for the user.
    let colleague = gateway.new_key("acme", "colleague", &[]);
    let mut stranger = client.clone();
    stranger.key = Some(colleague.text.clone());
    wait_until("the new key opens the door", || async {
        let probe = Client::modern(gateway.address, &client.path, Some(&colleague.text)).ask("tools/list", json!({}));
        probe.send(gateway.address).await.status == 200
    })
    .await;
    let stranger = Client::legacy_as(gateway.address, "/t/acme/mcp", stranger.key.as_deref(), "2025-11-25", can).await;
    let answer = |name: &str| json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept", "content": { "name": name } } });
    assert_eq!(stranger.post_in_era(answer("Eve").to_string()).send(gateway.address).await.status, 202);

    assert_eq!(client.post_in_era(answer("Ada").to_string()).send(gateway.address).await.status, 202);
    let response = events.message().await;
    let text = response["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Ada") && !text.contains("Eve"), "{response}");
    assert_eq!(events.next().await, Ok(None));
    // The question is answered; a second answer goes nowhere.
    assert_eq!(client.post_in_era(answer("Bob").to_string()).send(gateway.address).await.status, 202);

    // A client that cannot be asked is not asked, and a shared child may ask nobody.
    let mute = gateway.legacy("acme").await;
    for (client, tool) in [(&mute, "old_elicit"), (&client, "child_elicit")] {
        let answer = client.call(tool, json!({})).await;
        assert!(answer.before.is_empty(), "{tool}: {:?}", answer.before);
        assert!(answer.raw.contains("-32601") || answer.is_error(), "{tool}: {}", answer.raw);
    }
}

#[tokio::test]
async fn long_answers_arrive_whole() {
    let world = world().await;
    let bytes = 5 << 20;
    for client in world.gateway.both("acme").await {
        for (server, _) in SERVERS {
            let answer = client.call(&format!("{server}_big"), json!({ "bytes": bytes })).await;
            assert_eq!(answer.text().len(), bytes, "{server}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_never_passed_off_as_whole() {
    let fixtures = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let wires = [Wire::to(fixtures[0].address).await, Wire::to(fixtures[1].address).await];
    let servers = [("old", fixtures[0].server_through(&wires[0])), ("new", fixtures[1].server_through(&wires[1]))];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let mut broken = 0;
    for client in gateway.both("acme").await {
        for (server, wire) in ["old", "new"].into_iter().zip(&wires) {
            // More than all the buffers on the way can hold, so that the middle has not left the server when the wire is cut.
            let ask = client.ask_tool(&format!("{server}_big"), json!({ "bytes": 60_000_000 }));
            let mut reply = ask.send(gateway.address).await;
            assert_eq!(reply.status, 200);
            let first = reply.piece().await.unwrap().unwrap();
            assert!(first.starts_with(br#"{"jsonrpc""#));
            wire.cut();
            let rest = reply.bytes().await;
            assert!(rest.is_err(), "{} bytes of a broken answer looked whole", rest.map_or(0, |bytes| bytes.len()));
            wire.mend();
            broken += 1;
            wait_until("the trail says that it broke", || async {
                let audit = gateway.audit().await;
                audit.iter().filter(|record| record["native"] == "big" && record["outcome"] == "broken").count()
                    == broken
            })
            .await;
            let name = format!("{server}_echo");
            wait_until("the server is reached again", || async { !client.call(&name, json!({})).await.is_error() })
                .await;
        }
    }
    // One that is longer than the gateway hands on is refused in words.
    let long = gateway.modern("acme").call("new_big", json!({ "bytes": 70_000_000 })).await;
    assert!(long.is_error() && long.text().contains("larger than"), "{}", &long.raw[..200.min(long.raw.len())]);
}
