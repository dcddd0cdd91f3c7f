//! News of changes: from another handle, which stands for another process, from one's own, and when the news got lost.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use patchbay_core::Generation;
use patchbay_store::{CANCEL_ID_BYTES_MAX, Cancelled, Change};
use tokio::sync::broadcast::Receiver;

use crate::{
    place::Place,
    samples::{builtin, key, note, revocation, server_token, slug, tenant, with},
};

/// Far longer than any of it takes; a story that waits this long has failed.
const CEILING: Duration = Duration::from_secs(20);

async fn next(changes: &mut Receiver<Change>) -> Change {
    tokio::time::timeout(CEILING, changes.recv()).await.expect("a change is told").unwrap()
}

/// Waits for one change among others.
async fn hear(changes: &mut Receiver<Change>, wanted: &Change) {
    while next(changes).await != *wanted {}
}

fn acme_at(generation: u64) -> Change {
    Change::Tenant { slug: slug("acme"), generation: Generation(generation) }
}

fn acme_gone() -> Change {
    Change::TenantGone { slug: slug("acme") }
}

pub(crate) async fn second_handle_hears_of_every_change(place: Arc<Place>) {
    let (writer, reader) = (place.open().await, place.open().await);
    let mut changes = reader.changes();
    let id = writer.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    assert_eq!(next(&mut changes).await, acme_at(1));
    let row = key(id, 1);
    writer.key_create(&row, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_at(2));
    writer.key_revoke(id, row.id, 5, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_at(3));
    let row = revocation(id, "a", 1);
    writer.revocation_add(&row, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_at(4));
    assert_eq!(reader.revocation_list(id, 0).await.unwrap().len(), 1);
    writer.revocation_lift(id, row.id, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_at(5));
    assert_eq!(reader.revocation_list(id, 0).await.unwrap(), []);
    writer.tenant_delete(&slug("acme"), None, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_gone());
    writer.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    assert_eq!(next(&mut changes).await, acme_at(7));
    assert!(reader.tenant_load(&slug("acme")).await.unwrap().is_some());
}

pub(crate) async fn own_changes_are_heard_once(place: Arc<Place>) {
    let (store, other) = (place.open().await, place.open().await);
    let mut changes = store.changes();
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    store.tenant_delete(&slug("acme"), None, &note()).await.unwrap();
    // What the other one does is heard through the watcher, and by then the watcher has seen one's own changes too.
    other.tenant_apply(&tenant("other"), None, &note()).await.unwrap();
    let told: VecDeque<_> = [next(&mut changes).await, next(&mut changes).await, next(&mut changes).await].into();
    let end = Change::Tenant { slug: slug("other"), generation: Generation(1) };
    assert_eq!(told, [acme_at(1), acme_gone(), end]);
}

pub(crate) async fn what_is_no_change_is_not_told(place: Arc<Place>) {
    let (writer, reader) = (place.open().await, place.open().await);
    let doc = with(tenant("acme"), "db", builtin(serde_json::Value::Null));
    let id = writer.tenant_apply(&doc, None, &note()).await.unwrap().id;
    let row = key(id, 1);
    writer.key_create(&row, &note()).await.unwrap();
    let mut short = revocation(id, "a", 1);
    short.expires_ms = Some(5);
    writer.revocation_add(&short, &note()).await.unwrap();
    let late = place.open().await;
    let mut changes = [writer.changes(), late.changes()];
    let server = reader.tenant_load(&slug("acme")).await.unwrap().unwrap().servers[0].id;

    writer.tenant_apply(&doc, None, &note()).await.unwrap();
    writer.keys_touch(&[(id, row.id, 9)]).await.unwrap();
    writer.catalog_put(id, server, b"tools").await.unwrap();
    writer.server_token_lease(id, server, 1, 0, 9).await.unwrap();
    writer.server_token_save(id, server, &server_token("t", 9)).await.unwrap();
    writer.server_token_forget(id, server, &server_token("t", 9)).await.unwrap();
    let mut same = revocation(id, "a", 4);
    same.expires_ms = short.expires_ms;
    assert!(writer.revocation_add(&same, &note()).await.is_err());
    assert_eq!(writer.revocation_list(id, 5).await.unwrap(), []);
    assert!(!writer.revocation_lift(id, short.id, &note()).await.unwrap());
    assert!(!writer.tenant_delete(&slug("nobody"), None, &note()).await.unwrap());
    writer.tenant_apply(&tenant("end"), None, &note()).await.unwrap();
    let end = Change::Tenant { slug: slug("end"), generation: Generation(1) };
    for changes in &mut changes {
        assert_eq!(next(changes).await, end);
    }
}

pub(crate) async fn second_handle_hears_of_tombstones(place: Arc<Place>) {
    let (writer, reader) = (place.open().await, place.open().await);
    let id = writer.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let mut changes = [writer.changes(), reader.changes()];
    for digest in [[1; 32], [2; 32]] {
        writer.tombstone_put(id, digest, i64::MAX).await.unwrap();
        for changes in &mut changes {
            hear(changes, &Change::Tombstones).await;
        }
    }
    assert_eq!(reader.tombstone_list(0).await.unwrap().len(), 2);
}

pub(crate) async fn taken_back_calls_are_told_to_other_handles_alone(place: Arc<Place>) {
    let (writer, reader) = (place.open().await, place.open().await);
    let (mut own, mut others) = (writer.cancels(), reader.cancels());
    let call = |id: &[u8]| Cancelled { session: [7; 16], id: id.to_vec() };
    let long = vec![b'1'; CANCEL_ID_BYTES_MAX + 1];
    writer.cancel_tell(&[]).await.unwrap();
    writer.cancel_tell(&[call(b"1"), call(&long), call(b"\"two words\"")]).await.unwrap();
    if place.is_shared() {
        for id in [&b"1"[..], b"\"two words\""] {
            let told = tokio::time::timeout(CEILING, others.recv()).await.expect("it is told").unwrap();
            assert_eq!(told, call(id));
        }
    }
    assert!(own.try_recv().is_err() && others.try_recv().is_err(), "nothing else is told");
}

pub(crate) async fn change_that_nobody_announced_is_found(place: Arc<Place>) {
    let store = place.open().await;
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    let mut changes = store.changes();
    place.run("UPDATE generations SET generation = generation + 1").await;
    hear(&mut changes, &acme_at(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_listener_comes_back_and_says_that_anything_may_have_changed() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    crate::place::tell(place, async |place| {
        let (writer, reader) = (place.open().await, place.open().await);
        let mut changes = reader.changes();
        place
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        hear(&mut changes, &Change::Resync).await;
        writer.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
        hear(&mut changes, &acme_at(1)).await;
        assert!(reader.tenant_load(&slug("acme")).await.unwrap().is_some());
    })
    .await;
}
