//! Tenants under many writers, and tenants that go.

use std::{collections::BTreeSet, sync::Arc};

use patchbay_core::{Generation, KeyId, ServerId, Slug, TenantId, issuer::RevocationRow, model::ServerDoc};
use patchbay_store::{Store, StoreError};

use crate::{
    place::Place,
    samples::{http, issuer, key, loose, note, revocation, server_token, slug, tenant, trusting},
    tenants::{TOKEN, acme_with_token, load},
};

pub(crate) async fn twenty_writers_at_once_lose_no_update(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let writers: Vec<_> = (0..20)
        .map(|number| tokio::spawn(add_server(Arc::clone(&handles[number % 2]), slug(&format!("server-{number}")))))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let row = load(&handles[0], "acme").await;
    let names: BTreeSet<_> = row.servers.iter().map(|server| server.slug.clone()).collect();
    assert_eq!((row.generation, names.len()), (Generation(20), 20));
}

/// Reads, adds a server, writes what was read and the new one; again when somebody else was faster.
async fn add_server(store: Arc<dyn Store>, name: Slug) {
    for _ in 0..200 {
        let held = store.tenant_load(&slug("acme")).await.unwrap();
        let found = held.as_ref().map_or(Generation(0), |row| row.generation);
        let mut doc = tenant("acme");
        for server in held.into_iter().flat_map(|row| row.servers) {
            let secrets = server.secrets.0.into_keys().map(|name| (name, None)).collect();
            doc.servers.insert(server.slug, ServerDoc { spec: server.spec, secrets });
        }
        doc.servers.insert(name.clone(), http("https://example.com/mcp", &[("header:A", Some(name.as_str()))]));
        match store.tenant_apply(&doc, Some(found), &note()).await {
            Ok(applied) => return assert!(applied.changed),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{name} never got its turn");
}

pub(crate) async fn deleted_tenant_takes_everything_but_its_audit(place: Arc<Place>) {
    let store = place.open().await;
    let idp = issuer("https://idp.example", &[("introspection:client_secret", Some(TOKEN))]);
    let doc = trusting(acme_with_token(Some(TOKEN)), "idp", idp);
    let id = store.tenant_apply(&doc, None, &note()).await.unwrap().id;
    let server = load(&store, "acme").await.servers[0].id;
    store.key_create(&key(id, 1), &note()).await.unwrap();
    store.revocation_add(&revocation(id, "a", 1), &note()).await.unwrap();
    store.server_token_save(id, server, &server_token(TOKEN, 9)).await.unwrap();
    store.catalog_put(id, server, b"tools").await.unwrap();
    store.tombstone_put(id, [1; 32], i64::MAX).await.unwrap();
    store.audit_append(&[loose(1, Some(id), 1)]).await.unwrap();

    assert!(store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
    assert!(store.tenant_load(&slug("acme")).await.unwrap().is_none());
    assert!(store.key_list(id).await.unwrap().is_empty());
    assert!(store.catalog_list(id).await.unwrap().is_empty());
    assert!(store.tombstone_list(0).await.unwrap().is_empty());
    assert!(store.revocation_list(id, 0).await.unwrap().is_empty());
    assert!(store.server_token_load(id, server).await.unwrap().is_none());
    for table in ["issuers", "issuer_secrets", "revocations", "server_tokens", "secrets"] {
        assert_eq!(place.count(table).await, 0, "{table}");
    }
    assert_eq!(store.audit_count(Some(id)).await.unwrap(), 5, "what was there, and four notes of changes");
    assert!(!store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
}

pub(crate) async fn tenant_made_again_goes_on_counting(place: Arc<Place>) {
    let store = place.open().await;
    let first = store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    store.tenant_delete(&slug("acme"), None, &note()).await.unwrap();
    let second = store.tenant_apply(&tenant("acme"), Some(Generation(0)), &note()).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(second.generation, Generation(3), "made, deleted, made again");
}

pub(crate) async fn deletion_of_another_state_deletes_nothing(place: Arc<Place>) {
    let store = place.open().await;
    let generation = store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().generation;
    for stale in [0, generation.0 + 1] {
        let refused = store.tenant_delete(&slug("acme"), Some(Generation(stale)), &note()).await;
        assert!(matches!(refused, Err(StoreError::Conflict { found, .. }) if found == generation), "{refused:?}");
    }
    assert!(store.tenant_load(&slug("acme")).await.unwrap().is_some());
    assert!(store.tenant_delete(&slug("acme"), Some(generation), &note()).await.unwrap());
    assert!(!store.tenant_delete(&slug("acme"), Some(generation), &note()).await.unwrap());
}

pub(crate) async fn busy_tenant_is_deleted_and_made_again_without_harm(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let mut row = None;
    for round in 0..8 {
        let id = handles[0].tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap().id;
        let keys: Vec<_> = (0..30).map(|number| key(id, number)).collect();
        for key in &keys {
            handles[0].key_create(key, &note()).await.unwrap();
        }
        let server = load(&handles[0], "acme").await.servers[0].id;
        let users: Vec<_> = (0..4)
            .map(|number| {
                let store = Arc::clone(&handles[number % 2]);
                let used: Vec<_> = keys.iter().map(|key| (id, key.id, 100)).collect();
                tokio::spawn(async move { use_until_gone(store, used, server).await })
            })
            .collect();
        assert!(handles[round % 2].tenant_delete(&slug("acme"), None, &note()).await.unwrap());
        for user in users {
            user.await.unwrap();
        }
        row = handles[1].tenant_load(&slug("acme")).await.unwrap();
    }
    assert!(row.is_none());
}

/// What a running gateway writes for a tenant, until there is no such tenant.
async fn use_until_gone(store: Arc<dyn Store>, mut used: Vec<(TenantId, KeyId, i64)>, server: ServerId) {
    let tenant = used[0].0;
    for turn in 0..200_u8 {
        for (_, _, at_ms) in &mut used {
            *at_ms += 1;
        }
        store.keys_touch(&used).await.unwrap();
        let digest = patchbay_core::random_bytes();
        let put = [
            store.catalog_put(tenant, server, &[turn]).await.map(|()| true),
            store.tombstone_put(tenant, digest, i64::MAX).await,
            store.server_token_lease(tenant, server, turn.into(), 0, i64::MAX).await,
            store.server_token_save(tenant, server, &server_token(TOKEN, turn.into())).await.map(|()| true),
            store.revocation_add(&expiring(tenant), &note()).await.map(|()| true),
            store.revocation_list(tenant, i64::MAX).await.map(|_| true),
        ];
        for put in put {
            match put {
                Ok(_) => {}
                Err(StoreError::NotFound(_)) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A revocation that the next listing deletes.
fn expiring(tenant: TenantId) -> RevocationRow {
    let jti = format!("{:x}", u64::from_ne_bytes(patchbay_core::random_bytes()));
    RevocationRow { expires_ms: Some(i64::MAX), ..revocation(tenant, &jti, 1) }
}
