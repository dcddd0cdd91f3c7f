//! The key of WeatherAPI: who gets it, who does not, and whose word is taken when WeatherAPI fails.

use std::{
    io::{self, Write},
    sync::{Mutex, OnceLock},
};

use patchbay_builtin_tools::{Builtin, Given, Weather, weather};
use rmcp::{
    model::{ReadResourceRequestParams, ResourceContents},
    service::ClientLifecycleMode,
};
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use crate::{StandIn, answer, connect, current, documents, failure, options, stand_in::Reply, text};

const KEY: &str = "k3y-0f-th3-0p3r4t0r";
const WAPI: &str = "/wapi/v1/current.json";

async fn providers() -> StandIn {
    let providers = StandIn::new().await;
    providers.answers(WAPI, [Reply::json(&documents::wapi())]);
    providers.answers("/geo/", [Reply::json(&documents::parises())]);
    providers.answers("/meteo/", [Reply::json(&documents::meteo())]);
    providers
}

fn given(providers: &StandIn, more: &Value) -> Given {
    let mut options = options(providers, more);
    options["weatherapi_key"] = json!("secret:wapi");
    Given { secrets: [("wapi".to_owned(), KEY.into())].into(), ..Given::of(options) }
}

fn keyed(providers: &StandIn, more: &Value) -> Weather {
    weather(&given(providers, more)).unwrap()
}

async fn client(providers: &StandIn, more: &Value) -> crate::Client {
    connect(keyed(providers, more), ClientLifecycleMode::Initialize).await
}

/// All that is logged in this process from now on.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<&'static Mutex<Vec<u8>>> = OnceLock::new();
    struct Lines(&'static Mutex<Vec<u8>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    LOG.get_or_init(|| {
        let log: &'static Mutex<Vec<u8>> = Box::leak(Box::default());
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || Lines(log)).init();
        log
    })
}

#[tokio::test]
async fn key_goes_to_its_provider_and_is_shown_nowhere() {
    let log = log();
    let mut shown = Vec::new();
    for trouble in [
        Reply::json(&documents::wapi()),
        Reply::status(500),
        Reply::closes(),
        Reply::of(
            400,
            "application/json",
            format!("{{\"error\":{{\"code\":1,\"message\":\"{KEY}\"}},\"detail\":\"{KEY}\"}}").as_bytes(),
        ),
        Reply::of(200, "application/json", KEY.as_bytes()),
        Reply::status(302).with("location", &format!("http://127.0.0.1:1/?key={KEY}")),
        Reply::status(401),
    ] {
        let providers = providers().await;
        providers.answers(WAPI, [trouble]);
        for meteo in [Reply::json(&documents::meteo()), Reply::status(500)] {
            providers.answers("/meteo/", [meteo]);
            let weather = keyed(&providers, &json!({ "retries_max": 1 }));
            shown.push(format!("{weather:?}"));
            shown.push(weather.check().await.err().unwrap_or_default());
            let client = connect(weather, ClientLifecycleMode::Initialize).await;
            let result = current(&client, "Paris").await;
            shown.push(format!("{result:?}"));
            let config = client.read_resource(ReadResourceRequestParams::new("config://app")).await.unwrap();
            shown.push(format!("{config:?}"));
        }
        for seen in providers.seen() {
            assert_eq!(seen.target.contains(KEY), seen.path() == WAPI, "{}", seen.target);
            assert!(seen.header("referer").is_none());
        }
    }
    assert!(shown.iter().all(|text| !text.contains(KEY)), "{shown:?}");
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(log.contains("a provider did not answer"), "the log was listened to");
    assert!(!log.contains(KEY));
}

#[tokio::test]
async fn key_among_the_options_is_refused() {
    let providers = StandIn::new().await;
    let refused = weather(&Given::of(options(&providers, &json!({ "weatherapi_key": KEY })))).unwrap_err().to_string();
    assert!(
        refused.contains("`weatherapi_key`") && refused.contains("`secrets`") && !refused.contains(KEY),
        "{refused}"
    );
    let missing = weather(&Given::of(options(&providers, &json!({ "weatherapi_key": "secret:wapi" })))).unwrap_err();
    assert!(missing.to_string().contains("`wapi`"));
}

