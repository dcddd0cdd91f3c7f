//! A modern client and a legacy server: calls that wait for answers, and those that are not there any more.

use patchbay_core::era::{Era, Version};
use patchbay_downstream::{Fault, Reply};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::tests::house::House,
    caller::Capabilities,
    dispatch::{
        Cx,
        tests::scripted::{
            ALL, Line, Scripted, all, begin, call, client, done, form, house, only, result, sorry, stream,
        },
    },
};

async fn ann(house: &House) -> Cx {
    client(house, Version::NEWEST, ALL, "ann").await
}

fn legacy(value: &Value) -> Message {
    Message::Response(result(Era::Legacy, value))
}

fn finished() -> Value {
    json!({ "content": [{ "type": "text", "text": "sunny" }] })
}

/// The params of the request with these answers.
fn retry(asked: &Value, answers: Value) -> Value {
    Value::from_iter([("inputResponses", answers), ("requestState", asked["result"]["requestState"].clone())])
}

fn accept(text: &str) -> Value {
    json!({ "action": "accept", "content": { "a": text } })
}

/// A gateway whose server has asked once, the client that was asked, what it was asked and where the answer comes.
async fn asked() -> (House, Cx, Value, tokio::sync::oneshot::Receiver<Bytes>, Line, Arc<Scripted>) {
    let (reply, line) = stream();
    let server = Scripted::new([reply]);
    let house = house(&server, Era::Legacy).await;
    let cx = ann(&house).await;
    let answered = line.ask(&form("City?"));
    let asked = only(call(&house, &cx, json!({})).await);
    (house, cx, asked, answered, line, server)
}

#[tokio::test]
async fn a_call_that_asks_waits_and_goes_on_with_the_request_that_answers() {
    let (house, cx, asked, answered, line, server) = asked().await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    let question = &asked["result"]["inputRequests"]["q1"];
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("[shop] City?"))
    );
    assert!(house.app.render_metrics().contains("patchbay_parked_calls 1"));
    // It goes on in the retry, with what comes before its answer.
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":77,"progress":1}}"#;
    line.say(Message::Notification(Bytes::from_static(progress.as_bytes())));
    let mut params = retry(&asked, json!({ "q1": accept("Bern"), "odd": 7 }));
    params["_meta"] = json!({ "progressToken": "mine" });
    let waking = begin(&house, &cx, params).await.unwrap();
    assert_eq!(answered.await.unwrap(), r#""result":{"action":"accept","content":{"a":"Bern"}}"#);
    line.say(legacy(&finished()));
    let messages = all(waking).await;
    assert_eq!(messages[0]["params"]["progressToken"], "mine");
    assert_eq!(
        (&messages[1]["result"]["content"], &messages[1]["result"]["resultType"]),
        (&done("sunny")["content"], &json!("complete"))
    );
    assert_eq!(server.heard().len(), 1, "it ran once");
    assert_eq!(house.app.parked.len(), 0);
}

