//! What a stream hears of tasks from servers that tell of them and from those that have to be asked. The unwelcome cases first.

use futures_util::{FutureExt, StreamExt};
use patchbay_core::era::{META_SERVER_INFO, Version};
use serde_json::{Value, json};

use super::{
    super::tests::{NATIVE, begun, person, state, task_of, tasking},
    *,
};
use crate::{
    auth::tests::house::House,
    caller::Capabilities,
    dispatch::{
        Answer, run,
        tests::{
            asked,
            scripted::{ALL, Line, Scripted, client, form, one, stream},
        },
    },
    hub::listening::{Listening, Said},
};

/// A stream for these tasks, and those that it says that it tells of.
async fn listen(house: &House, cx: &Cx, ids: &[&str]) -> (Box<Listening>, Value) {
    let mut trail = house.trail();
    trail.known(cx.tenant.id(), &cx.tenant.view().toolset, cx.principal.actor());
    let wanted = json!({ "notifications": { "taskIds": ids } });
    let answer = run(cx.clone(), asked("subscriptions/listen", &wanted), &mut trail).await.unwrap();
    let Answer::Listening(mut listening) = answer else { panic!("a stream was expected") };
    let first = next(&mut listening).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    (listening, first["params"]["notifications"].clone())
}

/// The next message. Time passes meanwhile.
async fn next(listening: &mut Listening) -> Value {
    loop {
        match listening.next().await.unwrap() {
            Said::Alive => {}
            Said::Message(message) => return serde_json::from_slice(&message).unwrap(),
        }
    }
}

/// The next news of a task, without what is the same in all.
async fn news(listening: &mut Listening, id: &str) -> Value {
    let mut message = next(listening).await;
    assert_eq!(message["method"], "notifications/tasks", "{message}");
    let params = message["params"].as_object_mut().unwrap();
    assert_eq!(params.remove("taskId").unwrap(), id);
    assert_eq!(params.remove("_meta").unwrap(), json!({ "io.modelcontextprotocol/subscriptionId": 1 }));
    message["params"].take()
}

fn at(status: &str, second: u32) -> Value {
    json!({ "status": status, "lastUpdatedAt": format!("2026-01-01T00:00:{second:02}Z") })
}

