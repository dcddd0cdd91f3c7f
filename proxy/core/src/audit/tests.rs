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
        revision: Some(Generation(12)),
        actor: &KEY,
        ip: Some("192.0.2.7".parse().unwrap()),
        agent: Some("ide/1.0"),
        rpc: Some(rpc_digest(b"\"r-1\"")),
        trace: Some([0xab; 16]),
        target: Some(Target { server: "shop", exposed: "shop_query", native: "query" }),
    }
}

fn outcome() -> Outcome<'static> {
    let ending = Ending::answered(200).with_is_error(true);
    Outcome {
        decision: Some(Decision::Allow),
        rule: None,
        ending,
        bytes_in: 200,
        bytes_out: 1_048_576,
        duration_us: 1234,
    }
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
        "tenant": "0000000000000000000000000000acae", "toolset": "default", "revision": 12,
        "actor": {"kind": "key", "key": "0000000000000000000000000000c0de", "ip": "192.0.2.7", "agent": "ide/1.0"},
        "rpc": "f586cdc0e0703137", "trace": "abababababababababababababababab", "server": "shop", "exposed": "shop_query", "native": "query",
        "decision": "allow", "outcome": "answered", "status": 200, "is_error": true,
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
        revision: None,
        rpc: None,
        trace: None,
        target: None,
        ..event()
    };
    let refused = Outcome {
        decision: Some(Decision::Deny),
        ending: Ending::refused(401, Some(-32001), "unknown key"),
        ..outcome()
    };
    let record = read(&written(&stranger, &refused));
    assert_eq!(record["actor"], json!({"kind": "unknown", "ip": "2001:db8::1"}));
    assert_eq!(
        (&record["decision"], &record["outcome"], &record["code"], &record["reason"]),
        (&json!("deny"), &json!("refused"), &json!(-32001), &json!("unknown key"))
    );
    for absent in ["tenant", "toolset", "revision", "rpc", "trace", "rule", "server", "exposed", "native", "is_error"] {
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
fn a_refusal_names_the_rule_that_it_met() {
    let refused = Outcome {
        decision: Some(Decision::Deny),
        rule: Some("exports-per-day"),
        ending: Ending::refused(429, Some(42901), "limited"),
        ..outcome()
    };
    let record = read(&written(&event(), &refused));
    assert_eq!((&record["rule"], &record["reason"]), (&json!("exports-per-day"), &json!("limited")));
}

#[test]
fn the_line_is_the_same_byte_for_byte_as_long_as_the_format_is() {
    let mut line = Vec::new();
    event().write(&mut line);
    let keep = ["city".to_owned()];
    let arguments = Arguments { raw: Some(r#"{"city":"Bern","pin":1}"#), keep: &keep };
    arguments.write(AuditArguments::Redacted, &DigestKey::new([1; 32]), TenantId::from_bits(1), &mut line);
    outcome().write(&mut line);
    let golden = concat!(
        r#"{"event":"01a1ee56-5e00-7000-8000-0e0000000156","at_ms":1795000000000,"action":"tool.call","#,
        r#""tenant":"0000000000000000000000000000acae","toolset":"default","revision":12,"#,
        r#""actor":{"kind":"key","key":"0000000000000000000000000000c0de","ip":"192.0.2.7","agent":"ide/1.0"},"#,
        r#""rpc":"f586cdc0e0703137","trace":"abababababababababababababababab","#,
        r#""server":"shop","exposed":"shop_query","native":"query","#,
        r#""arguments":{"redacted":{"city":"Bern","pin":"[number]"}},"#,
        r#""decision":"allow","outcome":"answered","status":200,"is_error":true,"#,
        r#""bytes_in":200,"bytes_out":1048576,"duration_us":1234}"#,
    );
    assert_eq!(String::from_utf8(line).unwrap(), golden);
    assert_eq!(event().id.to_string(), "01a1ee56-5e00-7000-8000-0e0000000156");
}

#[test]
fn an_open_record_says_that_its_outcome_is_unknown() {
    let mut line = Vec::new();
    event().write(&mut line);
    line.extend_from_slice(OUTCOME_UNKNOWN);
    let record = read(&line);
    assert_eq!((&record["decision"], &record["outcome"]), (&json!("allow"), &json!("unknown")));
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
fn credentials_in_a_uri_are_not_shown() {
    for (uri, shown) in [
        ("postgres://app:hunter2@db:5432/x?y", "postgres://[secret]@db:5432/x"),
        ("redis://:hunter2@h", "redis://[secret]@h"),
        ("db://u:hunt?er#2@h/p#f", "db://[secret]@h/p"),
        ("npm://@scope/pkg", "npm://@scope/pkg"),
        ("file:///home/me@work/x", "file:///home/me@work/x"),
        ("mail:me@work", "mail:me@work"),
    ] {
        for action in [Action::ResourceRead, Action::Complete] {
            let target = Some(Target { server: "shop", exposed: uri, native: uri });
            let line = read(&written(&Event { action, target, ..event() }, &outcome()));
            assert_eq!((&line["native"], &line["exposed"]), (&shown.into(), &shown.into()));
        }
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
        let event = Event { actor: &actor, target, agent, ..event() };
        let ending = Ending { code: Some(i32::MIN), ..Ending::refused(u16::MAX, None, name) };
        let ending = ending.with_is_error(true);
        let decision = Some(Decision::Allow);
        let (bytes_in, bytes_out, duration_us) = (u64::MAX, u64::MAX, u64::MAX);
        let most = Outcome { decision, rule: Some(name), ending, bytes_in, bytes_out, duration_us };
        let mut line = Vec::new();
        event.write(&mut line);
        let raw = json!({ "kept": [name, name], &name[..name.floor_char_boundary(60)]: 1 }).to_string();
        let keep = ["kept".to_owned()];
        let tenant = TenantId::from_bits(1);
        Arguments { raw: Some(&raw), keep: &keep }.write(
            AuditArguments::Redacted,
            &DigestKey::new([1; 32]),
            tenant,
            &mut line,
        );
        line.resize(line.len() + ARGUMENTS_BYTES_MAX - 64, b' ');
        let begun = line.len();
        most.write(&mut line);
        assert!(line.len() - begun <= OUTCOME_BYTES_MAX);
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
