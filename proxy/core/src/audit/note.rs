//! The record of what no request brought: a change of a tenant's configuration, made by the store in the transaction of the
//! change; a look into the audit; what a gateway itself did.

use super::{Action, Actor, Ending, Event, EventId, Outcome, TEXT_BYTES_MAX};
use crate::TenantId;

/// The line that says who did what, to whose tenant; more than [`TEXT_BYTES_MAX`] of that is cut.
pub fn note_line(
    id: EventId,
    at_ms: i64,
    tenant: Option<TenantId>,
    action: Action,
    actor: &Actor,
    what: &str,
) -> String {
    let event = Event {
        id,
        at_ms,
        action,
        tenant,
        toolset: None,
        revision: None,
        actor,
        ip: None,
        agent: None,
        rpc: None,
        trace: None,
        target: None,
    };
    let mut line = Vec::with_capacity(2 * TEXT_BYTES_MAX);
    event.write(&mut line);
    let ending = Ending { reason: Some(what), ..Ending::answered(0) };
    Outcome { decision: None, rule: None, ending, bytes_in: 0, bytes_out: 0, duration_us: 0 }.write(&mut line);
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_who_whose_and_what() {
        let (id, tenant) = (EventId::compose(7, 1, 2), TenantId::from_bits(0xacae));
        let what = format!("made the key \"{}\"", "ö".repeat(1000));
        let line = note_line(id, 7, Some(tenant), Action::ConfigUpdate, &Actor::Operator, &what);
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&said["action"], &said["actor"]["kind"]), (&"config.update".into(), &"operator".into()));
        assert_eq!((&said["outcome"], &said["at_ms"]), (&"answered".into(), &7.into()));
        assert_eq!(said["tenant"], "0000000000000000000000000000acae");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.starts_with("made the key \"ö") && reason.ends_with('…') && reason.len() < 300, "{reason}");
    }
}
