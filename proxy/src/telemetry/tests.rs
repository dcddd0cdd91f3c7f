//! What traces promise: each request ends its spans once, on every way out, with the right parents and nothing of what was said; a
//! collector that misbehaves costs spans and nothing else. The tests of each part are beside.

mod collector;
mod context;
mod export;
mod lines;
mod spans;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{common::v1::any_value::Value, trace::v1::Span};
use patchbay_config::TracesConfig;
use patchbay_core::trace::TraceContext;

use super::*;

/// A context that a caller sent: recorded.
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// The same, not recorded.
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn config(url: &str) -> TracesConfig {
    TracesConfig { url: url.parse().unwrap(), headers: BTreeMap::new(), sample: 1.0, trust_callers: true }
}

/// Records everything that no caller decides otherwise, and sends nothing.
fn recording() -> Telemetry {
    Telemetry::new(&config("http://127.0.0.1:1/v1/traces")).unwrap()
}

fn came(parent: &str) -> Came {
    Came { context: TraceContext::parse(parent, None), link: None }
}

/// The spans that have ended, in their order.
fn ended(telemetry: &Telemetry) -> Vec<Span> {
    std::iter::from_fn(|| telemetry.outbox.take()).flatten().collect()
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next().and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    assert!(found.next().is_none(), "{key} stands twice in {span:?}");
    match value {
        Some(Value::StringValue(text)) => Some(text),
        None => None,
        other => panic!("{key} is {other:?}"),
    }
}
