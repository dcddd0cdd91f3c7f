//! The audit: rows that are only ever added, each only once, in chains; and how they are found.

use std::sync::Arc;

use patchbay_core::{
    TenantId,
    audit::{Checkpoint, CheckpointReason, Facets, Link, WriterId},
};
use patchbay_store::{AuditFilter, AuditHead, AuditRow, Store, StoreError};

use crate::{
    place::Place,
    samples::{Chain, DAY_MS, NOW_MS, loose},
};

/// More than one statement takes.
const MANY: usize = 2345;

async fn all(store: &Arc<dyn Store>) -> Vec<AuditRow> {
    store.audit_page(&AuditFilter::default(), u32::MAX).await.unwrap()
}

fn head(chain: &Chain, at_ms: i64) -> AuditHead {
    AuditHead { chain: chain.id, last: chain.last, at_ms }
}

pub(crate) async fn rows_that_do_not_continue_their_chain_are_refused_and_nothing_is_written(place: Arc<Place>) {
    let store = place.open().await;
    let acme = Some(TenantId::random());
    let (mut chain, mut other) = (Chain::new(acme, 7), Chain::new(None, 7));
    let mut gap = Chain::new(acme, 7);
    gap.row(1);
    let refused = store.audit_append(&[other.row(1), gap.row(1)]).await;
    assert!(matches!(&refused, Err(StoreError::Chain(text)) if text.contains("ends at record 0")), "{refused:?}");
    assert_eq!(store.audit_heads(None, None).await.unwrap(), []);

    let first = chain.rows(NOW_MS, 5);
    store.audit_append(&first).await.unwrap();
    let mut fork = Chain::new(acme, 7);
    let forked = fork.rows(NOW_MS + 1, 6);
    let mut late = chain.clone();
    late.row(NOW_MS);
    for rows in [&forked[4..5], &forked[..], &[first[0].clone(), late.row(NOW_MS)]] {
        let refused = store.audit_append(rows).await;
        assert!(matches!(&refused, Err(StoreError::Chain(text)) if text.contains("ends at record 5")), "{refused:?}");
    }
    assert_eq!(store.audit_heads(None, None).await.unwrap(), [head(&chain, NOW_MS)]);
    assert_eq!(store.audit_count(None).await.unwrap(), 5);
}

pub(crate) async fn of_two_who_write_one_chain_one_is_refused(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let writers: Vec<_> = (0..6)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            let rows = Chain::new(None, 7).rows(NOW_MS + number as i64, 100);
            tokio::spawn(async move { store.audit_append(&rows).await })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(fresh) => written += fresh,
            Err(StoreError::Chain(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((written, handles[0].audit_count(None).await.unwrap()), (100, 100));
}

pub(crate) async fn rows_sent_twice_are_there_once(place: Arc<Place>) {
    let store = place.open().await;
    let mut chain = Chain::new(Some(TenantId::random()), u64::MAX);
    let rows = chain.rows(NOW_MS, MANY);
    assert_eq!(store.audit_append(&[]).await.unwrap(), 0);
    assert_eq!(store.audit_append(&rows[..1500]).await.unwrap(), 1500);
    assert_eq!(store.audit_append(&rows[..1500]).await.unwrap(), 0);
    assert_eq!(store.audit_append(&rows).await.unwrap(), 845);
    let last = chain.row(NOW_MS);
    assert_eq!(store.audit_append(&[last.clone(), last.clone()]).await.unwrap(), 1);
    assert_eq!(store.audit_count(None).await.unwrap(), 2346);
    assert_eq!(store.audit_heads(None, None).await.unwrap(), [head(&chain, NOW_MS)]);

    let ids: Vec<_> = rows.iter().map(|row| row.event_id).collect();
    let known = store.audit_known(&[&ids[..], &[1, 2]].concat()).await.unwrap();
    assert_eq!(known, ids.into_iter().collect());
    assert_eq!(store.audit_known(&[]).await.unwrap().len(), 0);
}

pub(crate) async fn rows_sent_by_many_at_once_are_there_once(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let rows: Vec<_> = (0..MANY as u128).map(|id| loose(id, None, 1)).chain(Chain::new(None, 7).rows(1, 500)).collect();
    let senders: Vec<_> = (0..6)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            let mut rows = rows.clone();
            if number % 3 == 0 {
                rows.reverse();
            }
            tokio::spawn(async move { store.audit_append(&rows).await.unwrap() })
        })
        .collect();
    let mut fresh = 0;
    for sender in senders {
        fresh += sender.await.unwrap();
    }
    assert_eq!(fresh, rows.len() as u64);
}

