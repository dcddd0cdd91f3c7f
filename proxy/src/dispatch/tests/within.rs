//! What a legacy server says within a call of a legacy client: what reaches the client, and in which order.

mod server;

use patchbay_core::{era::Era, model::Asks};

use self::server::{Noted, Says, Scripted};
use super::*;
use crate::dispatch::{messages::Messages, questions::Who};

/// A call of a client that can be asked everything, at a server that may ask it.
struct Call {
    house: House,
    cx: Cx,
    says: Says,
    noted: Arc<Noted>,
}

impl Call {
    async fn new() -> Self {
        Self::with(Version::NEWEST_LEGACY, Duration::from_secs(300)).await
    }

    async fn with(version: Version, answer: Duration) -> Self {
        let mut house = House::with(|config| config.limits.answer = answer).await;
        let (server, says) = Scripted::new(Era::Legacy);
        let noted = server.noted.clone();
        house.server = Some((server, Era::Legacy));
        house.open("acme", |row, _| {
            row.servers[0].spec.asks = Asks { elicitation: true, sampling: true, roots: true };
        });
        let mut cx = cx(&house, &[], "").await;
        cx.caller.version = version;
        cx.caller.can = Capabilities::of_bits(511);
        cx.caller.share = [1; 16];
        cx.caller.log_level = Some(crate::caller::LogLevel::Info);
        Self { house, cx, says, noted }
    }

    async fn begin(&self) -> Messages {
        let meta = json!({ "name": "shop_get", "_meta": { "progressToken": "mine" } });
        match run(self.cx.clone(), asked("tools/call", &meta), &mut self.house.trail()).await {
            Ok(Answer::Messages(messages)) => messages,
            _ => panic!("messages were expected"),
        }
    }

    fn who(&self) -> Who {
        Who { tenant: self.cx.tenant.id(), principal: self.cx.principal.digest(), session: self.cx.caller.share }
    }

    fn take(&self, id: &str, who: Who) -> Option<crate::dispatch::questions::Pending> {
        self.house.app.questions.take(&Bytes::from(format!("\"{id}\"")), who)
    }
}

async fn next(messages: &mut Messages) -> Value {
    serde_json::from_slice(&messages.next().await.expect("a message")).unwrap()
}

fn form() -> Value {
    json!({ "message": "City?", "requestedSchema": { "type": "object", "properties": {} } })
}

