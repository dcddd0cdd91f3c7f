//! Lines, files and deliveries: what goes out can be read back, verified, and known for ours.

use std::io::Write;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, CheckpointReason, Facets, Link, WriterId},
};
use patchbay_store::AuditRow;

use super::{
    keeping::{self, Retained},
    lines::{Line, LineKind, hex, unhex},
    ship::Batch,
    signing,
    verify::{self, Verdict},
    webhook,
};
use crate::audit::Signer;

const CHAIN: ChainId = ChainId { tenant: Some(TenantId::from_bits(7)), writer: WriterId(0xab) };

/// So many records of one chain.
fn rows(count: u64) -> Vec<AuditRow> {
    let mut at = Link::START;
    (1..=count)
        .map(|seq| {
            let json = format!(
                r#"{{"event":"e{seq}","actor":{{"kind":"operator"}}, "outcome":"answered","text":"ä \" \\","duration_us":{seq}}}"#
            );
            let (event_id, at_ms) = (u128::from(seq) << 64, 1000 + seq as i64);
            at = at.next(CHAIN, event_id, at_ms, "tool.call", &json);
            let facets = Facets::of(&json);
            AuditRow { event_id, chain: CHAIN, link: at, at_ms, kind: "tool.call".to_owned(), facets, json }
        })
        .collect()
}

fn signed(signer: &Signer, link: Link, reason: CheckpointReason) -> Checkpoint {
    let mut checkpoint = Checkpoint { chain: CHAIN, link, reason, at_ms: 5000, signature: [0; 64] };
    signer.sign(&mut checkpoint);
    checkpoint
}

fn verified(lines: &[String], publics: &[[u8; 32]]) -> Verdict {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    verify::file(file.path(), publics).unwrap().remove(0)
}

fn texts(rows: &[AuditRow]) -> Vec<String> {
    rows.iter().map(|row| Line::record(row).unwrap().text()).collect()
}

#[test]
fn a_record_comes_back_from_its_line_byte_for_byte() {
    for row in rows(3) {
        let text = Line::record(&row).unwrap().text();
        let line = Line::read(&text).unwrap();
        assert_eq!((line.kind, line.chain().unwrap(), line.link().unwrap()), (LineKind::Record, CHAIN, row.link));
        let read = line.chained().unwrap();
        assert_eq!(
            (read.event_id, read.at_ms, read.kind, read.json),
            (row.event_id, row.at_ms, "tool.call", &*row.json)
        );
    }
    let checkpoint = signed(&Signer::new([3; 32]).unwrap(), rows(2)[1].link, CheckpointReason::Retention);
    let text = Line::checkpoint(&checkpoint).text();
    assert_eq!(Line::read(&text).unwrap().as_checkpoint().unwrap(), checkpoint);
}

#[test]
fn a_line_that_is_none_is_told_what_was_expected() {
    let row = &rows(1)[0];
    let good = Line::record(row).unwrap().text();
    for wrong in ["", "{}", "[1]", "nonsense", r#"{"type":"else","writer":"1","seq":1,"hash":""}"#] {
        assert!(Line::read(wrong).is_err(), "{wrong}");
    }
    let short = good.replace(&hex(&row.link.hash), "abc");
    assert!(Line::read(&short).unwrap().link().is_err());
    let odd = good.replace("00000000000000ab", "xyz");
    assert!(Line::read(&odd).unwrap().chain().is_err());
    assert_eq!(unhex::<2>("00ff"), Some([0, 255]));
    for wrong in ["00f", "00fg", "é0f", "00ff00"] {
        assert_eq!(unhex::<2>(wrong), None, "{wrong}");
    }
}

#[test]
fn a_whole_file_is_good_and_one_that_was_touched_is_not() {
    let signer = Signer::new([3; 32]).unwrap();
    let public = signer.public();
    let rows = rows(6);
    let mut lines = vec![Line::begin(CHAIN, &Link::START).text()];
    lines.extend(texts(&rows));
    lines.push(Line::checkpoint(&signed(&signer, rows[5].link, CheckpointReason::Head)).text());
    let good = verified(&lines, &[public]);
    assert_eq!((good.fault.as_ref(), good.records, good.checkpoints, good.covered), (None, 6, 1, 6));

    let mut edited = lines.clone();
    edited[3] = edited[3].replace("\\\"duration_us\\\":3", "").replace("\"duration_us\":3", "\"duration_us\":4");
    assert!(verified(&edited, &[public]).fault.unwrap().to_string().contains("record 3"));
    let mut cut = lines.clone();
    cut.remove(6);
    assert!(verified(&cut, &[public]).fault.unwrap().to_string().contains('6'));
    assert_eq!(verified(&cut, &[]).fault, None, "without a key nobody knows how far it had come");
    let mut inner = lines.clone();
    inner.remove(2);
    assert!(verified(&inner, &[]).fault.unwrap().to_string().contains("records 2 to 2"));
    let other = Signer::new([4; 32]).unwrap().public();
    assert!(verified(&lines, &[other]).fault.unwrap().to_string().contains("not signed"));
}

