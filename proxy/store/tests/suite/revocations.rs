//! Revocations: added, listed, lifted, expired.

use std::sync::Arc;

use patchbay_core::{
    Generation, RevocationId, TenantId,
    issuer::{RevocationRow, Revoked},
};
use patchbay_store::{Store, StoreError};

use crate::{
    place::Place,
    samples::{note, revocation, slug, tenant},
};

async fn made(store: &Arc<dyn Store>, name: &str) -> TenantId {
    store.tenant_apply(&tenant(name), None, &note()).await.unwrap().id
}

async fn generation(store: &Arc<dyn Store>, name: &str) -> Generation {
    store.tenant_load(&slug(name)).await.unwrap().unwrap().generation
}

fn until(mut row: RevocationRow, expires_ms: i64) -> RevocationRow {
    row.expires_ms = Some(expires_ms);
    row
}

pub(crate) async fn revocation_of_an_unknown_tenant_and_the_same_twice_are_refused(place: Arc<Place>) {
    let store = place.open().await;
    let nowhere = store.revocation_add(&revocation(TenantId::random(), "a", 1), &note()).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
    assert!(!store.revocation_lift(TenantId::random(), RevocationId::random(), &note()).await.unwrap());

    let acme = made(&store, "acme").await;
    let first = revocation(acme, "a", 1);
    store.revocation_add(&first, &note()).await.unwrap();
    let mut same_id = revocation(acme, "b", 1);
    same_id.id = first.id;
    for twice in [&first, &until(revocation(acme, "a", 2), 9), &same_id] {
        let Err(StoreError::Exists(text)) = store.revocation_add(twice, &note()).await else {
            panic!("it was added twice")
        };
        assert!(text.contains("lift"), "{text}");
    }
    assert_eq!(store.revocation_list(acme, 0).await.unwrap(), [first]);
    assert_eq!(generation(&store, "acme").await, Generation(2));
}

pub(crate) async fn foreign_revocation_is_not_listed_and_cannot_be_lifted(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, other) = (made(&store, "acme").await, made(&store, "other").await);
    let row = revocation(acme, "a", 1);
    store.revocation_add(&row, &note()).await.unwrap();
    assert_eq!(store.revocation_list(other, 0).await.unwrap(), []);
    assert!(!store.revocation_lift(other, row.id, &note()).await.unwrap());
    assert_eq!(store.revocation_list(acme, 0).await.unwrap().len(), 1);
    assert_eq!(generation(&store, "other").await, Generation(1));
    store.revocation_add(&revocation(other, "a", 1), &note()).await.unwrap();

    // What expired is deleted where it was looked for, and nowhere else.
    store.revocation_add(&until(revocation(other, "b", 1), 5), &note()).await.unwrap();
    store.revocation_list(acme, 9).await.unwrap();
    assert_eq!(store.revocation_list(other, 4).await.unwrap().len(), 2);
}

pub(crate) async fn revocation_comes_back_as_it_was_made(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let (issuer, subject) = ("https://idp.example".to_owned(), "ä\u{0}\"ö".repeat(5000));
    let what = [
        Revoked::SubjectBefore { issuer: issuer.clone(), subject: subject.clone() },
        Revoked::Subject { issuer: issuer.clone(), subject: subject.clone() },
        Revoked::Token { issuer, jti: subject },
    ];
    let rows: Vec<_> = what
        .into_iter()
        .zip(1..)
        .map(|(what, created_ms)| RevocationRow { what, ..revocation(acme, "", created_ms) })
        .collect();
    let mut rows = rows;
    rows[1].reason = Some("Zoë's \"laptop\"".to_owned());
    rows[2] = until(rows[2].clone(), i64::MAX);
    for row in rows.iter().rev() {
        store.revocation_add(row, &note()).await.unwrap();
    }
    assert_eq!(store.revocation_list(acme, 0).await.unwrap(), rows, "oldest first");
    assert_eq!(generation(&store, "acme").await, Generation(4));
}

pub(crate) async fn lifted_revocation_is_gone_and_may_come_again(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let row = revocation(acme, "a", 1);
    store.revocation_add(&row, &note()).await.unwrap();
    assert!(!store.revocation_lift(acme, RevocationId::random(), &note()).await.unwrap());
    assert!(store.revocation_lift(acme, row.id, &note()).await.unwrap());
    assert!(!store.revocation_lift(acme, row.id, &note()).await.unwrap());
    assert_eq!(store.revocation_list(acme, 0).await.unwrap(), []);
    assert_eq!(generation(&store, "acme").await, Generation(3));
    store.revocation_add(&row, &note()).await.unwrap();
    assert_eq!(generation(&store, "acme").await, Generation(4));
}

