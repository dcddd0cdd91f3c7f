//! What becomes of old rows: chains lose their beginnings, and what is left can still be verified.

use std::sync::Arc;

use patchbay_core::{
    TenantId,
    audit::{Chained, Checkpoint, CheckpointReason, Link, Verifier},
};
use patchbay_store::{AuditHead, AuditRow, Store, StoreError};

use crate::{
    place::Place,
    samples::{Chain, DAY_MS, NOW_MS, loose},
};

/// The day of [`NOW_MS`] begins.
const TODAY_MS: i64 = NOW_MS - DAY_MS / 2;

/// Retention checkpoints of what has expired, as a gateway signs them.
async fn anchors(store: &Arc<dyn Store>, before_ms: i64) -> Vec<Checkpoint> {
    let expired = store.audit_expired(before_ms).await.unwrap();
    let anchor = |(chain, link)| Checkpoint {
        chain,
        link,
        reason: CheckpointReason::Retention,
        at_ms: NOW_MS,
        signature: [7; 64],
    };
    expired.into_iter().map(anchor).collect()
}

async fn retain(store: &Arc<dyn Store>, before_ms: i64) -> u64 {
    store.audit_retain(before_ms, &anchors(store, before_ms).await).await.unwrap()
}

/// The numbers of the rows that a chain has, after it was verified from its last anchor on to its head.
async fn verified(store: &Arc<dyn Store>, chain: &Chain) -> Vec<u64> {
    let checkpoints = store.audit_checkpoint_list(chain.id, 0).await.unwrap();
    let anchor = checkpoints.iter().rfind(|one| one.reason == CheckpointReason::Retention);
    let anchor = anchor.map_or(Link::START, |anchor| anchor.link);
    let rows = store.audit_chain(chain.id, 0, u32::MAX).await.unwrap();
    let mut verifier = Verifier::new(chain.id, anchor, vec![]);
    for AuditRow { event_id, link, at_ms, kind, json, .. } in rows.iter().filter(|row| row.link.seq > anchor.seq) {
        verifier.record(&Chained { link: *link, event_id: *event_id, at_ms: *at_ms, kind, json }).unwrap();
    }
    assert_eq!(verifier.end().unwrap(), chain.last);
    rows.iter().map(|row| row.link.seq).collect()
}

pub(crate) async fn nothing_expires_before_its_time(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(TODAY_MS).await.unwrap();
    assert_eq!(store.audit_expired(i64::MAX).await.unwrap(), []);
    let mut chain = Chain::new(None, 7);
    store.audit_append(&chain.rows(TODAY_MS, 3)).await.unwrap();
    for before_ms in [i64::MIN, 0, TODAY_MS - DAY_MS, TODAY_MS] {
        assert_eq!(store.audit_expired(before_ms).await.unwrap(), [], "{before_ms}");
        assert_eq!(retain(&store, before_ms).await, 0, "{before_ms}");
    }
    assert_eq!(verified(&store, &chain).await, [1, 2, 3]);
}

pub(crate) async fn chain_loses_its_beginning_only_and_is_verified_from_its_anchor(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(TODAY_MS).await.unwrap();
    let tomorrow_ms = TODAY_MS + DAY_MS;
    let (mut acme, mut other) = (Chain::new(Some(TenantId::random()), 7), Chain::new(None, u64::MAX));
    let late = tomorrow_ms - 1;
    // The call of record 4 began today and ended tomorrow, when three others had begun and ended.
    let rows = [TODAY_MS, late, tomorrow_ms, late, tomorrow_ms + 1, tomorrow_ms + 2].map(|at_ms| acme.row(at_ms));
    store.audit_append(&rows).await.unwrap();
    store.audit_append(&other.rows(TODAY_MS, 5)).await.unwrap();
    let head = Checkpoint { reason: CheckpointReason::Head, ..anchors(&store, tomorrow_ms).await[0].clone() };
    let early = Checkpoint { link: rows[0].link, chain: acme.id, ..head.clone() };
    let kept = Checkpoint { link: rows[4].link, chain: acme.id, ..head };
    store.audit_checkpoint_put(&[early, kept.clone()]).await.unwrap();

    let mut expired = store.audit_expired(tomorrow_ms).await.unwrap();
    expired.sort_by_key(|(chain, _)| *chain);
    assert_eq!(expired, [(other.id, other.last), (acme.id, rows[1].link)]);
    assert_eq!(retain(&store, tomorrow_ms).await, 7);
    assert_eq!(verified(&store, &acme).await, [3, 4, 5, 6]);
    assert_eq!(verified(&store, &other).await, [] as [u64; 0]);
    assert_eq!(store.audit_chain(acme.id, 0, 9).await.unwrap(), rows[2..], "byte for byte");
    let checkpoints = store.audit_checkpoint_list(acme.id, 0).await.unwrap();
    let places: Vec<_> = checkpoints.iter().map(|one| (one.link.seq, one.reason)).collect();
    assert_eq!(places, [(2, CheckpointReason::Retention), (5, CheckpointReason::Head)]);
    assert_eq!(checkpoints[1], kept);
    assert_eq!((retain(&store, tomorrow_ms).await, store.audit_count(None).await.unwrap()), (0, 4));

    // The day after, they all go.
    assert_eq!(retain(&store, tomorrow_ms + DAY_MS).await, 4);
    assert_eq!(verified(&store, &acme).await, [] as [u64; 0]);
    store.audit_append(&[acme.row(tomorrow_ms + DAY_MS)]).await.unwrap();
    assert_eq!(verified(&store, &acme).await, [7], "the chain goes on");
}

