//! Servers and clients that abuse the ways between them: equal ids and tokens, floods, readers that stop, states that are
//! tampered with, foreign or replayed (that they expire is a test of `dispatch`, with a clock of its own), questions that nobody offered, answers that come twice, late or to a call that
//! is none any more. Nothing crosses, others go on, and memory stays flat.

use patchbay_e2e::{
    Client, Exchange, Fixture, TestGateway,
    client::LEGACY,
    http::Event,
    setup::{scripted, tenant},
    talk::obliging,
    wait_until,
};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

/// Servers of both eras over both transports.
const SERVERS: [&str; 4] = ["old", "new", "child", "kid"];
/// By how much the gateway may have grown when a flood is over. What it keeps of streams is bounded far below this; allocators
/// keep what they once had.
const GROWTH_BYTES_MAX: u64 = 96 * 1024 * 1024;

struct World {
    gateway: TestGateway,
    _fixtures: [Fixture; 2],
}

async fn world(limits: Value) -> World {
    let era = |era| Fixture::scripted(&["--rich", "--no-odd", "--era", era]);
    let fixtures = [era("legacy"), era("modern")];
    let child = |era| {
        let mut child = scripted(&["--rich", "--no-odd", "--era", era]);
        child["sharing"] = json!("principal");
        child
    };
    let servers = [
        ("old", fixtures[0].server()),
        ("new", fixtures[1].server()),
        ("child", child("legacy")),
        ("kid", child("modern")),
    ];
    let servers = servers.map(|(name, mut server)| {
        server["asks"] = json!({ "elicitation": true, "sampling": true, "roots": true });
        (name, server)
    });
    let all = json!({ "principal_concurrency": 1000, "principal_burst": 100_000, "principal_per_second": 100_000 });
    let setup = TestGateway::setup().tenant(tenant("acme", servers)).set("limits", all).set("limits", limits);
    World { gateway: setup.start().await, _fixtures: fixtures }
}

impl World {
    /// A client of that era that can be asked this.
    async fn client(&self, is_modern: bool, can: Value) -> Client {
        self.client_as(is_modern, self.gateway.key("acme"), can).await
    }

    async fn client_as(&self, is_modern: bool, key: &str, can: Value) -> Client {
        let (address, path) = (self.gateway.address, TestGateway::path("acme"));
        if is_modern {
            return Client::modern(address, &path, Some(key)).able(can);
        }
        Client::legacy_as(address, &path, Some(key), LEGACY, can).await
    }

    /// The bytes of memory that the gateway has.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    async fn others_go_on(&self) {
        for is_modern in [false, true] {
            let client = self.client(is_modern, json!({})).await;
            for server in SERVERS {
                for number in 0..5 {
                    let answer = client.call(&format!("{server}_echo"), json!({ "n": number })).await;
                    assert_eq!(answer.text(), json!({ "n": number }).to_string(), "{}", answer.raw);
                }
            }
        }
    }

    fn expect_flat(&self, before: u64) {
        let now = self.memory();
        assert!(now < before + GROWTH_BYTES_MAX, "the gateway grew from {before} to {now} bytes");
    }
}

fn forms() -> Value {
    json!({ "elicitation": {} })
}

fn ask(key: &str, method: &str, params: Value) -> Value {
    let ask = [("key", key.into()), ("method", method.into()), ("params", params)];
    json!({ "ask": Value::from_iter(ask) })
}

fn form() -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    ask("who", "elicitation/create", json!({ "message": "What is your name?", "requestedSchema": schema }))
}

fn play(server: &str, steps: &[Value]) -> Value {
    json!({ "name": format!("{server}_play"), "arguments": { "steps": steps } })
}

