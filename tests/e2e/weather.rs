//! The weather server behind the gateway, with a local stand-in for its provider: what a client gets of it, and what it gets
//! when the provider fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use patchbay_e2e::{TestGateway, setup::tenant};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A provider of the weather, as far as these stories need one.
#[derive(Clone, Default)]
struct Provider {
    asked: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Provider {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(provider.clone().answer(stream));
            }
        });
        address
    }

    /// Answers one request and closes the connection.
    async fn answer(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut request = String::new();
        while stream.read_line(&mut request).await? > 2 {}
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(request.to_ascii_lowercase().contains("user-agent: patchbay/"), "{request}");
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match self.broken.load(Ordering::SeqCst) {
            true => ("500 Internal Server Error", json!({ "title": "out of order" })),
            false => document(path),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/geo+json\r\nCache-Control: max-age=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }
}

fn document(path: &str) -> (&'static str, Value) {
    let alert = json!({ "type": "Feature", "id": "urn:1", "properties": {
        "id": "urn:1", "event": "Coastal Flood Advisory", "severity": "Minor", "urgency": "Expected", "certainty": "Likely",
        "areaDesc": "Marin Coastal Range", "headline": "High water until noon", "description": "Water over low roads.",
        "instruction": "Go around.", "status": "Actual", "sent": "2026-11-20T08:00:00-08:00",
        "effective": "2026-11-20T08:00:00-08:00", "expires": "2026-11-20T12:00:00-08:00", "senderName": "A weather office" } });
    let period = |number: u64| {
        json!({
        "number": number, "name": format!("Part {number}"), "isDaytime": number % 2 == 1,
        "startTime": "2026-11-20T06:00:00-08:00", "endTime": "2026-11-20T18:00:00-08:00",
        "temperature": 61, "temperatureUnit": "F", "windSpeed": "5 mph", "windDirection": "W",
        "probabilityOfPrecipitation": { "unitCode": "wmoUnit:percent", "value": 10 },
        "shortForecast": "Fog, then sun", "detailedForecast": "Fog in the morning, sun after it." })
    };
    match path {
        path if path.starts_with("/alerts/active") && path.contains("CA") => (
            "200 OK",
            json!({ "type": "FeatureCollection", "features": [alert], "updated": "2026-11-20T16:00:00+00:00" }),
        ),
        path if path.starts_with("/alerts/active") => {
            ("200 OK", json!({ "type": "FeatureCollection", "features": [] }))
        }
        "/points/37.77,-122.42" => (
            "200 OK",
            json!({ "properties": {
                "forecast": "https://api.weather.gov/gridpoints/MTR/85,105/forecast", "gridId": "MTR", "gridX": 85,
                "gridY": 105, "timeZone": "America/Los_Angeles",
                "relativeLocation": { "properties": { "city": "San Francisco", "state": "CA" } } } }),
        ),
        "/gridpoints/MTR/85,105/forecast" => (
            "200 OK",
            json!({ "properties": { "generatedAt": "2026-11-20T16:00:00+00:00",
                "periods": (1..=14).map(period).collect::<Vec<_>>() } }),
        ),
        _ => (
            "404 Not Found",
            json!({ "type": "https://api.weather.gov/problems/InvalidPoint", "title": "Data Unavailable For Requested Point",
                "status": 404 }),
        ),
    }
}

#[tokio::test]
async fn alerts_and_forecasts_reach_clients_of_both_eras_and_old_ones_stand_in_for_a_broken_provider() {
    let provider = Provider::default();
    let base = format!("http://{}", provider.start().await);
    let options = json!({ "contact": "ops@example.org", "nws_url": base, "retries_max": 0 });
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("weather", json!({ "builtin": "weather", "options": options }))]))
        .start()
        .await;
    for client in gateway.both("acme").await {
        let tools = client.tools().await;
        for tool in ["weather_get_alerts", "weather_get_forecast", "weather_get_current_weather"] {
            assert!(tools.iter().any(|name| name == tool), "{tool} is not in {tools:?}");
        }
        provider.broken.store(false, Ordering::SeqCst);
        let alerts = client.call("weather_get_alerts", json!({ "state": "CA" })).await;
        assert_eq!(alerts.result()["structuredContent"]["count"], 1, "{}", alerts.raw);
        assert!(alerts.raw.contains("Coastal Flood Advisory"), "{}", alerts.raw);
        let none = client.call("weather_get_alerts", json!({ "state": "TX" })).await;
        assert_eq!(none.result()["structuredContent"]["count"], 0, "{}", none.raw);
        let place = json!({ "latitude": 37.77, "longitude": -122.42 });
        let forecast = client.call("weather_get_forecast", place).await;
        let periods = forecast.result()["structuredContent"]["periods"].as_array().unwrap().len();
        assert_eq!(periods, 14, "{}", forecast.raw);
        let sea = client.call("weather_get_forecast", json!({ "latitude": 0.5, "longitude": 0.5 })).await;
        assert!(sea.is_error(), "{}", sea.raw);
        let wrong = client.call("weather_get_alerts", json!({ "state": "ZZ" })).await;
        assert!(wrong.is_error(), "{}", wrong.raw);
        let resource = client.request("resources/read", json!({ "uri": "alerts://CA/active" })).await;
        assert!(resource.raw.contains("Coastal Flood Advisory"), "{}", resource.raw);
        let prompt = json!({ "name": "weather_emergency_summary", "arguments": { "state": "CA" } });
        assert!(client.request("prompts/get", prompt).await.result()["messages"].is_array());
        // What was fresh for no time at all is asked for again; now the provider fails, and the old answer says its age.
        provider.broken.store(true, Ordering::SeqCst);
        let old = client.call("weather_get_alerts", json!({ "state": "CA" })).await;
        assert!(!old.is_error(), "{}", old.raw);
        assert!(old.result()["structuredContent"]["stale_seconds"].is_u64(), "{}", old.raw);
        let unknown = client.call("weather_get_alerts", json!({ "state": "NY" })).await;
        assert!(unknown.is_error() && unknown.text().contains("500"), "{}", unknown.raw);
    }
}