pub(crate) async fn row_that_comes_late_is_not_removed_unsaid(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(TODAY_MS).await.unwrap();
    let tomorrow_ms = TODAY_MS + DAY_MS;
    let (mut chain, mut fresh) = (Chain::new(None, 7), Chain::new(None, 9));
    store.audit_append(&chain.rows(TODAY_MS, 3)).await.unwrap();
    let anchors = anchors(&store, tomorrow_ms).await;
    // Between the question and the removal, a spool that waited for the store brings old rows.
    store.audit_append(&[chain.row(TODAY_MS), fresh.row(TODAY_MS)]).await.unwrap();
    assert_eq!(store.audit_retain(tomorrow_ms, &anchors).await.unwrap(), 3);
    assert_eq!(verified(&store, &chain).await, [4]);
    assert_eq!(verified(&store, &fresh).await, [1]);
    assert_eq!(retain(&store, tomorrow_ms).await, 2);
    // And later still, when there is no partition for that day any more.
    store.audit_append(&[chain.row(TODAY_MS)]).await.unwrap();
    assert_eq!(verified(&store, &chain).await, [5]);
    assert_eq!((retain(&store, tomorrow_ms).await, store.audit_count(None).await.unwrap()), (1, 0));
}

pub(crate) async fn rows_in_no_chain_go_by_their_time_alone(place: Arc<Place>) {
    let store = place.open().await;
    let mut old = Chain::new(Some(TenantId::random()), 7);
    let id = |at_ms| Chain::new(None, 1).row(at_ms).event_id;
    let rows = [TODAY_MS - 1, TODAY_MS].map(|at_ms| loose(id(at_ms), old.id.tenant, at_ms));
    store.audit_append(&rows).await.unwrap();
    store.audit_append(&[old.row(TODAY_MS)]).await.unwrap();
    assert_eq!(store.audit_expired(TODAY_MS).await.unwrap(), []);
    assert_eq!(retain(&store, TODAY_MS).await, 1);
    assert_eq!((store.audit_unchained(None).await.unwrap(), store.audit_count(None).await.unwrap()), (1, 2));
}

pub(crate) async fn long_chain_goes_in_batches_and_the_next_time_goes_on(place: Arc<Place>) {
    let store = place.open().await;
    let mut chain = Chain::new(None, 7);
    store.audit_append(&chain.rows(TODAY_MS - DAY_MS, 4500)).await.unwrap();
    store.audit_append(&chain.rows(TODAY_MS, 2)).await.unwrap();
    let anchors = anchors(&store, TODAY_MS).await;
    // A removal that broke off: the anchor is there, and the first rows are gone.
    store.audit_checkpoint_put(&anchors).await.unwrap();
    place.run("DELETE FROM audit WHERE seq < 100").await;
    assert_eq!(verified(&store, &chain).await.len(), 4403);
    assert_eq!(store.audit_expired(TODAY_MS).await.unwrap(), [(chain.id, anchors[0].link)]);
    assert_eq!(retain(&store, TODAY_MS).await, 4401);
    assert_eq!(verified(&store, &chain).await, [4501, 4502]);
}

pub(crate) async fn many_chains_expire_at_once(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(TODAY_MS).await.unwrap();
    let tenants = (1..=600_u128).map(TenantId::from_bits);
    let mut chains: Vec<_> = tenants.flat_map(|tenant| [1, u64::MAX].map(|by| Chain::new(Some(tenant), by))).collect();
    let old: Vec<_> = chains.iter_mut().map(|chain| chain.row(TODAY_MS)).collect();
    store.audit_append(&old).await.unwrap();
    let new: Vec<_> = chains.iter_mut().step_by(2).map(|chain| chain.row(TODAY_MS + DAY_MS)).collect();
    store.audit_append(&new).await.unwrap();
    let mut expired = store.audit_expired(TODAY_MS + DAY_MS).await.unwrap();
    expired.sort_by_key(|(chain, _)| *chain);
    let expected: Vec<_> = old.iter().map(|row| (row.chain, row.link)).collect();
    assert_eq!(expired, expected);
    assert_eq!(retain(&store, TODAY_MS + DAY_MS).await, 1200);
    assert_eq!(store.audit_count(None).await.unwrap(), 600);
}

