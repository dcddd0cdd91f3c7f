//! Keys, arguments and answers, without a Redis.

use patchbay_core::limits::WhenAway;

use super::*;
use crate::conformance::{charge, place};
use crate::redis::lease::Members;

fn asked() -> Asked {
    let rate = patchbay_core::limits::Rate::per_second(100, 50);
    Asked {
        tenant: TenantId::from_bits(0xabc),
        charges: Box::from([Charge { key: LimitKey(0x1f), cost: 3, ..charge(1, rate) }]),
        places: Box::from([Place { key: LimitKey(0x2f), dry_run: true, away: WhenAway::Open, ..place(1, 4) }]),
        hold: Duration::from_micros(1_500_001),
    }
}

#[test]
fn a_command_has_its_keys_in_one_slot_and_whole_numbers() {
    let scripts = Scripts::new("pb".to_owned());
    let member = Members::new().next();
    let cmd = scripts.take(&asked(), Some(member));
    let args: Vec<String> = cmd
        .args_iter()
        .map(|arg| match arg {
            ::redis::Arg::Simple(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => panic!("a cursor"),
        })
        .collect();
    let slot = "pb:{00000000000000000000000000000abc}";
    assert_eq!(args[0], "EVALSHA");
    assert_eq!(args[1].len(), 40);
    assert_eq!(
        args[2..5],
        [
            "2",
            &format!("{slot}:0000000000000000000000000000001f"),
            &format!("{slot}:0000000000000000000000000000002f:c")
        ]
    );
    let mut text = [0; Member::BYTES];
    assert_eq!(args[6].as_bytes(), member.write(&mut text));
    assert_eq!(args[5], "1");
    assert_eq!(args[7..], ["1501", "200000", "10000", "500000", "3", "0", "4", "1"]);
}

#[test]
fn members_are_short_and_differ() {
    let (one, other) = (Members::new(), Members::new());
    let text = |member: Member| String::from_utf8(member.write(&mut [0; Member::BYTES]).to_vec()).unwrap();
    let all: std::collections::HashSet<_> = [one.next(), one.next(), other.next(), other.next()].map(text).into();
    assert_eq!(all.len(), 4);
}

#[test]
fn answers_are_read() {
    let read = |text: &str| Answer::read(&Value::BulkString(text.as_bytes().to_vec()));
    let granted = read("1 2 41 250000 5 1795000000000000").unwrap();
    let standing = Standing { at: 2, remaining: 41, reset_after: Duration::from_millis(250) };
    assert_eq!(granted, Answer { verdict: Ok(Some(standing)), would_deny: 5, now_us: 1_795_000_000_000_000 });
    assert_eq!(read("1 -1 0 0 0 7").unwrap().verdict, Ok(None));
    let refused = Refused { at: 3, retry_after: Duration::from_micros(10_000), away: false };
    assert_eq!(read("0 3 10000 0 0 7").unwrap().verdict, Err(refused));
    for strange in ["", "1", "1 2 3 4 5", "a b c d e f", "0 -1 5 0 0 7", "1 0 0 0 -1 7"] {
        assert!(read(strange).is_none(), "{strange}");
    }
    assert!(Answer::read(&Value::Nil).is_none());
    assert!(read_standings(&Value::BulkString(b"1 2 3".to_vec()), 2).is_none());
}
