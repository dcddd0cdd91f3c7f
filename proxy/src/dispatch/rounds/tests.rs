//! A legacy client and a modern server: the server's questions on the stream of the call, and its further rounds.

use patchbay_core::era::Version;
use serde_json::{Value, json};

use super::*;
use crate::{
    caller::Capabilities,
    dispatch::{
        Answer as Answered, Cx,
        messages::Messages,
        questions::Who,
        tests::scripted::{ALL, Scripted, begin, call, client, done, form, house, one, only, sorry, stream},
    },
};

fn modern(result: &Value) -> Reply {
    one(Era::Modern, result)
}

fn asks(requests: &Value, state: Option<&str>) -> Reply {
    let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    modern(&result)
}

async fn next(messages: &mut Messages) -> Value {
    serde_json::from_slice(&messages.next().await.unwrap()).unwrap()
}

fn who(cx: &Cx) -> Who {
    Who { tenant: cx.tenant.id(), principal: cx.principal.digest(), session: cx.caller.share }
}

/// Answers as the client does, by a request of its own.
async fn answer(cx: &Cx, question: &Value, outcome: &str) {
    let id = Bytes::from(question["id"].to_string());
    let pending = cx.app.questions.take(&id, who(cx)).unwrap();
    pending.answer(Bytes::copy_from_slice(outcome.as_bytes())).await;
}

fn messages(answer: Answered) -> Messages {
    match answer {
        Answered::Messages(messages) => messages,
        _ => panic!("messages were expected"),
    }
}

