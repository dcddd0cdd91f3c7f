//! The client of the Rust SDK, which runs in the test itself. It goes on the same tour as the scripts of the others.

use std::future::Future;

use patchbay_e2e::within;
use rmcp::{
    RoleClient, ServiceExt,
    model::ProtocolVersion,
    service::{ClientLifecycleMode, ClientServiceExt, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, TokioChildProcess, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ()>;

/// The SDK's HTTP client takes the TLS of the process, and the process has none by itself.
fn with_tls() {
    // It is there already when another test came first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Goes on a tour, given as the scripts get it.
pub(crate) async fn visit(tour: &Value, lifecycle: ClientLifecycleMode) -> Value {
    with_tls();
    let config = StreamableHttpClientTransportConfig::with_uri(tour["url"].as_str().unwrap())
        .auth_header(tour["key"].as_str().unwrap());
    let connected = ().serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle);
    let client = within("the client of the Rust SDK connects", connected).await.unwrap();
    let info = client.peer_info().expect("it is connected");
    let mut answers = json!({ "protocol": info.protocol_version, "server": info.server_info });
    answers["tools"] = wire(client.list_all_tools().await.unwrap());
    answers["prompts"] = wire(client.list_all_prompts().await.unwrap());
    answers["resources"] = wire(client.list_all_resources().await.unwrap());
    answers["templates"] = wire(client.list_all_resource_templates().await.unwrap());
    answers["called"] = each(&tour["calls"], |call| client.call_tool(call)).await;
    answers["got"] = each(&tour["prompts"], |prompt| client.get_prompt(prompt)).await;
    let reads: Value = tour["reads"].as_array().unwrap().iter().map(|uri| json!({ "uri": uri })).collect();
    answers["read"] = each(&reads, |read| client.read_resource(read)).await;
    answers["completed"] = each(&tour["completions"], |completion| client.complete(completion)).await;
    client.cancel().await.unwrap();
    answers
}

/// The lifecycle of a legacy client.
pub(crate) const fn legacy() -> ClientLifecycleMode {
    ClientLifecycleMode::Initialize
}

/// The lifecycle of a modern client.
pub(crate) fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

/// Whether a server over stdio lets a legacy client in.
pub(crate) async fn takes_legacy(command: &[String]) -> bool {
    let mut process = tokio::process::Command::new(&command[0]);
    process.args(&command[1..]).kill_on_drop(true);
    let transport = TokioChildProcess::new(process).unwrap();
    let opened: Result<Client, _> = within("the server answers `initialize`", ().serve(transport)).await;
    opened.is_ok()
}

async fn each<P, R, F>(requests: &Value, act: impl Fn(P) -> F) -> Value
where
    P: DeserializeOwned,
    R: Serialize,
    F: Future<Output = Result<R, ServiceError>>,
{
    let mut answers = Vec::new();
    for request in requests.as_array().unwrap() {
        let params = serde_json::from_value(request.clone()).unwrap();
        let answer = within(request, act(params)).await;
        answers.push(wire(answer.unwrap_or_else(|error| panic!("{request}: {error}"))));
    }
    answers.into()
}

fn wire(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}
