//! A trail is closed once, on every way out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// What a use of one trail leaves: the stage and outcome of each record.
fn left_by(use_it: impl FnOnce(&Arc<Audit>)) -> Vec<(Stage, String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    use_it(&audit);
    let said = |row: &Row| {
        let json = json(row);
        (row.stage, row.kind.to_owned(), json["outcome"].as_str().unwrap().to_owned())
    };
    records(&audit).iter().map(said).collect()
}

fn expect(found: &[(Stage, String, String)], expected: &[(Stage, &str, &str)]) {
    let found: Vec<_> = found.iter().map(|(stage, kind, how)| (*stage, kind.as_str(), how.as_str())).collect();
    assert_eq!(found, expected);
}

const SENT: (Stage, &str, &str) = (Stage::Sent, "tool.call", "unknown");

#[test]
fn a_call_leaves_its_intent_and_its_outcome() {
    let found = left_by(|audit| {
        let mut trail = call(audit, "query");
        trail.intent().unwrap();
        trail.done(false, true, 500);
    });
    expect(&found, &[SENT, (Stage::Closed, "tool.call", "answered")]);
}

#[test]
fn a_refused_credential_leaves_its_reason_in_place_of_the_label() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    for because in [Some("token_expired"), None] {
        let mut trail = Trail::open(&audit, None, None);
        because.into_iter().for_each(|word| trail.because(word));
        trail.refuse(401, 0, "bad_credential");
    }
    let said: Vec<_> = records(&audit).iter().map(|row| (row.kind, json(row)["reason"].clone())).collect();
    assert_eq!(said, [("auth.fail", "token_expired".into()), ("auth.fail", "bad_credential".into())]);
}

#[test]
fn closing_again_changes_nothing() {
    let found = left_by(|audit| {
        let mut trail = call(audit, "query");
        trail.intent().unwrap();
        trail.intent().unwrap();
        trail.failed("timeout", 0);
        trail.done(false, false, 1);
        trail.refuse(500, -32603, "internal");
        trail.cancelled();
    });
    expect(&found, &[SENT, (Stage::Closed, "tool.call", "failed")]);
}

#[test]
fn a_trail_that_is_dropped_after_its_intent_was_cancelled() {
    let found = left_by(|audit| call(audit, "query").intent().unwrap());
    expect(&found, &[SENT, (Stage::Closed, "tool.call", "cancelled")]);
}

#[test]
fn a_trail_that_is_dropped_before_its_intent_was_cancelled_without_one() {
    expect(&left_by(|audit| drop(call(audit, "query"))), &[(Stage::Closed, "tool.call", "cancelled")]);
}

#[test]
fn a_trail_that_is_dropped_before_anybody_knew_what_it_was_says_nothing() {
    expect(&left_by(|audit| drop(Trail::open(audit, None, None))), &[]);
}

#[test]
fn a_panic_is_not_a_client_that_went_away() {
    let panics = |audit: &Arc<Audit>, sent: bool| {
        let fell = catch_unwind(AssertUnwindSafe(|| {
            let mut trail = call(audit, "query");
            if sent {
                trail.intent().unwrap();
            }
            panic!("a bug");
        }));
        assert!(fell.is_err());
    };
    expect(&left_by(|audit| panics(audit, false)), &[(Stage::Closed, "tool.call", "broken")]);
    expect(&left_by(|audit| panics(audit, true)), &[SENT, (Stage::Closed, "tool.call", "broken")]);
    let early = left_by(|audit| {
        let fell = catch_unwind(AssertUnwindSafe(|| {
            let _trail = Trail::open(audit, None, None);
            panic!("a bug");
        }));
        assert!(fell.is_err());
    });
    expect(&early, &[(Stage::Closed, "refused", "broken")]);
}

#[test]
fn a_trail_that_is_handed_on_is_closed_by_its_new_owner() {
    let found = left_by(|audit| {
        let mut first = call(audit, "query");
        first.intent().unwrap();
        let mut second = first.take();
        first.refuse(500, -32603, "internal");
        assert!(first.request_id().is_none() && first.intent().is_ok());
        drop(first);
        second.done(true, false, 10);
    });
    expect(&found, &[SENT, (Stage::Closed, "tool.call", "answered")]);
}

#[test]
fn a_ping_leaves_nothing_and_a_list_one_record() {
    let of = |method: Method| {
        left_by(|audit| {
            let mut trail = Trail::open(audit, None, None);
            trail.method(&method);
            trail.answered(10);
        })
    };
    expect(&of(Method::Ping), &[]);
    expect(&of(Method::Discover), &[]);
    expect(&of(Method::ToolsList), &[(Stage::Closed, "list", "answered")]);
}

#[test]
fn a_refusal_leaves_one_record_that_says_when_it_came() {
    let refused = |status, before: fn(&mut Trail)| {
        left_by(|audit| {
            let mut trail = Trail::open(audit, None, None);
            before(&mut trail);
            trail.refuse(status, 0, "no");
        })
    };
    expect(&refused(401, |_| {}), &[(Stage::Closed, "auth.fail", "refused")]);
    expect(&refused(404, |_| {}), &[(Stage::Closed, "refused", "refused")]);
    expect(&refused(429, |trail| trail.method(&Method::ToolsCall)), &[(Stage::Closed, "tool.call", "refused")]);
    let sent = left_by(|audit| {
        let mut trail = call(audit, "query");
        trail.intent().unwrap();
        trail.refuse(500, -32603, "internal");
    });
    expect(&sent, &[SENT, (Stage::Closed, "tool.call", "failed")]);
}

#[test]
fn sessions_are_written_down() {
    let found = left_by(|audit| {
        Trail::open(audit, None, None).session_opened();
        Trail::open(audit, None, None).session_ended();
    });
    expect(&found, &["session.open", "session.end"].map(|kind| (Stage::Closed, kind, "answered")));
}

#[test]
fn the_outcome_says_all_that_the_intent_said() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut trail = call(&audit, "query");
    trail.intent().unwrap();
    trail.broken("closed", 77);
    let [sent, closed] = records(&audit).try_into().unwrap();
    assert_eq!((sent.event, sent.id() | 1, sent.tenant), (closed.event, closed.id(), Some(TENANT)));
    let (sent, closed) = (json(&sent), json(&closed));
    for (name, value) in sent.as_object().unwrap() {
        assert!(closed[name] == *value || name == "outcome", "{name}");
    }
    assert_eq!(closed["native"], "query");
    assert_eq!(closed["actor"]["agent"], "ide/1.0");
    assert_eq!(
        (&closed["reason"], &closed["bytes_in"], &closed["bytes_out"]),
        (&"closed".into(), &100.into(), &77.into())
    );
}

#[test]
fn messages_of_one_request_have_events_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut first = call(&audit, "query");
    let mut second = first.sibling();
    second.method(&Method::ToolsList);
    second.answered(1);
    first.done(false, false, 1);
    let [second, first] = records(&audit).try_into().unwrap();
    assert_ne!(first.event, second.event);
    assert_eq!((second.tenant, &json(&second)["toolset"], second.kind), (Some(TENANT), &"default".into(), "list"));
    assert!(json(&second).get("native").is_none());
}
