//! A record as it lies in the spool: a short binary head, by which the drain sorts without reading JSON, and the line; the row
//! that is made of it, and the row in its chain. The layout carries its version, since a newer gateway may find an older one's records.

use patchbay_core::{
    TenantId,
    audit::{Action, ChainId, EventId, Facets, Link},
};

const VERSION: u8 = 1;
/// The kind of the rows that say what is missing.
const GAP: &str = "gap";
/// Version, stage, action, whether there is a tenant, event, tenant, time.
pub(super) const HEAD_BYTES: usize = 4 + 16 + 16 + 8;

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was sent on; its outcome is not known.
    Sent = 1,
    /// It has ended. This record says everything that the first one did.
    Closed = 2,
}

/// What stands before the line.
pub(super) struct Head {
    pub(super) stage: Stage,
    pub(super) event: EventId,
    pub(super) tenant: Option<TenantId>,
    pub(super) at_ms: i64,
    pub(super) action: Action,
}

impl Head {
    pub(super) fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&[VERSION, self.stage as u8, self.action as u8, u8::from(self.tenant.is_some())]);
        bytes[4..20].copy_from_slice(&self.event.bits().to_be_bytes());
        bytes[20..36].copy_from_slice(&self.tenant.map_or(0, TenantId::bits).to_be_bytes());
        bytes[36..].copy_from_slice(&self.at_ms.to_be_bytes());
        bytes
    }
}

/// The stage of a record and its event, without a look at the rest.
pub(super) fn peek(payload: &[u8]) -> Option<(Stage, u128)> {
    let stage = match payload.first_chunk()? {
        [VERSION, 1] => Stage::Sent,
        [VERSION, 2] => Stage::Closed,
        _ => return None,
    };
    let event = payload.get(4..20)?.try_into().ok()?;
    Some((stage, u128::from_be_bytes(event)))
}

/// When the event of a record began, in milliseconds since 1970.
pub(super) fn at_ms(payload: &[u8]) -> Option<i64> {
    peek(payload)?;
    payload.get(36..HEAD_BYTES)?.try_into().map(i64::from_be_bytes).ok()
}

/// A record for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The event. A row of [`Stage::Sent`] and one of [`Stage::Closed`] may stand for the same one; the second replaces the
    /// first.
    pub event: u128,
    /// How far it was.
    pub stage: Stage,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// What was done.
    pub kind: &'static str,
    /// The whole record.
    pub json: String,
}

impl Row {
    /// The id under which to keep it: that of the event, with the last bit set once the outcome is known. To add a row whose id
    /// is there already changes nothing.
    pub const fn id(&self) -> u128 {
        match self.stage {
            Stage::Sent => self.event,
            Stage::Closed => self.event | 1,
        }
    }

    /// Reads a record; `None` for one of another version, or one that makes no sense.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (stage, event) = peek(payload)?;
        let (head, line) = payload.split_at_checked(HEAD_BYTES)?;
        let bits = |at: usize| head[at..at + 16].try_into().map(u128::from_be_bytes).ok();
        let tenant = bits(20).filter(|_| head[3] != 0).map(TenantId::from_bits);
        let at_ms = i64::from_be_bytes(head[36..].try_into().ok()?);
        let kind = Action::of_number(head[2]).map_or("unknown", Action::as_str);
        Some(Self { event, stage, tenant, at_ms, kind, json: String::from_utf8(line.to_vec()).ok()? })
    }

    /// The row that says that records are missing, because the spool was full.
    pub(super) fn gap(event: EventId, at_ms: i64, missed: u64) -> Self {
        let json = format!(
            r#"{{"event":"{}","at_ms":{at_ms},"action":"{GAP}","actor":{{"kind":"gateway"}},"outcome":"failed","reason":"the audit spool was full","records":{missed}}}"#,
            uuid::Uuid::from_u128(event.bits())
        );
        Self { event: event.bits(), stage: Stage::Closed, tenant: None, at_ms, kind: GAP, json }
    }

    /// Whether it is such a row, which never was on the spool.
    pub(super) fn is_gap(&self) -> bool {
        self.kind == GAP
    }
}

/// A record for the store, in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedRow {
    /// The record.
    pub row: Row,
    /// Its chain.
    pub chain: ChainId,
    /// Its place there.
    pub link: Link,
    /// What it is found by.
    pub facets: Facets,
}
