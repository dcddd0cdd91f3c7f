//! `get_alerts`: which question it asks, and how alerts are told, present, absent, odd and many.

use serde_json::json;

use crate::{StandIn, alerts, answer, client, documents, failure, stand_in::Reply, text};

const PATH: &str = "/nws/alerts/active";

#[tokio::test]
async fn what_is_no_state_is_refused_without_asking_anybody() {
    let providers = StandIn::new().await;
    let client = client(&providers, &json!({})).await;
    for state in ["XX", "", "CA/../../admin?x=", "CA&area=NY", "CA\r\nHost: evil"] {
        assert!(failure(&alerts(&client, state).await).starts_with("INVALID_ARGUMENTS: "), "{state:?}");
    }
    assert!(failure(&alerts(&client, "Calif").await).contains("CA (California)"));
    assert_eq!(providers.count(), 0);
}

#[tokio::test]
async fn no_alerts_are_an_answer() {
    let providers = StandIn::new().await;
    providers.answers(PATH, [Reply::json(&documents::alerts(&[]))]);
    let client = client(&providers, &json!({})).await;
    let result = alerts(&client, "CA").await;
    assert_eq!(
        *answer(&result),
        json!({
            "provider": "National Weather Service", "area": "CA", "area_name": "California",
            "updated_at": "2026-11-21T11:58:00+00:00", "count": 0, "alerts": [], "truncated": false
        })
    );
    assert_eq!(text(&result), "No active alerts for California (CA), says the National Weather Service.\n");
}

#[tokio::test]
async fn alerts_are_told_most_severe_first_and_asked_for_politely() {
    let providers = StandIn::new().await;
    let features = [documents::alert("Wind Advisory", "Minor"), documents::alert("Flood Warning", "Severe")];
    providers.answers(PATH, [Reply::json(&documents::alerts(&features))]);
    let client = client(&providers, &json!({})).await;
    let result = alerts(&client, "california").await;
    assert_eq!(answer(&result)["count"], 2);
    assert_eq!(
        answer(&result)["alerts"][0],
        json!({
            "event": "Flood Warning", "severity": "Severe", "urgency": "Expected", "certainty": "Likely",
            "areas": "Lower River Valley; Eastern Hills",
            "headline": "Flood Warning in force until four in the morning",
            "onset_at": "2026-11-21T06:00:00-08:00", "ends_at": "2026-11-22T04:00:00-08:00",
            "expires_at": "2026-11-21T18:00:00-08:00", "sender": "NWS Sacramento CA",
            "description": "* WHAT...Water over low roads.\n\n* WHERE...Along the lower river.",
            "instruction": "Stay away from the banks.\nDo not drive into water."
        })
    );
    assert!(text(&result).contains("1. Flood Warning (severity Severe, urgency Expected, certainty Likely)"));
    assert!(text(&result).contains("   What to do: Stay away from the banks.\n   Do not drive into water.\n"));
    let [seen] = &providers.seen()[..] else { panic!("one request") };
    assert_eq!(seen.target, "/nws/alerts/active?area=CA&status=actual");
    assert_eq!(seen.header("user-agent"), Some(concat!("patchbay/", env!("CARGO_PKG_VERSION"), " (ops@example.com)")));
    assert_eq!(seen.header("accept"), Some("application/geo+json"));
}

#[tokio::test]
async fn very_many_alerts_are_bounded_and_the_answer_says_so() {
    let providers = StandIn::new().await;
    let mut features = vec![documents::alert("Beach Hazards Statement", "Moderate"); 100];
    features.push(documents::alert("Tornado Warning", "Extreme"));
    features.push(json!({ "type": "Feature", "properties": null }));
    providers.answers(PATH, [Reply::json(&documents::alerts(&features))]);
    let client = client(&providers, &json!({})).await;
    let result = alerts(&client, "GM").await;
    let answer = answer(&result);
    assert_eq!((answer["count"].as_u64(), answer["truncated"].as_bool()), (Some(102), Some(true)));
    assert_eq!(answer["alerts"].as_array().unwrap().len(), 25);
    assert_eq!(answer["alerts"][0]["event"], "Tornado Warning");
    assert!(text(&result).contains("Only the 25 most severe of 101 alerts are shown. 1 more could not be read"));
}