fn id(question: &Value) -> &str {
    question["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_question_is_answered_once_and_by_those_alone_who_were_asked() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    call.says.ask("s1", "elicitation/create", &form());
    let question = next(&mut messages).await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "[shop] City?");
    assert_eq!(question["params"]["_meta"], json!({ "dev.patchbay/server": "shop" }));
    let who = call.who();
    for other in [
        Who { session: [2; 16], ..who },
        Who { principal: [2; 16], ..who },
        Who { tenant: patchbay_core::TenantId::random(), ..who },
    ] {
        assert!(call.take(id(&question), other).is_none(), "{other:?}");
    }
    assert!(call.take("pb-0", who).is_none());
    let pending = call.take(id(&question), who).expect("open");
    pending.answer(Bytes::from_static(br#""result":{"action":"decline"}"#)).await;
    assert!(call.take(id(&question), who).is_none(), "it was answered");
    call.says.answer(Era::Legacy);
    assert_eq!(next(&mut messages).await["id"], 1, "an answered question is not taken back");
    assert!(messages.next().await.is_none());
    let told = call.noted.all();
    assert!(told[0].contains(r#""sampling""#) && told[0].contains(r#""url":{}"#), "{}", told[0]);
    assert_eq!(told[1..], ["extended by 360 s", r#"s1: "result":{"action":"decline"}"#]);
}

#[tokio::test]
async fn questions_that_are_open_when_the_call_ends_are_taken_back_before_its_response() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    call.says.ask("s1", "sampling/createMessage", &json!({ "messages": [], "maxTokens": 1 }));
    call.says.ask("s2", "roots/list", &json!({}));
    call.says.answer(Era::Legacy);
    let (first, second) = (next(&mut messages).await, next(&mut messages).await);
    assert_eq!((&first["method"], &second["method"]), (&json!("sampling/createMessage"), &json!("roots/list")));
    for question in [&first, &second] {
        let taken_back = next(&mut messages).await;
        assert_eq!(taken_back["method"], "notifications/cancelled");
        assert_eq!(taken_back["params"]["requestId"], question["id"]);
    }
    assert_eq!(next(&mut messages).await["result"]["content"], json!([]));
    assert!(messages.next().await.is_none());
    assert!(call.take(id(&first), call.who()).is_none(), "a late answer goes nowhere");
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_time_is_taken_back_and_the_server_is_told() {
    let call = Call::with(Version::NEWEST_LEGACY, Duration::from_millis(30)).await;
    let mut messages = call.begin().await;
    call.says.ask("s1", "elicitation/create", &form());
    let question = next(&mut messages).await;
    let taken_back = next(&mut messages).await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    assert!(call.take(id(&question), call.who()).is_none(), "it came too late");
    assert!(call.noted.all().iter().any(|told| told.starts_with("s1: \"error\"") && told.contains("in time")));
    call.says.answer(Era::Legacy);
    assert_eq!(next(&mut messages).await["id"], 1);
}

#[tokio::test]
async fn what_was_not_offered_or_is_too_much_is_turned_down_and_the_call_goes_on() {
    let call = Call::with(Version::V2025_06_18, Duration::from_secs(300)).await;
    let mut messages = call.begin().await;
    let url = json!({ "mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "e" });
    call.says.ask("url", "elicitation/create", &url);
    call.says.ask("other", "tools/list", &json!({}));
    (0..20).for_each(|at| call.says.ask(&format!("s{at}"), "roots/list", &json!({})));
    call.says.answer(Era::Legacy);
    let mut asked = 0;
    while next(&mut messages).await["method"] == "roots/list" {
        asked += 1;
    }
    let told = call.noted.all();
    assert!(told.iter().any(|told| told.starts_with("url: \"error\":{\"code\":-32602")), "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("other: \"error\":{\"code\":-32601")), "{told:?}");
    assert_eq!((asked, told.iter().filter(|told| told.contains("Too many")).count()), (14, 6));
}

#[tokio::test]
async fn a_server_takes_its_own_question_back_by_the_clients_id() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    call.says.ask("s1", "elicitation/create", &form());
    call.says.note("notifications/cancelled", &json!({ "requestId": "s2" }));
    call.says.note("notifications/cancelled", &json!({ "requestId": "s1", "reason": "too slow" }));
    call.says.note("notifications/cancelled", &json!({ "requestId": "s1" }));
    call.says.answer(Era::Legacy);
    let question = next(&mut messages).await;
    let taken_back = next(&mut messages).await;
    assert_eq!(taken_back["params"], json!({ "requestId": question["id"], "reason": "too slow" }));
    assert_eq!(next(&mut messages).await["id"], 1);
}

#[tokio::test]
async fn only_a_question_by_url_of_this_call_is_said_to_be_done() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    let url = json!({ "mode": "url", "message": "m", "url": "https://a.example", "elicitationId": "e1" });
    call.says.ask("s1", "elicitation/create", &url);
    call.says.note("notifications/elicitation/complete", &json!({ "elicitationId": "e2" }));
    call.says.note("notifications/elicitation/complete", &json!({ "elicitationId": "e1" }));
    call.says.answer(Era::Legacy);
    assert_eq!(next(&mut messages).await["params"]["elicitationId"], "e1");
    let done = next(&mut messages).await;
    assert_eq!(
        (&done["method"], &done["params"]["elicitationId"]),
        (&json!("notifications/elicitation/complete"), &json!("e1"))
    );
    assert_eq!(next(&mut messages).await["method"], "notifications/cancelled");
    assert_eq!(next(&mut messages).await["id"], 1);
}

#[tokio::test]
async fn a_request_that_is_taken_back_is_told_to_the_server_at_once_with_the_reason() {
    let call = Call::new().await;
    let calls = &call.house.app.calls;
    let mut messages = call.begin().await.until(Some(calls.enter([1; 16], Bytes::from_static(b"1"))));
    call.says.note("notifications/progress", &json!({ "progressToken": 7, "progress": 1 }));
    assert_eq!(next(&mut messages).await["params"]["progress"], 1);
    call.says.note("notifications/progress", &json!({ "progressToken": 7, "progress": 2 }));
    calls.cancel([1; 16], b"2", Some("another"));
    calls.cancel([2; 16], b"1", Some("another's"));
    assert_eq!(next(&mut messages).await["params"]["progress"], 2, "no other call is meant");
    call.says.note("notifications/progress", &json!({ "progressToken": 7, "progress": 3 }));
    calls.cancel([1; 16], b"1", Some("the user\u{7} pressed stop"));
    assert!(messages.next().await.is_none(), "nothing comes after it");
    assert_eq!(call.noted.all().last().unwrap(), "dropped, the user pressed stop");
    drop(messages);
    assert!(calls.is_empty());
}

#[tokio::test]
async fn progress_and_log_messages_keep_their_order_and_log_messages_name_their_server() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    let progress = |at: f64| call.says.note("notifications/progress", &json!({ "progressToken": 7, "progress": at }));
    progress(1.0);
    call.says.note("notifications/message", &json!({ "level": "info", "logger": "db", "data": "a" }));
    call.says.note("notifications/message", &json!({ "level": "debug", "data": "b" }));
    progress(0.5);
    progress(2.0);
    call.says.answer(Era::Legacy);
    progress(3.0);
    let first = next(&mut messages).await;
    assert_eq!(first["params"], json!({ "progressToken": "mine", "progress": 1.0 }));
    assert_eq!(next(&mut messages).await["params"]["logger"], "shop/db");
    assert_eq!(next(&mut messages).await["params"]["progress"], 2.0);
    assert_eq!(next(&mut messages).await["id"], 1);
    assert!(messages.next().await.is_none());
}

#[tokio::test]
async fn of_a_flood_the_last_step_is_there_before_the_response_and_others_on_the_thread_have_their_turn() {
    let call = Call::new().await;
    let mut messages = call.begin().await;
    for at in 0..20_000 {
        call.says.note("notifications/progress", &json!({ "progressToken": 7, "progress": at }));
        call.says.note("notifications/message", &json!({ "level": "info", "data": at }));
    }
    call.says.answer(Era::Legacy);
    let turns = async {
        let mut turns = 0_u32;
        loop {
            turns += 1;
            tokio::task::yield_now().await;
            if turns == u32::MAX {
                return turns;
            }
        }
    };
    let heard = async {
        let (mut count, mut last) = (0, Vec::new());
        while let Some(message) = messages.next().await {
            count += 1;
            last.push(message);
            last.drain(..last.len().saturating_sub(3));
        }
        (count, last)
    };
    let (count, last) = tokio::select! {
        heard = heard => heard,
        _ = turns => panic!("the other one has no end"),
    };
    assert!(count < 2_000, "{count}");
    let last: Vec<Value> = last.iter().map(|message| serde_json::from_slice(message).unwrap()).collect();
    assert_eq!(last[0]["params"]["progress"], 19_999);
    assert!(last[1]["params"]["data"].as_str().unwrap().contains("left out"), "{}", last[1]);
    assert_eq!(last[2]["id"], 1);
}

#[tokio::test]
async fn of_many_changes_of_roots_the_servers_that_were_offered_them_hear_the_first_and_the_last() {
    let mut call = Call::new().await;
    let roots = &call.house.app.roots;
    roots.changed(&call.cx);
    let told = call.noted.count(1).await;
    assert!(
        told[0].starts_with("roots changed Tenant") && told[0].contains(r#""roots":{"listChanged":true}"#),
        "{told:?}"
    );
    (0..50).for_each(|_| roots.changed(&call.cx));
    assert_eq!(call.noted.count(2).await.len(), 2);
    call.cx.caller.can.roots_changed = false;
    call.cx.caller.share = [9; 16];
    call.house.app.roots.changed(&call.cx);
    tokio::task::yield_now().await;
    assert_eq!(call.noted.all().len(), 2, "what was not offered is not told");
}
