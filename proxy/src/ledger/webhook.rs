//! A delivery to a webhook: lines of JSON, signed so that the receiver knows who sent them and when.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use patchbay_core::Slug;
use sha2::Sha256;

use super::{
    lines::{Line, hex},
    ship::{Batch, Post},
};

/// `t=SECONDS,v1=HEX`: HMAC-SHA-256 with the sink's secret over the seconds since 1970, a dot, and the body. A receiver refuses
/// what is older than it likes.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("patchbay-signature");
/// The same for a batch that comes again: a receiver that has it already may answer 200 and do nothing.
pub(super) const DELIVERY: HeaderName = HeaderName::from_static("patchbay-delivery");

/// The body and its headers. Without a secret nothing is signed.
pub(super) fn post(sink: &Slug, batch: &Batch<'_>, secret: Option<&str>, now_ms: i64) -> Post {
    let mut body = String::new();
    let records = batch.rows.iter().filter_map(|row| Line::record(row).ok()).map(|line| line.text());
    for line in records.chain(batch.checkpoints.iter().map(|checkpoint| Line::checkpoint(checkpoint).text())) {
        body.push_str(&line);
        body.push('\n');
    }
    let mut headers = Vec::new();
    let seconds = now_ms / 1000;
    if let Some(secret) = secret {
        let signature = signature(secret, seconds, body.as_bytes());
        headers.extend(HeaderValue::try_from(format!("t={seconds},v1={signature}")).map(|value| (SIGNATURE, value)));
    }
    headers.extend(HeaderValue::try_from(delivery(sink, batch)).map(|value| (DELIVERY, value)));
    Post { content_type: "application/x-ndjson", headers, body: body.into_bytes() }
}

fn delivery(sink: &Slug, batch: &Batch<'_>) -> String {
    let tenant = batch.chain.tenant.map_or_else(|| "none".to_owned(), |tenant| tenant.to_string());
    let first = batch.rows.first().map_or(0, |row| row.link.seq);
    let last = batch.rows.last().map_or(0, |row| row.link.seq);
    format!("{sink}:{tenant}:{:016x}:{first}-{last}", batch.chain.writer.0)
}

/// HMAC-SHA-256, as hexadecimal digits.
pub(super) fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}
