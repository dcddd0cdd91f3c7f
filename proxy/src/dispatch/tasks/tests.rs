//! Whose a task is, for how long, and what of it a client reads. The unwelcome cases first.

use std::sync::Arc;

use patchbay_core::{era::Version, seal::SealingKey};
use patchbay_downstream::{DownstreamError, Fault};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::tests::house::House,
    caller::Capabilities,
    dispatch::{
        run,
        tests::{
            asked,
            scripted::{ALL, Scripted, all, call, client, form, house, one, only, sorry},
        },
    },
};

pub(super) const NATIVE: &str = "native-7";
const TASKING: &str = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
/// A client that follows tasks and can be asked everything.
pub(super) const FOLLOWER: Capabilities = Capabilities { tasks: true, ..ALL };

pub(super) fn begun(id: &Value) -> Value {
    json!({ "resultType": "task", "taskId": id, "status": "working", "ttlMs": 60_000, "createdAt": "2026-01-01T00:00:00Z" })
}

pub(super) fn state(more: &Value) -> Value {
    let mut state = json!({ "resultType": "complete", "taskId": NATIVE, "status": "working" });
    state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    state
}

/// A gateway before a modern server that has tasks and says this, one after the other.
pub(super) async fn tasking(says: impl IntoIterator<Item = Value>) -> (House, Arc<Scripted>) {
    let server = Scripted::new(says.into_iter().map(|value| one(Era::Modern, &value)));
    let mut house = house(&server, Era::Modern).await;
    house.capabilities = TASKING;
    house.open("acme", |_, _| {});
    (house, server)
}

pub(super) async fn person(house: &House, sub: &str) -> Cx {
    client(house, Version::NEWEST, FOLLOWER, sub).await
}

async fn ask(house: &House, cx: &Cx, method: &str, params: Value) -> Result<Value, GatewayError> {
    let mut trail = house.trail();
    trail.known(cx.tenant.id(), &cx.tenant.view().toolset, cx.principal.actor());
    Ok(all(run(cx.clone(), asked(method, &params), &mut trail).await?).await.remove(0))
}

/// The id of a task that this person has begun.
pub(super) async fn task_of(house: &House, cx: &Cx) -> String {
    let answer = only(call(house, cx, json!({})).await);
    assert_eq!(answer["result"]["resultType"], "task", "{answer}");
    answer["result"]["taskId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_no_task_of_the_callers_is_unknown_in_the_same_words() {
    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    assert!(!id.contains(NATIVE));
    let bob = person(&house, "bob").await;
    let mut changed = id.clone().into_bytes();
    changed[50] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    for (cx, id) in [(&bob, &*id), (&ann, &*changed), (&ann, NATIVE), (&ann, "")] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let refused = ask(&house, cx, method, json!({ "taskId": id })).await.unwrap_err();
            assert_eq!(refused.to_string(), UNKNOWN.to_string(), "{method} {id}");
        }
    }
    let none = ask(&house, &ann, "tasks/get", json!({})).await.unwrap_err();
    assert_eq!(none.facts(Era::Modern).code, -32602);
    assert_eq!(server.heard().len(), 1, "nothing of this reached the server");
}

#[tokio::test]
async fn a_task_of_a_tool_that_is_hidden_since_is_unknown() {
    let (house, _) = tasking([begun(&json!(NATIVE)), state(&json!({}))]).await;
    let mut row = house.open("acme", |_, _| {});
    let id = task_of(&house, &person(&house, "ann").await).await;
    row.toolsets[0].1.tools.deny = vec!["shop/get".to_owned()];
    house.publish(&row, &[]);
    let refused = ask(&house, &person(&house, "ann").await, "tasks/get", json!({ "taskId": id })).await.unwrap_err();
    assert_eq!(refused.to_string(), UNKNOWN.to_string());
    row.toolsets[0].1.tools.deny.clear();
    row.toolsets[0].1.tools.rename.insert("shop/get".to_owned(), "fetch".to_owned());
    house.publish(&row, &[]);
    let told = ask(&house, &person(&house, "ann").await, "tasks/get", json!({ "taskId": id })).await.unwrap();
    assert_eq!(told["result"]["taskId"], id, "a tool that has another name now: {told}");
}