#[tokio::test]
async fn questions_go_out_on_the_stream_and_their_answers_back_with_the_same_request() {
    let url = json!({ "method": "elicitation/create", "params": { "mode": "url", "message": "Sign in", "url": "https://a.example/x" } });
    let first = asks(&json!({ "a": form("City?"), "b\"": url }), Some("st\"1"));
    let (last, line) = stream();
    let server = Scripted::new([first, asks(&json!({ "c": form("Sure?") }), None), last]);
    let house = house(&server, Era::Modern).await;
    let cx = client(&house, Version::NEWEST_LEGACY, ALL, "ann").await;
    let mut messages = messages(begin(&house, &cx, json!({ "arguments": { "n": 1 } })).await.unwrap());
    let (one, two) = (next(&mut messages).await, next(&mut messages).await);
    assert_eq!((&one["method"], &one["params"]["message"]), (&json!("elicitation/create"), &json!("[shop] City?")));
    assert!(two["params"]["elicitationId"].as_str().is_some_and(|id| id.len() > 30), "{two}");
    assert_eq!(two["params"]["url"], "https://a.example/x");
    // In any order.
    answer(&cx, &two, r#""result":{"action":"accept"}"#).await;
    answer(&cx, &one, r#""result":{"action":"accept","content":{"a":"Bern"}}"#).await;
    let three = next(&mut messages).await;
    assert_eq!(three["params"]["message"], "[shop] Sure?");
    answer(&cx, &three, r#""result":{"action":"decline"}"#).await;
    line.say(Message::Response(crate::dispatch::tests::scripted::result(Era::Modern, &done("sunny"))));
    let end = next(&mut messages).await;
    assert_eq!((&end["id"], &end["result"]["content"][0]["text"]), (&json!(1), &json!("sunny")));
    assert_eq!(end["result"].get("resultType"), None);
    assert!(messages.next().await.is_none());
    let heard = server.heard();
    let heard: Vec<Value> = heard.iter().map(|text| serde_json::from_str(&format!("{{{text}}}")).unwrap()).collect();
    assert_eq!((&heard[0]["requestState"], &heard[0]["inputResponses"]), (&json!(null), &json!(null)));
    assert_eq!(heard[1]["requestState"], "st\"1");
    assert_eq!(heard[1]["inputResponses"]["a"]["content"]["a"], "Bern");
    assert_eq!(heard[1]["inputResponses"]["b\""], json!({ "action": "accept" }));
    assert_eq!(heard[2]["inputResponses"], json!({ "c": { "action": "decline" } }));
    assert_eq!(heard[2].get("requestState"), None, "the last round gave none");
    assert!(heard.iter().all(|heard| heard["arguments"]["n"] == 1 && heard["name"] == "get"));
    assert!(server.offered()[0].contains(r#""elicitation":{"form":{},"url":{}}"#), "{:?}", server.offered());
}

#[tokio::test]
async fn what_the_client_cannot_be_asked_ends_the_call_in_words_and_nothing_goes_out() {
    let sample = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } });
    let forms = Capabilities { elicitation: true, ..Capabilities::default() };
    for (version, can, requests) in [
        (Version::NEWEST_LEGACY, forms, json!({ "a": form("x"), "b": sample })),
        (Version::NEWEST_LEGACY, Capabilities::default(), json!({ "a": form("x") })),
        (
            Version::V2025_06_18,
            ALL,
            json!({ "a": { "method": "elicitation/create", "params": { "mode": "url", "message": "m", "url": "https://a.example" } } }),
        ),
        (Version::NEWEST_LEGACY, ALL, json!({ "a": { "method": "tools/list" } })),
        (Version::NEWEST_LEGACY, ALL, json!("odd")),
    ] {
        let server = Scripted::new([asks(&requests, None)]);
        let house = house(&server, Era::Modern).await;
        let cx = client(&house, version, can, "ann").await;
        let answer = only(call(&house, &cx, json!({})).await);
        assert!(sorry(&answer).contains("needs an answer"), "{answer}");
        assert_eq!(answer["result"].get("resultType"), None);
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn an_error_of_the_client_cancels_a_form_and_ends_a_call_that_needs_its_model() {
    let sample = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } });
    let server = Scripted::new([asks(&json!({ "a": form("x") }), None), asks(&json!({ "b": sample }), None)]);
    let house = house(&server, Era::Modern).await;
    let cx = client(&house, Version::NEWEST_LEGACY, ALL, "ann").await;
    let mut messages = messages(begin(&house, &cx, json!({})).await.unwrap());
    let one = next(&mut messages).await;
    answer(&cx, &one, r#""error":{"code":-32601,"message":"no"}"#).await;
    let two = next(&mut messages).await;
    assert!(server.heard()[1].ends_with(r#""inputResponses":{"a":{"action":"cancel"}}"#), "{:?}", server.heard());
    answer(&cx, &two, r#""error":{"code":-1,"message":"rejected by the user\u0007"}"#).await;
    let end = next(&mut messages).await;
    assert!(sorry(&end).contains("did not answer sampling/createMessage. rejected by the user"), "{end}");
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_time_is_asked_again_after_growing_pauses_and_not_for_ever() {
    let later = json!({ "resultType": "input_required", "requestState": "later" });
    let server = Scripted::new((0..40).map(|_| modern(&later)));
    let house = house(&server, Era::Modern).await;
    let cx = client(&house, Version::NEWEST_LEGACY, ALL, "ann").await;
    let began = Instant::now();
    let answer = only(call(&house, &cx, json!({})).await);
    assert!(sorry(&answer).contains("too often"), "{answer}");
    assert_eq!(server.heard().len(), usize::from(ROUNDS_MAX) + 1);
    assert!(began.elapsed() > PAUSE_MAX * 8);
}

#[tokio::test]
async fn a_legacy_client_cannot_smuggle_states_or_answers() {
    let server = Scripted::new([modern(&done("ok"))]);
    let house = house(&server, Era::Modern).await;
    let cx = client(&house, Version::NEWEST_LEGACY, ALL, "ann").await;
    only(call(&house, &cx, json!({ "inputResponses": { "a": {} }, "requestState": "mine", "arguments": {} })).await);
    assert!(!server.heard()[0].contains("requestState") && !server.heard()[0].contains("inputResponses"));
    assert!(serde_json::from_str::<Value>(&format!("{{{}}}", server.heard()[0])).is_ok(), "{:?}", server.heard());
}

#[tokio::test]
async fn a_call_that_is_dropped_asks_nobody_any_more() {
    let server = Scripted::new([asks(&json!({ "a": form("x") }), None)]);
    let house = house(&server, Era::Modern).await;
    let cx = client(&house, Version::NEWEST_LEGACY, ALL, "ann").await;
    let mut messages = messages(begin(&house, &cx, json!({})).await.unwrap());
    let one = next(&mut messages).await;
    drop(messages);
    let id = Bytes::from(one["id"].to_string());
    assert!(cx.app.questions.take(&id, who(&cx)).is_none());
    assert_eq!(server.heard().len(), 1);
}
