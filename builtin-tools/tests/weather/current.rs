//! `get_current_weather`: which place a name means, and whose word is taken.

use serde_json::json;

use crate::{StandIn, answer, call, client, current, documents, failure, stand_in::Reply, text};

const SEARCH: &str = "/geo/v1/search";
const NOW: &str = "/meteo/v1/forecast";

async fn providers() -> StandIn {
    let providers = StandIn::new().await;
    providers.answers(SEARCH, [Reply::json(&documents::parises())]);
    providers.answers(NOW, [Reply::json(&documents::meteo())]);
    providers
}

#[tokio::test]
async fn names_that_are_none_are_refused_without_asking_anybody() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    for city in ["", " , ", "Paris\r\nHost: evil", &"x".repeat(101)] {
        assert!(failure(&current(&client, city).await).starts_with("INVALID_ARGUMENTS: "), "{city:?}");
    }
    assert_eq!(providers.count(), 0);
}

#[tokio::test]
async fn city_stays_in_its_parameter() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    for city in ["../admin?x=", "a%2f..", "Paris&count=1#f", "Zürich"] {
        current(&client, city).await;
        let seen = providers.seen().into_iter().rfind(|seen| seen.path() == SEARCH).unwrap();
        assert_eq!((seen.query("name").as_deref(), seen.query("count").as_deref()), (Some(city), Some("50")));
    }
    assert!(providers.seen().iter().all(|seen| [SEARCH, NOW].contains(&seen.path())));
}

#[tokio::test]
async fn unknown_city_is_told_and_remembered() {
    let providers = providers().await;
    providers.answers(SEARCH, [Reply::json(&documents::places(&[]))]);
    let client = client(&providers, &json!({})).await;
    for _ in 0..2 {
        let result = current(&client, "Nowhereville").await;
        assert!(failure(&result).starts_with("NO_SUCH_PLACE: No place is known by the name \"Nowhereville\". "));
    }
    assert_eq!(providers.count(), 1);
}

#[tokio::test]
async fn region_that_has_no_such_city_is_told_with_those_that_have() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    let result = call(&client, "get_current_weather", json!({ "city": "Paris", "country": "Narnia" })).await;
    let said = failure(&result);
    assert!(
        said.contains("No place Paris, Narnia is known; there are: Paris, Île-de-France, France; Paris, Texas,"),
        "{said}"
    );
}

#[tokio::test]
async fn picked_place_and_its_namesakes_are_named() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    let result = current(&client, "Paris").await;
    let answer = answer(&result);
    assert_eq!(answer["provider"], "Open-Meteo");
    assert_eq!(
        answer["place"],
        json!({ "name": "Paris", "region": "Île-de-France", "country": "France", "latitude": 48.85341, "longitude": 2.3488 })
    );
    assert_eq!(answer["alternatives"].as_array().unwrap().len(), 2);
    assert_eq!(
        answer["conditions"],
        json!({
            "observed_at": "2026-11-21T13:15:00+01:00", "description": "light rain", "is_day": true,
            "temperature_celsius": 9.4, "apparent_temperature_celsius": 6.9, "humidity_percent": 81.0,
            "precipitation_mm": 0.2, "cloud_cover_percent": 96.0, "pressure_hpa": 1012.3, "wind_speed_kmh": 14.8,
            "wind_gusts_kmh": 33.1, "wind_direction_degrees": 230.0
        })
    );
    assert!(text(&result).starts_with("Paris, Île-de-France, France: light rain, 9.4 °C, feels like 6.9 °C, "));
    assert!(text(&result).contains("There are also: Paris, Texas, United States; Paris, Ontario, Canada."));
    let seen = providers.seen();
    assert_eq!(seen[1].query("latitude").as_deref(), Some("48.8534"));
    assert!(seen[1].query("current").unwrap().contains("weather_code"));
}

#[tokio::test]
async fn region_picks_among_places_of_one_name() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    assert_eq!(answer(&current(&client, "Paris, TX").await)["place"]["region"], "Texas");
    let canada = call(&client, "get_current_weather", json!({ "city": "Paris", "country": "canada" })).await;
    assert_eq!(answer(&canada)["place"]["region"], "Ontario");
    // One question for the name, and one for each place.
    assert_eq!(providers.count(), 3);
}

#[tokio::test]
async fn missing_measurements_are_left_out() {
    let providers = providers().await;
    let bare = json!({ "utc_offset_seconds": -18000, "current": { "time": "2026-11-21T13:15", "weather_code": 250 } });
    providers.answers(NOW, [Reply::json(&bare)]);
    let client = client(&providers, &json!({})).await;
    let result = current(&client, "Paris").await;
    let conditions = &answer(&result)["conditions"];
    assert_eq!(
        *conditions,
        json!({ "observed_at": "2026-11-21T13:15:00-05:00", "description": "weather without a name" })
    );
}