#[tokio::test]
async fn what_was_signed_before_the_sealing_key_changed_counts_for_as_long_as_the_old_key_is_known() {
    let (old, new) = (Signer::new([3; 32]).unwrap(), Signer::new([5; 32]).unwrap());
    let both = Signer::new([5; 32]).unwrap().with_former([3; 32]).unwrap();
    let rows = rows(6);
    let store = store(&rows).await;
    let anchor = signed(&old, rows[1].link, CheckpointReason::Retention);
    store.audit_checkpoint_put(&[anchor, signed(&old, rows[3].link, CheckpointReason::Head)]).await.unwrap();
    store.audit_checkpoint_put(&[signed(&both, rows[5].link, CheckpointReason::Head)]).await.unwrap();
    let fault = async |publics: &[[u8; 32]]| verify::store(&*store, None, publics, &[]).await.unwrap().remove(0).fault;
    assert_eq!(fault(both.publics()).await, None);
    for alone in [old.publics(), new.publics()] {
        assert!(matches!(fault(alone).await, Some(verify::Fault::Forged { .. })));
    }
    // A chain that the old key signed to its end need not be signed again.
    let mut seen = signing::Seen::new();
    for _ in 0..2 {
        signing::sign(&*store, &both, &mut seen).await.unwrap();
    }
    assert_eq!(store.audit_checkpoint_list(CHAIN, 0).await.unwrap().len(), 3);
}

#[test]
fn a_part_of_a_chain_begins_where_its_file_says_or_where_the_gateway_signed() {
    let signer = Signer::new([3; 32]).unwrap();
    let rows = rows(6);
    let mut lines = vec![Line::begin(CHAIN, &rows[2].link).text()];
    lines.extend(texts(&rows[3..]));
    let part = verified(&lines, &[]);
    assert_eq!((part.fault, part.begin, part.records, part.is_anchored), (None, 3, 3, false));
    let anchor = Line::checkpoint(&signed(&signer, rows[3].link, CheckpointReason::Retention)).text();
    // What was to be removed and is still there does no harm.
    lines.push(anchor);
    let anchored = verified(&lines, signer.publics());
    assert_eq!((anchored.fault, anchored.begin, anchored.records, anchored.is_anchored), (None, 4, 2, true));
}

#[test]
fn a_delivery_is_signed_over_its_time_and_its_body() {
    let rows = rows(2);
    let sink = "siem".parse().unwrap();
    let batch = Batch { chain: CHAIN, rows: &rows, checkpoints: &[] };
    let post = webhook::post(&sink, &batch, Some("key"), 5_000);
    assert_eq!(post.body.iter().filter(|byte| **byte == b'\n').count(), 2);
    let header =
        |name: http::HeaderName| post.headers.iter().find(|(known, _)| *known == name).unwrap().1.to_str().unwrap();
    assert_eq!(header(webhook::SIGNATURE), format!("t=5,v1={}", webhook::signature("key", 5, &post.body)));
    assert!(header(webhook::DELIVERY).ends_with(":00000000000000ab:1-2"));
    assert_ne!(webhook::signature("key", 5, b"x"), webhook::signature("key", 6, b"x"));
    assert_ne!(webhook::signature("key", 5, b"x"), webhook::signature("other", 5, b"x"));
}

/// A store with these rows, some of which may have been tampered with: the store looks at their numbers alone.
async fn store(rows: &[AuditRow]) -> std::sync::Arc<dyn patchbay_store::Store> {
    let vault = patchbay_store::Vault::new(1, [7; 32]);
    let store = patchbay_store::open("sqlite::memory:", vault, Default::default()).await.unwrap();
    store.audit_append(rows).await.unwrap();
    store
}

#[tokio::test]
async fn a_chain_without_a_head_is_missed_and_odd_texts_are_not() {
    let signer = Signer::new([3; 32]).unwrap();
    let json = r#"{"actor":{"kind":"anonymous"},"server":"s","exposed":"a\u0000b","outcome":"answered"}"#.to_owned();
    let link = Link::START.next(CHAIN, 1 << 64, 1, "resource.read", &json);
    let (kind, facets) = ("resource.read".to_owned(), Facets::of(&json));
    let store = store(&[AuditRow { event_id: 1 << 64, chain: CHAIN, link, at_ms: 1, kind, facets, json }]).await;
    let verdicts = verify::store(&*store, None, signer.publics(), &[]).await.unwrap();
    assert_eq!((verdicts.len(), &verdicts[0].fault), (1, &None));

    let headless = ChainId { tenant: None, ..CHAIN };
    let mut anchor = signed(&signer, link, CheckpointReason::Retention);
    anchor.chain = headless;
    signer.sign(&mut anchor);
    store.audit_checkpoint_put(&[anchor]).await.unwrap();
    let verdicts = verify::store(&*store, None, signer.publics(), &[]).await.unwrap();
    assert_eq!((verdicts.len(), &verdicts[0].fault), (2, &Some(verify::Fault::Headless)));
}

