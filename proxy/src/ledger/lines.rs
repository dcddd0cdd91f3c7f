//! The audit as lines of JSON, as exports hold them and webhooks get them: where a chain begins, its records, its checkpoints. A
//! record stands in its line byte for byte, so that a file can be verified without the gateway.

use std::borrow::Cow;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Chained, Checkpoint, CheckpointReason, Link, WriterId},
};
use patchbay_store::AuditRow;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The longest line that is read, in bytes: several times the longest record.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024;

/// One line. Which members there are depends on its `type`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line<'a> {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: LineKind,
    /// The chain: whose.
    pub tenant: Option<TenantId>,
    /// The chain: who wrote it, 16 hexadecimal digits.
    pub writer: Cow<'a, str>,
    /// The number in the chain.
    pub seq: u64,
    /// The hash there, 64 hexadecimal digits.
    pub hash: Cow<'a, str>,
    /// The event's UUID, of a record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<Uuid>,
    /// When it began, or when the checkpoint was made, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_ms: Option<i64>,
    /// What sort of event it is, or why the checkpoint was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind_of: Option<Cow<'a, str>>,
    /// The record, byte for byte.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub record: Option<&'a RawValue>,
    /// The signature of a checkpoint, 128 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<Cow<'a, str>>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineKind {
    /// The place in the chain before the first record that follows.
    Begin,
    /// A record.
    Record,
    /// The gateway's word that the chain had come so far.
    Checkpoint,
}

/// A line that is none, with what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub(crate) struct LineError(pub &'static str);

impl<'a> Line<'a> {
    fn at(kind: LineKind, chain: ChainId, link: &Link) -> Self {
        Self {
            kind,
            tenant: chain.tenant,
            writer: format!("{:016x}", chain.writer.0).into(),
            seq: link.seq,
            hash: hex(&link.hash).into(),
            event: None,
            at_ms: None,
            kind_of: None,
            record: None,
            signature: None,
        }
    }

    /// The place before the first record.
    pub(crate) fn begin(chain: ChainId, before: &Link) -> Self {
        Self::at(LineKind::Begin, chain, before)
    }

    /// A record. One that is no JSON cannot stand in a line.
    pub(crate) fn record(row: &'a AuditRow) -> Result<Self, LineError> {
        let record: &RawValue = serde_json::from_str(&row.json).map_err(|_| LineError("a record that is JSON"))?;
        Ok(Self {
            event: Some(Uuid::from_u128(row.event_id)),
            at_ms: Some(row.at_ms),
            kind_of: Some(row.kind.as_str().into()),
            record: Some(record),
            ..Self::at(LineKind::Record, row.chain, &row.link)
        })
    }

    /// A checkpoint.
    pub(crate) fn checkpoint(checkpoint: &Checkpoint) -> Self {
        Self {
            at_ms: Some(checkpoint.at_ms),
            kind_of: Some(reason_word(checkpoint.reason).into()),
            signature: Some(hex(&checkpoint.signature).into()),
            ..Self::at(LineKind::Checkpoint, checkpoint.chain, &checkpoint.link)
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// With what was expected.
    pub(crate) fn read(text: &'a str) -> Result<Self, LineError> {
        serde_json::from_str(text)
            .map_err(|_| LineError("a line of `patchbay audit export`: a JSON object with type, writer, seq and hash"))
    }

    /// Its chain.
    ///
    /// # Errors
    /// When the writer is none.
    pub(crate) fn chain(&self) -> Result<ChainId, LineError> {
        let writer =
            u64::from_str_radix(&self.writer, 16).map_err(|_| LineError("a writer of 16 hexadecimal digits"))?;
        Ok(ChainId { tenant: self.tenant, writer: WriterId(writer) })
    }

    /// Its place in the chain.
    ///
    /// # Errors
    /// When the hash is none.
    pub(crate) fn link(&self) -> Result<Link, LineError> {
        let hash = unhex(&self.hash).ok_or(LineError("a hash of 64 hexadecimal digits"))?;
        Ok(Link { seq: self.seq, hash })
    }

    /// The record as the chain knows it.
    ///
    /// # Errors
    /// With what is not there.
    pub(crate) fn chained(&self) -> Result<Chained<'_>, LineError> {
        let missing = || LineError("a record with event, at_ms, kind_of and record");
        Ok(Chained {
            link: self.link()?,
            event_id: self.event.ok_or_else(missing)?.as_u128(),
            at_ms: self.at_ms.ok_or_else(missing)?,
            kind: self.kind_of.as_deref().ok_or_else(missing)?,
            json: self.record.ok_or_else(missing)?.get(),
        })
    }

    /// The checkpoint.
    ///
    /// # Errors
    /// With what is not there.
    pub(crate) fn as_checkpoint(&self) -> Result<Checkpoint, LineError> {
        let missing = || LineError("a checkpoint with at_ms, kind_of and signature");
        let reason = match self.kind_of.as_deref() {
            Some("head") => CheckpointReason::Head,
            Some("retention") => CheckpointReason::Retention,
            _ => return Err(missing()),
        };
        let signature = self.signature.as_deref().and_then(unhex).ok_or_else(missing)?;
        let at_ms = self.at_ms.ok_or_else(missing)?;
        Ok(Checkpoint { chain: self.chain()?, link: self.link()?, reason, at_ms, signature })
    }

    /// The line as text, without its end.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("a line has nothing that JSON cannot say")
    }
}

/// The word for it in lines.
pub(crate) const fn reason_word(reason: CheckpointReason) -> &'static str {
    match reason {
        CheckpointReason::Head => "head",
        CheckpointReason::Retention => "retention",
    }
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of as many hexadecimal digits as they need.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}
