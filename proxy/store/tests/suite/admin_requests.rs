//! Requests of admins that must not be done twice: reserved, answered, released, expired.

use std::sync::Arc;

use patchbay_store::{ANSWER_BYTES_MAX, Reservation, Reserved, Store, StoreError, Vault};

use crate::place::{KEY, Place};

const NEW_KEY: &[u8] = br#"{"key":"pb_canary-5f2a9e"}"#;

fn asked(request: u8) -> Reservation {
    Reservation { request: [request; 32], body: [1; 32], now_ms: 1000, expires_ms: 2000 }
}

async fn reserve(store: &Arc<dyn Store>, asked: Reservation) -> Reserved {
    store.request_reserve(&asked).await.unwrap()
}

pub(crate) async fn request_that_runs_or_was_done_is_not_done_again(place: Arc<Place>) {
    let (store, other) = (place.open().await, place.open().await);
    let another_body = Reservation { body: [2; 32], ..asked(1) };
    assert_eq!(reserve(&store, asked(1)).await, Reserved::New);
    assert_eq!(reserve(&other, asked(1)).await, Reserved::Begun);
    assert_eq!(reserve(&other, another_body).await, Reserved::Differs);
    assert_eq!(reserve(&other, asked(2)).await, Reserved::New, "another request is another one");

    store.request_answer([1; 32], NEW_KEY).await.unwrap();
    for store in [&store, &other] {
        assert_eq!(reserve(store, asked(1)).await, Reserved::Done(NEW_KEY.to_vec()));
        assert_eq!(reserve(store, another_body).await, Reserved::Differs);
    }
    assert!(!format!("{:?}", reserve(&store, asked(1)).await).contains("99, 97, 110"), "no answer in a log");
    store.request_answer([2; 32], b"").await.unwrap();
    assert_eq!(reserve(&other, asked(2)).await, Reserved::Done(Vec::new()), "an empty answer is one");
}

pub(crate) async fn of_ten_who_reserve_at_once_one_may_do_it(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    for round in 0..5 {
        // Of the second round on, an expired one is in the way.
        let asked = Reservation { now_ms: 1000 * round, expires_ms: 1000 * round + 1000, ..asked(1) };
        let all: Vec<_> = (0..10)
            .map(|number| {
                let store = Arc::clone(&handles[number % 2]);
                tokio::spawn(async move { reserve(&store, asked).await })
            })
            .collect();
        let mut new = 0;
        for one in all {
            match one.await.unwrap() {
                Reserved::New => new += 1,
                Reserved::Begun => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(new, 1, "round {round}");
    }
}

pub(crate) async fn released_request_may_be_done_again_and_an_answered_one_may_not(place: Arc<Place>) {
    let store = place.open().await;
    store.request_release([1; 32]).await.unwrap();
    assert_eq!(reserve(&store, asked(1)).await, Reserved::New);
    store.request_release([1; 32]).await.unwrap();
    let another_body = Reservation { body: [2; 32], ..asked(1) };
    assert_eq!(reserve(&store, another_body).await, Reserved::New);
    store.request_answer([1; 32], b"done").await.unwrap();
    store.request_release([1; 32]).await.unwrap();
    assert_eq!(reserve(&store, another_body).await, Reserved::Done(b"done".to_vec()));
}

pub(crate) async fn answer_that_cannot_be_kept_is_refused(place: Arc<Place>) {
    let store = place.open().await;
    let nowhere = store.request_answer([1; 32], b"done").await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
    assert_eq!(reserve(&store, asked(1)).await, Reserved::New);
    let refused = store.request_answer([1; 32], &vec![b'x'; ANSWER_BYTES_MAX + 1]).await;
    assert!(matches!(&refused, Err(StoreError::TooLarge(text)) if text.contains("65536")), "{refused:?}");
    assert_eq!(reserve(&store, asked(1)).await, Reserved::Begun);

    let longest = vec![0xff; ANSWER_BYTES_MAX];
    store.request_answer([1; 32], &longest).await.unwrap();
    let twice = store.request_answer([1; 32], b"another").await;
    assert!(matches!(twice, Err(StoreError::NotFound(_))), "{twice:?}");
    assert_eq!(reserve(&store, asked(1)).await, Reserved::Done(longest), "the first one stays");
}

pub(crate) async fn answer_is_sealed_and_one_that_stays_closed_counts_as_begun(place: Arc<Place>) {
    let store = place.open().await;
    for request in [1, 2] {
        assert_eq!(reserve(&store, asked(request)).await, Reserved::New);
        store.request_answer([request; 32], NEW_KEY).await.unwrap();
    }
    store.close().await;
    let dump = place.dump().await;
    assert!(!dump.windows(6).any(|window| window == b"canary"), "the answer lies open");

    let stranger = place.open_with(Vault::new(2, [8; 32])).await;
    assert_eq!(reserve(&stranger, asked(1)).await, Reserved::Begun);
    let both = place.open_with(Vault::new(2, [8; 32]).with_former(1, KEY)).await;
    assert_eq!(reserve(&both, asked(1)).await, Reserved::Done(NEW_KEY.to_vec()));
    let (one, two) = (place.bytes(&"01".repeat(32)), place.bytes(&"02".repeat(32)));
    place
        .run(format!(
            "UPDATE admin_requests SET answer = (SELECT answer FROM admin_requests WHERE request = {two}) WHERE request = {one}"
        ))
        .await;
    assert_eq!(reserve(&both, asked(1)).await, Reserved::Begun, "the answer of another request is none");
}

pub(crate) async fn expired_requests_count_as_absent_and_are_deleted(place: Arc<Place>) {
    let store = place.open().await;
    for request in 1..=4 {
        let asked = Reservation { expires_ms: 1000 + i64::from(request) * 100, ..asked(request) };
        assert_eq!(reserve(&store, asked).await, Reserved::New);
        store.request_answer([request; 32], NEW_KEY).await.unwrap();
    }
    let later = |request, now_ms| Reservation { now_ms, expires_ms: 5000, body: [2; 32], ..asked(request) };
    assert_eq!(reserve(&store, later(1, 1099)).await, Reserved::Differs);
    assert_eq!(reserve(&store, later(1, 1100)).await, Reserved::New);
    assert_eq!(reserve(&store, later(9, 1300)).await, Reserved::New);
    assert_eq!(place.count("admin_requests").await, 3, "the first anew, the fourth, and the ninth");
    assert_eq!(reserve(&store, later(4, 1300)).await, Reserved::Differs);
    assert_eq!(reserve(&store, later(1, 1300)).await, Reserved::Begun, "the former answer is gone");

    // More than go at once: what is asked for counts as absent all the same.
    place.run("DELETE FROM admin_requests").await;
    let id = match &*place {
        Place::Sqlite { .. } => "CAST(printf('%032d', i) AS BLOB)",
        Place::Postgres { .. } => "convert_to(lpad(i::text, 32, '0'), 'UTF8')",
    };
    let body = place.bytes(&"01".repeat(32));
    place
        .run(format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
             INSERT INTO admin_requests (request, body, expires_ms) SELECT {id}, {body}, i FROM n"
        ))
        .await;
    let mut last = [b'0'; 32];
    last[28..].copy_from_slice(b"2500");
    let again = Reservation { request: last, ..later(0, 3000) };
    assert_eq!(reserve(&store, again).await, Reserved::New);
    assert_eq!(place.count("admin_requests").await, 1500);
    for _ in 0..2 {
        assert_eq!(reserve(&store, again).await, Reserved::Begun);
    }
    assert_eq!(place.count("admin_requests").await, 1);
}
