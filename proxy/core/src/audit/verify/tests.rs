//! Whatever is done to a stored chain is found, and nothing is found in one that is whole.

use proptest::prelude::*;

use super::*;
use crate::{
    TenantId,
    audit::{Checkpoint, CheckpointReason, WriterId},
};

const CHAIN: ChainId = ChainId { tenant: Some(TenantId::from_bits(0xacae)), writer: WriterId(0x5eed) };

/// A record as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    link: Link,
    event_id: u128,
    at_ms: i64,
    kind: String,
    json: String,
}

impl Kept {
    fn chained(&self) -> Chained<'_> {
        Chained { link: self.link, event_id: self.event_id, at_ms: self.at_ms, kind: &self.kind, json: &self.json }
    }

    /// Puts the record behind a place, as who can write everything would.
    fn link_after(&mut self, at: Link) {
        self.link = at.next(CHAIN, self.event_id, self.at_ms, &self.kind, &self.json);
    }
}

fn chain(count: u64) -> Vec<Kept> {
    let mut at = Link::START;
    let record = |number: u64| {
        let mut record = Kept {
            link: Link::START,
            event_id: u128::from(number) << 64 | 7,
            at_ms: 1_795_000_000_000 + number as i64,
            kind: "tool.call".to_owned(),
            json: format!(r#"{{"number":{number}}}"#),
        };
        record.link_after(at);
        at = record.link;
        record
    };
    (1..=count).map(record).collect()
}

fn verify(anchor: Link, checkpoints: &[Link], records: &[Kept]) -> Result<Link, ChainFault> {
    let mut verifier = Verifier::new(CHAIN, anchor, checkpoints.to_vec());
    records.iter().try_for_each(|record| verifier.record(&record.chained()))?;
    verifier.end()
}

/// With a checkpoint at the end.
fn held(whole: &[Kept], records: &[Kept]) -> Result<Link, ChainFault> {
    verify(Link::START, &[whole[whole.len() - 1].link], records)
}

#[test]
fn a_whole_chain_is_good_with_any_of_its_checkpoints() {
    let records = chain(9);
    let places: Vec<_> = records.iter().map(|record| record.link).collect();
    assert_eq!(verify(Link::START, &[], &records), Ok(places[8]));
    assert_eq!(verify(Link::START, &places, &records), Ok(places[8]));
    let twice_and_mixed = [places[8], places[2], Link::START, places[2], places[5]];
    assert_eq!(verify(Link::START, &twice_and_mixed, &records), Ok(places[8]));
    assert_eq!(verify(Link::START, &[], &[]), Ok(Link::START));
}

#[test]
fn a_deleted_record_is_named() {
    let whole = chain(5);
    for gone in 0..5 {
        let mut records = whole.clone();
        records.remove(gone);
        let seq = gone as u64 + 1;
        assert_eq!(held(&whole, &records), Err(ChainFault::Missing { first: seq, last: seq }));
    }
}

#[test]
fn a_cut_end_is_found_by_the_checkpoint_and_only_by_it() {
    let whole = chain(5);
    for left in 0..5 {
        let missing = ChainFault::Missing { first: left as u64 + 1, last: 5 };
        assert_eq!(held(&whole, &whole[..left]), Err(missing));
        let without = verify(Link::START, &[], &whole[..left]);
        assert_eq!(without.map(|at| at.seq), Ok(left as u64));
    }
}

#[test]
fn a_record_that_stands_twice_or_elsewhere_is_named() {
    let whole = chain(5);
    let mut twice = whole.clone();
    twice.insert(3, whole[1].clone());
    assert_eq!(held(&whole, &twice), Err(ChainFault::Misplaced { seq: 2 }));
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    assert_eq!(held(&whole, &swapped), Err(ChainFault::Missing { first: 2, last: 2 }));
    let mut unchained = whole.clone();
    unchained[0].link = Link::START;
    assert_eq!(held(&whole, &unchained), Err(ChainFault::Misplaced { seq: 0 }));
}

#[test]
fn records_that_changed_places_under_their_numbers_are_found() {
    let whole = chain(5);
    let mut records = whole.clone();
    records.swap(1, 3);
    let (two, four) = (records[3].link, records[1].link);
    (records[1].link, records[3].link) = (two, four);
    assert_eq!(held(&whole, &records), Err(ChainFault::Changed { seq: 2 }));
}

#[test]
fn a_chain_that_was_written_anew_from_some_record_on_is_found_by_the_next_checkpoint() {
    let whole = chain(6);
    let mut records = whole.clone();
    records[2].json = r#"{"number":"another"}"#.to_owned();
    for at in 2..6 {
        let before = records[at - 1].link;
        records[at].link_after(before);
    }
    let places = [whole[1].link, whole[3].link, whole[5].link];
    assert_eq!(verify(Link::START, &places, &records), Err(ChainFault::Checkpoint { seq: 4 }));
    assert!(verify(Link::START, &places[..1], &records).is_ok(), "no checkpoint covers it");
}

#[test]
fn an_inserted_record_is_found_even_with_a_chain_of_its_own() {
    let whole = chain(4);
    let mut records = whole.clone();
    let mut inserted = whole[0].clone();
    inserted.event_id += 1;
    records.insert(2, inserted);
    for at in 2..5 {
        let before = records[at - 1].link;
        records[at].link_after(before);
    }
    assert_eq!(held(&whole, &records), Err(ChainFault::Checkpoint { seq: 4 }));
}

#[test]
fn a_record_of_another_chain_is_found() {
    let whole = chain(3);
    let others = [
        ChainId { tenant: None, ..CHAIN },
        ChainId { tenant: Some(TenantId::from_bits(0)), ..CHAIN },
        ChainId { writer: WriterId::OPERATOR, ..CHAIN },
    ];
    for other in others {
        let mut verifier = Verifier::new(other, Link::START, Vec::new());
        assert_eq!(verifier.record(&whole[0].chained()), Err(ChainFault::Changed { seq: 1 }));
    }
}

#[test]
fn a_chain_whose_beginning_was_removed_begins_at_its_anchor() {
    let whole = chain(8);
    let (anchor, last) = (whole[4].link, whole[7].link);
    let heads = [whole[1].link, whole[4].link, last];
    assert_eq!(verify(anchor, &heads, &whole[5..]), Ok(last));
    // What the anchor covers may still be there, whole or not.
    assert_eq!(verify(anchor, &heads, &whole[3..]), Ok(last));
    assert_eq!(verify(anchor, &heads, &[&whole[1..2], &whole[4..]].concat()), Ok(last));
    assert_eq!(verify(anchor, &heads, &whole[6..]), Err(ChainFault::Missing { first: 6, last: 6 }));
    assert_eq!(verify(anchor, &heads, &[]), Err(ChainFault::Missing { first: 6, last: 8 }));
    let late = [&whole[5..6], &whole[2..3], &whole[6..]].concat();
    assert_eq!(verify(anchor, &heads, &late), Err(ChainFault::Misplaced { seq: 3 }));
}

#[test]
fn checkpoints_that_contradict_each_other_or_the_anchor_are_found() {
    let whole = chain(3);
    let other = Link { hash: [1; 32], ..whole[1].link };
    assert_eq!(verify(Link::START, &[whole[1].link, other], &whole), Err(ChainFault::Checkpoint { seq: 2 }));
    assert_eq!(verify(whole[1].link, &[other], &whole[2..]), Err(ChainFault::Checkpoint { seq: 2 }));
    assert_eq!(verify(whole[1].link, &[other], &[]), Err(ChainFault::Checkpoint { seq: 2 }));
}

#[test]
fn numbers_at_the_end_of_their_range_harm_nothing() {
    let whole = chain(1);
    let far = Link { seq: u64::MAX, hash: [0; 32] };
    let mut record = whole[0].clone();
    record.link = far;
    assert_eq!(
        verify(Link::START, &[], std::slice::from_ref(&record)),
        Err(ChainFault::Missing { first: 1, last: u64::MAX - 1 })
    );
    assert_eq!(verify(far, &[], &[]), Ok(far));
    record.link.seq = 0;
    assert_eq!(verify(far, &[], &[record]), Err(ChainFault::Misplaced { seq: 0 }));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reckoned by another program, from the table in the module's page: the form must not drift, or old audits no longer verify.
#[test]
fn hashes_are_what_they_always_were() {
    let first =
        Link::START.next(CHAIN, 0x01a1_ee56_5e00_7000_8000_0e00_0000_0157, 1_795_000_000_000, "tool.call", "{}");
    assert_eq!(
        (first.seq, hex(&first.hash)),
        (1, "a17791372fd0cd19e6f950f31f7428b2bfbb506dcdbfd2cd48e42ff32b111c05".to_owned())
    );
    let second = first.next(CHAIN, 2, -1, "", "{\"é\":1}");
    assert_eq!(
        (second.seq, hex(&second.hash)),
        (2, "cd2096ba2566e74c8b374ee6e4f466000a4c10f401f67705235af514c991e255".to_owned())
    );
    let nobody = ChainId { tenant: None, writer: WriterId::OPERATOR };
    let last = Link { seq: u64::MAX - 1, hash: [0xff; 32] }.next(nobody, u128::MAX, i64::MIN, "gap", "");
    assert_eq!(
        (last.seq, hex(&last.hash)),
        (u64::MAX, "06bf42473a3200b1af9e7a6bb8ff22815a9c2b462817c078ffe818f662596bb5".to_owned())
    );
}

#[test]
fn what_is_signed_is_what_it_always_was() {
    let link = Link { seq: 7, hash: [0xab; 32] };
    let checkpoint =
        Checkpoint { chain: CHAIN, link, reason: CheckpointReason::Head, at_ms: 1_795_000_000_000, signature: [9; 64] };
    let tag = hex(b"patchbay audit checkpoint v1\n");
    let expected = [
        &*tag,
        "010000000000000000000000000000acae",
        "0000000000005eed",
        "0000000000000007",
        &"ab".repeat(32),
        "01",
        "000001a1ee565e00",
    ];
    assert_eq!(hex(&checkpoint.message()), expected.concat());
    let retention = Checkpoint { reason: CheckpointReason::Retention, ..checkpoint.clone() };
    assert_ne!(retention.message(), checkpoint.message());
    let of_nobody = Checkpoint { chain: ChainId { tenant: None, ..CHAIN }, ..checkpoint };
    assert_eq!(of_nobody.message().len(), retention.message().len());
}

/// One change of one member of one record.
#[derive(Debug, Clone)]
enum Edit {
    Seq(u64),
    Hash(usize, u8),
    Event(u128),
    At(i64),
    Kind(String),
    Json(String),
    /// A byte of the end of the kind becomes the beginning of the line.
    Border,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<u64>().prop_map(Edit::Seq),
        (0usize..32, 1u8..).prop_map(|(at, bits)| Edit::Hash(at, bits)),
        any::<u128>().prop_map(Edit::Event),
        any::<i64>().prop_map(Edit::At),
        any::<String>().prop_map(Edit::Kind),
        any::<String>().prop_map(Edit::Json),
        Just(Edit::Border),
    ]
}

fn apply(edit: Edit, record: &mut Kept) {
    match edit {
        Edit::Seq(seq) => record.link.seq = seq,
        Edit::Hash(at, bits) => record.link.hash[at] ^= bits,
        Edit::Event(event_id) => record.event_id = event_id,
        Edit::At(at_ms) => record.at_ms = at_ms,
        Edit::Kind(kind) => record.kind = kind,
        Edit::Json(json) => record.json = json,
        Edit::Border => {
            let moved = record.kind.pop().unwrap();
            record.json.insert(0, moved);
        }
    }
}

proptest! {
    #[test]
    fn any_change_of_any_member_is_found_and_named(count in 1usize..20, at in any::<prop::sample::Index>(), edit in edit()) {
        let whole = chain(count as u64);
        let at = at.index(count);
        let mut records = whole.clone();
        apply(edit.clone(), &mut records[at]);
        prop_assume!(records != whole);
        let seq = at as u64 + 1;
        let found = held(&whole, &records).unwrap_err();
        match (edit, found) {
            (Edit::Seq(false_seq), ChainFault::Missing { first, last }) => prop_assert_eq!((first, last), (seq, false_seq - 1)),
            (Edit::Seq(false_seq), ChainFault::Misplaced { seq }) => prop_assert_eq!(seq, false_seq),
            (_, found) => prop_assert_eq!(found, ChainFault::Changed { seq }),
        }
    }

    #[test]
    fn any_record_left_out_doubled_or_moved_is_found(
        count in 2usize..20,
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        how in 0..3,
    ) {
        let whole = chain(count as u64);
        let (from, to) = (from.index(count), to.index(count));
        let mut records = whole.clone();
        match how {
            0 => drop(records.remove(from)),
            1 => records.insert(to, whole[from].clone()),
            _ => records.swap(from, to),
        }
        prop_assume!(records != whole);
        prop_assert!(held(&whole, &records).is_err());
    }

    #[test]
    fn any_cut_at_the_end_is_found(count in 1usize..20, left in any::<prop::sample::Index>()) {
        let whole = chain(count as u64);
        let left = left.index(count);
        let missing = ChainFault::Missing { first: left as u64 + 1, last: count as u64 };
        prop_assert_eq!(held(&whole, &whole[..left]), Err(missing));
    }
}
