//! What breaks, breaks alone: children that are killed, servers that hang, lie or come late, a store that goes away, a gateway
//! that is killed or told to stop. Nobody else notices, and nothing is left behind.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    Ask, Client, Fixture, TestGateway, Wire,
    client::gather,
    database::Postgres,
    process::expect_gone,
    setup::{Setup, scripted, tenant},
    wait::{block_until, hold},
    wait_until,
};
use serde_json::{Value, json};

/// Calls of one tool that were sent and are not awaited.
fn in_flight(
    client: &Client,
    tool: &str,
    arguments: &Value,
    count: usize,
) -> tokio::task::JoinSet<patchbay_e2e::Exchange> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..count {
        let ask = client.ask_tool(tool, arguments.clone());
        let address = client.address;
        calls.spawn(async move { gather(ask.send(address).await).await });
    }
    calls
}

async fn seen(client: &Client, prefix: &str) -> Value {
    let seen = client.call(&format!("{prefix}seen"), json!({})).await;
    serde_json::from_str(seen.text()).unwrap()
}

/// Waits until the fixture has begun so many calls of a tool.
async fn begun(client: &Client, prefix: &str, tool: &str, count: u64) {
    wait_until(format!("{count} calls of {tool} run"), || async { seen(client, prefix).await["calls"][tool] == count })
        .await;
}