fn note(method: &str, params: &Value) -> Message {
    // As a server may write it that likes to be read.
    let text = serde_json::to_string_pretty(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    Message::Notification(text.unwrap().into())
}

fn told(more: &Value) -> Message {
    let mut params = json!({ "taskId": NATIVE, "_meta": { "io.modelcontextprotocol/subscriptionId": 77 } });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    note("notifications/tasks", &params)
}

fn heard(ids: &[&str]) -> Message {
    note("notifications/subscriptions/acknowledged", &json!({ "notifications": { "taskIds": ids } }))
}

/// A gateway with a task of ann's, before a server that will tell of it.
async fn telling(looks: &[Value]) -> (House, Arc<Scripted>, Cx, String, Line) {
    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    let (reply, line) = stream();
    server.also(Ok(reply));
    looks.iter().for_each(|look| server.also(Ok(one(Era::Modern, &state(look)))));
    (house, server, ann, id, line)
}

#[tokio::test(start_paused = true)]
async fn tasks_of_others_and_for_who_cannot_follow_them_are_left_out_without_a_word() {
    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    let bob = person(&house, "bob").await;
    let silent = client(&house, Version::NEWEST, ALL, "ann").await;
    for (cx, id) in [(&bob, &*id), (&ann, NATIVE), (&ann, ""), (&silent, &*id)] {
        let (mut listening, accepted) = listen(&house, cx, &[id]).await;
        assert_eq!(accepted, json!({}));
        assert!(next(&mut listening).await["result"].is_object(), "nothing comes before its end");
    }
    assert_eq!(server.heard().len(), 1, "nothing of this reached the server");
    let mut trail = house.trail();
    for odd in [json!("x"), json!([7])] {
        let request = asked("subscriptions/listen", &json!({ "notifications": { "taskIds": odd } }));
        let refused = run(ann.clone(), request, &mut trail).await.err().unwrap();
        assert_eq!(refused.facts(Era::Modern).code, -32602);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_tells_is_told_under_the_clients_id_once_it_was_asked_how_it_stands() {
    let (house, server, ann, id, line) = telling(&[at("working", 1)]).await;
    let (mut listening, accepted) = listen(&house, &ann, &[&id, &id, "another"]).await;
    assert_eq!(accepted, json!({ "taskIds": [id] }));
    line.say(heard(&[NATIVE]));
    assert_eq!(news(&mut listening, &id).await, at("working", 1), "how it stands when somebody begins to listen");
    let mut asking = at("input_required", 2);
    asking["inputRequests"] = json!({ "k": form("City?") });
    line.say(told(&asking));
    let put = news(&mut listening, &id).await;
    assert_eq!(put["inputRequests"]["k"]["params"]["_meta"]["dev.patchbay/server"], "shop", "{put}");
    // A question that was not offered is none, and neither is what is no state, or of no task of this stream.
    let mut odd = at("input_required", 3);
    odd["inputRequests"] = json!({ "k": { "method": "no/such", "params": {} } });
    line.say(told(&odd));
    line.say(told(&json!({ "status": 7 })));
    line.say(note("notifications/tasks", &json!({ "taskId": "another", "status": "completed" })));
    let info = json!({ "_meta": { META_SERVER_INFO: { "name": "theirs" } }, "content": [] });
    let mut done = at("completed", 4);
    done["result"] = info;
    line.say(told(&done));
    line.say(told(&at("working", 5)));
    let end = news(&mut listening, &id).await;
    assert_eq!(
        (&end["status"], &end["result"]["_meta"][META_SERVER_INFO]["name"]),
        (&json!("completed"), &json!("patchbay"))
    );
    assert_eq!(listening.next().now_or_never(), None, "what is over is told once");
    assert!(line.is_dropped(), "and its server's stream is not held any longer");
    let sent = server.heard();
    assert_eq!(
        sent[1..],
        [format!(r#""notifications":{{"taskIds":["{NATIVE}"]}}"#), format!(r#""taskId":"{NATIVE}""#)]
    );
    assert!(server.offered()[1..].iter().all(|offered| offered.contains(super::super::TASKS)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_ends_the_servers() {
    let (house, _, ann, id, line) = telling(&[]).await;
    let (mut listening, _) = listen(&house, &ann, &[&id]).await;
    assert_eq!(listening.next().now_or_never(), None);
    assert!(!line.is_dropped());
    drop(listening);
    assert!(line.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_nothing_is_asked_until_the_task_is_over() {
    let (house, server, ann, id, line) = telling(&[]).await;
    let looks = [at("working", 1), at("working", 1), at("working", 2), at("failed", 3)];
    for mut look in looks {
        look["pollIntervalMs"] = json!(1);
        server.also(Ok(one(Era::Modern, &state(&look))));
    }
    let (mut listening, accepted) = listen(&house, &ann, &[&id]).await;
    assert_eq!(accepted, json!({ "taskIds": [id] }), "whatever the server can");
    line.say(heard(&[]));
    let begin = Instant::now();
    for (status, second) in [("working", 1), ("working", 2), ("failed", 3)] {
        let mut expected = at(status, second);
        expected["pollIntervalMs"] = json!(1);
        assert_eq!(news(&mut listening, &id).await, expected);
    }
    assert!(begin.elapsed() >= POLL_MIN * 3, "not as often as it says: {:?}", begin.elapsed());
    assert!(next(&mut listening).await["result"].is_object(), "nothing more until the stream's end");
    assert_eq!(server.heard().len(), 6, "it is not asked any more");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_or_breaks_off_is_asked_too() {
    let (house, server, ann, id, line) = telling(&[at("working", 1)]).await;
    let (mut listening, _) = listen(&house, &ann, &[&id]).await;
    line.say(heard(&[NATIVE]));
    assert_eq!(news(&mut listening, &id).await, at("working", 1));
    // A call of it that fails is no end.
    server.also(Err(patchbay_downstream::DownstreamError::not_sent(patchbay_downstream::Fault::Closed, "gone")));
    server.also(Ok(one(Era::Modern, &state(&at("completed", 2)))));
    drop(line);
    assert_eq!(news(&mut listening, &id).await, at("completed", 2));

    let other = task_of_again(&house, &server, &ann).await;
    let refusal = json!({ "jsonrpc": "2.0", "id": 77, "error": { "code": -32601, "message": "no such" } });
    let head = || Bytes::from(refusal.to_string());
    server.also(Ok(Reply::One(patchbay_downstream::Answer { head: head(), rest: None, era: Era::Modern })));
    server.also(Ok(one(Era::Modern, &state(&at("cancelled", 1)))));
    let (mut listening, _) = listen(&house, &ann, &[&other]).await;
    assert_eq!(news(&mut listening, &other).await, at("cancelled", 1));
}

async fn task_of_again(house: &House, server: &Scripted, cx: &Cx) -> String {
    server.also(Ok(one(Era::Modern, &begun(&json!(NATIVE)))));
    task_of(house, cx).await
}

#[tokio::test(start_paused = true)]
async fn a_task_that_its_server_forgot_or_whose_tool_is_hidden_is_not_asked_for_again() {
    let (house, server, ann, id, line) = telling(&[at("working", 1)]).await;
    drop(line);
    let gone = json!({ "jsonrpc": "2.0", "id": 77, "error": { "code": -32602, "message": "unknown" } });
    let head = Bytes::from(gone.to_string());
    server.also(Ok(Reply::One(patchbay_downstream::Answer { head, rest: None, era: Era::Modern })));
    let (mut listening, _) = listen(&house, &ann, &[&id]).await;
    assert_eq!(news(&mut listening, &id).await, at("working", 1));
    assert!(next(&mut listening).await["result"].is_object(), "nothing more until the stream's end");
    assert_eq!(server.heard().len(), 4);

    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    let mut row = house.open("acme", |_, _| {});
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    let (reply, own) = stream();
    server.also(Ok(reply));
    server.also(Ok(one(Era::Modern, &state(&at("working", 1)))));
    let (mut listening, _) = listen(&house, &ann, &[&id]).await;
    own.say(heard(&[NATIVE]));
    assert_eq!(news(&mut listening, &id).await, at("working", 1));
    row.toolsets[0].1.tools.deny = vec!["shop/get".to_owned()];
    house.publish(&row, &[]);
    own.say(told(&at("working", 2)));
    let message = next(&mut listening).await;
    assert_ne!(message["method"], "notifications/tasks", "{message}");
    assert!(own.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_server_with_few_places_is_not_listened_to_but_asked() {
    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    house.open("acme", |row, _| row.servers[0].spec.concurrency_max = Some(3));
    let ann = client(&house, Version::NEWEST, Capabilities { tasks: true, ..ALL }, "ann").await;
    let id = task_of(&house, &ann).await;
    server.also(Ok(one(Era::Modern, &state(&at("completed", 1)))));
    let (mut listening, _) = listen(&house, &ann, &[&id]).await;
    assert_eq!(news(&mut listening, &id).await, at("completed", 1));
    assert_eq!(server.heard()[1..], [format!(r#""taskId":"{NATIVE}""#)]);
}

#[tokio::test]
async fn places_at_a_server_are_few_and_come_back() {
    let house = House::new().await;
    let server = ServerId::random();
    let enter = |server| Feeds::enter(&house.app, server, 1_000);
    let mut held: Vec<_> = std::iter::from_fn(|| enter(server)).take(100).collect();
    assert_eq!(held.len(), 8);
    assert!(enter(ServerId::random()).is_some(), "another server has its own");
    held.pop();
    assert!(enter(server).is_some());
    drop(held);
    assert!(Feeds::enter(&house.app, server, 3).is_none(), "a server that takes few calls has them for those");
}

#[test]
fn members_are_told_on_one_line_without_what_is_not_the_tasks() {
    let state =
        "{\"taskId\":\"x\",\n \"resultType\":\"complete\", \"_meta\":{}, \"status\":\n\"working\",\r\n\"a\":[1,\n2]}";
    let told = members(state, &["taskId", "_meta", "resultType"]);
    assert_eq!(
        serde_json::from_str::<Value>(&format!("{{{told}}}")).unwrap(),
        json!({ "status": "working", "a": [1, 2] })
    );
    assert!(!told.contains(['\n', '\r']));
}
