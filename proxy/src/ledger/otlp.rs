//! A delivery to an OpenTelemetry collector: one log record for each audit record, OTLP over HTTP in protobuf.

use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use patchbay_core::audit::{Checkpoint, Facets};
use patchbay_store::AuditRow;
use prost::Message;

use super::{
    lines::{Line, hex, reason_word},
    ship::{Batch, Post},
};

/// The body and its headers.
pub(super) fn post(batch: &Batch<'_>) -> Post {
    let records = batch.rows.iter().map(record).chain(batch.checkpoints.iter().map(checkpoint)).collect();
    let scope = InstrumentationScope { name: "patchbay.audit".to_owned(), ..InstrumentationScope::default() };
    let resource = Resource {
        attributes: vec![
            text("service.name", "patchbay"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &format!("{:016x}", batch.chain.writer.0)),
        ],
        ..Resource::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records: records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    };
    Post { content_type: "application/x-protobuf", headers: Vec::new(), body: request.encode_to_vec() }
}

/// How many records the collector says that it did not want.
pub(super) fn rejected(answer: &[u8]) -> Option<i64> {
    let answer = ExportLogsServiceResponse::decode(answer).ok()?;
    answer.partial_success.map(|partial| partial.rejected_log_records).filter(|count| *count > 0)
}

fn record(row: &AuditRow) -> LogRecord {
    let Facets { actor, server, name, outcome } = &row.facets;
    let mut attributes = vec![
        text("event.name", &format!("patchbay.audit.{}", row.kind)),
        text("patchbay.audit.event", &uuid::Uuid::from_u128(row.event_id).to_string()),
        text("patchbay.audit.actor", actor),
        text("patchbay.audit.outcome", outcome),
        text("patchbay.audit.hash", &hex(&row.link.hash)),
        number("patchbay.audit.seq", row.link.seq),
    ];
    attributes.extend(row.chain.tenant.map(|tenant| text("patchbay.tenant.id", &tenant.to_string())));
    attributes.extend(server.as_deref().map(|server| text("patchbay.server", server)));
    attributes.extend(name.as_deref().map(|name| text("patchbay.audit.name", name)));
    let severity = if outcome == "answered" { SeverityNumber::Info } else { SeverityNumber::Warn };
    log(row.at_ms, severity, row.json.clone(), attributes)
}

fn checkpoint(checkpoint: &Checkpoint) -> LogRecord {
    let attributes = vec![
        text("event.name", "patchbay.audit.checkpoint"),
        text("patchbay.audit.reason", reason_word(checkpoint.reason)),
        number("patchbay.audit.seq", checkpoint.link.seq),
    ];
    log(checkpoint.at_ms, SeverityNumber::Info, Line::checkpoint(checkpoint).text(), attributes)
}

fn log(at_ms: i64, severity: SeverityNumber, body: String, attributes: Vec<KeyValue>) -> LogRecord {
    let nanos = u64::try_from(at_ms).unwrap_or(0).saturating_mul(1_000_000);
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: severity.into(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes,
        ..LogRecord::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
