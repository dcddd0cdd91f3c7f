//! Changes of tenants and their records in the audit: both are there, or neither.

use std::sync::Arc;

use patchbay_core::{
    Generation, KeyId, RevocationId, TenantId,
    audit::{Chained, Link, Verifier, WriterId},
};
use patchbay_store::{AuditFilter, AuditRow, Note, Store, StoreError};

use crate::{
    place::Place,
    samples::{NOW_MS, http, key, note, revocation, slug, tenant, with},
    tenants::load,
};

pub(crate) fn said(what: &str) -> Note {
    Note::by_operator(what, NOW_MS)
}

/// What the operators' chain of a tenant says, after it was verified.
pub(crate) async fn told(store: &Arc<dyn Store>, tenant: impl Into<Option<TenantId>>) -> Vec<String> {
    let tenant = tenant.into();
    let heads = store.audit_heads(Some(WriterId::OPERATOR), Some(tenant)).await.unwrap();
    let [head] = heads[..] else { panic!("there is one chain of operators: {heads:?}") };
    let rows = store.audit_chain(head.chain, 0, u32::MAX).await.unwrap();
    let mut verifier = Verifier::new(head.chain, Link::START, vec![]);
    for AuditRow { event_id, link, at_ms, kind, json, .. } in &rows {
        verifier.record(&Chained { link: *link, event_id: *event_id, at_ms: *at_ms, kind, json }).unwrap();
    }
    assert_eq!(verifier.end().unwrap(), head.last);
    let reason = |row: &AuditRow| {
        let record: serde_json::Value = serde_json::from_str(&row.json).unwrap();
        assert_eq!((row.kind.as_str(), &record["action"]), ("config.update", &"config.update".into()));
        let whose = tenant.map(|tenant| tenant.to_string().into()).unwrap_or_default();
        assert_eq!((row.facets.actor.as_str(), &record["tenant"]), ("operator", &whose));
        record["reason"].as_str().unwrap().to_owned()
    };
    rows.iter().map(reason).collect()
}

pub(crate) async fn change_that_fails_leaves_no_record(place: Arc<Place>) {
    let store = place.open().await;
    let id = store.tenant_apply(&tenant("acme"), None, &said("made acme")).await.unwrap().id;
    let row = key(id, 1);
    store.key_create(&row, &said("made a key")).await.unwrap();

    let other = with(tenant("acme"), "web", http("https://example.com/mcp", &[]));
    let stale = store.tenant_apply(&other, Some(Generation(9)), &note()).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    assert!(matches!(store.key_create(&row, &note()).await, Err(StoreError::Exists(_))));
    assert!(matches!(store.key_create(&key(TenantId::random(), 1), &note()).await, Err(StoreError::NotFound(_))));
    let nowhere = store.revocation_add(&revocation(TenantId::random(), "a", 1), &note()).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))));
    for table in ["api_keys", "revocations", "servers"] {
        place.refuse_rows(table).await;
        let refused = match table {
            "api_keys" => store.key_create(&key(id, 2), &note()).await,
            "revocations" => store.revocation_add(&revocation(id, "a", 1), &note()).await,
            _ => store.tenant_apply(&other, None, &note()).await.map(drop),
        };
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{table}: {refused:?}");
    }
    assert_eq!(told(&store, id).await, ["made acme", "made a key"]);
    assert_eq!(store.audit_count(None).await.unwrap(), 2);
}

