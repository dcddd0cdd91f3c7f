//! A modern client and a modern server: questions with a state of ours, and states that do not count.

use std::collections::BTreeMap;

use patchbay_core::{
    Slug,
    audit::{Actor, TenantAudit},
    era::Version,
    model::{TenantDoc, TenantLimits, TenantRow},
};
use patchbay_downstream::Message;
use patchbay_store::Note;
use serde_json::{Value, json};

use super::{asking::ASKING_BYTES_MAX, *};
use crate::{
    auth::tests::house::House,
    caller::Capabilities,
    dispatch::{
        Answer,
        tests::scripted::{ALL, Scripted, begin, call, client, done, form, house, one, only, result, sorry, stream},
    },
};

fn asks(state: Option<&str>) -> Value {
    let mut result =
        json!({ "resultType": "input_required", "inputRequests": { "k\"1": form("Which city?") }, "x": 1.50 });
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    result
}

fn modern(result: &Value) -> patchbay_downstream::Reply {
    one(Era::Modern, result)
}

/// The params of the request after this answer.
fn retry(answer: &Value, arguments: &Value) -> Value {
    let answers = json!({ "k\"1": { "action": "accept", "content": { "a": "Bern" } }, "odd": {} });
    json!({ "arguments": arguments, "inputResponses": answers, "requestState": answer["result"]["requestState"] })
}

async fn ann(house: &House) -> Cx {
    client(house, Version::NEWEST, ALL, "ann").await
}

fn refusal(outcome: Result<Vec<Value>, GatewayError>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.facts(Era::Modern).code, -32602);
    error.to_string()
}

#[tokio::test]
async fn a_modern_servers_questions_go_out_with_a_state_of_ours_and_its_own_comes_back_exactly() {
    let server = Scripted::new([modern(&asks(Some("s/\u{e4}\"1"))), modern(&done("sunny"))]);
    let house = house(&server, Era::Modern).await;
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({ "arguments": { "day": 1 } })).await);
    let result = &asked["result"];
    assert_eq!((&result["resultType"], &result["x"]), (&json!("input_required"), &json!(1.5)));
    let question = &result["inputRequests"]["k\"1"];
    assert_eq!(question["params"]["message"], "[shop] Which city?");
    assert_eq!(question["params"]["_meta"]["dev.patchbay/server"], "shop");
    assert!(!result["requestState"].as_str().unwrap().contains("s/"), "the server's own state went out");
    // Another id and another order are the same request.
    let answer = only(call(&house, &cx, retry(&asked, &json!({ "day": 1 }))).await);
    assert_eq!(answer["result"]["content"][0]["text"], "sunny");
    let heard = server.heard();
    let heard: Value = serde_json::from_str(&format!("{{{}}}", heard[1])).unwrap();
    assert_eq!(heard["requestState"], "s/\u{e4}\"1");
    assert_eq!(heard["inputResponses"]["k\"1"]["content"]["a"], "Bern");
    assert_eq!((&heard["name"], &heard["arguments"]["day"]), (&json!("get"), &json!(1)));
    assert!(house.app.render_metrics().contains("patchbay_questions_total{outcome=\"asked\"} 1"));
}

#[tokio::test]
async fn a_server_that_gave_no_state_gets_none_and_its_client_is_known_all_the_same() {
    let server = Scripted::new([modern(&asks(None)), modern(&done("ok"))]);
    let house = house(&server, Era::Modern).await;
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({})).await);
    let mut params = retry(&asked, &json!({}));
    params.as_object_mut().unwrap().remove("arguments");
    only(call(&house, &cx, params).await);
    assert!(!server.heard()[1].contains("requestState"), "{:?}", server.heard());
}

