//! The trail as a tribunal would read it: nothing that was answered is missing, whatever is killed, full or away, and nothing
//! that was written can be changed unseen.

mod away;
mod held;
mod killed;
mod read;
mod sinks;
mod tampered;

use std::collections::BTreeSet;

use patchbay_e2e::{Client, TestGateway};
use serde_json::Value;

/// What `audit query` says, newest first.
fn query(gateway: &TestGateway, args: &[&str]) -> Vec<Value> {
    let out = gateway.patchbay(&[&["audit", "query", "--limit", "1000", "--json"], args].concat()).good();
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Verifies the whole store.
fn verify(gateway: &TestGateway) -> patchbay_e2e::Outcome {
    gateway.patchbay(&["audit", "verify"])
}

/// The names of all tools whose calls are on record as answered.
async fn answered(gateway: &TestGateway) -> BTreeSet<String> {
    let audit = gateway.audit().await;
    let records = audit.iter().filter(|record| record["outcome"] == "answered" && record["action"] == "tool.call");
    records.filter_map(|record| record["exposed"].as_str().map(str::to_owned)).collect()
}

/// Calls a tool; its name, if a whole answer came.
async fn called(client: &Client, name: String) -> Option<String> {
    let reply = client.ask_tool(&name, serde_json::json!({})).try_send(client.address).await.ok()?;
    let status = reply.status;
    let whole = reply.bytes().await.is_ok_and(|body| body.ends_with(b"}"));
    (status == 200 && whole).then_some(name)
}
