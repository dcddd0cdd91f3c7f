//! The audit: rows that are only ever added, and each only once.

use std::sync::Arc;

use patchbay_core::TenantId;
use patchbay_store::AuditRow;

use crate::place::Place;

/// More than one statement takes.
const MANY: u128 = 2345;

fn row(event_id: u128, tenant: Option<TenantId>) -> AuditRow {
    let at_ms = i64::try_from(event_id).unwrap();
    AuditRow { event_id, tenant, at_ms, kind: "call".to_owned(), json: format!("{{\"b\": {event_id},  \"a\":1.0}}") }
}

pub(crate) async fn rows_sent_twice_are_there_once(place: Arc<Place>) {
    let store = place.open().await;
    let rows: Vec<_> = (0..MANY).map(|id| row(id, None)).collect();
    assert_eq!(store.audit_append(&[]).await.unwrap(), 0);
    assert_eq!(store.audit_append(&rows[..1500]).await.unwrap(), 1500);
    assert_eq!(store.audit_append(&rows).await.unwrap(), 845);
    let twice = [row(MANY, None), row(MANY, None)];
    assert_eq!(store.audit_append(&twice).await.unwrap(), 1);
    assert_eq!(store.audit_count(None).await.unwrap(), 2346);
}

pub(crate) async fn rows_sent_by_many_at_once_are_there_once(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let senders: Vec<_> = (0..6)
        .map(|number| {
            let store = Arc::clone(&handles[number % 2]);
            let mut rows: Vec<_> = (0..MANY).map(|id| row(id, None)).collect();
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
    assert_eq!(u128::from(fresh), MANY);
}

pub(crate) async fn newest_rows_come_first_and_tenants_see_their_own(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, other) = (TenantId::random(), TenantId::random());
    let rows = [row(1, Some(acme)), row(4, Some(other)), row(3, Some(acme)), row(2, None), row(5, Some(acme))];
    store.audit_append(&rows).await.unwrap();
    let ids = async |tenant, limit| -> Vec<u128> {
        store.audit_recent(tenant, limit).await.unwrap().iter().map(|row| row.event_id).collect()
    };
    assert_eq!(ids(None, 100).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(Some(acme), 2).await, [5, 3]);
    assert_eq!(ids(Some(TenantId::random()), u32::MAX).await, []);
    assert_eq!(ids(None, 0).await, []);
    assert_eq!(store.audit_recent(Some(other), 1).await.unwrap(), [row(4, Some(other))], "byte for byte");
    assert_eq!((store.audit_count(Some(acme)).await.unwrap(), store.audit_count(None).await.unwrap()), (3, 5));
}
