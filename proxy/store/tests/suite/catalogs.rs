//! What hangs on servers and tenants without being a change of them: catalogs and tombstones.

use std::sync::Arc;

use patchbay_core::{ServerId, TenantId};
use patchbay_store::{Store, StoreError, Tombstone};

use crate::{
    place::Place,
    samples::{http, note, slug, tenant, with},
};

const URL: &str = "https://example.com/mcp";

/// A tenant with one server.
async fn made(store: &Arc<dyn Store>, name: &str) -> (TenantId, ServerId) {
    let id = store.tenant_apply(&with(tenant(name), "web", http(URL, &[])), None, &note()).await.unwrap().id;
    (id, store.tenant_load(&slug(name)).await.unwrap().unwrap().servers[0].id)
}

pub(crate) async fn catalog_of_a_foreign_server_is_refused(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    let (other, _) = made(&store, "other").await;
    for (tenant, server) in [(other, server), (acme, ServerId::random())] {
        let refused = store.catalog_put(tenant, server, b"x").await;
        assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    }
    store.catalog_put(acme, server, b"x").await.unwrap();
    assert_eq!(store.catalog_list(other).await.unwrap(), []);
}

pub(crate) async fn catalog_is_replaced_and_goes_with_its_server(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    let large = vec![0xfe; 1 << 20];
    for bytes in [&b"first"[..], &large] {
        store.catalog_put(acme, server, bytes).await.unwrap();
        assert_eq!(store.catalog_list(acme).await.unwrap(), [(server, bytes.to_vec())]);
    }
    let mut doc = with(tenant("acme"), "web", http(URL, &[]));
    doc.title = Some("renamed".to_owned());
    store.tenant_apply(&doc, None, &note()).await.unwrap();
    assert_eq!(store.catalog_list(acme).await.unwrap().len(), 1, "a change beside the server leaves its catalog");
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    assert_eq!(store.catalog_list(acme).await.unwrap(), []);
}

pub(crate) async fn catalog_goes_when_the_server_is_reached_otherwise(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    store.catalog_put(acme, server, b"old").await.unwrap();
    let mut doc = with(tenant("acme"), "web", http(URL, &[]));
    doc.servers.get_mut("web").unwrap().spec.instructions = true;
    store.tenant_apply(&doc, None, &note()).await.unwrap();
    assert_eq!(store.catalog_list(acme).await.unwrap().len(), 1);
    let moved = with(tenant("acme"), "web", http("https://elsewhere.example/mcp", &[]));
    store.tenant_apply(&moved, None, &note()).await.unwrap();
    assert_eq!(store.catalog_list(acme).await.unwrap(), []);
}

pub(crate) async fn tombstone_of_an_unknown_tenant_is_refused(place: Arc<Place>) {
    let store = place.open().await;
    let refused = store.tombstone_put(TenantId::random(), [1; 32], i64::MAX).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
}

pub(crate) async fn only_the_first_of_many_buries_a_digest(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let (acme, _) = made(&handles[0], "acme").await;
    let diggers: Vec<_> = (0..10)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            tokio::spawn(async move { store.tombstone_put(acme, [7; 32], 100).await.unwrap() })
        })
        .collect();
    let mut first = 0;
    for digger in diggers {
        first += u32::from(digger.await.unwrap());
    }
    assert_eq!(first, 1);
    let (other, _) = made(&handles[0], "other").await;
    assert!(handles[0].tombstone_put(other, [7; 32], 100).await.unwrap(), "tenants do not share digests");
}

pub(crate) async fn expired_tombstones_are_gone(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, _) = made(&store, "acme").await;
    for (digest, expires_ms) in [([1; 32], 100), ([2; 32], 101), ([3; 32], i64::MAX)] {
        store.tombstone_put(acme, digest, expires_ms).await.unwrap();
    }
    let stone = |digest, expires_ms| Tombstone { tenant: acme, digest, expires_ms };
    let mut found = store.tombstone_list(100).await.unwrap();
    found.sort_by_key(|stone| stone.digest);
    assert_eq!(found, [stone([2; 32], 101), stone([3; 32], i64::MAX)]);
    assert_eq!(store.tombstone_list(0).await.unwrap().len(), 2, "what expired was deleted");
}
