//! Admin keys: made, found, revoked, used, and gone with their tenant.

use std::sync::Arc;

use patchbay_core::{
    Generation, KeyId, TenantId,
    admin::{AdminKeyRow, Grant},
};
use patchbay_store::{Store, StoreError};

use crate::{
    notes::{said, told},
    place::Place,
    samples::{admin_key, admin_of, note, slug, tenant},
    tenants::load,
};

async fn made(store: &Arc<dyn Store>, name: &str) -> TenantId {
    store.tenant_apply(&tenant(name), None, &said("made it")).await.unwrap().id
}

async fn found(store: &Arc<dyn Store>, key: &AdminKeyRow) -> Option<AdminKeyRow> {
    store.admin_key_find(key.digest).await.unwrap()
}

pub(crate) async fn admin_key_of_an_unknown_tenant_and_one_made_twice_are_refused(place: Arc<Place>) {
    let store = place.open().await;
    for refused in [
        store.admin_key_create(&admin_key(admin_of("acme"), 1), &note()).await.map(|()| true),
        store.admin_key_bootstrap(&admin_key(admin_of("acme"), 1), &note()).await,
    ] {
        let Err(StoreError::NotFound(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("no tenant `acme`"), "{text}");
    }
    assert_eq!(place.count("generations").await, 0, "nothing is left of a tenant that is not there");

    let first = admin_key(Grant::PlatformAdmin, 1);
    store.admin_key_create(&first, &note()).await.unwrap();
    let same_digest = AdminKeyRow { id: KeyId::random(), ..first.clone() };
    let same_id = AdminKeyRow { digest: [9; 32], ..first.clone() };
    for twice in [&first, &same_digest, &same_id] {
        let refused = store.admin_key_create(twice, &note()).await;
        assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    }
    assert_eq!(store.admin_key_list().await.unwrap(), [first]);
}

pub(crate) async fn change_of_an_admin_key_and_its_record_are_both_there_or_neither(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let (platform, own) = (admin_key(Grant::PlatformAdmin, 1), admin_key(admin_of("acme"), 2));
    assert!(store.admin_key_bootstrap(&platform, &said("made the first")).await.unwrap());
    assert!(!store.admin_key_bootstrap(&admin_key(Grant::PlatformAdmin, 1), &note()).await.unwrap());
    store.admin_key_create(&own, &said("made one of acme")).await.unwrap();
    assert!(store.admin_key_create(&own, &note()).await.is_err());
    store.admin_key_touch(own.id, 5).await.unwrap();
    assert!(store.admin_key_revoke(platform.id, 6, &said("revoked the first")).await.unwrap());
    assert!(!store.admin_key_revoke(platform.id, 7, &note()).await.unwrap());
    assert!(!store.admin_key_revoke(KeyId::random(), 7, &note()).await.unwrap());
    assert_eq!(told(&store, None).await, ["made the first", "revoked the first"]);
    assert_eq!(told(&store, acme).await, ["made it", "made one of acme"]);

    place.refuse_rows("audit").await;
    let other = admin_key(admin_of("acme"), 3);
    let refused = [
        store.admin_key_create(&other, &note()).await.map(|()| true),
        store.admin_key_create(&admin_key(Grant::PlatformAdmin, 3), &note()).await.map(|()| true),
        store.admin_key_revoke(own.id, 7, &note()).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    }
    assert_eq!(store.admin_key_list().await.unwrap().len(), 2);
    assert_eq!(found(&store, &own).await.unwrap().revoked_ms, None);
    assert_eq!(load(&store, "acme").await.generation, Generation(1), "none of it is a change of the tenant");
}

pub(crate) async fn admin_key_is_replaced_with_its_record_or_not_at_all(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let former = AdminKeyRow { expires_ms: Some(900), ..admin_key(admin_of("acme"), 1) };
    store.admin_key_create(&former, &said("made the first")).await.unwrap();
    let next = |created_ms: i64| admin_key(admin_of("acme"), created_ms);
    let rotate = async |key: &AdminKeyRow, until_ms: i64, what: &str| {
        store.admin_key_rotate(former.id, key, until_ms, &said(what)).await
    };
    let expires_ms = async || found(&store, &former).await.unwrap().expires_ms;

    let twice = AdminKeyRow { digest: former.digest, ..next(100) };
    assert!(matches!(rotate(&twice, 500, "never").await, Err(StoreError::Exists(_))));
    assert_eq!(expires_ms().await, Some(900), "the former one goes on as it did");
    assert!(rotate(&next(100), 5000, "later than it expires").await.unwrap());
    assert_eq!(expires_ms().await, Some(900));
    let second = next(100);
    assert!(rotate(&second, 500, "with an overlap").await.unwrap());
    assert_eq!(expires_ms().await, Some(500));
    assert!(rotate(&next(499), 499, "at once").await.unwrap());
    assert_eq!(expires_ms().await, Some(499));
    assert!(!rotate(&next(499), 600, "never").await.unwrap(), "it opens nothing any more");
    assert!(!store.admin_key_rotate(KeyId::random(), &next(0), 600, &note()).await.unwrap());
    store.admin_key_revoke(second.id, 450, &said("revoked the second")).await.unwrap();
    assert!(!store.admin_key_rotate(second.id, &next(460), 600, &note()).await.unwrap());
    assert_eq!(store.admin_key_list().await.unwrap().len(), 4);
    let said =
        ["made it", "made the first", "later than it expires", "with an overlap", "at once", "revoked the second"];
    assert_eq!(told(&store, acme).await, said);
}

pub(crate) async fn admin_key_comes_back_as_it_was_made(place: Arc<Place>) {
    let store = place.open().await;
    made(&store, "acme").await;
    let mut whole = admin_key(Grant::TenantViewer { tenant: slug("acme") }, 30);
    whole.label = "Zoë's \"laptop\"".to_owned();
    (whole.expires_ms, whole.revoked_ms, whole.used_ms) = (Some(i64::MAX), Some(3), Some(4));
    let keys = [admin_key(Grant::PlatformAdmin, 10), admin_key(admin_of("acme"), 20), whole];
    for key in keys.iter().rev() {
        store.admin_key_create(key, &note()).await.unwrap();
        assert_eq!(found(&store, key).await.as_ref(), Some(key));
    }
    assert_eq!(store.admin_key_list().await.unwrap(), keys, "oldest first");
    assert_eq!(store.admin_key_find([0; 32]).await.unwrap(), None);

    place.run("UPDATE admin_keys SET role = 'tenant_admin' WHERE tenant_id IS NULL").await;
    let refused = store.admin_key_find(keys[0].digest).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "a role that makes no sense opens nothing: {refused:?}");
}

