//! What legacy sessions asked for beside their calls.

use std::{sync::Arc, time::Duration};

use patchbay_core::TenantId;
use patchbay_store::{Change, SessionNote};

use crate::{
    place::Place,
    samples::{note, slug, tenant},
};

fn wish(tenant: TenantId, session: u8, name: &str, value: Option<&str>) -> SessionNote {
    let (name, value) = (name.to_owned(), value.map(str::to_owned));
    SessionNote { tenant, session: [session; 16], name, value, expires_ms: 100 }
}

pub(crate) async fn notes_of_an_unknown_tenant_are_passed_over(place: Arc<Place>) {
    let store = place.open().await;
    let acme = store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let (stray, good) = (wish(TenantId::random(), 1, "level", Some("info")), wish(acme, 1, "level", Some("info")));
    store.session_notes_put(&[stray.clone(), good.clone()]).await.unwrap();
    assert_eq!(store.session_notes_of(acme, [1; 16]).await.unwrap(), [good]);
    assert_eq!(store.session_notes_of(stray.tenant, [1; 16]).await.unwrap(), []);
    store.session_notes_put(&[stray]).await.unwrap();
}

pub(crate) async fn last_word_on_a_thing_counts_and_others_stay(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    let acme = one.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let long = format!("uri file:///{}", "x".repeat(16_000));
    let first = [wish(acme, 1, "level", Some("info")), wish(acme, 1, &long, Some("1")), wish(acme, 2, "level", None)];
    one.session_notes_put(&first).await.unwrap();
    two.session_notes_put(&[wish(acme, 1, "level", Some("error"))]).await.unwrap();
    two.session_notes_put(&[wish(acme, 1, &long, None)]).await.unwrap();
    let expected = [wish(acme, 1, "level", Some("error")), wish(acme, 1, &long, None)];
    assert_eq!(one.session_notes_of(acme, [1; 16]).await.unwrap(), expected);
    one.session_notes_forget(acme, [1; 16]).await.unwrap();
    assert_eq!(two.session_notes_of(acme, [1; 16]).await.unwrap(), []);
    assert_eq!(two.session_notes_of(acme, [2; 16]).await.unwrap().len(), 1);
    assert!(one.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
    assert_eq!(place.count("session_notes").await, 0);
}

pub(crate) async fn who_reads_on_misses_no_note_of_many_writers(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let acme = handles[0].tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let writers: Vec<_> = (0..20_u8)
        .map(|number| {
            let store = Arc::clone(&handles[usize::from(number) % 2]);
            tokio::spawn(async move {
                let notes = [wish(acme, number, "level", Some("info")), wish(acme, number, "uri a", Some("1"))];
                store.session_notes_put(&notes).await.unwrap();
            })
        })
        .collect();
    let (mut after, mut seen) = (0, Vec::new());
    let read_all = async {
        while seen.len() < 40 {
            for (seq, note) in handles[1].session_notes_since(after, 7).await.unwrap() {
                assert!(seq > after, "numbers grow");
                after = seq;
                seen.push((note.session, note.name));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read_all).await.expect("all are seen");
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(handles[0].session_notes_since(after, 7).await.unwrap(), []);
    handles[0].session_notes_put(&[wish(acme, 3, "level", Some("debug"))]).await.unwrap();
    assert_eq!(handles[1].session_notes_since(after, 7).await.unwrap().len(), 1, "one written anew comes again");
}

pub(crate) async fn expired_notes_are_deleted(place: Arc<Place>) {
    let store = place.open().await;
    let acme = store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let later = SessionNote { expires_ms: 200, ..wish(acme, 2, "level", Some("info")) };
    store.session_notes_put(&[wish(acme, 1, "level", Some("info")), later.clone()]).await.unwrap();
    assert_eq!(store.session_notes_sweep(99).await.unwrap(), 0);
    assert_eq!(store.session_notes_sweep(100).await.unwrap(), 1);
    let left: Vec<_> = store.session_notes_since(0, 9).await.unwrap().into_iter().map(|(_, note)| note).collect();
    assert_eq!(left, [later]);
}

pub(crate) async fn second_handle_hears_of_notes(place: Arc<Place>) {
    let (writer, reader) = (place.open().await, place.open().await);
    let acme = writer.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    let mut changes = [writer.changes(), reader.changes()];
    for value in ["info", "error"] {
        writer.session_notes_put(&[wish(acme, 1, "level", Some(value))]).await.unwrap();
        for changes in &mut changes {
            let heard = async { while changes.recv().await.unwrap() != Change::SessionNotes {} };
            tokio::time::timeout(Duration::from_secs(20), heard).await.expect("notes are told");
        }
    }
}
