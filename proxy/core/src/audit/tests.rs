//! Lines are JSON whatever stands in them, bounded, and say nothing that they must not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::KeyId;

const AT_MS: i64 = 1_795_000_000_000;
/// What the spool takes of one record at the most, its head left off.
const RECORD_BYTES_MAX: usize = 16 * 1024 - 44;
const KEY: Actor = Actor::Key(KeyId::from_bits(0xc0de));

fn token(text: &str) -> Actor {
    let actor = TokenActor {
        issuer: "corp".parse().unwrap(),
        iss: text.into(),
        subject: text.into(),
        name: Some(text.into()),
        client: Some(text.into()),
    };
    Actor::Token(actor.into())
}

fn event() -> Event<'static> {
    Event {
        id: EventId::compose(AT_MS, 7, 0xab),
        at_ms: AT_MS,
        action: Action::ToolCall,
        tenant: Some(TenantId::from_bits(0xacae)),
        toolset: Some("default"),
        actor: &KEY,
        ip: Some("192.0.2.7".parse().unwrap()),
        agent: Some("ide/1.0"),
        request: Some("r-1"),
        target: Some(Target { server: "shop", exposed: "shop_query", native: "query" }),
    }
}

fn outcome() -> Outcome<'static> {
    let ending = Ending::answered(200).with_is_error(true);
    Outcome { ending, bytes_in: 200, bytes_out: 1_048_576, duration_us: 1234 }
}

fn written(event: &Event<'_>, outcome: &Outcome<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    event.write(&mut line);
    let begun = line.len();
    outcome.write(&mut line);
    assert!(line.len() - begun <= OUTCOME_BYTES_MAX);
    line
}

fn read(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
}

#[test]
fn a_whole_record_says_who_whose_what_and_how() {
    let expected = json!({
        "event": "01a1ee56-5e00-7000-8000-0e0000000156", "at_ms": AT_MS, "action": "tool.call",
        "tenant": "0000000000000000000000000000acae", "toolset": "default",
        "actor": {"kind": "key", "key": "0000000000000000000000000000c0de", "ip": "192.0.2.7", "agent": "ide/1.0"},
        "request": "r-1", "server": "shop", "exposed": "shop_query", "native": "query",
        "outcome": "answered", "status": 200, "is_error": true,
        "bytes_in": 200, "bytes_out": 1_048_576, "duration_us": 1234,
    });
    assert_eq!(read(&written(&event(), &outcome())), expected);
}

#[test]
fn a_record_of_a_stranger_leaves_out_what_nobody_knows() {
    let stranger = Event {
        action: Action::AuthFail,
        tenant: None,
        toolset: None,
        actor: &Actor::Unknown,
        ip: Some("2001:db8::1".parse().unwrap()),
        agent: None,
        request: None,
        target: None,
        ..event()
    };
    let refused = Outcome { ending: Ending::refused(401, Some(-32001), "unknown key"), ..outcome() };
    let record = read(&written(&stranger, &refused));
    assert_eq!(record["actor"], json!({"kind": "unknown", "ip": "2001:db8::1"}));
    assert_eq!(
        (&record["outcome"], &record["code"], &record["reason"]),
        (&json!("refused"), &json!(-32001), &json!("unknown key"))
    );
    for absent in ["tenant", "toolset", "request", "server", "exposed", "native", "is_error"] {
        assert!(record.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn somebody_with_a_token_is_named_by_what_the_issuer_vouches_for_and_nothing_breaks_out() {
    let record = read(&written(&Event { actor: &token("a\"b\n"), ..event() }, &outcome()));
    let expected = json!({
        "kind": "token", "issuer": "corp", "iss": "a\"b\n", "subject": "a\"b\n", "name": "a\"b\n", "client": "a\"b\n",
        "ip": "192.0.2.7", "agent": "ide/1.0",
    });
    assert_eq!(record["actor"], expected);
    let long = read(&written(&Event { actor: &token(&"é".repeat(1_000)), ..event() }, &outcome()));
    let bytes = |member: &str| long["actor"][member].as_str().unwrap().trim_end_matches('…').len();
    assert_eq!(["iss", "subject", "name", "client"].map(bytes), [256, 256, 64, 64]);
}

#[test]
fn an_open_record_says_that_its_outcome_is_unknown() {
    let mut line = Vec::new();
    event().write(&mut line);
    line.extend_from_slice(OUTCOME_UNKNOWN);
    assert_eq!(read(&line)["outcome"], "unknown");
}

#[test]
fn the_secret_part_of_a_uri_is_not_kept() {
    for uri in ["https://h/p?token=s3cret", "https://h/p#s3cret", "https://h/p"] {
        let target = Some(Target { server: "s", exposed: uri, native: uri });
        let line = written(&Event { action: Action::ResourceRead, target, ..event() }, &outcome());
        assert_eq!(read(&line)["native"], "https://h/p");
    }
}

#[test]
fn no_name_is_long_enough_to_make_a_line_long() {
    let long = "\u{1}".repeat(100_000);
    let wide = "語".repeat(100_000);
    for name in [&long, &wide] {
        let target = Some(Target { server: "shop", exposed: name, native: name });
        let actor = token(name);
        // Names of toolsets and servers are slugs, and what a client calls itself is cut when it comes.
        let agent = Some(&name[..name.floor_char_boundary(128)]);
        let event = Event { actor: &actor, target, agent, request: Some(name), ..event() };
        let ending = Ending { code: Some(i32::MIN), ..Ending::refused(u16::MAX, None, name) };
        let ending = ending.with_is_error(true);
        let most = Outcome { ending, bytes_in: u64::MAX, bytes_out: u64::MAX, duration_us: u64::MAX };
        let line = written(&event, &most);
        assert!(line.len() < RECORD_BYTES_MAX, "{} bytes", line.len());
        assert!(read(&line)["native"].as_str().unwrap().ends_with('…'));
    }
}

#[test]
fn ids_sort_by_time_then_count_and_are_uuids_of_version_7() {
    let ids = [(1, 0), (1, 1), (1, (1 << 21) - 1), (1, 1 << 21), (1, (1 << 33) - 1), (2, 0)]
        .map(|(at_ms, count)| EventId::compose(at_ms, count, u64::MAX));
    assert!(ids.is_sorted_by(|a, b| a < b));
    for id in ids {
        assert_eq!((id.bits() >> 76 & 0xf, id.bits() >> 62 & 0b11, id.bits() & 1), (7, 0b10, 0));
        assert_eq!(id.closing_bits(), id.bits() + 1);
    }
    assert_ne!(EventId::compose(1, 0, 1), EventId::compose(1, 0, 2));
}

#[test]
fn actions_survive_their_numbers() {
    for number in 0..=u8::MAX {
        if let Some(action) = Action::of_number(number) {
            assert_eq!(action as u8, number);
        }
    }
    assert_eq!(Action::of_number(Action::ConfigUpdate as u8), Some(Action::ConfigUpdate));
}

proptest! {
    #[test]
    fn any_name_makes_a_line_of_json_that_gives_it_back(name in any::<String>()) {
        prop_assume!(name.len() <= TEXT_BYTES_MAX);
        let target = Some(Target { server: &name, exposed: &name, native: &name });
        let line = written(&Event { target, ..event() }, &outcome());
        prop_assert!(line.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
        let record = read(&line);
        prop_assert_eq!(record["exposed"].as_str(), Some(&*name));
    }
}