#[tokio::test]
async fn nothing_is_signed_away_that_is_not_what_was_written() {
    let signer = Signer::new([3; 32]).unwrap();
    let good = rows(6);
    let whole = store(&good).await;
    let before_ms = i64::MAX;
    let done = keeping::retain(&*whole, &signer, before_ms, 9).await.unwrap();
    assert_eq!(done, Retained { removed: 6, refused: 0 });
    let verdict = verify::store(&*whole, None, signer.publics(), &[]).await.unwrap().remove(0);
    assert_eq!((verdict.fault, verdict.begin), (None, 6));

    let mut touched = good.clone();
    touched[2].json = touched[2].json.replace("duration_us", "duration_ms");
    let (mut rehashed, mut at) = (good.clone(), good[1].link);
    for row in &mut rehashed[2..] {
        row.at_ms = 0;
        at = at.next(CHAIN, row.event_id, row.at_ms, &row.kind, &row.json);
        row.link = at;
    }
    for rows in [&touched, &rehashed] {
        let store = store(rows).await;
        store.audit_checkpoint_put(&[signed(&signer, good[4].link, CheckpointReason::Head)]).await.unwrap();
        let done = keeping::retain(&*store, &signer, before_ms, 9).await.unwrap();
        assert_eq!(done, Retained { removed: 0, refused: 1 });
        assert_eq!(store.audit_count(None).await.unwrap(), 6);
    }
}

#[tokio::test]
async fn chains_that_nobody_signs_are_signed_once_and_only_if_they_are_whole() {
    let signer = Signer::new([3; 32]).unwrap();
    let (whole, mut touched) = (rows(3), rows(3));
    touched[1].json.push(' ');
    for (rows, count) in [(&whole, 1), (&touched, 0)] {
        let store = store(rows).await;
        let mut seen = signing::Seen::new();
        signing::sign(&*store, &signer, &mut seen).await.unwrap();
        assert_eq!(store.audit_checkpoint_list(CHAIN, 0).await.unwrap(), [], "its gateway may still do it");
        for _ in 0..2 {
            signing::sign(&*store, &signer, &mut seen).await.unwrap();
        }
        assert_eq!(store.audit_checkpoint_list(CHAIN, 0).await.unwrap().len(), count);
    }

    let store = store(&[]).await;
    let note = patchbay_store::Note::by_operator("a look", 5);
    store.audit_note(None, patchbay_core::audit::Action::AuditQuery, &note).await.unwrap();
    signing::sign(&*store, &signer, &mut signing::Seen::new()).await.unwrap();
    let verdict = verify::store(&*store, None, signer.publics(), &[]).await.unwrap().remove(0);
    assert_eq!((verdict.fault, verdict.covered), (None, 1), "what the command line did is signed too");
}

#[tokio::test]
async fn a_chain_that_is_verified_in_parts_is_seen_whole_and_what_is_wrong_in_a_later_part_is_named() {
    let signer = Signer::new([3; 32]).unwrap();
    let good = rows(4_500);
    let mut touched = good.clone();
    touched[4_200].json.push(' ');
    let over = std::time::Instant::now();
    for (rows, fault) in [(&good, None), (&touched, Some(4_201))] {
        let store = store(rows).await;
        let signed = |at: usize| signed(&signer, good[at].link, CheckpointReason::Head);
        store.audit_checkpoint_put(&[signed(99), signed(1_999), signed(3_000), signed(4_499)]).await.unwrap();
        let (mut from, mut records, mut checkpoints, mut parts, mut found) = (None, 0, 0, 0, None);
        loop {
            let part = verify::part(&*store, None, signer.publics(), &[], from, over).await.unwrap();
            let [verdict] = &part.verdicts[..] else { panic!("{part:?}") };
            (records, checkpoints, parts) = (records + verdict.records, checkpoints + verdict.checkpoints, parts + 1);
            found = found.or(verdict.fault.as_ref().and_then(verify::Fault::seq));
            from = part.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!((found, parts, checkpoints), (fault, 3, 4));
        assert_eq!(records, fault.map_or(4_500, |at| at - 1));
    }
}