pub(crate) async fn rows_of_an_older_patchbay_are_taken_beside_and_are_in_no_chain(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(NOW_MS).await.unwrap();
    let acme = TenantId::random();
    let id = place.bytes("01a2008d740070008000000000000001");
    let tenant = place.bytes(&format!("{:032x}", acme.bits()));
    let insert = format!(
        "INSERT INTO audit (event_id, tenant_id, at_ms, kind, json) VALUES ({id}, {tenant}, 3, 'call', '{{}}')"
    );
    place.run(format!("{insert} ON CONFLICT DO NOTHING; {insert} ON CONFLICT DO NOTHING")).await;
    let mut chain = Chain::new(Some(acme), 7);
    store.audit_append(&[chain.row(1), loose(1, None, 1)]).await.unwrap();

    assert_eq!(store.audit_unchained(None).await.unwrap(), 2);
    assert_eq!(store.audit_unchained(Some(acme)).await.unwrap(), 1);
    let mine = AuditFilter { tenant: Some(Some(acme)), ..AuditFilter::default() };
    let seqs: Vec<_> = store.audit_page(&mine, 9).await.unwrap().iter().map(|row| row.link.seq).collect();
    assert_eq!(seqs, [0, 1]);
    assert_eq!(store.audit_heads(None, None).await.unwrap(), [head(&chain, 1)]);
}