#[tokio::test]
async fn weatherapi_is_asked_first_when_there_is_a_key() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    let result = current(&client, "Paris, France").await;
    let answer = answer(&result);
    assert_eq!((answer["provider"].as_str(), answer.get("note")), (Some("WeatherAPI"), None));
    assert_eq!(answer["place"]["country"], "France");
    assert_eq!(
        answer["conditions"],
        json!({
            "observed_at": "2026-11-21T12:15:00Z", "description": "Patchy rain", "is_day": true, "temperature_celsius": 9.0,
            "apparent_temperature_celsius": 6.6, "humidity_percent": 82.0, "precipitation_mm": 0.1,
            "cloud_cover_percent": 100.0, "pressure_hpa": 1012.0, "wind_speed_kmh": 15.1, "wind_gusts_kmh": 31.0,
            "wind_direction_degrees": 225.0
        })
    );
    let [seen] = &providers.seen()[..] else { panic!("one request") };
    assert_eq!((seen.path(), seen.query("q").as_deref()), (WAPI, Some("Paris, France")));
    assert_eq!(seen.query("key").as_deref(), Some(KEY));
}

#[tokio::test]
async fn open_meteo_stands_in_and_the_answer_says_why() {
    for (trouble, why) in [
        (Reply::status(503), "WeatherAPI answered with the status 503."),
        (
            Reply::of(403, "application/json", br#"{"error":{"code":2008,"message":"disabled"}}"#),
            "WeatherAPI does not accept the key",
        ),
        (
            Reply::of(400, "application/json", br#"{"error":{"code":1006,"message":"none"}}"#),
            "WeatherAPI knows no such place.",
        ),
        (Reply::silence(), "WeatherAPI did not answer in time."),
    ] {
        let providers = providers().await;
        providers.answers(WAPI, [trouble]);
        let client = client(&providers, &json!({ "deadline_ms": 2_000, "read_timeout_ms": 60_000 })).await;
        let result = current(&client, "Paris").await;
        assert_eq!(answer(&result)["provider"], "Open-Meteo");
        let note = answer(&result)["note"].as_str().unwrap();
        assert!(note.contains(why), "{note}");
        assert!(text(&result).contains(note));
    }
}

#[tokio::test]
async fn when_both_fail_the_last_one_is_told() {
    let providers = providers().await;
    providers.answers(WAPI, [Reply::status(503)]);
    providers.answers("/geo/", [Reply::status(502)]);
    let client = client(&providers, &json!({ "retries_max": 0 })).await;
    let result = current(&client, "Paris").await;
    assert!(failure(&result).starts_with("UNAVAILABLE: Open-Meteo Geocoding answered with the status 502."));
}

#[tokio::test]
async fn check_tells_of_a_refused_key_and_of_nothing_that_passes() {
    let providers = providers().await;
    let build = || Builtin::find("weather").unwrap().build(&given(&providers, &json!({ "retries_max": 0 }))).unwrap();
    assert_eq!(build().check().await, Ok(()));
    providers.answers(WAPI, [Reply::status(500)]);
    assert_eq!(build().check().await, Ok(()));
    providers.answers(WAPI, [Reply::of(401, "application/json", br#"{"error":{"code":2006,"message":"invalid"}}"#)]);
    let refused = build().check().await.unwrap_err();
    let asked = providers.count();
    assert_eq!(crate::server(&providers, &json!({})).check().await, Ok(()));
    assert_eq!(providers.count(), asked, "without a key there is nothing to ask");
    assert!(refused.contains("`weatherapi_key`") && refused.contains("does not accept the key"), "{refused}");
}

#[tokio::test]
async fn configuration_says_that_there_is_a_key() {
    let providers = providers().await;
    for (client, expected) in
        [(client(&providers, &json!({})).await, true), (crate::client(&providers, &json!({})).await, false)]
    {
        let read = client.read_resource(ReadResourceRequestParams::new("config://app")).await.unwrap();
        let ResourceContents::TextResourceContents { text, .. } = &read.contents[0] else { panic!("no text") };
        assert_eq!(serde_json::from_str::<Value>(text).unwrap()["weatherapi_key_configured"], expected);
    }
}
