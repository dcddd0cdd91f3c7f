//! Changing the sealing key: everything is sealed anew, and who changes something meanwhile wins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use patchbay_core::{Generation, ServerId, TenantId, issuer::INTROSPECTION_SECRET, model::TenantDoc};
use patchbay_store::{Resealed, Reservation, Reserved, Store, StoreError, Vault};
use secrecy::ExposeSecret;
use sqlx::Connection;

use crate::{
    place::{KEY, Place},
    samples::{http, issuer, note, server_token, slug, tenant, trusting, with},
    tenants::{TOKEN, load},
};

const NEXT: [u8; 32] = [8; 32];
/// Far longer than any of it takes; a story that waits this long has failed.
const CEILING: Duration = Duration::from_secs(60);

fn rotated() -> Vault {
    Vault::new(2, NEXT).with_former(1, KEY)
}

/// A tenant with a server's secret and an issuer's.
fn doc(name: &str, value: Option<&str>) -> TenantDoc {
    let doc = with(tenant(name), "web", http("https://example.com/mcp", &[("header:Authorization", value)]));
    trusting(doc, "idp", issuer("https://idp.example", &[(INTROSPECTION_SECRET, value)]))
}

const ASKED: Reservation = Reservation { request: [1; 32], body: [1; 32], now_ms: 1, expires_ms: 9 };

/// One sealed thing of each kind.
async fn fill(store: &Arc<dyn Store>) -> (TenantId, ServerId) {
    let id = store.tenant_apply(&doc("acme", Some(TOKEN)), None, &note()).await.unwrap().id;
    let server = load(store, "acme").await.servers[0].id;
    store.server_token_save(id, server, &server_token("token", 9)).await.unwrap();
    assert_eq!(store.request_reserve(&ASKED).await.unwrap(), Reserved::New);
    store.request_answer(ASKED.request, b"answer").await.unwrap();
    // Neither of these has anything sealed.
    store.tenant_apply(&with(tenant("plain"), "web", http("https://example.com/", &[])), None, &note()).await.unwrap();
    assert_eq!(store.request_reserve(&Reservation { request: [2; 32], ..ASKED }).await.unwrap(), Reserved::New);
    let plain = load(store, "plain").await;
    assert!(store.server_token_lease(plain.id, plain.servers[0].id, 1, 0, 5).await.unwrap());
    (id, server)
}

pub(crate) async fn what_no_key_opens_is_counted_and_left_as_it_is(place: Arc<Place>) {
    fill(&place.open().await).await;
    let stranger = place.open_with(Vault::new(2, NEXT)).await;
    let closed = Resealed { closed: 4, ..Resealed::default() };
    assert_eq!(stranger.reseal().await.unwrap(), closed);
    let same_number = place.open_with(Vault::new(1, NEXT)).await;
    assert_eq!(same_number.reseal().await.unwrap(), closed, "a number alone opens nothing");
    assert_eq!(place.open().await.reseal().await.unwrap(), Resealed { current: 4, ..Resealed::default() });

    place.run("UPDATE issuer_secrets SET sealed = (SELECT sealed FROM secrets)").await;
    let expected = Resealed { current: 0, resealed: 3, closed: 1 };
    let store = place.open_with(rotated()).await;
    assert_eq!(store.reseal().await.unwrap(), expected);
    assert!(matches!(store.tenant_load(&slug("acme")).await, Err(StoreError::Sealed(_))));
    assert!(store.tenant_apply(&doc("acme", Some(TOKEN)), None, &note()).await.unwrap().changed, "the way out stays");
    assert_eq!(store.reseal().await.unwrap(), Resealed { current: 4, ..Resealed::default() });
}