pub(crate) async fn odd_texts_are_kept_and_found(place: Arc<Place>) {
    let store = place.open().await;
    let mut chain = Chain::new(None, 7);
    let subjects = ["a%", "ab", "a_", "a*b", "ä", "\u{10ffff}x", "'\"; --", "nul\0", "\u{d7ff}"];
    let long = "語".repeat(5000);
    let facets = |text: &str| Facets {
        actor: format!("token:corp:{text}"),
        server: Some(text.to_owned()),
        name: Some(text.to_owned()),
        outcome: "answered".to_owned(),
    };
    let texts = subjects.iter().copied().chain([long.as_str()]);
    let rows: Vec<_> = texts.clone().map(|text| chain.row_of(NOW_MS, "tool.call", facets(text))).collect();
    store.audit_append(&rows).await.unwrap();

    let found = async |filter| -> Vec<u64> {
        store.audit_page(&filter, 99).await.unwrap().iter().map(|row| row.link.seq).collect()
    };
    for (text, seq) in texts.zip(1..) {
        let Facets { actor, server, name, .. } = facets(text);
        let by = |filter: AuditFilter| found(filter);
        assert_eq!(by(AuditFilter { actor: Some(actor), ..AuditFilter::default() }).await, [seq], "{text:?}");
        assert_eq!(by(AuditFilter { server, ..AuditFilter::default() }).await, [seq], "{text:?}");
        assert_eq!(by(AuditFilter { name, ..AuditFilter::default() }).await, [seq], "{text:?}");
    }
    for (start, seqs) in [
        ("token:corp:a", &[4, 3, 2, 1][..]),
        ("token:corp:a%", &[1]),
        ("token:corp:a_", &[3]),
        ("token:corp:a*", &[4]),
        ("token:corp:\u{10ffff}", &[6]),
        ("token:corp:\u{d7ff}", &[9]),
        ("token:corp:nul\0", &[8]),
        ("token:corp;", &[]),
        ("", &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ] {
        let actor = Some(format!("{start}*"));
        assert_eq!(found(AuditFilter { actor, ..AuditFilter::default() }).await, seqs, "{start:?}");
    }
}

pub(crate) async fn heads_say_where_each_chain_is(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let (acme, other) = (TenantId::from_bits(1), TenantId::from_bits(2));
    let mut chains: Vec<_> = [(None, 7), (Some(acme), 7), (Some(acme), 9), (Some(other), 9)]
        .map(|(tenant, writer)| Chain::new(tenant, writer))
        .into();
    for turn in 1..=3 {
        // Two replicas, each with the rows of several tenants, in any order.
        let mut batches = [Vec::new(), Vec::new()];
        for chain in &mut chains {
            batches[usize::from(chain.id.writer == WriterId(9))].extend(chain.rows(turn, 10));
        }
        for batch in &mut batches {
            batch.reverse();
        }
        let [one, two] = &batches;
        let (one, two) = tokio::join!(handles[0].audit_append(one), handles[1].audit_append(two));
        assert_eq!((one.unwrap(), two.unwrap()), (20, 20));
    }
    let expected: Vec<_> = chains.iter().map(|chain| head(chain, 3)).collect();
    let heads = async |writer: Option<u64>, tenant| {
        let mut heads = handles[0].audit_heads(writer.map(WriterId), tenant).await.unwrap();
        heads.sort_by_key(|head| head.chain);
        heads
    };
    assert_eq!(heads(None, None).await, expected);
    assert_eq!(heads(Some(7), None).await, expected[..2]);
    assert_eq!(heads(Some(9), Some(Some(acme))).await, expected[2..3]);
    assert_eq!(heads(None, Some(None)).await, expected[..1]);
    assert_eq!(heads(Some(8), None).await, []);
}

/// Whether a row is one of those that a filter lets through, in other words than those of the statements.
fn lets_through(filter: &AuditFilter, row: &AuditRow) -> bool {
    let same = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
    let actor = match filter.actor.as_deref() {
        Some(actor) if actor.ends_with('*') => row.facets.actor.starts_with(actor.trim_end_matches('*')),
        actor => actor.is_none_or(|actor| actor == row.facets.actor),
    };
    actor
        && filter.tenant.is_none_or(|tenant| tenant == row.chain.tenant)
        && filter.from_ms.is_none_or(|from_ms| row.at_ms >= from_ms)
        && filter.to_ms.is_none_or(|to_ms| row.at_ms < to_ms)
        && same(&filter.kind, Some(&row.kind))
        && same(&filter.server, row.facets.server.as_deref())
        && same(&filter.name, row.facets.name.as_deref())
        && same(&filter.outcome, Some(&row.facets.outcome))
}

pub(crate) async fn every_filter_gives_its_rows_page_by_page(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(NOW_MS).await.unwrap();
    let (acme, other) = (TenantId::from_bits(1), TenantId::from_bits(2));
    let mut chains = [Some(acme), Some(other), None].map(|tenant| Chain::new(tenant, 7));
    let mut rows: Vec<_> = (0..180_u32)
        .map(|number| {
            let facets = Facets {
                actor: ["key:1", "key:12", "token:corp:ann"][number as usize % 3].to_owned(),
                server: (number % 4 != 0).then(|| format!("s{}", number % 4)),
                name: (number % 4 != 0).then(|| format!("s_tool{}", number % 5)),
                outcome: ["answered", "refused"][number as usize % 2].to_owned(),
            };
            // Over four days, several at each moment.
            let at_ms = NOW_MS + i64::from(number / 4) * DAY_MS / 12;
            chains[number as usize % 3].row_of(at_ms, ["tool.call", "list"][number as usize % 7 / 4], facets)
        })
        .collect();
    store.audit_append(&rows).await.unwrap();
    rows.sort_by_key(|row| std::cmp::Reverse(row.event_id));
    assert_eq!(all(&store).await, rows, "byte for byte");

    let text = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    let filters = [
        none.clone(),
        AuditFilter { tenant: Some(Some(acme)), ..none.clone() },
        AuditFilter { tenant: Some(None), ..none.clone() },
        AuditFilter { tenant: Some(Some(TenantId::random())), ..none.clone() },
        AuditFilter { from_ms: Some(NOW_MS + DAY_MS), to_ms: Some(NOW_MS + 2 * DAY_MS), ..none.clone() },
        AuditFilter { from_ms: Some(i64::MIN), to_ms: Some(i64::MAX), ..none.clone() },
        AuditFilter { to_ms: Some(NOW_MS + DAY_MS / 12), ..none.clone() },
        AuditFilter { kind: text("list"), outcome: text("refused"), ..none.clone() },
        AuditFilter { actor: text("key:1"), ..none.clone() },
        AuditFilter { actor: text("key:1*"), tenant: Some(Some(acme)), ..none.clone() },
        AuditFilter { actor: text("token:*"), tenant: Some(None), ..none.clone() },
        AuditFilter { server: text("s1"), name: text("s_tool2"), tenant: Some(Some(other)), ..none.clone() },
        AuditFilter { name: text("s_tool3"), from_ms: Some(NOW_MS + DAY_MS), ..none.clone() },
    ];
    for mut filter in filters {
        let expected: Vec<_> = rows.iter().filter(|row| lets_through(&filter, row)).cloned().collect();
        let mut found = Vec::new();
        loop {
            let page = store.audit_page(&filter, 7).await.unwrap();
            assert!(page.len() <= 7);
            let Some(last) = page.last() else { break };
            filter.before = Some(last.event_id);
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
    }
    assert_eq!(store.audit_page(&none, 0).await.unwrap(), []);
    assert_eq!(store.audit_count(Some(acme)).await.unwrap(), 60);
}

pub(crate) async fn chain_comes_in_the_order_of_its_numbers(place: Arc<Place>) {
    let store = place.open().await;
    let acme = Some(TenantId::random());
    let (mut chain, mut other, mut nobody) =
        (Chain::new(acme, u64::MAX), Chain::new(acme, 1), Chain::new(None, u64::MAX));
    // What ends later may have begun earlier.
    let rows: Vec<_> = (0..50).map(|number| chain.row(NOW_MS - number)).collect();
    store.audit_append(&rows).await.unwrap();
    store.audit_append(&[other.row(NOW_MS), nobody.row(NOW_MS), loose(1, acme, 1)]).await.unwrap();
    assert_eq!(store.audit_chain(chain.id, 0, u32::MAX).await.unwrap(), rows);
    assert_eq!(store.audit_chain(chain.id, 10, 5).await.unwrap(), rows[10..15]);
    assert_eq!(store.audit_chain(nobody.id, 0, 9).await.unwrap().len(), 1);
    for after_seq in [50, u64::MAX] {
        assert_eq!(store.audit_chain(chain.id, after_seq, 9).await.unwrap(), []);
    }
}

pub(crate) async fn checkpoints_come_back_once_and_by_their_places(place: Arc<Place>) {
    let store = place.open().await;
    let chain = Chain::new(None, u64::MAX).id;
    let of = |seq, reason, at_ms| Checkpoint {
        chain,
        link: Link { seq, hash: [seq as u8; 32] },
        reason,
        at_ms,
        signature: [at_ms as u8; 64],
    };
    use CheckpointReason::{Head, Retention};
    let kept = [of(3, Head, 1), of(5, Head, 2), of(5, Retention, 3), of(9, Head, 4)];
    store.audit_checkpoint_put(&[]).await.unwrap();
    store.audit_checkpoint_put(&[kept[3].clone(), kept[0].clone(), kept[2].clone()]).await.unwrap();
    store.audit_checkpoint_put(&[kept[1].clone(), of(3, Head, 99), kept[3].clone()]).await.unwrap();
    assert_eq!(store.audit_checkpoint_list(chain, 0).await.unwrap(), kept);
    assert_eq!(store.audit_checkpoint_list(chain, 3).await.unwrap(), kept[1..]);
    let other = Chain::new(Some(TenantId::random()), u64::MAX).id;
    assert_eq!(store.audit_checkpoint_list(other, 0).await.unwrap(), []);
}

pub(crate) async fn chain_whose_head_was_removed_is_still_known(place: Arc<Place>) {
    let store = place.open().await;
    let acme = Some(TenantId::random());
    let (mut rows, mut signed, mut whole) = (Chain::new(acme, 7), Chain::new(None, u64::MAX), Chain::new(acme, 9));
    assert_eq!(store.audit_chains(None).await.unwrap(), []);
    for chain in [&mut rows, &mut signed, &mut whole] {
        store
            .audit_append(&[chain.row(NOW_MS), chain.row(NOW_MS), loose(chain.last.seq.into(), acme, 1)])
            .await
            .unwrap();
    }
    let checkpoint = Checkpoint {
        chain: signed.id,
        link: signed.last,
        reason: CheckpointReason::Head,
        at_ms: 1,
        signature: [0; 64],
    };
    store.audit_checkpoint_put(&[checkpoint]).await.unwrap();
    place.run("DELETE FROM audit_heads WHERE writer <> 9").await;
    place.run("DELETE FROM audit WHERE writer = -1").await;
    assert_eq!(store.audit_chains(None).await.unwrap(), [signed.id, rows.id, whole.id]);
    assert_eq!(store.audit_chains(Some(acme)).await.unwrap(), [rows.id, whole.id]);
    assert_eq!(store.audit_chains(Some(None)).await.unwrap(), [signed.id]);
    assert_eq!(store.audit_chains(Some(Some(TenantId::random()))).await.unwrap(), []);
}

pub(crate) async fn row_is_found_as_it_says_also_with_odd_texts(place: Arc<Place>) {
    let store = place.open().await;
    let mut chain = Chain::new(None, 7);
    let json = format!(
        r#"{{"actor":{{"kind":"token","issuer":"i","subject":"a\u0000b"}},"server":"s","exposed":"x\u0000{}","outcome":"answered"}}"#,
        "é".repeat(400)
    );
    let mut row = chain.row_of(NOW_MS, "resource.read", Facets::of(&json));
    row.json = json;
    store.audit_append(&[row]).await.unwrap();
    let mut kept = all(&store).await.remove(0);
    assert!(kept.is_found_as_said(), "{:?}", kept.facets);
    kept.facets.outcome = "failed".to_owned();
    assert!(!kept.is_found_as_said());
}

pub(crate) async fn cursors_only_move_forward(place: Arc<Place>) {
    let store = place.open().await;
    let (one, two) = (Chain::new(None, u64::MAX).id, Chain::new(Some(TenantId::random()), 1).id);
    assert_eq!(store.audit_cursor_list("otlp").await.unwrap(), []);
    store.audit_cursor_put("otlp", &[(two, 3), (one, 5)]).await.unwrap();
    store.audit_cursor_put("otlp", &[(one, 4), (two, 7)]).await.unwrap();
    store.audit_cursor_put("webhook", &[(one, 1)]).await.unwrap();
    assert_eq!(store.audit_cursor_list("otlp").await.unwrap(), [(one, 5), (two, 7)]);
    assert_eq!(store.audit_cursor_list("webhook").await.unwrap(), [(one, 1)]);
}

pub(crate) async fn one_holder_at_a_time_has_the_lease(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let takers: Vec<_> = (0..10_u64)
        .map(|holder| {
            let store = Arc::clone(&handles[holder as usize % 2]);
            tokio::spawn(async move { store.audit_lease("otlp", u64::MAX - holder, 0, 100).await.unwrap() })
        })
        .collect();
    let mut holders = Vec::new();
    for (taker, holder) in takers.into_iter().zip(0..) {
        if taker.await.unwrap() {
            holders.push(u64::MAX - holder);
        }
    }
    let [holder] = holders[..] else { panic!("{holders:?} have it") };
    let store = &handles[0];
    assert!(store.audit_lease("retention", 1, 0, 100).await.unwrap(), "other work");
    assert!(!store.audit_lease("otlp", 1, 99, 200).await.unwrap());
    assert!(store.audit_lease("otlp", holder, 99, 200).await.unwrap(), "the same holder goes on");
    assert!(!store.audit_lease("otlp", 1, 199, 300).await.unwrap());
    assert!(store.audit_lease("otlp", holder, 150, 150).await.unwrap(), "the holder ends it");
    assert!(store.audit_lease("otlp", 1, 150, 300).await.unwrap());
    assert!(!store.audit_lease("otlp", holder, 299, 400).await.unwrap());
    assert!(store.audit_lease("otlp", holder, 300, 400).await.unwrap(), "by time");

    let year_ms = 365 * DAY_MS;
    assert!(store.audit_lease("otlp", holder, year_ms, year_ms + 100).await.unwrap(), "a clock that is wrong");
    assert!(store.audit_lease("otlp", 1, 500, 600).await.unwrap(), "holds nobody off");
    assert!(!store.audit_lease("otlp", holder, 500, 600).await.unwrap());
}