pub(crate) async fn expired_revocations_are_left_out_deleted_and_in_nobodys_way(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    let rows = [
        until(revocation(acme, "a", 1), 100),
        until(revocation(acme, "b", 2), 101),
        until(revocation(acme, "c", 3), 200),
        revocation(acme, "d", 4),
    ];
    for row in &rows {
        store.revocation_add(row, &note()).await.unwrap();
    }
    assert_eq!(store.revocation_list(acme, 99).await.unwrap(), rows);
    assert_eq!(store.revocation_list(acme, 100).await.unwrap(), rows[1..]);
    assert_eq!(place.count("revocations").await, 3, "what expired was deleted");
    assert_eq!(generation(&store, "acme").await, Generation(5), "expiring is no change");

    let again = until(revocation(acme, "b", 100), 101);
    assert!(matches!(store.revocation_add(&again, &note()).await, Err(StoreError::Exists(_))), "it still stands");
    let again = revocation(acme, "b", 101);
    store.revocation_add(&again, &note()).await.unwrap();
    assert_eq!(store.revocation_list(acme, 300).await.unwrap(), [rows[3].clone(), again]);
}

pub(crate) async fn refused_revocation_holds_nothing_up(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    for round in 1..=10 {
        let now_ms = round * 100;
        let (over, standing) = (until(revocation(acme, "a", 1), now_ms), revocation(acme, &format!("{round}"), 1));
        store.revocation_add(&over, &note()).await.unwrap();
        store.revocation_add(&standing, &note()).await.unwrap();
        // It deletes what is over before it finds that nothing is to be added; the deletion is taken back with the rest.
        let again = RevocationRow { created_ms: now_ms, ..standing.clone() };
        assert!(matches!(store.revocation_add(&again, &note()).await, Err(StoreError::Exists(_))));
        assert_eq!(store.revocation_list(acme, now_ms).await.unwrap().len(), round as usize);
        assert_eq!(place.count("revocations").await, round, "what is over is deleted at once");
    }
}

pub(crate) async fn same_thing_revoked_again_for_longer_or_from_later_on_counts(place: Arc<Place>) {
    let store = place.open().await;
    let acme = made(&store, "acme").await;
    // An account is cleaned up twice: what was issued in between must not stay good.
    let before = |created_ms| {
        let what = Revoked::SubjectBefore { issuer: "https://idp.example".to_owned(), subject: "ann".to_owned() };
        RevocationRow { what, ..revocation(acme, "", created_ms) }
    };
    let first = RevocationRow { reason: Some("laptop".to_owned()), ..until(before(10), 1000) };
    store.revocation_add(&first, &note()).await.unwrap();
    let second = until(before(20), 900);
    store.revocation_add(&second, &note()).await.unwrap();
    let expected = RevocationRow { reason: first.reason.clone(), ..until(second.clone(), 1000) };
    assert_eq!(store.revocation_list(acme, 0).await.unwrap(), [expected], "the later moment, and the later end");
    for weaker in [until(before(19), 1000), until(before(20), 999)] {
        assert!(matches!(store.revocation_add(&weaker, &note()).await, Err(StoreError::Exists(_))));
    }
    assert_eq!(generation(&store, "acme").await, Generation(3));
    assert!(store.revocation_lift(acme, second.id, &note()).await.unwrap(), "it is known by the newer id");

    // One for a day, then one for good; the other way round there is nothing to do.
    store.revocation_add(&until(revocation(acme, "a", 10), 50), &note()).await.unwrap();
    let forever = revocation(acme, "a", 30);
    store.revocation_add(&forever, &note()).await.unwrap();
    let expected = RevocationRow { created_ms: 10, ..forever.clone() };
    assert_eq!(store.revocation_list(acme, 60).await.unwrap(), [expected], "it stands since the first");
    assert!(matches!(
        store.revocation_add(&until(revocation(acme, "a", 40), 99), &note()).await,
        Err(StoreError::Exists(_))
    ));
}

pub(crate) async fn same_thing_revoked_by_many_at_once_is_there_once(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let acme = made(&handles[0], "acme").await;
    let adders: Vec<_> = (0..10)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            tokio::spawn(async move { store.revocation_add(&revocation(acme, "a", 1), &note()).await })
        })
        .collect();
    let mut added = 0;
    for adder in adders {
        match adder.await.unwrap() {
            Ok(()) => added += 1,
            Err(StoreError::Exists(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((added, handles[1].revocation_list(acme, 0).await.unwrap().len()), (1, 1));
    assert_eq!(generation(&handles[0], "acme").await, Generation(2));
}
