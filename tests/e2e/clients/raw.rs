//! Requests to the official servers without the gateway and without an SDK, for answers as they were written. These servers
//! answer with events whose lines end as each likes.

use std::net::SocketAddr;

use patchbay_e2e::Ask;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// A response, of which the result is left as it was written.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

/// The result of a response, as it was written.
pub(crate) fn result(response: &str) -> &str {
    let response: Response<'_> = serde_json::from_str(response).unwrap_or_else(|error| panic!("{error}: {response}"));
    response.result.get()
}

/// Sends `initialize` and gives the session, if there is one, and the response.
pub(crate) async fn initialize(address: SocketAddr, version: &str) -> (Option<String>, String) {
    let params =
        json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "e2e", "version": "1" } });
    let reply = Ask::post("/mcp", body("initialize", &params)).send(address).await;
    let session = reply.header("mcp-session-id").map(str::to_owned);
    (session, response(&reply.text().await))
}

/// Calls a tool in a legacy session and gives the response.
pub(crate) async fn call(address: SocketAddr, session: &str, tool: &str, arguments: &Value) -> String {
    let ask = Ask::post("/mcp", body("tools/call", &json!({ "name": tool, "arguments": arguments })));
    response(&ask.header("Mcp-Session-Id", session).send(address).await.text().await)
}

/// Sends a request that is made elsewhere and gives the response.
pub(crate) async fn send(address: SocketAddr, ask: &Ask) -> String {
    response(&ask.send(address).await.text().await)
}

fn body(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// The last message of an answer, be it JSON or events.
fn response(text: &str) -> String {
    let mut events = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    events.rfind(|data| !data.is_empty()).unwrap_or(text).to_owned()
}