pub(crate) async fn whole_chain_goes_and_its_head_stays(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(TODAY_MS).await.unwrap();
    let mut chain = Chain::new(Some(TenantId::random()), 7);
    store.audit_append(&chain.rows(TODAY_MS, 3)).await.unwrap();
    assert_eq!(retain(&store, TODAY_MS + 2 * DAY_MS).await, 3);
    let head = AuditHead { chain: chain.id, last: chain.last, at_ms: TODAY_MS };
    assert_eq!(store.audit_heads(None, None).await.unwrap(), [head]);
    assert_eq!(store.audit_expired(TODAY_MS + 2 * DAY_MS).await.unwrap(), []);
}

pub(crate) async fn many_prepare_at_once_and_again(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let mut chain = Chain::new(None, 7);
    // Days after those are far away; rows come all the same, and now.
    store_all(&handles[0], &mut chain, &[TODAY_MS - DAY_MS, TODAY_MS + 100 * DAY_MS]).await;
    for now_ms in [TODAY_MS, TODAY_MS, TODAY_MS + 3 * DAY_MS] {
        let preparing: Vec<_> = (0..6)
            .map(|number| {
                let store = Arc::clone(&handles[number % 2]);
                tokio::spawn(async move { store.audit_prepare(now_ms).await })
            })
            .collect();
        store_all(&handles[1], &mut chain, &[now_ms, now_ms + DAY_MS]).await;
        for prepared in preparing {
            // A row that came first has taken its day's place.
            if let Err(error) = prepared.await.unwrap() {
                assert!(error.to_string().contains("in the default partition already"), "{error}");
            }
        }
    }
    assert_eq!(verified(&handles[0], &chain).await.len(), 8);
}

async fn store_all(store: &Arc<dyn Store>, chain: &mut Chain, times: &[i64]) {
    let rows: Vec<_> = times.iter().map(|at_ms| chain.row(*at_ms)).collect();
    store.audit_append(&rows).await.unwrap();
}

#[tokio::test]
async fn postgres_drops_whole_days_and_says_what_it_cannot_prepare() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    crate::place::tell(place, async |place| {
        let store = place.open().await;
        let partitions = async || place.count("pg_inherits WHERE inhparent = 'audit'::regclass").await;
        assert_eq!(partitions().await, 1, "a new store has no partition of what was before");
        let mut chain = Chain::new(None, 7);
        store_all(&store, &mut chain, &[TODAY_MS + 2 * DAY_MS]).await;
        let error = store.audit_prepare(NOW_MS).await.unwrap_err();
        let said = "audit_20261215 for 2026-12-15: rows of that day are in the default partition already";
        assert!(matches!(&error, StoreError::Unavailable { .. }) && error.to_string().contains(said), "{error}");
        assert_eq!(partitions().await, 8, "all but that day");

        store_all(&store, &mut chain, &[TODAY_MS, TODAY_MS + DAY_MS, TODAY_MS + 3 * DAY_MS]).await;
        assert_eq!(place.count("audit_rest").await, 1);
        assert_eq!(retain(&store, NOW_MS + DAY_MS).await, 0, "the first row of the chain is younger");
        assert_eq!((partitions().await, place.count("audit_rest").await), (7, 2), "the partition is gone, its row is not");
        assert_eq!(verified(&store, &chain).await, [1, 2, 3, 4]);
        assert_eq!(retain(&store, TODAY_MS + 3 * DAY_MS).await, 3);
        assert_eq!((partitions().await, place.count("audit_rest").await), (6, 0));
        assert_eq!(verified(&store, &chain).await, [4]);

        for days in [0, 8, 16] {
            store.audit_prepare(TODAY_MS + (20 + days) * DAY_MS).await.unwrap();
        }
        let times: Vec<_> = (20..44).map(|days| TODAY_MS + days * DAY_MS).collect();
        store_all(&store, &mut chain, &times).await;
        assert_eq!((partitions().await, place.count("audit_rest").await), (30, 0));
        assert_eq!(retain(&store, TODAY_MS + 43 * DAY_MS).await, 24);
        assert_eq!((partitions().await, verified(&store, &chain).await), (2, vec![28]));

        place.run("DO $$ BEGIN CREATE ROLE patchbay_test_reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; \
                   GRANT CREATE ON SCHEMA public TO patchbay_test_reader; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO patchbay_test_reader").await;
        let mut url: url::Url = place.url().parse().unwrap();
        url.set_username("patchbay_test_reader").unwrap();
        let vault = patchbay_store::Vault::new(1, crate::place::KEY);
        let guest = patchbay_store::open(url.as_str(), vault, Default::default()).await.unwrap();
        let error = guest.audit_prepare(NOW_MS + 50 * DAY_MS).await.unwrap_err();
        assert!(error.to_string().contains("must own the table audit"), "{error}");
        guest.audit_append(&[chain.row(NOW_MS + 50 * DAY_MS)]).await.unwrap();
        guest.close().await;
        place.run("DROP OWNED BY patchbay_test_reader").await;
    })
    .await;
}