#[tokio::test]
async fn answers_without_a_state_are_for_the_server_to_judge() {
    let server = Scripted::new([modern(&done("ok"))]);
    let house = house(&server, Era::Modern).await;
    let params = json!({ "arguments": {}, "inputResponses": { "a": { "action": "accept" } } });
    only(call(&house, &ann(&house).await, params).await);
    assert!(server.heard()[0].contains(r#""inputResponses":{"a":{"action":"accept"}}"#));
}

#[tokio::test]
async fn no_state_counts_that_is_made_up_changed_foreign_expired_or_used() {
    let server = Scripted::new([modern(&asks(Some("s"))), modern(&done("ok"))]);
    let house = house(&server, Era::Modern).await;
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({ "arguments": { "day": 1 } })).await);
    let good = retry(&asked, &json!({ "day": 1 }));
    let sealed = good["requestState"].as_str().unwrap().to_owned();
    let mut bad = Vec::new();
    // Every part of it.
    for at in (0..sealed.len()).step_by(7) {
        let mut text = sealed.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let mut params = good.clone();
        params["requestState"] = json!(String::from_utf8(text).unwrap());
        bad.push(params);
    }
    for odd in [json!(null), json!(7), json!(""), json!("s"), json!(format!("{sealed}A"))] {
        let mut params = good.clone();
        params["requestState"] = odd;
        bad.push(params);
    }
    bad.push(retry(&asked, &json!({ "day": 2 })));
    let mut no_object = good.clone();
    no_object["inputResponses"] = json!([]);
    bad.push(no_object);
    bad.push(json!({ "inputResponses": null }));
    let mut words = Vec::new();
    for params in bad {
        words.push(refusal(call(&house, &cx, params).await));
    }
    let bob = client(&house, Version::NEWEST, ALL, "bob").await;
    words.push(refusal(call(&house, &bob, good.clone()).await));
    // Expired, with the right seal.
    let entry = cx.tenant.snapshot().servers[0].id;
    let draft = |expires_ms, server| {
        let params = digest(br#"{"name":"shop_get","arguments":{"day":1}}"#);
        let plain = Plain { way: Way::Server(None), server, method: 0, params, round: 1, asked: true, expires_ms };
        let aad = aad(cx.tenant.id(), cx.principal.digest());
        let mut params = good.clone();
        params["requestState"] = json!(house.app.sealer.seal(Purpose::RequestState, &aad.each(), &plain.written()));
        params
    };
    words.push(refusal(call(&house, &cx, draft(now_ms() - 1, entry)).await));
    words.push(refusal(call(&house, &cx, draft(now_ms() + 9999, ServerId::random())).await));
    assert_eq!(server.heard().len(), 1, "something of it reached the server");
    // The good one, twice.
    only(call(&house, &cx, good.clone()).await);
    words.push(refusal(call(&house, &cx, good.clone()).await));
    // Spelled otherwise, it is the same.
    assert_eq!(server.heard().len(), 2);
    words.dedup();
    assert_eq!(words, [INVALID]);
}

#[tokio::test]
async fn a_state_of_another_tenant_does_not_open() {
    let server = Scripted::new([modern(&asks(None))]);
    let mut house = House::new().await;
    house.server = Some((server.clone(), Era::Modern));
    let first = house.open("acme", |_, _| {});
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({ "arguments": {} })).await);
    // The same person, name and server: another tenant all the same.
    house.open("acme", |row, _| row.servers.clone_from(&first.servers));
    let cx = ann(&house).await;
    refusal(call(&house, &cx, retry(&asked, &json!({}))).await);
    assert_eq!(server.heard().len(), 1);
}

/// A tenant that the store knows too.
async fn stored(house: &House) -> TenantRow {
    let slug: Slug = "acme".parse().unwrap();
    let doc = TenantDoc {
        slug: slug.clone(),
        title: None,
        enabled: true,
        servers: BTreeMap::new(),
        toolsets: BTreeMap::new(),
        issuers: BTreeMap::new(),
        limits: TenantLimits::default(),
        audit: TenantAudit::default(),
    };
    let note = Note::by(Actor::Unknown, "a test", 0);
    house.app.store.tenant_apply(&doc, None, &note).await.unwrap();
    let id = house.app.store.tenant_load(&slug).await.unwrap().unwrap().id;
    house.open("acme", |row, _| row.id = id)
}