pub(crate) async fn revoked_admin_key_stays_revoked_since_the_first_time(place: Arc<Place>) {
    let (store, other) = (place.open().await, place.open().await);
    made(&store, "acme").await;
    for grant in [Grant::PlatformAdmin, admin_of("acme")] {
        let key = admin_key(grant, 1);
        store.admin_key_create(&key, &note()).await.unwrap();
        assert!(other.admin_key_revoke(key.id, 5, &note()).await.unwrap());
        assert!(!store.admin_key_revoke(key.id, 6, &note()).await.unwrap());
        assert_eq!(found(&store, &key).await.unwrap().revoked_ms, Some(5));
    }
}

pub(crate) async fn rotated_admin_key_gives_way_to_its_successor_once(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    for (grant, chain) in [(Grant::PlatformAdmin, None), (admin_of("acme"), Some(acme))] {
        let (former, next) = (admin_key(grant.clone(), 1), admin_key(grant, 100));
        assert!(!store.admin_key_rotate(former.id, &next, 500, &note()).await.unwrap(), "there is no such key");
        assert_eq!(found(&store, &next).await, None, "so it has no successor either");
        store.admin_key_create(&former, &said("made a key")).await.unwrap();
        let taken = AdminKeyRow { digest: former.digest, ..next.clone() };
        let refused = store.admin_key_rotate(former.id, &taken, 500, &note()).await;
        assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
        assert_eq!(found(&store, &former).await.unwrap().expires_ms, None, "all of it or nothing");

        assert!(store.admin_key_rotate(former.id, &next, 500, &said("rotated it")).await.unwrap());
        assert_eq!(found(&store, &former).await.unwrap().expires_ms, Some(500));
        assert_eq!(found(&store, &next).await, Some(next.clone()));
        let sooner = AdminKeyRow { created_ms: 200, ..admin_key(next.grant.clone(), 200) };
        assert!(store.admin_key_rotate(former.id, &sooner, 900, &said("again")).await.unwrap());
        assert_eq!(found(&store, &former).await.unwrap().expires_ms, Some(500), "it lives no longer for that");
        let late = admin_key(next.grant.clone(), 500);
        assert!(!store.admin_key_rotate(former.id, &late, 900, &note()).await.unwrap(), "it has expired");
        assert!(store.admin_key_revoke(next.id, 300, &said("revoked it")).await.unwrap());
        assert!(!store.admin_key_rotate(next.id, &late, 900, &note()).await.unwrap(), "it was revoked");
        assert_eq!(found(&store, &late).await, None);
        let told = told(&store, chain).await;
        assert!(told.ends_with(&["made a key", "rotated it", "again", "revoked it"].map(str::to_owned)), "{told:?}");
    }
}