#[tokio::test]
async fn questions_that_are_there_at_once_go_together_and_later_ones_in_another_round() {
    let (reply, line) = stream();
    let server = Scripted::new([reply]);
    let house = house(&server, Era::Legacy).await;
    let cx = ann(&house).await;
    let sample = json!({ "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 5 } });
    let (one, two) = (line.ask(&form("One?")), line.ask(&sample));
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
    line.say(Message::Notification(Bytes::from_static(log.as_bytes())));
    let first = only(call(&house, &cx, json!({})).await);
    let keys: Vec<_> = first["result"]["inputRequests"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["q1", "q2"]);
    let model = json!({ "role": "assistant", "content": { "type": "text", "text": "hi" }, "model": "m" });
    let waking = begin(&house, &cx, retry(&first, json!({ "q1": { "action": "cancel" }, "q2": model }))).await.unwrap();
    assert_eq!(one.await.unwrap(), r#""result":{"action":"cancel"}"#);
    assert!(two.await.unwrap().starts_with(br#""result":{"#));
    let three = line.ask(&form("Three?"));
    let second = only(Ok(all(waking).await));
    assert_eq!(second["result"]["inputRequests"]["q3"]["params"]["message"], "[shop] Three?");
    line.say(legacy(&finished()));
    let end = only(call(&house, &cx, retry(&second, json!({ "q3": accept("x") }))).await);
    assert_eq!(end["result"]["content"], done("sunny")["content"]);
    assert!(three.await.unwrap().starts_with(br#""result""#));
}

#[tokio::test]
async fn an_answer_that_is_missing_is_asked_for_again_under_its_key() {
    let (house, cx, asked, answered, line, server) = asked().await;
    let again = only(call(&house, &cx, retry(&asked, json!({ "other": accept("x"), "q1": "odd" }))).await);
    assert_eq!(again["result"]["inputRequests"], asked["result"]["inputRequests"]);
    assert_ne!(again["result"]["requestState"], asked["result"]["requestState"]);
    // The first state was used up.
    assert!(call(&house, &cx, retry(&asked, json!({ "q1": accept("x") }))).await.is_err());
    line.say(legacy(&finished()));
    only(call(&house, &cx, retry(&again, json!({ "q1": { "action": "decline" } }))).await);
    assert_eq!(answered.await.unwrap(), r#""result":{"action":"decline"}"#);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_never_comes_is_given_up_and_never_run_again() {
    let (house, cx, asked, answered, line, server) = asked().await;
    let life = state::life(&house.app);
    tokio::time::sleep(life + Duration::from_secs(1)).await;
    assert!(line.is_dropped(), "the server was not told");
    assert!(answered.await.is_err());
    assert_eq!(house.app.parked.len(), 0);
    // The clock of states is another one, so this one is still good.
    let lost = only(call(&house, &cx, retry(&asked, json!({ "q1": accept("x") }))).await);
    assert!(sorry(&lost).contains("was lost") && sorry(&lost).contains("carried out in part"), "{lost}");
    assert_eq!(lost["result"]["resultType"], "complete");
    assert_eq!(server.heard().len(), 1);
    assert!(house.app.render_metrics().contains("patchbay_questions_total{outcome=\"lost\"} 1"));
}

#[tokio::test]
async fn only_who_was_asked_wakes_a_call_and_only_once() {
    let (house, cx, asked, answered, line, _server) = asked().await;
    let params = retry(&asked, json!({ "q1": accept("x") }));
    let bob = client(&house, Version::NEWEST, ALL, "bob").await;
    assert!(call(&house, &bob, params.clone()).await.is_err());
    let mut other = params.clone();
    other["arguments"] = json!({ "other": true });
    assert!(call(&house, &cx, other).await.is_err());
    assert_eq!(house.app.parked.len(), 1, "nothing of this woke it");
    line.say(legacy(&finished()));
    only(call(&house, &cx, params.clone()).await);
    assert!(answered.await.is_ok());
    assert!(call(&house, &cx, params).await.is_err());
}

#[tokio::test]
async fn a_call_that_waits_at_another_replica_is_refused_in_words_and_stays_there() {
    let (house, cx, asked, _answered, line, server) = asked().await;
    let second = house.replica();
    let row = house.app.tenants.state("acme").unwrap().made.row.clone();
    second.publish(&row, &[]);
    let there = ann(&second).await;
    let params = retry(&asked, json!({ "q1": accept("x") }));
    let answer = only(call(&second, &there, params.clone()).await);
    assert!(sorry(&answer).contains("another replica"), "{answer}");
    line.say(legacy(&finished()));
    only(call(&house, &cx, params).await);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_gateway_that_stops_lets_waiting_calls_go() {
    let (house, cx, asked, _answered, line, _server) = asked().await;
    house.app.parked.end_all();
    assert!(line.is_dropped());
    assert!(sorry(&only(call(&house, &cx, retry(&asked, json!({ "q1": accept("x") }))).await)).contains("was lost"));
}

#[tokio::test]
async fn a_client_that_leaves_while_its_call_goes_on_ends_it() {
    let (house, cx, asked, answered, line, _server) = asked().await;
    let waking = begin(&house, &cx, retry(&asked, json!({ "q1": accept("x") }))).await.unwrap();
    assert!(answered.await.is_ok() && !line.is_dropped());
    drop(waking);
    assert!(line.is_dropped());
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_a_first_call() {
    let (house, cx, asked, _answered, _first, server) = asked().await;
    let (reply, line) = stream();
    server.also(Ok(reply));
    line.say(legacy(&finished()));
    only(call(&house, &cx, json!({ "inputResponses": { "q1": accept("x") } })).await);
    assert_eq!(server.heard()[0], server.heard()[1]);
    assert_eq!(house.app.parked.len(), 1, "{asked}");
}

#[tokio::test]
async fn a_server_that_asks_what_it_was_not_offered_is_told_and_goes_on() {
    let (reply, line) = stream();
    let server = Scripted::new([reply]);
    let house = house(&server, Era::Legacy).await;
    let cx = client(&house, Version::NEWEST, Capabilities::default(), "ann").await;
    let answered = line.ask(&form("City?"));
    line.say(legacy(&finished()));
    let end = only(call(&house, &cx, json!({})).await);
    assert_eq!(end["result"]["resultType"], "complete");
    assert!(answered.await.unwrap().starts_with(br#""error":{"code":-32601"#));
    assert_eq!(house.app.parked.len(), 0);
}

#[tokio::test]
async fn a_server_that_answers_without_waiting_is_taken_at_its_word() {
    let (reply, line) = stream();
    let server = Scripted::new([reply]);
    let house = house(&server, Era::Legacy).await;
    let cx = ann(&house).await;
    let _answered = line.ask(&form("City?"));
    line.say(legacy(&finished()));
    let end = only(call(&house, &cx, json!({})).await);
    assert_eq!(end["result"]["content"], done("sunny")["content"]);
    assert_eq!(house.app.parked.len(), 0);
}

#[tokio::test]
async fn one_principal_parks_so_many_calls_and_no_more() {
    let lines: Vec<(Reply, Line)> = (0..=PARKED_PER_PRINCIPAL_MAX).map(|_| stream()).collect();
    let (replies, lines): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
    let server = Scripted::new(replies);
    let house = house(&server, Era::Legacy).await;
    let cx = ann(&house).await;
    let mut answers: Vec<_> = lines.iter().map(|line| line.ask(&form("City?"))).collect();
    for _ in 0..PARKED_PER_PRINCIPAL_MAX {
        assert_eq!(only(call(&house, &cx, json!({})).await)["result"]["resultType"], "input_required");
    }
    lines[PARKED_PER_PRINCIPAL_MAX].say(Message::Notification(Bytes::from_static(b"{}")));
    let over = begin(&house, &cx, json!({})).await.unwrap();
    let (end, told) = tokio::join!(all(over), async {
        let told = answers.pop().unwrap().await.unwrap();
        lines[PARKED_PER_PRINCIPAL_MAX].say(legacy(&finished()));
        told
    });
    assert!(told.starts_with(br#""error":{"code":-32603"#), "{told:?}");
    assert_eq!(end[0]["result"]["content"], done("sunny")["content"]);
    assert_eq!(house.app.parked.len(), PARKED_PER_PRINCIPAL_MAX);
}

#[tokio::test]
async fn a_server_that_breaks_off_while_its_client_thinks_is_an_error_and_not_run_again() {
    let (house, cx, asked, _answered, line, server) = asked().await;
    drop(line);
    let end = only(call(&house, &cx, retry(&asked, json!({ "q1": accept("x") }))).await);
    assert!(sorry(&end).contains("may have been carried out"), "{end}");
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_server_that_wants_the_user_at_a_url_is_asked_the_same_once_more() {
    let error = || {
        let elicitation =
            json!({ "mode": "url", "elicitationId": "e1", "message": "Sign in", "url": "https://a.example/in" });
        let error = json!({ "code": -32042, "message": "sign in", "data": { "elicitations": [elicitation] } });
        let head = json!({ "jsonrpc": "2.0", "id": 77, "error": error }).to_string().into();
        Reply::One(patchbay_downstream::Answer { head, rest: None, era: Era::Legacy })
    };
    let server = Scripted::new([error(), error()]);
    let house = house(&server, Era::Legacy).await;
    let cx = ann(&house).await;
    let asked = only(call(&house, &cx, json!({ "arguments": { "n": 1 } })).await);
    let question = &asked["result"]["inputRequests"]["q1"];
    assert_eq!(
        (&question["params"]["url"], question["params"].get("elicitationId")),
        (&json!("https://a.example/in"), None)
    );
    let mut params = retry(&asked, json!({ "q1": { "action": "accept" } }));
    params["arguments"] = json!({ "n": 1 });
    let end = only(call(&house, &cx, params).await);
    assert!(sorry(&end).contains("asks too often"), "{end}");
    assert_eq!(server.heard()[0], server.heard()[1]);
    server.also(Err(DownstreamError::not_sent(Fault::Busy, "x")));
    let old = client(&house, Version::NEWEST, Capabilities::default(), "ann").await;
    assert!(sorry(&only(call(&house, &old, json!({})).await)).contains("not carried out"));
}
