//! What the issuer is asked about opaque tokens, what counts as its answer, and that nobody can make the gateway ask too much.

use std::sync::Arc;

use futures_util::future::join_all;
use patchbay_core::issuer::Introspection;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Introspector;
use crate::keys::{
    IssuerKeys, Unavailable,
    tests::{
        server::{Heard, Plain, Reply, Server},
        spec,
    },
};

const TOKEN: &str = "opaque+token/of=somebody";
const SECRET: &str = "s3cret:with &odd%signs";

async fn server(answer: &Value) -> Server {
    let server = Server::start().await;
    server.set("/introspect", Reply::json(answer));
    server
}

fn asking(server: &Server, members: &Value, secret: Option<&str>) -> Introspector {
    let mut settings = json!({"client_id": "gate way", "url": format!("{}/introspect", server.url)});
    settings.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let settings: Introspection = serde_json::from_value(settings).unwrap();
    let fetch = Arc::new(Plain);
    let issuer = IssuerKeys::new(&spec(json!({"issuer": server.url, "introspection": settings})), fetch.clone());
    Introspector::new(settings, secret.map(SecretString::from), issuer, fetch)
}

fn usual(server: &Server) -> Introspector {
    asking(server, &json!({}), Some(SECRET))
}

/// An error, after a look that it gives nothing away.
fn closed(answer: Result<Option<serde_json::Map<String, Value>>, Unavailable>) -> String {
    let said = answer.unwrap_err();
    let shown = format!("{said} {said:?}");
    for hidden in [TOKEN, SECRET, "opaque", "s3cret", "odd"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    said.to_string()
}

fn header<'a>(heard: &'a Heard, name: &str) -> Option<&'a str> {
    heard.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn an_active_token_has_members_and_another_has_none() {
    let server = server(&json!({"active": true, "sub": "anna", "scope": "a b"})).await;
    let members = usual(&server).ask(TOKEN).await.unwrap().unwrap();
    assert_eq!((&members["sub"], &members["scope"]), (&json!("anna"), &json!("a b")));
    server.set("/introspect", Reply::json(&json!({"active": false, "sub": "anna"})));
    assert_eq!(usual(&server).ask(TOKEN).await.unwrap(), None);
}

#[tokio::test]
async fn the_secret_is_shown_in_the_header_encoded_as_in_forms() {
    let server = server(&json!({"active": false})).await;
    usual(&server).ask(TOKEN).await.unwrap();
    let heard = &server.heard()[0];
    // base64 of `gate+way:s3cret%3Awith+%26odd%25signs`
    let expected = "Basic Z2F0ZSt3YXk6czNjcmV0JTNBd2l0aCslMjZvZGQlMjVzaWducw==";
    assert_eq!(header(heard, "authorization"), Some(expected));
    assert_eq!(heard.body, "token=opaque%2Btoken%2Fof%3Dsomebody&token_type_hint=access_token");
}

#[tokio::test]
async fn the_secret_is_shown_in_the_form_when_the_operator_says_so() {
    let server = server(&json!({"active": false})).await;
    asking(&server, &json!({"auth": "post"}), Some(SECRET)).ask(TOKEN).await.unwrap();
    let heard = &server.heard()[0];
    assert_eq!(header(heard, "authorization"), None);
    let pairs: Vec<_> = url::form_urlencoded::parse(heard.body.as_bytes()).into_owned().collect();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected =
        [("token", TOKEN), ("token_type_hint", "access_token"), ("client_id", "gate way"), ("client_secret", SECRET)];
    assert_eq!(pairs, expected);
}

#[tokio::test]
async fn without_a_secret_nobody_is_asked() {
    let server = server(&json!({"active": true})).await;
    assert!(closed(asking(&server, &json!({}), None).ask(TOKEN).await).contains("no secret"));
    let key = asking(&server, &json!({"auth": "private_key_jwt"}), Some(SECRET));
    assert!(closed(key.ask(TOKEN).await).contains("not supported"));
    assert_eq!(server.heard().len(), 0);
}