#[tokio::test]
async fn a_killed_child_fails_its_waiting_calls_at_once_and_comes_back() {
    let servers = [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    for client in gateway.both("acme").await {
        let victim = u32::try_from(seen(&client, "one_").await["pid"].as_u64().unwrap()).unwrap();
        let waiting = in_flight(&client, "one_hang", &json!({}), 40);
        begun(&client, "one_", "hang", 40).await;
        let killed = Instant::now();
        gateway.children().iter().find(|child| child.pid == victim).unwrap().kill();
        for answer in waiting.join_all().await {
            assert!(answer.is_error(), "{}", answer.raw);
            assert!(
                answer.text().contains("\"one\"") && answer.text().contains("may have been carried out"),
                "{}",
                answer.raw
            );
        }
        assert!(killed.elapsed() < Duration::from_secs(20), "the calls waited for their deadline");
        assert!(!client.call("two_echo", json!({})).await.is_error(), "another server suffers");
        wait_until("the child is back", || async { !client.call("one_echo", json!({})).await.is_error() }).await;
        let again = seen(&client, "one_").await;
        assert_ne!(again["pid"], victim);
        assert_eq!(again["calls"]["hang"], Value::Null, "a call that may have run was sent again");
    }
    let ends = gateway.log();
    assert!(ends.contains("signal 9"), "the log does not say how the child ended");
}

#[tokio::test]
async fn a_child_that_dies_at_every_call_does_not_make_the_gateway_busy() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let client = gateway.modern("acme");
    for _ in 0..8 {
        let answer = client.call("one_die", json!({})).await;
        assert!(answer.is_error(), "{}", answer.raw);
    }
    // By now it is not even asked: the answer is that of a server that is away, and nothing was carried out.
    let answer = client.call("one_die", json!({})).await;
    assert!(answer.is_error() && answer.text().contains("safe to try again"), "{}", answer.raw);
    wait_until("it is asked again", || async { !client.call("one_echo", json!({})).await.is_error() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_among_ten_slows_nobody_and_hides_nothing_of_the_others() {
    let fixtures: Vec<_> = (0..10).map(|_| Fixture::scripted(&["--no-odd"])).collect();
    let wire = Wire::to(fixtures[0].address).await;
    let servers = fixtures.iter().enumerate().map(|(number, fixture)| {
        let server = if number == 0 { fixture.server_through(&wire) } else { fixture.server() };
        (format!("s{number}"), server)
    });
    let mut acme = tenant("acme", servers);
    acme["servers"]["s0"]["call_timeout_s"] = json!(2);
    let gateway = TestGateway::setup().tenant(acme).limit("catalog_refresh_s", 5).start().await;
    let client = gateway.modern("acme");
    let whole = client.tools().await;
    assert_eq!(whole.len(), 160);

    wire.silence();
    let hung = in_flight(&client, "s0_echo", &json!({}), 20);
    let begun = Instant::now();
    for round in 0..5 {
        assert_eq!(client.tools().await, whole, "round {round}");
        for number in 1..10 {
            let answer = client.call(&format!("s{number}_echo"), json!({ "round": round })).await;
            assert_eq!(answer.result()["structuredContent"]["round"], round);
        }
    }
    let busy = begun.elapsed();
    for answer in hung.join_all().await {
        assert!(answer.is_error() && answer.text().contains("did not answer in time"), "{}", answer.raw);
    }
    assert!(busy < Duration::from_secs(20), "the others took {busy:?}");
    // What it offered stays in the list, and a call of it still says what is wrong.
    assert_eq!(client.tools().await, whole);
    assert!(client.call("s0_echo", json!({})).await.is_error());

    wire.cut();
    wire.mend();
    wait_until("it is back", || async { !client.call("s0_echo", json!({})).await.is_error() }).await;
}

#[tokio::test]
async fn garbage_and_half_an_answer_are_the_fault_of_their_server_alone() {
    let http = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let servers = [
        ("old", http[0].server()),
        ("new", http[1].server()),
        ("child", scripted(&["--no-odd"])),
        ("kid", scripted(&["--no-odd", "--era", "modern"])),
    ];
    let mut acme = tenant("acme", servers);
    for server in ["old", "new", "child", "kid"] {
        acme["servers"][server]["call_timeout_s"] = json!(3);
    }
    let gateway = TestGateway::setup().tenant(acme).start().await;
    for client in gateway.both("acme").await {
        for server in ["old", "new", "child", "kid"] {
            for tool in ["garbage", "half"] {
                let name = format!("{server}_{tool}");
                let reply = client.ask_tool(&name, json!({})).send(gateway.address).await;
                // An answer that breaks off in the middle breaks off here, or is an error: never a short answer.
                let outcome = reply.bytes().await;
                let text = outcome.map_or_else(|broken| broken, |bytes| String::from_utf8_lossy(&bytes).into_owned());
                let is_error = text.contains(r#""isError":true"#) && text.contains(&format!("\\\"{server}\\\""));
                assert!(is_error || text.starts_with("broke off"), "{name} in {}: {text}", client.version);
                assert!(!text.contains("this is no JSON"), "{name}: what a server says wrong is passed on: {text}");
            }
            let name = format!("{server}_echo");
            wait_until(format!("{name} works again"), || async { !client.call(&name, json!({})).await.is_error() })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_the_start_appears_when_it_comes_up() {
    let wire = Wire::nowhere().await;
    let late = json!({ "url": format!("http://{}/mcp", wire.address()) });
    let servers = [("late", late), ("here", scripted(&["--no-odd"]))];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).at_once().start().await;
    let client = gateway.modern("acme");
    let before = client.tools().await;
    assert_eq!(before.len(), 16, "{before:?}");
    let listed = client.request("tools/list", json!({})).await;
    assert!(listed.result()["ttlMs"].as_u64().is_some_and(|ttl_ms| ttl_ms <= 2000), "{}", listed.raw);
    assert_eq!(client.call("late_echo", json!({})).await.code(), -32602);

    let fixture = Fixture::scripted(&["--no-odd"]);
    wire.lead_to(fixture.address);
    wait_until("its tools are listed", || async { client.tools().await.contains(&"late_echo".to_owned()) }).await;
    assert!(!client.call("late_echo", json!({})).await.is_error());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lists_of_servers_that_are_down_after_a_restart_are_the_last_good_ones() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let wire = Wire::to(fixture.address).await;
    let servers = [("far", fixture.server_through(&wire)), ("near", scripted(&["--no-odd"]))];
    let mut gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let whole = gateway.modern("acme").tools().await;
    assert_eq!(whole.len(), 32);
    gateway.terminate();
    gateway.ended();
    wire.cut();
    let gateway = gateway.again().await;
    let client = gateway.modern("acme");
    assert_eq!(client.tools().await, whole, "the first list after a restart is whole");
    let away = client.call("far_echo", json!({})).await;
    assert!(away.is_error() && away.text().contains("safe to try again"), "{}", away.raw);
    assert!(!client.call("near_echo", json!({})).await.is_error());
    wire.mend();
    wait_until("it is back", || async { !client.call("far_echo", json!({})).await.is_error() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_while_the_store_is_away_and_changes_arrive_when_it_is_back() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, behind) = database.behind_wire().await;
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    let gateway = TestGateway::setup().postgres(&behind).tenant(acme.clone()).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    // A second process that reaches the store while the gateway does not.
    let desk = Setup::new().postgres(&database).home();

    wire.cut();
    for round in 0..20 {
        for client in [&legacy, &modern] {
            let answer = client.call("one_echo", json!({ "round": round })).await;
            assert_eq!(answer.result()["structuredContent"]["round"], round);
            assert_eq!(client.tools().await.len(), 16);
        }
    }
    let fresh = gateway.legacy("acme").await;
    assert!(!fresh.call("one_echo", json!({})).await.is_error(), "a session can be opened without the store");
    assert_eq!(Ask::get("/readyz").send(gateway.operations).await.status, 200, "it serves, so it is ready");
    acme["servers"]["one"]["prefix"] = json!("uno");
    desk.apply(&acme).good();
    let revoked = gateway.key("acme").to_owned();
    let keys: Value =
        serde_json::from_str(&desk.patchbay(&["key", "list", "--tenant", "acme", "--json"]).good()).unwrap();
    assert_eq!(modern.tools().await[0], "one_big", "the gateway cannot know yet");

    wire.mend();
    wait_until("the change is in force", || async {
        modern.tools().await.first().is_some_and(|name| name == "uno_big")
    })
    .await;
    desk.patchbay(&["key", "revoke", "--tenant", "acme", keys[0]["id"].as_str().unwrap()]).good();
    let probe = Client::modern(gateway.address, &modern.path, Some(&revoked)).ask("tools/list", json!({}));
    wait_until("the key is refused", || async { probe.send(gateway.address).await.status == 401 }).await;
    drop(gateway);
    database.clear().await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_no_child_behind() {
    let servers = (0..3).map(|number| (format!("s{number}"), scripted(&["--no-odd"])));
    let mut gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let client = gateway.modern("acme");
    let calls = in_flight(&client, "s1_hang", &json!({}), 10);
    begun(&client, "s1_", "hang", 10).await;
    let children = gateway.children();
    assert_eq!(children.len(), 3, "{children:?}");
    gateway.kill();
    expect_gone(&children);
    drop(calls);
    let gateway = gateway.again().await;
    assert!(!gateway.modern("acme").call("s1_echo", json!({})).await.is_error());
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_loses_no_call() {
    let far = Fixture::scripted(&["--no-odd"]);
    let servers = [("near", scripted(&["--no-odd"])), ("far", far.server())];
    let mut gateway = TestGateway::setup().tenant(tenant("acme", servers)).limit("sse_after_s", 1).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    let mut calls = Vec::new();
    for client in [&legacy, &modern] {
        for server in ["near", "far"] {
            calls.push(in_flight(client, &format!("{server}_slow"), &json!({ "ms": 2500 }), 10));
        }
    }
    // Legacy calls whose clients are gone are calls like any other.
    let left = in_flight(&legacy, "near_slow", &json!({ "ms": 2600 }), 5);
    begun(&modern, "near_", "slow", 25).await;
    begun(&modern, "far_", "slow", 20).await;
    drop(left);
    gateway.terminate();
    wait_until("it says that it takes no new work", || async {
        let reply = Ask::get("/readyz").try_send(gateway.operations).await;
        reply.is_ok_and(|reply| reply.status == 503)
    })
    .await;
    for calls in calls {
        for answer in calls.join_all().await {
            assert_eq!(answer.text(), "slept 2500 ms", "{}", answer.raw);
        }
    }
    gateway.ended();
    let answered = gateway
        .audit()
        .await
        .iter()
        .filter(|record| record["native"] == "slow" && record["outcome"] == "answered")
        .count();
    assert_eq!(answered, 45, "the audit went to the store before the end");
}

#[tokio::test]
async fn a_call_that_does_not_end_does_not_keep_a_gateway_that_is_told_to_stop() {
    let mut gateway = TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .limit("drain_s", 1)
        .start()
        .await;
    let client = gateway.modern("acme");
    let calls = in_flight(&client, "one_hang", &json!({}), 3);
    begun(&client, "one_", "hang", 3).await;
    let told = Instant::now();
    gateway.terminate();
    gateway.ended();
    assert!(told.elapsed() < Duration::from_secs(30));
    drop(calls);
}

#[tokio::test]
async fn a_second_gateway_on_the_same_port_or_the_same_data_says_so_and_harms_nobody() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    // The same folder on other ports.
    let mut second = TestGateway::spawn(gateway.home());
    let status = second.ended();
    let (_, err) = second.collected();
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("patchbay: ") && err.contains("data"), "{err}");
    assert!(err.contains("another") || err.contains("in use"), "it does not say why: {err}");

    // The same port with another folder.
    let home = Setup::new().set("listen", json!({ "mcp": gateway.address.to_string() })).home();
    let mut third = TestGateway::spawn(&home);
    let status = third.ended();
    let (_, err) = third.collected();
    assert_eq!(status.code(), Some(1), "{err}");
    let complaint = err.lines().find(|line| line.starts_with("patchbay: ")).unwrap_or_default();
    assert!(complaint.contains(&gateway.address.to_string()) && complaint.contains("listen.mcp"), "{err}");

    assert!(!gateway.modern("acme").call("one_echo", json!({})).await.is_error());
}

#[tokio::test]
async fn a_child_that_does_not_listen_any_more_costs_its_own_callers_a_deadline() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["call_timeout_s"] = json!(2);
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let client = gateway.modern("acme");
    let pid = u32::try_from(seen(&client, "one_").await["pid"].as_u64().unwrap()).unwrap();
    gateway.children().iter().find(|child| child.pid == pid).unwrap().freeze();
    let stuck = in_flight(&client, "one_echo", &json!({ "text": "x".repeat(100_000) }), 8);
    for _ in 0..10 {
        assert!(!client.call("two_echo", json!({})).await.is_error());
    }
    for answer in stuck.join_all().await {
        assert!(answer.is_error() && answer.text().contains("in time"), "{}", answer.raw);
    }
    // It is replaced in the end.
    wait_until("there is another child", || async { !client.call("one_echo", json!({})).await.is_error() }).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let client = gateway.modern("acme");
    let calls = in_flight(&client, "one_hang", &json!({}), 1);
    begun(&client, "one_", "hang", 1).await;
    let children = gateway.children();
    gateway.terminate();
    let quiet = hold(Duration::from_secs(10), || async {
        Ask::get("/readyz").try_send(gateway.operations).await.is_ok_and(|reply| reply.status == 503)
    })
    .await;
    assert!(quiet, "it does not say that it drains");
    gateway.signal(Signal::SIGINT);
    block_until("it ended", || !gateway.lives());
    expect_gone(&children);
    drop(calls);
}

#[tokio::test]
async fn connections_that_only_lie_there_do_not_keep_a_gateway_that_is_told_to_stop() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    let mut gateway = TestGateway::setup().tenant(acme).limit("header_read_timeout_s", 2).start().await;
    let mut used = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    used.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    assert!(used.read(&mut answer).await.unwrap() > 0);
    let fresh = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let mut half = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    half.write_all(b"POST /t/acme/mcp HTTP/1.1\r\nHost: lo").await.unwrap();
    wait_until("the gateway knows of them", || async {
        let metrics = gateway.metrics().await;
        metrics.lines().any(|line| line.starts_with("patchbay_connections") && line.ends_with(" 3"))
    })
    .await;
    let told = Instant::now();
    gateway.terminate();
    gateway.ended();
    assert!(told.elapsed() < Duration::from_secs(12), "it waited {:?} for nothing", told.elapsed());
    drop((used, fresh, half));
}

#[tokio::test]
async fn a_server_that_forgets_its_sessions_is_greeted_anew_and_nobody_notices() {
    let fixture = Fixture::scripted(&["--no-odd"]);
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", fixture.server())])).start().await;
    for client in gateway.both("acme").await {
        for round in 0..3 {
            assert_eq!(client.call("one_forget_session", json!({})).await.text(), "forgotten");
            let calls = in_flight(&client, "one_echo", &json!({ "round": round }), 10);
            for answer in calls.join_all().await {
                assert_eq!(answer.result()["structuredContent"]["round"], round, "{}", answer.raw);
            }
        }
    }
}

#[tokio::test]
async fn a_child_that_nobody_needs_is_stopped_and_comes_back_when_it_is_called() {
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .set("stdio", json!({ "idle_stop_s": 1 }))
        .start()
        .await;
    let client = gateway.modern("acme");
    for _ in 0..2 {
        assert!(!client.call("one_echo", json!({})).await.is_error());
        assert_eq!(gateway.children().len(), 1);
        wait_until("the child is stopped", || async { gateway.children().is_empty() }).await;
        assert_eq!(client.tools().await.len(), 16, "its tools stay in the list");
        assert!(gateway.children().is_empty(), "a list woke the child");
    }
}

#[tokio::test]
async fn children_with_bad_manners_are_understood() {
    let servers = [
        ("early", scripted(&["--no-odd", "--speak-first"])),
        ("mute", scripted(&["--no-odd", "--silent-unknown"])),
        ("late", scripted(&["--no-odd", "--start-delay-ms", "2000", "--era", "modern"])),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let client = gateway.modern("acme");
    assert_eq!(client.tools().await.len(), 3 * 16, "the first list waits for all of them");
    for server in ["early", "mute", "late"] {
        assert!(!client.call(&format!("{server}_echo"), json!({})).await.is_error(), "{server}");
    }
}

#[tokio::test]
async fn a_crowd_before_one_server_waits_in_a_line_that_has_an_end() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["concurrency_max"] = json!(4);
    let gateway = TestGateway::setup().tenant(acme).limit("queue_per_server", 8).start().await;
    let client = gateway.modern("acme");
    let crowd = in_flight(&client, "one_slow", &json!({ "ms": 2500 }), 20);
    assert!(!client.call("two_echo", json!({})).await.is_error(), "another server's line is its own");
    let answers = crowd.join_all().await;
    let (turned_away, served): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_error());
    assert_eq!((turned_away.len(), served.len()), (8, 12), "four at once and eight in line");
    for answer in turned_away {
        let text = answer.text();
        assert!(text.contains("too many requests waiting") && text.contains("safe to try again"), "{text}");
    }
    assert!(served.iter().all(|answer| answer.text() == "slept 2500 ms"));
    assert!(!client.call("one_echo", json!({})).await.is_error());
}