pub(crate) async fn last_use_of_an_admin_key_is_noted_once_a_minute(place: Arc<Place>) {
    let store = place.open().await;
    let key = admin_key(Grant::PlatformAdmin, 1);
    store.admin_key_create(&key, &note()).await.unwrap();
    store.admin_key_touch(KeyId::random(), 5).await.unwrap();
    for (at_ms, noted) in
        [(100_000, 100_000), (99_999, 100_000), (159_999, 100_000), (160_000, 160_000), (i64::MIN, 160_000)]
    {
        store.admin_key_touch(key.id, at_ms).await.unwrap();
        assert_eq!(found(&store, &key).await.unwrap().used_ms, Some(noted), "{at_ms}");
    }
}

pub(crate) async fn one_of_ten_makes_the_first_admin_key(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let makers: Vec<_> = (0..10)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            let key = admin_key(Grant::PlatformAdmin, 1);
            tokio::spawn(async move { store.admin_key_bootstrap(&key, &said("first")).await.unwrap().then_some(key) })
        })
        .collect();
    let mut first = Vec::new();
    for maker in makers {
        first.extend(maker.await.unwrap());
    }
    assert_eq!(first.len(), 1);
    assert_eq!(handles[0].admin_key_list().await.unwrap(), first);
    assert_eq!(told(&handles[0], None).await, ["first"]);
    assert!(handles[1].admin_key_revoke(first[0].id, 5, &note()).await.unwrap());
    let late = handles[0].admin_key_bootstrap(&admin_key(Grant::PlatformAdmin, 2), &note()).await.unwrap();
    assert!(!late, "a revoked one is one too");
}

pub(crate) async fn admin_keys_go_with_their_tenant(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, _) = (made(&store, "acme").await, made(&store, "other").await);
    let keys = [Grant::PlatformAdmin, admin_of("acme"), admin_of("other")].map(|grant| admin_key(grant, 1));
    for key in &keys {
        store.admin_key_create(key, &said("made a key")).await.unwrap();
    }
    assert!(store.tenant_delete(&slug("acme"), None, &said("deleted it")).await.unwrap());
    assert_eq!(found(&store, &keys[1]).await, None);
    assert!(!store.admin_key_revoke(keys[1].id, 5, &note()).await.unwrap());
    made(&store, "acme").await;
    assert_eq!(found(&store, &keys[1]).await, None, "a tenant of the same name is another one");
    assert_eq!(store.admin_key_list().await.unwrap().len(), 2);
    assert_eq!(told(&store, acme).await, ["made it", "made a key", "deleted it"]);
}

pub(crate) async fn admin_keys_of_a_tenant_that_comes_and_goes_do_no_harm(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    for round in 0..6 {
        made(&handles[0], "acme").await;
        let users: Vec<_> = (0..4)
            .map(|number| {
                let store = Arc::clone(&handles[number % 2]);
                tokio::spawn(async move { administer_until_gone(&store).await })
            })
            .collect();
        assert!(handles[round % 2].tenant_delete(&slug("acme"), None, &note()).await.unwrap());
        for user in users {
            user.await.unwrap();
        }
    }
    assert_eq!(place.count("admin_keys WHERE tenant_id IS NOT NULL").await, 0);
}

/// What admins do with keys, until there is no such tenant.
async fn administer_until_gone(store: &Arc<dyn Store>) {
    for _ in 0..200 {
        let key = admin_key(admin_of("acme"), 1);
        match store.admin_key_create(&key, &note()).await {
            Ok(()) => {}
            Err(StoreError::NotFound(_)) => return,
            Err(error) => panic!("{error}"),
        }
        store.admin_key_touch(key.id, 5).await.unwrap();
        store.admin_key_bootstrap(&admin_key(Grant::PlatformAdmin, 1), &note()).await.unwrap();
        store.admin_key_revoke(key.id, 5, &note()).await.unwrap();
    }
}