pub(crate) async fn everything_is_sealed_anew_and_the_former_key_may_go(place: Arc<Place>) {
    let before = place.open().await;
    let (acme, server) = fill(&before).await;
    let records = before.audit_count(None).await.unwrap();
    let store = place.open_with(rotated()).await;
    let mut changes = store.changes();
    let fresh = store.tenant_apply(&doc("other", Some(TOKEN)), None, &note()).await.unwrap();
    assert!(changes.recv().await.is_ok());
    assert_eq!(store.reseal().await.unwrap(), Resealed { current: 2, resealed: 4, closed: 0 });
    assert_eq!(store.reseal().await.unwrap(), Resealed { current: 6, resealed: 0, closed: 0 });
    assert!(changes.try_recv().is_err(), "it is no change");
    assert_eq!(store.audit_count(None).await.unwrap(), records + 1);
    assert!(
        matches!(before.tenant_load(&slug("acme")).await, Err(StoreError::Sealed(_))),
        "the former key opens nothing"
    );

    let only = place.open_with(Vault::new(2, NEXT)).await;
    let row = load(&only, "acme").await;
    assert_eq!((row.id, row.generation), (acme, Generation(1)));
    assert_eq!(row.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
    assert_eq!(row.issuers[0].secrets.reveal(INTROSPECTION_SECRET), Some(TOKEN));
    let token = only.server_token_load(acme, server).await.unwrap().unwrap();
    assert_eq!((token.secret.expose_secret(), token.expires_ms), ("token", 9));
    assert_eq!(only.request_reserve(&ASKED).await.unwrap(), Reserved::Done(b"answer".to_vec()));
    for same in [Some(TOKEN), None] {
        assert!(
            !only.tenant_apply(&doc("acme", same), None, &note()).await.unwrap().changed,
            "the same file is no change"
        );
    }
    assert_eq!(load(&only, "other").await.id, fresh.id);
    only.server_token_forget(acme, server, &token).await.unwrap();
    assert!(only.server_token_load(acme, server).await.unwrap().is_none());
    let plain = load(&only, "plain").await;
    assert!(!only.server_token_lease(plain.id, plain.servers[0].id, 2, 0, 5).await.unwrap(), "leases stay");
}

pub(crate) async fn concurrent_changes_win_and_nothing_is_lost(place: Arc<Place>) {
    const TENANTS: usize = 3;
    let name = |number: usize| format!("tenant-{number}");
    // One replica still seals with the former key; it knows the next one already.
    let behind = place.open_with(Vault::new(1, KEY).with_former(2, NEXT)).await;
    let ahead = place.open_with(rotated()).await;
    for number in 0..TENANTS {
        behind.tenant_apply(&doc(&name(number), Some("0")), None, &note()).await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let sealers: Vec<_> = [&behind, &ahead]
        .map(|store| {
            let (store, done) = (Arc::clone(store), Arc::clone(&done));
            tokio::spawn(async move {
                let mut turns = 0;
                while !done.load(Ordering::Relaxed) || turns == 0 {
                    match store.reseal().await {
                        Ok(resealed) => assert_eq!(resealed.closed, 0),
                        Err(StoreError::Unavailable { tried, .. }) => assert!(tried.contains("do it again"), "{tried}"),
                        Err(error) => panic!("{error}"),
                    }
                    turns += 1;
                }
            })
        })
        .into();
    let writers: Vec<_> = (0..TENANTS)
        .map(|number| {
            let stores = [Arc::clone(&behind), Arc::clone(&ahead)];
            tokio::spawn(async move {
                let id = load(&stores[0], &name(number)).await.id;
                let server = load(&stores[0], &name(number)).await.servers[0].id;
                for turn in 0..15_usize {
                    let (store, value) = (&stores[turn % 2], format!("{number} {turn}"));
                    let applied = store.tenant_apply(&doc(&name(number), Some(&value)), None, &note()).await.unwrap();
                    assert!(applied.changed);
                    store.server_token_save(id, server, &server_token(&value, 9)).await.unwrap();
                    let other = &stores[(turn + 1) % 2];
                    assert!(!other.tenant_apply(&doc(&name(number), None), None, &note()).await.unwrap().changed);
                    other.server_token_forget(id, server, &server_token(&value, 9)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for sealer in sealers {
        sealer.await.unwrap();
    }
    let last = ahead.reseal().await.unwrap();
    assert_eq!((last.current + last.resealed, last.closed), (2 * TENANTS as u64, 0));
    let only = place.open_with(Vault::new(2, NEXT)).await;
    for number in 0..TENANTS {
        let row = load(&only, &name(number)).await;
        let value = format!("{number} 14");
        assert_eq!(row.servers[0].secrets.reveal("header:Authorization"), Some(value.as_str()));
        assert_eq!(row.issuers[0].secrets.reveal(INTROSPECTION_SECRET), Some(value.as_str()));
    }
}

pub(crate) async fn long_tables_are_gone_over_page_by_page(place: Arc<Place>) {
    let store = place.open().await;
    // Of one server more secrets than a page has, and pages that end amid a server.
    let names: Vec<_> = (0..130).map(|number| format!("header:X-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Some(name.as_str()))).collect();
    let mut doc = tenant("acme");
    for server in ["one", "two", "three"] {
        doc = with(doc, server, http("https://example.com/mcp", &many));
    }
    for number in 0..105 {
        let name = format!("idp-{number}");
        doc = trusting(doc, &name, issuer("https://idp.example", &[(INTROSPECTION_SECRET, Some(&name))]));
    }
    store.tenant_apply(&doc, None, &note()).await.unwrap();
    let store = place.open_with(rotated()).await;
    let all = 3 * 130 + 105;
    assert_eq!(store.reseal().await.unwrap(), Resealed { current: 0, resealed: all, closed: 0 });
    assert_eq!(store.reseal().await.unwrap(), Resealed { current: all, resealed: 0, closed: 0 });
    let row = load(&place.open_with(Vault::new(2, NEXT)).await, "acme").await;
    for server in &row.servers {
        assert!(names.iter().all(|name| server.secrets.reveal(name) == Some(name.as_str())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_that_somebody_holds_in_postgres_is_sealed_anew_once_it_is_free() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    crate::place::tell(place, async |place| {
        let secrets = [("header:A", Some("one")), ("header:B", Some("two"))];
        let doc = with(tenant("acme"), "web", http("https://example.com/mcp", &secrets));
        place.open().await.tenant_apply(&doc, None, &note()).await.unwrap();
        let holder = place.hold("SELECT sealed FROM secrets WHERE name = 'header:A' FOR UPDATE").await;
        let store = place.open_with(rotated()).await;
        let sealing = tokio::spawn(async move { store.reseal().await });
        // The other one is done meanwhile: nobody waits for this one in a transaction.
        let other = async { while place.count("secrets WHERE get_byte(sealed, 0) = 2").await == 0 {} };
        tokio::time::timeout(CEILING, other).await.expect("the other one is sealed anew");
        holder.close().await.unwrap();
        assert_eq!(sealing.await.unwrap().unwrap(), Resealed { current: 0, resealed: 2, closed: 0 });
        let row = load(&place.open_with(Vault::new(2, NEXT)).await, "acme").await;
        assert_eq!(row.servers[0].secrets.reveal("header:A"), Some("one"));
    })
    .await;
}
