//! Lines, files and deliveries: what goes out can be read back, verified, and known for ours.

use std::io::Write;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, CheckpointReason, Facets, Link, WriterId},
};
use patchbay_store::AuditRow;

use super::{
    lines::{Line, LineKind, hex, unhex},
    ship::Batch,
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

fn verified(lines: &[String], public: Option<&[u8; 32]>) -> Verdict {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    verify::file(file.path(), public).unwrap().remove(0)
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
        assert_eq!((read.event_id, read.at_ms, read.kind, read.json), (row.event_id, row.at_ms, "tool.call", &*row.json));
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
    let good = verified(&lines, Some(&public));
    assert_eq!((good.fault.as_ref(), good.records, good.checkpoints, good.covered), (None, 6, 1, 6));

    let mut edited = lines.clone();
    edited[3] = edited[3].replace("\\\"duration_us\\\":3", "").replace("\"duration_us\":3", "\"duration_us\":4");
    assert!(verified(&edited, Some(&public)).fault.unwrap().to_string().contains("record 3"));
    let mut cut = lines.clone();
    cut.remove(6);
    assert!(verified(&cut, Some(&public)).fault.unwrap().to_string().contains('6'));
    assert_eq!(verified(&cut, None).fault, None, "without a key nobody knows how far it had come");
    let mut inner = lines.clone();
    inner.remove(2);
    assert!(verified(&inner, None).fault.unwrap().to_string().contains("records 2 to 2"));
    let other = Signer::new([4; 32]).unwrap().public();
    assert!(verified(&lines, Some(&other)).fault.unwrap().to_string().contains("not signed"));
}

#[test]
fn a_part_of_a_chain_begins_where_its_file_says_or_where_the_gateway_signed() {
    let signer = Signer::new([3; 32]).unwrap();
    let rows = rows(6);
    let mut lines = vec![Line::begin(CHAIN, &rows[2].link).text()];
    lines.extend(texts(&rows[3..]));
    let part = verified(&lines, None);
    assert_eq!((part.fault, part.begin, part.records, part.is_anchored), (None, 3, 3, false));
    let anchor = Line::checkpoint(&signed(&signer, rows[3].link, CheckpointReason::Retention)).text();
    // What was to be removed and is still there does no harm.
    lines.push(anchor);
    let anchored = verified(&lines, Some(&signer.public()));
    assert_eq!((anchored.fault, anchored.begin, anchored.records, anchored.is_anchored), (None, 4, 2, true));
}

#[test]
fn a_delivery_is_signed_over_its_time_and_its_body() {
    let rows = rows(2);
    let sink = "siem".parse().unwrap();
    let batch = Batch { chain: CHAIN, rows: &rows, checkpoints: &[] };
    let post = webhook::post(&sink, &batch, Some("key"), 5_000);
    assert_eq!(post.body.iter().filter(|byte| **byte == b'\n').count(), 2);
    let header = |name: http::HeaderName| post.headers.iter().find(|(known, _)| *known == name).unwrap().1.to_str().unwrap();
    assert_eq!(header(webhook::SIGNATURE), format!("t=5,v1={}", webhook::signature("key", 5, &post.body)));
    assert!(header(webhook::DELIVERY).ends_with(":00000000000000ab:1-2"));
    assert_ne!(webhook::signature("key", 5, b"x"), webhook::signature("key", 6, b"x"));
    assert_ne!(webhook::signature("key", 5, b"x"), webhook::signature("other", 5, b"x"));
}
