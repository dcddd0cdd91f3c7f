//! API keys: made, listed, revoked, used.

use std::sync::Arc;

use patchbay_core::{Generation, KeyId, TenantId};
use patchbay_store::{Store, StoreError};

use crate::{
    place::Place,
    samples::{key, note, slug, tenant},
};

async fn made(store: &Arc<dyn Store>, name: &str) -> TenantId {
    store.tenant_apply(&tenant(name), None, &note()).await.unwrap().id
}

async fn generation(store: &Arc<dyn Store>, name: &str) -> Generation {
    store.tenant_load(&slug(name)).await.unwrap().unwrap().generation
}

pub(crate) async fn key_of_an_unknown_tenant_and_key_made_twice_are_refused(place: Arc<Place>) {
    let store = place.open().await;
    let nowhere = store.key_create(&key(TenantId::random(), 1), &note()).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");

    let acme = made(&store, "acme").await;
    let first = key(acme, 1);
    store.key_create(&first, &note()).await.unwrap();
    let mut same_digest = first.clone();
    same_digest.id = KeyId::random();
    for twice in [&first, &same_digest] {
        let refused = store.key_create(twice, &note()).await;
        assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    }
    assert_eq!(generation(&store, "acme").await, Generation(2));
}

pub(crate) async fn foreign_key_cannot_be_revoked_or_touched(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, other) = (made(&store, "acme").await, made(&store, "other").await);
    let row = key(acme, 1);
    store.key_create(&row, &note()).await.unwrap();
    assert!(!store.key_revoke(other, row.id, 5, &note()).await.unwrap());
    store.keys_touch(&[(other, row.id, 5), (TenantId::random(), KeyId::random(), 5)]).await.unwrap();
    let found = store.key_list(acme).await.unwrap().remove(0);
    assert_eq!((found.revoked_ms, found.used_ms), (None, None));
    assert!(store.key_list(other).await.unwrap().is_empty());
    assert_eq!(generation(&store, "other").await, Generation(1));
}

pub(crate) async fn key_comes_back_as_it_was_made(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let mut whole = key(acme, 20);
    whole.label = "Zoë's \"laptop\"".to_owned();
    whole.toolsets = Some(vec![slug("readers"), slug("default")]);
    (whole.expires_ms, whole.revoked_ms, whole.used_ms) = (Some(i64::MAX), Some(3), Some(4));
    let plain = key(acme, 10);
    for row in [&whole, &plain] {
        store.key_create(row, &note()).await.unwrap();
    }
    let shown: Vec<_> = store.key_list(acme).await.unwrap().iter().map(|row| format!("{row:?}")).collect();
    assert_eq!(shown, [format!("{plain:?}"), format!("{whole:?}")], "oldest first");
    assert_eq!(generation(&store, "acme").await, Generation(3));
}

pub(crate) async fn revoked_key_stays_revoked_since_the_first_time(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let row = key(acme, 1);
    store.key_create(&row, &note()).await.unwrap();
    assert!(!store.key_revoke(acme, KeyId::random(), 5, &note()).await.unwrap());
    assert!(store.key_revoke(acme, row.id, 5, &note()).await.unwrap());
    assert!(!store.key_revoke(acme, row.id, 6, &note()).await.unwrap());
    assert_eq!(store.key_list(acme).await.unwrap()[0].revoked_ms, Some(5));
    assert_eq!(generation(&store, "acme").await, Generation(3));
}

pub(crate) async fn replaced_key_ends_with_the_making_of_the_new_one_or_after_an_overlap(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, other) = (made(&store, "acme").await, made(&store, "other").await);
    let (mut at_once, mut later, mut sooner) = (key(acme, 1), key(acme, 2), key(acme, 3));
    (at_once.expires_ms, later.expires_ms, sooner.expires_ms) = (None, Some(900), Some(150));
    let (mut over, mut revoked) = (key(acme, 4), key(acme, 5));
    (over.expires_ms, revoked.revoked_ms) = (Some(100), Some(50));
    for row in [&at_once, &later, &sooner, &over, &revoked] {
        store.key_create(row, &note()).await.unwrap();
    }
    let before = generation(&store, "acme").await;
    // Those that open nothing, those of others, and those whose successor cannot be made: nothing is changed.
    for nothing in [over.id, revoked.id, KeyId::random()] {
        assert!(!store.key_rotate(nothing, &key(acme, 100), 200, &note()).await.unwrap());
    }
    assert!(!store.key_rotate(later.id, &key(other, 100), 200, &note()).await.unwrap());
    let twice = store.key_rotate(at_once.id, &later, 2, &note()).await;
    assert!(matches!(twice, Err(StoreError::Exists(_))), "{twice:?}");
    let nowhere = store.key_rotate(later.id, &key(TenantId::random(), 100), 200, &note()).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
    assert_eq!(generation(&store, "acme").await, before);

    for (number, (former, until_ms)) in [(&at_once, 100), (&later, 200), (&sooner, 200)].into_iter().enumerate() {
        let new = key(acme, 100);
        assert!(store.key_rotate(former.id, &new, until_ms, &note()).await.unwrap());
        assert_eq!(generation(&store, "acme").await, Generation(before.0 + number as u64 + 1));
    }
    let rows = store.key_list(acme).await.unwrap();
    let ends: Vec<_> = rows.iter().map(|row| (row.revoked_ms, row.expires_ms)).collect();
    let expected = [(Some(100), None), (None, Some(200)), (None, Some(150)), (None, Some(100)), (Some(50), None)];
    assert_eq!((&ends[..5], rows.len()), (&expected[..], 8));
    assert!(!store.key_rotate(at_once.id, &key(acme, 101), 200, &note()).await.unwrap(), "it was replaced before");
}

pub(crate) async fn last_use_only_moves_forward_and_changes_no_generation(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let (one, two) = (key(acme, 1), key(acme, 2));
    for row in [&one, &two] {
        store.key_create(row, &note()).await.unwrap();
    }
    store.keys_touch(&[]).await.unwrap();
    store.keys_touch(&[(acme, one.id, 5), (acme, two.id, 7), (acme, one.id, 9), (acme, one.id, 6)]).await.unwrap();
    store.keys_touch(&[(acme, one.id, 8), (acme, two.id, 8)]).await.unwrap();
    let used: Vec<_> = store.key_list(acme).await.unwrap().iter().map(|row| row.used_ms).collect();
    assert_eq!(used, [Some(9), Some(8)]);
    assert_eq!(generation(&store, "acme").await, Generation(3));
}

pub(crate) async fn keys_made_at_once_each_add_one(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let acme = made(&handles[0], "acme").await;
    let makers: Vec<_> = (0..20)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            tokio::spawn(async move { store.key_create(&key(acme, 1), &note()).await })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap().unwrap();
    }
    assert_eq!(handles[1].key_list(acme).await.unwrap().len(), 20);
    assert_eq!(generation(&handles[1], "acme").await, Generation(21));
}