fn named(name: &str) -> Value {
    json!({ "action": "accept", "content": { "name": name } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_with_equal_ids_and_tokens_are_asked_and_told_each_of_their_own() {
    let world = world(json!({})).await;
    let mut calls = JoinSet::new();
    for number in 0..100_u64 {
        let client = world.client(number % 2 == 0, forms()).await;
        // Each era's callers at servers of both.
        let server = ["old", "old", "new", "new"][number as usize % 4];
        calls.spawn(async move {
            let name = format!("caller {number}");
            let steps = number % 7 + 1;
            let mut params = play(server, &[json!({ "progress": steps }), form()]);
            params["_meta"] = json!({ "progressToken": "same" });
            let talk = client.talk("tools/call", params, |_| Some(named(&name))).await;
            let heard: Value = serde_json::from_str(talk.last.text()).unwrap();
            assert_eq!(heard["who"]["content"]["name"], name, "{}", talk.last.raw);
            assert_eq!(talk.asked.len(), 1, "{:?}", talk.asked);
            let progress: Vec<_> = talk.told.iter().filter(|told| told["method"] == "notifications/progress").collect();
            assert_eq!(progress.len() as u64, steps, "{progress:?}");
            for told in progress {
                assert_eq!(
                    (&told["params"]["progressToken"], &told["params"]["total"]),
                    (&json!("same"), &json!(steps))
                );
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_progress_is_told_in_order_slows_nobody_and_leaves_nothing() {
    let world = world(json!({})).await;
    world.others_go_on().await;
    let before = world.memory();
    let mut floods = JoinSet::new();
    for (is_modern, server) in [(false, "old"), (true, "new"), (true, "child"), (false, "kid")] {
        let client = world.client(is_modern, json!({})).await;
        floods.spawn(async move {
            let mut params = play(server, &[json!({ "progress": 100_000 })]);
            params["_meta"] = json!({ "progressToken": 1 });
            let mut events = client.ask("tools/call", params).send(client.address).await.events();
            let (mut last, mut told) = (0, 0_u64);
            loop {
                let message = match events.next().await {
                    Ok(Some(Event::Comment(_))) => continue,
                    Ok(Some(event)) => event.json(),
                    end => panic!("{server}: the stream ended after {told}: {end:?}"),
                };
                if message.get("method").is_none() {
                    assert_eq!(message["result"]["content"][0]["text"], "{}", "{server}: {message}");
                    break;
                }
                let step = message["params"]["progress"].as_u64().unwrap();
                assert!(step > last, "{server}: {step} after {last}");
                (last, told) = (step, told + 1);
            }
            assert!(told > 0, "{server}: nothing was told");
        });
    }
    world.others_go_on().await;
    while let Some(done) = floods.join_next().await {
        done.unwrap();
    }
    world.expect_flat(before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_keeps_nobody_and_nothing() {
    let world = world(json!({})).await;
    world.others_go_on().await;
    let before = world.memory();
    let mut held = Vec::new();
    for is_modern in [false, true] {
        for server in SERVERS {
            let client = world.client(is_modern, json!({})).await;
            let mut params = play(server, &[json!({ "progress": 1_000_000 })]);
            params["_meta"] = json!({ "progressToken": 1 });
            // The head is read, and then nothing more.
            held.push(client.ask("tools/call", params).send(client.address).await);
        }
    }
    for _ in 0..5 {
        world.others_go_on().await;
        world.expect_flat(before);
    }
    drop(held);
    world.others_go_on().await;
    world.expect_flat(before);
}

/// The first round of a call that asks, and its params.
async fn asked(client: &Client, server: &str) -> (Value, Exchange) {
    let params = play(server, &[form()]);
    let asked = client.request("tools/call", params.clone()).await;
    assert_eq!(asked.result()["resultType"], "input_required", "{}", asked.raw);
    (params, asked)
}

/// The next round with this answer.
fn again(params: &Value, asked: &Exchange, name: &str) -> Value {
    let keys = asked.result()["inputRequests"].as_object().unwrap().keys();
    let answers: Map<String, Value> = keys.map(|key| (key.clone(), named(name))).collect();
    Client::next_round(params, asked, answers).unwrap()
}

#[tokio::test]
async fn a_state_counts_once_for_whom_it_was_made_and_for_what_it_was_made() {
    let world = world(json!({})).await;
    let client = world.client(true, forms()).await;
    let colleague = world.gateway.new_key("acme", "colleague", &[]);
    let stranger = world.client_as(true, &colleague.text, forms()).await;
    wait_until("the new key opens the door", || async {
        stranger.ask("tools/list", json!({})).send(stranger.address).await.status == 200
    })
    .await;
    for server in SERVERS {
        let plays = async || {
            let seen: Value =
                serde_json::from_str(client.call(&format!("{server}_seen"), json!({})).await.text()).unwrap();
            seen["calls"]["play"].as_u64().unwrap_or_default()
        };
        let (params, first) = asked(&client, server).await;
        let good = again(&params, &first, "Ada");
        let before = plays().await;
        let refused = async |what: &str, client: &Client, params: &Value| {
            let answer = client.request("tools/call", params.clone()).await;
            assert!(answer.response["error"]["code"] == -32602, "{server}: {what}: {}", answer.raw);
            assert!(!answer.raw.contains("Ada"), "{server}: {what}: {}", answer.raw);
        };
        let state = good["requestState"].as_str().unwrap().to_owned();
        for at in [0, state.len() / 2, state.len() - 1] {
            let mut changed = state.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let mut tampered = good.clone();
            tampered["requestState"] = json!(String::from_utf8(changed).unwrap());
            refused("tampered with", &client, &tampered).await;
        }
        let mut cut = good.clone();
        cut["requestState"] = json!(&state[..state.len() / 2]);
        refused("cut", &client, &cut).await;
        refused("of another principal", &stranger, &good).await;
        let mut other = good.clone();
        other["arguments"]["steps"][0]["ask"]["key"] = json!("whom");
        refused("for other arguments", &client, &other).await;
        let mut elsewhere = good.clone();
        elsewhere["name"] = json!(format!("{server}_echo"));
        refused("for another tool", &client, &elsewhere).await;
        assert_eq!(plays().await, before, "{server}: the server heard of what was refused");

        let answer = client.request("tools/call", good.clone()).await;
        assert_eq!(answer.text(), json!({ "who": named("Ada") }).to_string(), "{server}");
        let after = plays().await;
        refused("replayed", &client, &good).await;
        assert_eq!(plays().await, after, "{server}: the server heard of a replay");
    }
}

#[tokio::test]
async fn what_a_client_did_not_declare_it_is_never_asked() {
    let world = world(json!({})).await;
    let sample = ask("said", "sampling/createMessage", json!({ "messages": [], "maxTokens": 1 }));
    let roots = ask("roots", "roots/list", json!({}));
    let url = ask(
        "in",
        "elicitation/create",
        json!({ "mode": "url", "message": "In", "url": "https://example.org", "elicitationId": "1" }),
    );
    let unknown = ask("what", "example/unheard", json!({}));
    for is_modern in [false, true] {
        let (mute, former) = (world.client(is_modern, json!({})).await, world.client(is_modern, forms()).await);
        for server in SERVERS {
            for (client, steps) in [
                (&mute, [form()]),
                (&former, [sample.clone()]),
                (&former, [roots.clone()]),
                (&former, [url.clone()]),
                (&former, [unknown.clone()]),
            ] {
                let talk = client.talk("tools/call", play(server, &steps), obliging).await;
                assert!(talk.asked.is_empty(), "{server} has asked: {:?}", talk.asked);
                let answer = &talk.last;
                let is_refused = answer.is_error()
                    || answer.response["error"].is_object()
                    // A legacy server is told, and goes on.
                    || answer.text().contains(r#""code":-32"#);
                assert!(is_refused, "{server}: {}", answer.raw);
            }
        }
    }
}

#[tokio::test]
async fn answers_that_come_twice_late_or_to_no_question_reach_nobody() {
    let world = world(json!({})).await;
    for is_modern in [false, true] {
        let client = world.client(is_modern, forms()).await;
        for server in ["child", "old", "new", "kid"] {
            let wrong = |id: &str| json!({ "raw": format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"crossed"}}]}}}}"#) });
            let seen = async || -> Value {
                serde_json::from_str(client.call(&format!("{server}_seen"), json!({})).await.text()).unwrap()
            };
            let count = async || seen().await["cancelled"].as_array().unwrap().len();
            let running = async || seen().await["calls"]["hang"].as_u64().unwrap_or_default();
            // A call is taken back; another one brings the answer to it, late.
            let hanging = running().await;
            let hang =
                client.ask_as(r#""mine""#, "tools/call", json!({ "name": format!("{server}_hang"), "arguments": {} }));
            let address = client.address;
            let call = tokio::spawn(async move { hang.send(address).await.bytes().await });
            wait_until("the call runs", || async { running().await > hanging }).await;
            let before = count().await;
            if is_modern {
                call.abort();
            } else {
                let note = client.notification("notifications/cancelled", json!({ "requestId": "mine" }));
                assert_eq!(note.send(address).await.status, 202);
            }
            wait_until("the server hears of the cancellation", || async { count().await > before }).await;
            let cancelled = seen().await["cancelled"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
            let id = cancelled.rsplit(' ').next().unwrap().to_owned();
            // Its own answer comes once more after it, too, and one to an id that nobody has.
            let params = play(server, &[wrong(&id), wrong("987654321"), wrong("null"), wrong(r#""x""#)]);
            let answer = client.request("tools/call", params).await;
            assert!(!answer.raw.contains("crossed"), "{server}: {}", answer.raw);
            assert!(answer.before.is_empty(), "{server}: {:?}", answer.before);

            let twice = client.request("tools/call", play(server, &[wrong("$ID"), wrong("$ID")])).await;
            assert_eq!(twice.text(), "crossed", "{server}: the first answer is the answer");
            let after = client.call(&format!("{server}_echo"), json!({ "n": 1 })).await;
            assert_eq!(after.text(), r#"{"n":1}"#, "{server}: the next call gets its own answer");
        }
    }
    world.others_go_on().await;
}
