//! `get_forecast`: the two questions behind it, points that have no forecast, and links that lead astray.

use serde_json::{Value, json};

use crate::{StandIn, answer, call, client, documents, failure, forecast, stand_in::Reply, text};

const POINTS: &str = "/nws/points/";
const GRID: &str = "/nws/gridpoints/";

async fn providers() -> StandIn {
    let providers = StandIn::new().await;
    providers.answers(POINTS, [Reply::json(&documents::point())]);
    providers.answers(GRID, [Reply::json(&documents::forecast())]);
    providers
}

#[tokio::test]
async fn point_off_the_globe_is_refused_without_asking_anybody() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    for (latitude, longitude) in [(90.1, 0.0), (-91.0, 0.0), (0.0, 180.5), (0.0, -1e300)] {
        let result = forecast(&client, latitude, longitude).await;
        assert!(failure(&result).contains("expected degrees from"), "{latitude}, {longitude}");
    }
    for arguments in [
        json!({ "latitude": "37.7", "longitude": 1 }),
        json!({ "latitude": 1 }),
        json!({ "latitude": null, "longitude": 1 }),
    ] {
        assert!(failure(&call(&client, "get_forecast", arguments).await).starts_with("INVALID_ARGUMENTS: "));
    }
    assert_eq!(providers.count(), 0);
}

#[tokio::test]
async fn point_outside_the_us_is_explained_and_not_asked_for_again() {
    let providers = StandIn::new().await;
    providers.answers(POINTS, [Reply::problem(404, &documents::unknown_point())]);
    let client = client(&providers, &json!({})).await;
    for _ in 0..2 {
        let result = forecast(&client, 51.5, -0.12).await;
        assert_eq!(
            failure(&result),
            "NOT_COVERED: The National Weather Service has no forecast for that point; it covers only the US and its \
             territories. For other places call get_current_weather with a city."
        );
    }
    assert_eq!(providers.count(), 1);
}

#[tokio::test]
async fn other_refusals_are_told_in_the_providers_words() {
    let providers = StandIn::new().await;
    let problem =
        json!({ "type": "https://api.weather.gov/problems/Other", "title": "Odd", "detail": "Too odd\u{7} a point." });
    providers.answers(POINTS, [Reply::problem(404, &problem), Reply::of(400, "text/html", b"<html>")]);
    let client = client(&providers, &json!({})).await;
    let said = failure(&forecast(&client, 40.0, -100.0).await).to_owned();
    assert!(
        said.starts_with("REFUSED: National Weather Service refused the request (status 404: Too odd a point). "),
        "{said}"
    );
    let said = failure(&forecast(&client, 40.0, -100.0).await).to_owned();
    assert!(said.contains("(status 400)."), "{said}");
}

#[tokio::test]
async fn point_at_sea_has_no_forecast() {
    let providers = providers().await;
    let mut point = documents::point();
    point["properties"]["forecast"] = Value::Null;
    providers.answers(POINTS, [Reply::json(&point)]);
    let client = client(&providers, &json!({})).await;
    assert!(failure(&forecast(&client, 30.0, -80.0).await).starts_with("NOT_COVERED: "));
}

#[tokio::test]
async fn seven_days_are_told_with_their_units() {
    let providers = providers().await;
    let client = client(&providers, &json!({})).await;
    let result = forecast(&client, 37.774_929_5, -122.419_400).await;
    let answer = answer(&result);
    assert_eq!(answer["place"], "San Francisco, CA");
    assert_eq!(answer["time_zone"], "America/Los_Angeles");
    assert_eq!(answer["issued_at"], "2026-11-21T10:30:00+00:00");
    assert_eq!(answer["periods"].as_array().unwrap().len(), 14);
    assert_eq!(
        answer["periods"][0],
        json!({
            "name": "Day 1", "starts_at": "2026-11-21T06:00:00-08:00", "ends_at": "2026-11-21T18:00:00-08:00",
            "is_daytime": true, "temperature": 61.0, "temperature_unit": "F", "precipitation_probability_percent": 20.0,
            "wind_speed": "5 to 10 mph", "wind_direction": "NW", "summary": "Mostly Sunny",
            "detail": "Mostly sunny, with a light wind from the bay."
        })
    );
    assert!(text(&result).contains("- Night 2: Mostly Sunny, low 48 °F, wind 5 to 10 mph from NW."));
    // Four decimals and no zeros at the end, or the provider redirects; the link to the real address is asked for here.
    let targets: Vec<_> = providers.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/nws/points/37.7749,-122.4194", "/nws/gridpoints/MTR/85,105/forecast"]);
}

#[tokio::test]
async fn forecast_is_not_fetched_from_where_a_document_says() {
    let (providers, elsewhere) = (providers().await, StandIn::new().await);
    let client = client(&providers, &json!({ "cache_entries_max": 0 })).await;
    for link in [
        elsewhere.url("/nws/gridpoints/MTR/85,105/forecast"),
        providers.url("/nws/admin"),
        providers.url("/gridpoints/MTR/1,2/forecast"),
    ] {
        let mut point = documents::point();
        point["properties"]["forecast"] = json!(link);
        providers.answers(POINTS, [Reply::json(&point)]);
        let result = forecast(&client, 40.0, -100.0).await;
        assert!(failure(&result).contains("sent the request on to another place"), "{link}");
    }
    assert_eq!(elsewhere.count(), 0);
    assert!(providers.seen().iter().all(|seen| seen.path().starts_with(POINTS)));
}

#[tokio::test]
async fn redirects_are_followed_within_the_provider_and_nowhere_else() {
    let (providers, elsewhere) = (providers().await, StandIn::new().await);
    elsewhere.answers("/", [Reply::json(&documents::point())]);
    providers.answers("/nws/points/40,-100", [Reply::status(301).with("location", "/nws/points/41,-100")]);
    providers.answers("/nws/points/42,-100", [Reply::status(302).with("location", &elsewhere.url("/nws/points/1,1"))]);
    providers.answers("/nws/points/43,-100", [Reply::status(301).with("location", "/nws/points/43,-100")]);
    let client = client(&providers, &json!({})).await;
    assert_eq!(answer(&forecast(&client, 40.0, -100.0).await)["place"], "San Francisco, CA");
    let before = providers.count();
    assert!(failure(&forecast(&client, 42.0, -100.0).await).contains("sent the request on to another place"));
    assert_eq!((providers.count() - before, elsewhere.count()), (1, 0));
    assert!(failure(&forecast(&client, 43.0, -100.0).await).contains("sent the request on to another place"));
    assert!(providers.count() - before <= 6);
}
