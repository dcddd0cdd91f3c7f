//! The weather server as a client sees it, with its providers played by a server of ours: what it answers, what it asks,
//! and what it makes of all that can go wrong in between.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod alerts;
mod current;
mod documents;
mod forecast;
mod keeping;
mod protocol;
mod secrets;
mod stand_in;
mod trouble;

use std::time::Duration;

use patchbay_builtin_tools::{Given, Weather, weather};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ProtocolVersion},
    service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle},
};
use serde_json::{Value, json};

use stand_in::StandIn;

type Client = RunningService<RoleClient, ()>;

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options that lead all questions to the stand-in, with short pauses.
fn options(providers: &StandIn, more: &Value) -> Value {
    let mut options = json!({
        "contact": "ops@example.com",
        "nws_url": providers.url("/nws"),
        "open_meteo_url": providers.url("/meteo"),
        "geocoding_url": providers.url("/geo"),
        "weatherapi_url": providers.url("/wapi"),
        "backoff_ms": 1,
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn server(providers: &StandIn, more: &Value) -> Weather {
    weather(&Given::of(options(providers, more))).unwrap()
}

async fn client(providers: &StandIn, more: &Value) -> Client {
    connect(server(providers, more), ClientLifecycleMode::Initialize).await
}

async fn connect(weather: Weather, lifecycle: ClientLifecycleMode) -> Client {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { weather.serve(far).await.unwrap().waiting().await });
    serve_client_with_lifecycle((), near, lifecycle).await.unwrap()
}

fn both_lifecycles() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Initialize, ClientLifecycleMode::Discover { preferred_versions }]
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    tokio::time::timeout(PATIENCE, client.call_tool(request)).await.unwrap().unwrap()
}

async fn alerts(client: &Client, state: &str) -> CallToolResult {
    call(client, "get_alerts", json!({ "state": state })).await
}

async fn forecast(client: &Client, latitude: f64, longitude: f64) -> CallToolResult {
    call(client, "get_forecast", json!({ "latitude": latitude, "longitude": longitude })).await
}

async fn current(client: &Client, city: &str) -> CallToolResult {
    call(client, "get_current_weather", json!({ "city": city })).await
}

fn text(result: &CallToolResult) -> &str {
    &result.content.first().unwrap().as_text().unwrap().text
}

/// The structured answer of a call that went well.
fn answer(result: &CallToolResult) -> &Value {
    assert_eq!(result.is_error, Some(false), "{}", text(result));
    result.structured_content.as_ref().unwrap()
}

/// The text of a call that failed.
fn failure(result: &CallToolResult) -> &str {
    assert_eq!(result.is_error, Some(true), "{}", text(result));
    text(result)
}

/// Waits until it holds.
async fn until(condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.expect("the condition came to hold");
}