#[tokio::test]
async fn who_has_not_declared_tasks_is_told_so_and_where_nobody_has_them_there_is_no_such_method() {
    let (house, _) = tasking([]).await;
    let silent = client(&house, Version::NEWEST, ALL, "ann").await;
    let refused = ask(&house, &silent, "tasks/get", json!({ "taskId": "x" })).await.unwrap_err();
    let facts = refused.facts(Era::Modern);
    assert_eq!((facts.status, facts.code), (400, -32021));
    let data: Value = serde_json::from_str(&facts.data.unwrap()).unwrap();
    assert_eq!(data, json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } }));
    let legacy = client(&house, Version::NEWEST_LEGACY, FOLLOWER, "ann").await;
    let plain = House::new().await;
    plain.open("acme", |_, _| {});
    for (house, cx) in [(&house, legacy), (&plain, person(&plain, "ann").await)] {
        let refused = ask(house, &cx, "tasks/get", json!({ "taskId": "x" })).await.unwrap_err();
        assert!(matches!(refused, GatewayError::MethodNotFound(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_that_begins_a_task_for_somebody_who_cannot_follow_it_makes_words_for_the_model() {
    for (version, can) in [(Version::NEWEST, ALL), (Version::NEWEST_LEGACY, FOLLOWER)] {
        let (house, server) = tasking([begun(&json!(NATIVE))]).await;
        let answer = only(call(&house, &client(&house, version, can, "ann").await, json!({})).await);
        assert!(sorry(&answer).contains("may still be carried out"), "{answer}");
        assert!(answer["result"].get("taskId").is_none(), "{answer}");
        assert!(!server.offered()[0].contains(TASKS), "it was not offered: {:?}", server.offered());
    }
    for id in [json!(null), json!(7), json!(""), json!("x".repeat(TASK_ID_BYTES_MAX + 1))] {
        let (house, _) = tasking([begun(&id)]).await;
        let answer = only(call(&house, &person(&house, "ann").await, json!({})).await);
        assert!(sorry(&answer).contains("as a task"), "{answer}");
    }
}

#[tokio::test]
async fn an_owner_reads_of_the_task_under_its_own_id_with_questions_that_may_be_put() {
    let info = json!({ "_meta": { META_SERVER_INFO: { "name": "theirs" }, "x": 1 }, "content": [] });
    let asking = json!({ "status": "input_required", "inputRequests": { "k": form("City?") } });
    let (house, server) =
        tasking([begun(&json!(NATIVE)), state(&asking), state(&json!({ "status": "completed", "result": info }))])
            .await;
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    let told = ask(&house, &ann, "tasks/get", json!({ "taskId": id })).await.unwrap();
    let result = &told["result"];
    assert_eq!((&result["taskId"], &result["resultType"]), (&json!(id), &json!("complete")), "{told}");
    let params = &result["inputRequests"]["k"]["params"];
    assert_eq!(params["_meta"][ask::SERVER], "shop", "{told}");
    assert!(params["message"].as_str().unwrap().ends_with("City?") && params["message"] != "City?", "{told}");
    let told = ask(&house, &ann, "tasks/get", json!({ "taskId": id })).await.unwrap();
    let meta = &told["result"]["result"]["_meta"];
    assert_eq!((&meta[META_SERVER_INFO]["name"], &meta["x"]), (&json!("patchbay"), &json!(1)), "{told}");
    for heard in &server.heard()[1..] {
        assert_eq!(heard, &format!(r#""taskId":"{NATIVE}""#));
    }
    assert!(server.offered().iter().all(|offered| offered.contains(TASKS)));
}

#[tokio::test]
async fn a_question_that_was_not_offered_is_not_put() {
    let sampling = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } });
    let asking = json!({ "status": "input_required", "inputRequests": { "k": sampling } });
    let (house, _) = tasking([begun(&json!(NATIVE)), state(&asking)]).await;
    let can = Capabilities { tasks: true, ..Capabilities::default() };
    let ann = client(&house, Version::NEWEST, can, "ann").await;
    let id = task_of(&house, &ann).await;
    let told = ask(&house, &ann, "tasks/get", json!({ "taskId": id })).await.unwrap();
    assert_eq!(told["error"]["code"], -32603, "{told}");
    assert!(!told.to_string().contains("maxTokens"), "{told}");
}

#[tokio::test]
async fn answers_go_to_the_server_byte_for_byte_and_are_not_sent_twice() {
    let (house, server) = tasking([begun(&json!(NATIVE))]).await;
    let ann = person(&house, "ann").await;
    let id = task_of(&house, &ann).await;
    server.also(Err(DownstreamError::may_have_run(Fault::Closed, "gone")));
    let answers = json!({ "k": { "action": "accept", "content": { "n": 1.0 } } });
    let told = ask(&house, &ann, "tasks/update", json!({ "taskId": id, "inputResponses": answers })).await.unwrap();
    assert_eq!(told["error"]["code"], -32603, "{told}");
    let heard = server.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    let sent = r#""taskId":"native-7","inputResponses":{"k":{"action":"accept","content":{"n":1.0}}}"#;
    assert_eq!(heard[1], sent);
}

#[test]
fn an_id_is_good_a_little_longer_than_its_task_and_not_for_ever() {
    let sealer = Sealer::new(vec![SealingKey { id: 1, secret: [7; 32] }]).unwrap();
    let task = Task {
        expires_ms: 1_000,
        server: ServerId::from_bits(3),
        native: "get".to_owned(),
        exposed: "shop_get".to_owned(),
        id: NATIVE.to_owned(),
    };
    let sealed = task.seal_for(&sealer, &[b"acme", b"ann"]);
    assert_eq!(Task::open_for(&sealer, &[b"acme", b"ann"], &sealed, 999), Some(task));
    assert_eq!(Task::open_for(&sealer, &[b"acme", b"ann"], &sealed, 1_000), None);
    assert_eq!(Task::open_for(&sealer, &[b"acme", b"bob"], &sealed, 0), None);
    let cut = sealer.seal(Purpose::Task, &[], &[0; 26]);
    assert_eq!(Task::open_for(&sealer, &[], &cut, -1), None, "a text longer than what is there");
    let day = u64::try_from(TASK_GRACE.as_millis()).unwrap();
    assert_eq!(life_ms(Some(5)), day + 5);
    assert_eq!((life_ms(None), life_ms(Some(u64::MAX))), (30 * day, 30 * day));
}
