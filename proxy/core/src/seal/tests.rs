//! Handles open for whom they were made for, and for nobody else.

use proptest::prelude::*;

use super::*;

fn sealer(ids: &[u8]) -> Sealer {
    Sealer::new(ids.iter().map(|&id| SealingKey { id, secret: [id; 32] }).collect()).unwrap()
}

#[test]
fn any_flipped_bit_closes_a_handle() {
    let sealer = sealer(&[1]);
    let text = sealer.seal(Purpose::Session, &[b"acme"], b"session");
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = URL_SAFE_NO_PAD.encode(&flipped);
        assert_eq!(sealer.open(Purpose::Session, &[b"acme"], &flipped), None, "bit {bit}");
    }
}

#[test]
fn a_handle_has_one_spelling() {
    let sealer = sealer(&[1]);
    for plain in [&b""[..], b"1", b"22", b"333"] {
        let text = sealer.seal(Purpose::Cursor, &[], plain);
        for other in [format!("{text}="), format!(" {text}"), format!("{text}A"), text[..text.len() - 1].to_owned()] {
            assert_eq!(sealer.open(Purpose::Cursor, &[], &other), None, "{other:?}");
        }
        let last = text.chars().next_back().unwrap();
        for other in URL_SAFE_ALPHABET.chars().filter(|c| *c != last) {
            let other = format!("{}{other}", &text[..text.len() - 1]);
            assert_eq!(sealer.open(Purpose::Cursor, &[], &other), None, "{other:?}");
        }
    }
}

const URL_SAFE_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[test]
fn a_handle_of_another_purpose_or_owner_is_none() {
    let sealer = sealer(&[1]);
    let text = sealer.seal(Purpose::Session, &[b"acme", b"ann"], b"x");
    assert_eq!(sealer.open(Purpose::Session, &[b"acme", b"ann"], &text).as_deref(), Some(&b"x"[..]));
    for purpose in [Purpose::Cursor, Purpose::RequestState, Purpose::Task] {
        assert_eq!(sealer.open(purpose, &[b"acme", b"ann"], &text), None, "{purpose:?}");
    }
    let owners: [&[&[u8]]; 6] =
        [&[], &[b"acme"], &[b"acme", b"bob"], &[b"acmeann"], &[b"acmea", b"nn"], &[b"acme", b"ann", b""]];
    for owner in owners {
        assert_eq!(sealer.open(Purpose::Session, owner, &text), None, "{owner:?}");
    }
}

#[test]
fn a_truncated_or_random_or_huge_text_is_none() {
    let sealer = sealer(&[1]);
    let text = sealer.seal(Purpose::Cursor, &[], b"page 2");
    for end in 0..text.len() {
        assert_eq!(sealer.open(Purpose::Cursor, &[], &text[..end]), None, "{end} characters");
    }
    for text in ["é", "AQ", "....", "AQE", &"A".repeat(SEALED_TEXT_BYTES_MAX + 1), &"AQEA".repeat(1000)] {
        assert_eq!(sealer.open(Purpose::Cursor, &[], text), None);
    }
}

#[test]
fn an_old_key_still_opens_and_a_retired_one_does_not() {
    let before = sealer(&[1]).seal(Purpose::Session, &[], b"x");
    let rotated = sealer(&[2, 1]);
    assert_eq!(rotated.open(Purpose::Session, &[], &before).as_deref(), Some(&b"x"[..]));
    let after = rotated.seal(Purpose::Session, &[], b"x");
    assert_eq!(sealer(&[2]).open(Purpose::Session, &[], &after).as_deref(), Some(&b"x"[..]));
    assert_eq!(sealer(&[2]).open(Purpose::Session, &[], &before), None);

    let other_secret = Sealer::new(vec![SealingKey { id: 1, secret: [9; 32] }]).unwrap();
    assert_eq!(other_secret.open(Purpose::Session, &[], &before), None);
}

#[test]
fn no_keys_and_keys_of_one_number_are_refused() {
    assert_eq!(Sealer::new(vec![]).err(), Some(SealerError::NoKey));
    let key = SealingKey { id: 7, secret: [0x5a; 32] };
    assert!(!format!("{key:?}").contains("90"), "a secret was shown");
    assert_eq!(Sealer::new(vec![key.clone(), key]).err(), Some(SealerError::SameId(7)));
}

proptest! {
    #[test]
    fn what_was_sealed_comes_back(plain: Vec<u8>, owner: Vec<u8>) {
        let sealer = sealer(&[3, 4]);
        let text = sealer.seal(Purpose::RequestState, &[&owner], &plain);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(sealer.open(Purpose::RequestState, &[&owner], &text), Some(plain));
    }

    #[test]
    fn no_text_makes_open_panic(text in ".{0,120}") {
        prop_assert_eq!(sealer(&[1]).open(Purpose::Session, &[], &text), None);
    }
}
