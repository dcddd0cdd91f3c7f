//! What is asked once and used again: answers by their providers' freshness, equal questions at one time, and stale answers
//! when nothing newer can be had.

use std::sync::Arc;

use rmcp::{
    model::{ReadResourceRequestParams, ResourceContents},
    service::ClientLifecycleMode,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    StandIn, alerts, answer, client, connect, documents, failure, forecast, server, stand_in::Reply, text, until,
};

const PATH: &str = "/nws/alerts/active";

fn flood() -> Value {
    documents::alerts(&[documents::alert("Flood Warning", "Severe")])
}

#[tokio::test]
async fn answers_are_kept_as_long_as_the_provider_says() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::json(&flood()).with("cache-control", "public, max-age=60")]);
    let client = client(&providers, &json!({})).await;
    alerts(&client, "CA").await;
    alerts(&client, "California").await;
    assert_eq!(providers.count(), 1);
    alerts(&client, "NY").await;
    assert_eq!(providers.count(), 2);
    for (said, state) in [("no-store", "TX"), ("max-age=0", "FL"), ("no-cache", "WA")] {
        providers.answers(PATH, [Reply::json(&flood()).with("cache-control", said)]);
        let before = providers.count();
        alerts(&client, state).await;
        alerts(&client, state).await;
        assert_eq!(providers.count() - before, 2, "{said}");
    }
}

#[tokio::test]
async fn point_is_asked_for_once_and_its_forecast_too() {
    let providers = StandIn::new().await;
    providers.answers("/nws/points/", [Reply::json(&documents::point())]);
    providers.answers("/nws/gridpoints/", [Reply::json(&documents::forecast())]);
    let client = client(&providers, &json!({})).await;
    forecast(&client, 37.774_91, -122.419_41).await;
    forecast(&client, 37.774_88, -122.419_39).await;
    assert_eq!(providers.count(), 2);
}

#[tokio::test]
async fn equal_calls_at_one_time_are_one_request() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::json(&flood())]);
    let client = client(&providers, &json!({})).await;
    let calls = futures_util::future::join_all((0..20).map(|_| alerts(&client, "CA"))).await;
    assert!(calls.iter().all(|result| answer(result)["count"] == 1));
    assert_eq!(providers.count(), 1);
}

#[tokio::test]
async fn call_that_is_given_up_takes_nothing_from_the_one_that_joined_it() {
    let (providers, release) = (StandIn::new().await, Arc::new(Notify::new()));
    providers.answers(PATH, [Reply::held(&flood(), &release)]);
    let weather = server(&providers, &json!({ "read_timeout_ms": 60_000, "deadline_ms": 120_000 }));
    let watcher = connect(weather.clone(), ClientLifecycleMode::Initialize).await;
    let mut callers = Vec::new();
    for _ in 0..2 {
        let client = connect(weather.clone(), ClientLifecycleMode::Initialize).await;
        callers.push(tokio::spawn(async move { alerts(&client, "CA").await }));
        until(|| providers.count() == 1).await;
    }
    while joined(&watcher).await < 1 {}
    let (second, first) = (callers.pop().unwrap(), callers.pop().unwrap());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    release.notify_one();
    assert_eq!(answer(&second.await.unwrap())["count"], 1);
    assert_eq!((providers.count(), providers.deserted()), (1, 0));
}

async fn joined(client: &crate::Client) -> u64 {
    let read = client.read_resource(ReadResourceRequestParams::new("config://app")).await.unwrap();
    let ResourceContents::TextResourceContents { text, .. } = &read.contents[0] else { panic!("no text") };
    serde_json::from_str::<Value>(text).unwrap()["cache"]["joined"].as_u64().unwrap()
}

#[tokio::test]
async fn stale_answer_is_served_with_its_age_when_the_provider_fails() {
    for trouble in [Reply::status(503), Reply::closes(), Reply::of(200, "application/json", b"{"), Reply::status(429)] {
        let providers = StandIn::new().await;
        providers.answers(PATH, [Reply::json(&flood()).with("cache-control", "max-age=0").with("age", "300"), trouble]);
        let client = client(&providers, &json!({ "retries_max": 0 })).await;
        assert!(answer(&alerts(&client, "CA").await).get("stale_seconds").is_none());
        let result = alerts(&client, "CA").await;
        let answer = answer(&result);
        assert_eq!(answer["alerts"][0]["event"], "Flood Warning");
        assert!(answer["stale_seconds"].as_u64().unwrap() >= 300);
        let note = answer["note"].as_str().unwrap();
        assert!(note.starts_with("This is not the newest: it is 5 minutes old, and no newer answer could be had."));
        assert!(text(&result).contains(note));
        assert_eq!(providers.count(), 2);
    }
}

#[tokio::test]
async fn operator_may_refuse_stale_answers() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::json(&flood()).with("cache-control", "max-age=0"), Reply::status(503)]);
    let client = client(&providers, &json!({ "retries_max": 0, "stale_max_s": 0 })).await;
    alerts(&client, "CA").await;
    assert!(failure(&alerts(&client, "CA").await).contains("answered with the status 503"));
}