#[tokio::test]
async fn anything_but_a_clear_answer_is_none() {
    let server = server(&json!({})).await;
    let echo = format!("{{\"active\": true, \"token\": \"{TOKEN} {SECRET}");
    for (reply, word) in [
        (Reply::json(&json!({"active": "true"})), "`active`"),
        (Reply::json(&json!({"active": 1})), "`active`"),
        (Reply::json(&json!({"active": null})), "`active`"),
        (Reply::json(&json!({"sub": "anna"})), "`active`"),
        (Reply::json(&json!([{"active": true}])), "no JSON object"),
        (Reply::new(200, "active"), "no JSON object"),
        (Reply::new(200, echo.clone()), "no JSON object"),
        (Reply::new(200, ""), "no JSON object"),
        (Reply::new(201, "{\"active\": true}"), "HTTP 201"),
        (Reply::new(302, "").header("location", "/elsewhere"), "HTTP 302"),
        (Reply::new(400, echo.clone()), "HTTP 400"),
        (Reply::new(401, echo), "client id and secret"),
        (Reply::new(500, "{\"active\": true}"), "HTTP 500"),
        (Reply::new(200, format!("{{\"active\": true}}{}", " ".repeat(64 * 1024))), "larger than 65536 bytes"),
        (Reply::nothing(), "no answer"),
    ] {
        server.set("/introspect", reply);
        let said = closed(usual(&server).ask(TOKEN).await);
        assert!(said.contains(word), "{said} does not say {word}");
    }
    assert!(!server.paths().contains(&"/elsewhere".to_owned()));
}

#[tokio::test]
async fn the_endpoint_comes_from_the_metadata_when_it_is_not_given() {
    let server = server(&json!({"active": true})).await;
    let metadata = json!({"issuer": server.url, "introspection_endpoint": format!("{}/introspect", server.url)});
    server.set("/.well-known/openid-configuration", Reply::json(&metadata));
    assert!(asking(&server, &json!({"url": null}), Some(SECRET)).ask(TOKEN).await.unwrap().is_some());
    server.set("/.well-known/openid-configuration", Reply::nothing());
    assert!(closed(asking(&server, &json!({"url": null}), Some(SECRET)).ask(TOKEN).await).contains("metadata"));
    assert!(closed(asking(&server, &json!({"url": "/relative"}), Some(SECRET)).ask(TOKEN).await).contains("absolute"));
}

#[tokio::test]
async fn who_asks_about_the_same_token_shares_the_answer_and_who_goes_away_breaks_nothing_off() {
    let server = server(&json!({})).await;
    let gate = Arc::new(Semaphore::new(0));
    server.set("/introspect", Reply::json(&json!({"active": true, "sub": "anna"})).behind(&gate));
    let introspector = Arc::new(usual(&server));
    let ask = |token: &'static str| {
        let introspector = introspector.clone();
        tokio::spawn(async move { introspector.ask(token).await })
    };
    let first = ask(TOKEN);
    crate::keys::tests::until("it is asked", || server.heard().len() == 1).await;
    first.abort();
    let others: Vec<_> = (0..50).map(|_| ask(TOKEN)).collect();
    let else_asked = ask("another");
    crate::keys::tests::until("both are asked", || server.heard().len() == 2).await;
    gate.close();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().unwrap()["sub"], "anna");
    }
    else_asked.await.unwrap().unwrap();
    assert_eq!(server.heard().len(), 2);
    introspector.ask(TOKEN).await.unwrap();
    assert_eq!(server.heard().len(), 3, "answers are not remembered here");
}

#[tokio::test]
async fn garbage_cannot_hammer_the_issuer() {
    let server = server(&json!({"active": false})).await;
    let introspector = usual(&server);
    let tokens: Vec<_> = (0..1000).map(|at| format!("garbage-{at}")).collect();
    let answers = join_all(tokens.iter().map(|token| introspector.ask(token))).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    // On a busy machine a few more come in while they are sent.
    assert!((100..150).contains(&(1000 - refused)), "{refused} of 1000 were refused");
    assert_eq!(server.heard().len(), 1000 - refused);
    assert!(answers.into_iter().filter(Result::is_err).all(|answer| closed(answer).contains("too many")));
    crate::keys::tests::later(std::time::Duration::from_secs(1)).await;
    let answers = join_all(tokens.iter().map(|token| introspector.ask(token))).await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((50..=100).contains(&answered), "{answered}");
}

#[tokio::test]
async fn at_most_sixteen_questions_run_at_once_and_the_others_do_not_wait_long() {
    let server = server(&json!({})).await;
    let gate = Arc::new(Semaphore::new(0));
    server.set("/introspect", Reply::json(&json!({"active": true})).behind(&gate));
    let introspector = Arc::new(usual(&server));
    let asks: Vec<_> = (0..40)
        .map(|at| {
            let introspector = introspector.clone();
            tokio::spawn(async move { introspector.ask(&format!("token-{at}")).await })
        })
        .collect();
    crate::keys::tests::until("some are refused", || asks.iter().filter(|ask| ask.is_finished()).count() == 24).await;
    assert_eq!(server.heard().len(), 16);
    gate.close();
    let answers = join_all(asks).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(good.len(), 16);
    assert!(bad.into_iter().all(|answer| closed(answer).contains("slow")));
}
