//! All that can go wrong with a provider: what is tried again, what is not, and what the caller reads.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{StandIn, alerts, answer, client, documents, failure, stand_in::Reply, until};

const PATH: &str = "/nws/alerts/active";

fn flood() -> Value {
    documents::alerts(&[documents::alert("Flood Warning", "Severe")])
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    for trouble in [
        Reply::status(500),
        Reply::status(503).with("retry-after", "0"),
        Reply::status(429).with("retry-after", "0"),
        Reply::status(429),
        Reply::closes(),
        Reply::breaks_off(&flood()),
        Reply::raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    ] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [trouble.clone(), trouble, Reply::json(&flood())]);
        let client = client(&providers, &json!({})).await;
        assert_eq!(answer(&alerts(&client, "CA").await)["count"], 1);
        assert_eq!(providers.count(), 3);
    }
}

#[tokio::test]
async fn retries_end_and_the_failure_is_told() {
    for (trouble, said) in [
        (
            Reply::status(500),
            "UNAVAILABLE: National Weather Service answered with the status 500. Try again in a minute",
        ),
        (Reply::closes(), "UNAVAILABLE: National Weather Service broke off in the middle of its answer."),
        (Reply::breaks_off(&flood()), "UNAVAILABLE: National Weather Service broke off in the middle of its answer."),
        (
            Reply::status(429),
            "RATE_LIMITED: National Weather Service asks for a pause: too many requests were made. Come again in 30 seconds.",
        ),
    ] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [trouble]);
        let client = client(&providers, &json!({ "retries_max": 3 })).await;
        let result = alerts(&client, "CA").await;
        assert!(failure(&result).starts_with(said), "{}", failure(&result));
        assert_eq!(providers.count(), 4);
    }
}

#[tokio::test]
async fn what_would_be_the_same_again_is_not_tried_again() {
    let huge = Reply::json(&json!({ "features": [], "padding": "x".repeat(3 * 1024 * 1024) }));
    for (trouble, said) in [
        (Reply::of(200, "application/json", &flood().to_string().as_bytes()[..200]), "is not the JSON it documents"),
        (Reply::of(200, "application/json", b"{\"features\": 7}"), "is not the JSON it documents"),
        (Reply::of(200, "application/json", &[0xff, 0xfe, 0x00]), "is not the JSON it documents"),
        (Reply::of(200, "application/json", b""), "is not the JSON it documents"),
        (Reply::of(200, "text/html", flood().to_string().as_bytes()), "is not the JSON it documents"),
        (Reply::status(204), "is not the JSON it documents"),
        (huge, "answered with more than 2097152 bytes"),
        (Reply::endless(), "answered with more than 2097152 bytes"),
        (Reply::status(400), "REFUSED: National Weather Service refused the request (status 400)."),
    ] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [trouble]);
        let client = client(&providers, &json!({})).await;
        let result = alerts(&client, "CA").await;
        assert!(failure(&result).contains(said), "{said}: {}", failure(&result));
        assert_eq!(providers.count(), 1, "{said}");
    }
}

#[tokio::test]
async fn nested_json_does_not_exhaust_the_stack() {
    let providers = StandIn::new().await;
    let nested = format!("{{\"features\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    providers.answers(PATH, [Reply::of(200, "application/json", nested.as_bytes())]);
    let client = client(&providers, &json!({})).await;
    // A list with one odd member, or no document: the call ends with an answer.
    alerts(&client, "CA").await;
    providers.answers(PATH, [Reply::json(&flood())]);
    assert_eq!(answer(&alerts(&client, "NY").await)["count"], 1);
}

#[tokio::test]
async fn endless_answer_is_left_when_it_is_too_large() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::endless()]);
    let client = client(&providers, &json!({})).await;
    alerts(&client, "CA").await;
    until(|| providers.deserted() == 1).await;
}

#[tokio::test]
async fn named_pause_is_kept_within_the_deadline() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::status(429).with("retry-after", "1"), Reply::json(&flood())]);
    let client = client(&providers, &json!({})).await;
    assert_eq!(answer(&alerts(&client, "CA").await)["count"], 1);
    let [first, second] = &providers.seen()[..] else { panic!("two requests") };
    assert!(second.at - first.at >= Duration::from_secs(1));
}

#[tokio::test]
async fn pause_beyond_the_deadline_is_told_and_nobody_asks_before_it_is_over() {
    let tomorrow = "Fri, 31 Dec 2100 23:59:59 GMT";
    for (pause, most) in [("600", 600), (tomorrow, 3_600), ("99999999999", 3_600)] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [Reply::status(429).with("retry-after", pause), Reply::json(&flood())]);
        let client = client(&providers, &json!({})).await;
        let first = alerts(&client, "CA").await;
        assert!(failure(&first).starts_with("RATE_LIMITED: "), "{}", failure(&first));
        assert!(!failure(&first).contains("4294967295"));
        let result = alerts(&client, "NY").await;
        let said = failure(&result);
        let seconds = said.split("Come again in ").nth(1).unwrap().split(' ').next().unwrap();
        assert!((most - 60..=most).contains(&seconds.parse::<u64>().unwrap()), "{said}");
        assert_eq!(providers.count(), 1, "{pause}");
    }
}

#[tokio::test]
async fn silence_ends_by_the_read_timeout_and_is_tried_again() {
    for silent in [Reply::silence(), Reply::stalls(&flood())] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [silent, Reply::json(&flood())]);
        let client = client(&providers, &json!({ "read_timeout_ms": 50, "connect_timeout_ms": 50 })).await;
        assert_eq!(answer(&alerts(&client, "CA").await)["count"], 1);
        assert_eq!((providers.count(), providers.deserted()), (2, 1));
    }
}

#[tokio::test]
async fn call_ends_by_its_deadline_with_all_its_retries() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::silence()]);
    let options = json!({ "read_timeout_ms": 60_000, "deadline_ms": 150, "retries_max": 5 });
    let client = client(&providers, &options).await;
    let began = Instant::now();
    let result = alerts(&client, "CA").await;
    let said = failure(&result);
    assert!(said.starts_with("TIMEOUT: National Weather Service did not answer in time."), "{said}");
    assert!(began.elapsed() >= Duration::from_millis(150));
    until(|| providers.deserted() == 1).await;
}

#[tokio::test]
async fn provider_that_is_away_is_told() {
    let providers = StandIn::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client(&providers, &json!({ "nws_url": nobody })).await;
    let result = alerts(&client, "CA").await;
    assert!(failure(&result).starts_with("UNAVAILABLE: National Weather Service cannot be reached."));
    // Not even the address of the provider is in the text.
    assert!(!failure(&result).contains("127.0.0.1"));
}

#[tokio::test]
async fn slow_provider_holds_up_no_other() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::silence()]);
    providers.answers("/geo/", [Reply::json(&documents::parises())]);
    providers.answers("/meteo/", [Reply::json(&documents::meteo())]);
    let client = client(&providers, &json!({ "read_timeout_ms": 60_000, "deadline_ms": 120_000 })).await;
    let states = ["CA", "NY", "TX", "FL", "WA", "OR", "NV", "AZ", "UT", "ID", "MT", "WY"];
    let waiting = futures_util::future::join_all(states.map(|state| alerts(&client, state)));
    let other = async {
        // As many requests to one provider as there may be at once; the others wait.
        until(|| providers.count() == 8).await;
        answer(&crate::current(&client, "Paris").await)["provider"].clone()
    };
    tokio::select! {
        _ = waiting => panic!("the silent provider answered"),
        provider = other => assert_eq!(provider, "Open-Meteo"),
    }
}