pub(crate) async fn change_whose_record_cannot_be_written_is_not_made(place: Arc<Place>) {
    let store = place.open().await;
    let id = store.tenant_apply(&tenant("acme"), None, &said("made acme")).await.unwrap().id;
    let (held, revoked) = (key(id, 1), revocation(id, "a", 1));
    store.key_create(&held, &said("made a key")).await.unwrap();
    store.revocation_add(&revoked, &said("revoked a")).await.unwrap();
    let mut changes = store.changes();
    place.refuse_rows("audit").await;

    let other = with(tenant("acme"), "web", http("https://example.com/mcp", &[]));
    let refused = [
        store.tenant_apply(&other, None, &note()).await.map(drop),
        store.tenant_apply(&tenant("new"), None, &note()).await.map(drop),
        store.tenant_delete(&slug("acme"), None, &note()).await.map(drop),
        store.key_create(&key(id, 2), &note()).await,
        store.key_revoke(id, held.id, 5, &note()).await.map(drop),
        store.revocation_add(&revocation(id, "b", 1), &note()).await,
        store.revocation_lift(id, revoked.id, &note()).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    }
    let row = load(&store, "acme").await;
    assert_eq!((row.generation, row.servers.len()), (Generation(3), 0));
    assert_eq!(store.tenant_list().await.unwrap().len(), 1);
    let keys: Vec<_> = store.key_list(id).await.unwrap().iter().map(|key| (key.id, key.revoked_ms)).collect();
    assert_eq!(keys, [(held.id, None)]);
    assert_eq!(store.revocation_list(id, 0).await.unwrap(), [revoked]);
    assert!(changes.try_recv().is_err(), "nothing is told either");
    assert_eq!(told(&store, id).await, ["made acme", "made a key", "revoked a"]);
}

pub(crate) async fn every_change_leaves_a_record_in_one_chain(place: Arc<Place>) {
    let store = place.open().await;
    store.audit_prepare(NOW_MS).await.unwrap();
    let id = store.tenant_apply(&tenant("acme"), None, &said("made acme")).await.unwrap().id;
    let (row, revoked) = (key(id, 1), revocation(id, "a", 1));
    store.key_create(&row, &said("made a key")).await.unwrap();
    assert!(store.key_revoke(id, row.id, 5, &said("revoked the key")).await.unwrap());
    store.revocation_add(&revoked, &said("revoked a token")).await.unwrap();
    assert!(store.revocation_lift(id, revoked.id, &said("took it back")).await.unwrap());
    let other = with(tenant("acme"), "web", http("https://example.com/mcp", &[]));
    store.tenant_apply(&other, None, &said("added web")).await.unwrap();
    assert!(store.tenant_delete(&slug("acme"), None, &said("deleted acme")).await.unwrap());
    let all =
        ["made acme", "made a key", "revoked the key", "revoked a token", "took it back", "added web", "deleted acme"];
    assert_eq!(told(&store, id).await, all);

    let again = store.tenant_apply(&tenant("acme"), None, &said("made acme again")).await.unwrap().id;
    assert_eq!(told(&store, again).await, ["made acme again"], "another tenant, another chain");
    let newest = AuditFilter { tenant: Some(Some(id)), actor: Some("operator".to_owned()), ..AuditFilter::default() };
    let newest = store.audit_page(&newest, 1).await.unwrap();
    assert!(newest[0].json.contains("deleted acme"), "by their ids too, they are in order");
}

pub(crate) async fn what_is_no_change_leaves_no_record(place: Arc<Place>) {
    let store = place.open().await;
    let id = store.tenant_apply(&tenant("acme"), None, &said("made acme")).await.unwrap().id;
    assert!(!store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().changed);
    assert!(!store.tenant_delete(&slug("nobody"), None, &note()).await.unwrap());
    assert!(!store.key_revoke(id, KeyId::random(), 5, &note()).await.unwrap());
    assert!(!store.key_revoke(TenantId::random(), KeyId::random(), 5, &note()).await.unwrap());
    assert!(!store.revocation_lift(id, RevocationId::random(), &note()).await.unwrap());
    assert_eq!(told(&store, id).await, ["made acme"]);
}

pub(crate) async fn operators_at_once_make_one_chain(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let id = handles[0].tenant_apply(&tenant("acme"), None, &said("made acme")).await.unwrap().id;
    let makers: Vec<_> = (0..20)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            tokio::spawn(async move { store.key_create(&key(id, 1), &said(&format!("key {number}"))).await })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap().unwrap();
    }
    let told = told(&handles[1], id).await;
    assert_eq!(told.len(), 21);
    assert!((0..20).all(|number| told.contains(&format!("key {number}"))), "{told:?}");
}