#[tokio::test]
async fn an_answer_counts_once_over_all_replicas() {
    let server = Scripted::new([modern(&asks(Some("s"))), modern(&done("ok")), modern(&done("twice"))]);
    let mut first = House::new().await;
    first.server = Some((server.clone(), Era::Modern));
    let row = stored(&first).await;
    let second = first.replica();
    second.publish(&row, &[]);
    let (here, there) = (ann(&first).await, ann(&second).await);
    let asked = only(call(&first, &here, json!({ "arguments": {} })).await);
    let params = retry(&asked, &json!({}));
    let answer = only(call(&second, &there, params.clone()).await);
    assert_eq!(answer["result"]["content"][0]["text"], "ok", "any replica takes the answer");
    refusal(call(&first, &here, params.clone()).await);
    refusal(call(&second, &there, params).await);
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn a_server_that_asks_what_it_was_not_offered_gets_no_answer_and_the_model_is_told() {
    let sample = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 1 } });
    let url = json!({ "method": "elicitation/create", "params": { "mode": "url", "message": "m", "url": "https://a.example" } });
    let odd = json!({ "method": "tools/call", "params": {} });
    let forms = Capabilities { elicitation: true, ..Capabilities::default() };
    for (can, request) in [(Capabilities::default(), form("m")), (forms, sample), (forms, url), (ALL, odd)] {
        let result = json!({ "resultType": "input_required", "inputRequests": { "a": form("x"), "b": request } });
        let server = Scripted::new([modern(&result)]);
        let house = house(&server, Era::Modern).await;
        let cx = client(&house, Version::NEWEST, can, "ann").await;
        let answer = only(call(&house, &cx, json!({})).await);
        assert!(sorry(&answer).contains("needs an answer from the user or the client"), "{answer}");
        assert_eq!(answer["result"]["resultType"], "complete");
    }
}

#[tokio::test]
async fn what_a_server_asks_is_bounded_and_must_be_questions() {
    let many: serde_json::Map<_, _> = (0..=REQUESTS_MAX).map(|at| (at.to_string(), form("x"))).collect();
    for odd in [
        json!({ "resultType": "input_required" }),
        json!({ "resultType": "input_required", "inputRequests": [] }),
        json!({ "resultType": "input_required", "inputRequests": { "a": {} } }),
        json!({ "resultType": "input_required", "requestState": 7 }),
        json!({ "resultType": "input_required", "inputRequests": many }),
        json!({ "resultType": "input_required", "requestState": "s".repeat(50_000) }),
        json!({ "resultType": "input_required", "inputRequests": { "a": form(&"x".repeat(ASKING_BYTES_MAX)) } }),
    ] {
        let server = Scripted::new([modern(&odd)]);
        let house = house(&server, Era::Modern).await;
        let answer = only(call(&house, &ann(&house).await, json!({})).await);
        assert!(sorry(&answer).contains("was not asked for"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_wants_time_alone_is_asked_again_as_often_as_rounds_allow() {
    let later = json!({ "resultType": "input_required", "requestState": "later" });
    let server = Scripted::new((0..=ROUNDS_MAX).map(|_| modern(&later)));
    let house = house(&server, Era::Modern).await;
    let cx = ann(&house).await;
    let mut params = json!({});
    for _ in 0..ROUNDS_MAX {
        let answer = only(call(&house, &cx, params).await);
        params = json!({ "requestState": answer["result"]["requestState"] });
    }
    // Nobody answered anything, so it may come again.
    let again = params.clone();
    let answer = only(call(&house, &cx, params).await);
    assert!(sorry(&answer).contains("too often"));
    assert!(call(&house, &cx, again).await.is_ok());
}

#[tokio::test]
async fn answers_that_a_server_did_not_get_are_asked_for_again() {
    let server = Scripted::new([modern(&asks(Some("s")))]);
    let house = house(&server, Era::Modern).await;
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({ "arguments": {} })).await);
    let answer = only(call(&house, &cx, retry(&asked, &json!({}))).await);
    assert!(sorry(&answer).contains("not carried out") && sorry(&answer).contains("asked again"), "{answer}");
}

#[tokio::test]
async fn questions_at_the_end_of_a_stream_are_sealed_too() {
    let (reply, line) = stream();
    let server = Scripted::new([reply]);
    let house = house(&server, Era::Modern).await;
    line.say(Message::Response(result(Era::Modern, &asks(Some("own")))));
    let asked = only(call(&house, &ann(&house).await, json!({})).await);
    assert!(asked["result"]["requestState"].as_str().is_some_and(|state| state.len() > 100), "{asked}");
}

#[tokio::test]
async fn questions_of_a_long_result_are_sealed_and_results_that_only_speak_of_them_pass() {
    let mut long = asks(Some("own"));
    long["inputRequests"]["k\"1"] = form(&"x".repeat(80_000));
    let mut text = done(&"y".repeat(ASKING_BYTES_MAX));
    text["structuredContent"] = json!({ "state": "input_required" });
    for (result, is_asked) in [(long, true), (text, false)] {
        // The result's type comes first, as servers write it.
        let kind = result["resultType"].as_str().unwrap();
        let mut rest = result.clone();
        rest.as_object_mut().unwrap().remove("resultType");
        let body = format!(r#"{{"id":7,"jsonrpc":"2.0","result":{{"resultType":"{kind}",{}}}"#, &rest.to_string()[1..]);
        let (head, rest) = body.as_bytes().split_at(65_536);
        let rest =
            futures_util::stream::iter([Ok::<_, patchbay_downstream::DownstreamError>(Bytes::copy_from_slice(rest))]);
        let answer = patchbay_downstream::Answer {
            head: Bytes::copy_from_slice(head),
            rest: Some(Box::pin(rest)),
            era: Era::Modern,
        };
        let server = Scripted::new([patchbay_downstream::Reply::One(answer)]);
        let house = house(&server, Era::Modern).await;
        let cx = ann(&house).await;
        match begin(&house, &cx, json!({})).await.unwrap() {
            Answer::Whole(body) if is_asked => {
                let asked: Value = serde_json::from_slice(&body).unwrap();
                assert_ne!(asked["result"]["requestState"], "own");
                assert_eq!(asked["result"]["resultType"], "input_required");
            }
            Answer::Streaming(_) if !is_asked => {}
            _ => panic!("asked: {is_asked}"),
        }
    }
}

#[test]
fn a_state_survives_its_bytes() {
    let place = Place { id: [7; 16], replica: "0123456789abcdef".into(), url: "http://10.0.0.1:8080".into() };
    for way in [Way::Server(None), Way::Server(Some(Bytes::from_static(b"\"s\""))), Way::Parked(place), Way::Afresh] {
        let (server, params) = (ServerId::random(), [3; 32]);
        let plain = Plain { way, server, method: 2, params, round: 9, asked: true, expires_ms: 1 << 40 };
        let written = plain.written();
        assert_eq!(Plain::read(&written), Some(plain));
        for end in 0..HEAD {
            assert_eq!(Plain::read(&written[..end]), None);
        }
    }
}

#[test]
fn params_are_the_same_in_any_order_and_without_what_changes() {
    let one = digest(br#"{"name":"x","arguments":{"a":1},"_meta":{"progressToken":1}}"#);
    assert_eq!(one, digest(br#"{ "arguments" : {"a":1}, "requestState":"s", "inputResponses":{}, "n\u0061me":"x"}"#));
    assert_ne!(one, digest(br#"{"name":"x","arguments":{"a":2}}"#));
    assert_ne!(one, digest(br#"{"name":"x"}"#));
    assert_ne!(digest(br#"{"a":"1"}"#), digest(br#"{"a":"1","b":null}"#));
}
