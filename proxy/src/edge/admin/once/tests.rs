use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, middleware, routing::post};
use patchbay_core::{KeyId, admin::Grant};
use tokio::sync::Notify;

use super::{
    super::kit::{Answer, answer, request},
    *,
};
use crate::auth::tests::house::House;

/// Operations that count how often they were done.
struct Deeds {
    house: House,
    router: Router,
    done: Arc<AtomicUsize>,
    go: Arc<Notify>,
    begun: Arc<Notify>,
}

impl Deeds {
    async fn new() -> Self {
        let house = House::new().await;
        let desk = Arc::new(Desk::of_gateway(house.app.clone()));
        let (done, go, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let deed = |answer: fn(usize) -> Response| {
            let done = done.clone();
            post(async move || answer(done.fetch_add(1, Ordering::SeqCst)))
        };
        let slow = {
            let (done, go, begun) = (done.clone(), go.clone(), begun.clone());
            post(async move || {
                begun.notify_one();
                go.notified().await;
                done.fetch_add(1, Ordering::SeqCst);
                "done"
            })
        };
        let router = Router::new()
            .route(
                "/admin/v1/make",
                deed(|n| {
                    (StatusCode::CREATED, [("etag", "\"1\""), ("x-other", "y")], format!("made {n}")).into_response()
                }),
            )
            .route("/admin/v1/wrong", deed(|_| Problem::invalid(Vec::new()).into_response()))
            .route("/admin/v1/refused", deed(|_| Problem::forbidden("no").into_response()))
            .route("/admin/v1/conflict", deed(|_| Problem::conflict("no").into_response()))
            .route("/admin/v1/away", deed(|_| Problem::away("no").into_response()))
            .route("/admin/v1/broken", deed(|_| Problem::broken_off("perhaps").into_response()))
            .route("/admin/v1/internal", deed(|_| Problem::internal().into_response()))
            .route("/admin/v1/panics", deed(|_| panic!("as the test wants")))
            .route("/admin/v1/long", deed(|_| "x".repeat(100_000).into_response()))
            .route("/admin/v1/slow", slow)
            .layer(middleware::from_fn_with_state(desk, once));
        Self { house, router, done, go, begun }
    }

    fn count(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    async fn ask(&self, admin: &Admin, line: &str, key: &str, body: &str) -> Answer {
        answer(&self.router, posted(admin, line, &[("idempotency-key", key)], body)).await
    }
}

fn admin(id: u128) -> Admin {
    Admin::new(Actor::AdminKey(KeyId::from_bits(id)), vec![Grant::PlatformAdmin])
}

fn posted(admin: &Admin, line: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut request = request(line, headers, body);
    request.extensions_mut().insert(admin.clone());
    request
}

#[tokio::test]
async fn what_was_done_is_answered_again_and_not_done_again() {
    let deeds = Deeds::new().await;
    let one = admin(1);
    let first = deeds.ask(&one, "POST /make", "k", "{}").await;
    let again = deeds.ask(&one, "POST /make", "k", "{}").await;
    assert_eq!((first.status, first.header("idempotent-replayed"), deeds.count()), (201, "", 1));
    assert_eq!((again.status, again.header("idempotent-replayed"), &again.body), (201, "true", &first.body));
    assert_eq!((again.header("etag"), again.header("content-type")), ("\"1\"", first.header("content-type")));
    assert_eq!(deeds.ask(&one, "POST /make", "k", "{\"a\":1}").await.status, 422, "another body");
    assert_eq!(deeds.count(), 1);
    for (who, line, key) in [(&admin(2), "POST /make", "k"), (&one, "POST /make?x=1", "k"), (&one, "POST /make", "l")] {
        let other = deeds.ask(who, line, key, "{}").await;
        assert_eq!((other.status, other.header("idempotent-replayed")), (201, ""), "{line} {key}");
    }
    assert_eq!(deeds.count(), 4);
    assert_eq!(deeds.ask(&one, "POST /wrong", "w", "{}").await.status, 422);
    assert_eq!(deeds.ask(&one, "POST /wrong", "w", "{}").await.header("idempotent-replayed"), "true");
    assert_eq!(deeds.count(), 5);
}

#[tokio::test]
async fn without_a_key_it_is_done_each_time() {
    let deeds = Deeds::new().await;
    for _ in 0..2 {
        assert_eq!(answer(&deeds.router, posted(&admin(1), "POST /make", &[], "{}")).await.status, 201);
    }
    assert_eq!(deeds.count(), 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let deeds = Deeds::new().await;
    let long = "x".repeat(256);
    for headers in [
        &[("idempotency-key", "")][..],
        &[("idempotency-key", "a b")],
        &[("idempotency-key", "ä")],
        &[("idempotency-key", long.as_str())],
        &[("idempotency-key", "a"), ("idempotency-key", "a")],
    ] {
        assert_eq!(
            answer(&deeds.router, posted(&admin(1), "POST /make", headers, "{}")).await.status,
            400,
            "{headers:?}"
        );
    }
    assert_eq!(deeds.count(), 0);
    assert_eq!(deeds.ask(&admin(1), "POST /make", &long[..255], "{}").await.status, 201);
}

#[tokio::test]
async fn what_changed_nothing_frees_the_key_and_what_may_have_does_not() {
    let deeds = Deeds::new().await;
    for (path, first, again, count) in [
        ("refused", 403, 403, 2),
        ("conflict", 409, 409, 2),
        ("away", 503, 503, 2),
        ("broken", 503, 409, 1),
        ("internal", 500, 409, 1),
        ("panics", 500, 409, 1),
    ] {
        let before = deeds.count();
        let mut statuses = [0; 2];
        for status in &mut statuses {
            *status = deeds.ask(&admin(1), &format!("POST /{path}"), "k", "{}").await.status;
        }
        assert_eq!((statuses, deeds.count() - before), ([first, again], count), "{path}");
    }
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let deeds = Arc::new(Deeds::new().await);
    let asked = (0..20).map(|_| {
        let deeds = deeds.clone();
        tokio::spawn(async move { deeds.ask(&admin(1), "POST /make", "k", "{}").await })
    });
    let mut answers = Vec::new();
    for one in asked.collect::<Vec<_>>() {
        answers.push(one.await.unwrap());
    }
    let done = answers.iter().filter(|answer| answer.status == 201 && answer.header("idempotent-replayed").is_empty());
    assert_eq!((done.count(), deeds.count()), (1, 1));
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 409));
}

#[tokio::test]
async fn it_goes_on_when_its_client_goes_away_and_the_answer_is_there_later() {
    let deeds = Arc::new(Deeds::new().await);
    let asked = {
        let deeds = deeds.clone();
        tokio::spawn(async move { deeds.ask(&admin(1), "POST /slow", "k", "").await })
    };
    deeds.begun.notified().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    let meanwhile = deeds.ask(&admin(1), "POST /slow", "k", "").await;
    assert_eq!(meanwhile.status, 409);
    assert!(meanwhile.json()["detail"].as_str().unwrap().contains("look whether it was done"));
    deeds.go.notify_one();
    let later = loop {
        let later = deeds.ask(&admin(1), "POST /slow", "k", "").await;
        if later.status != 409 {
            break later;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((later.status, later.body.as_slice(), deeds.count()), (200, &b"done"[..], 1));
}

#[tokio::test]
async fn an_answer_is_for_whoever_may_still_do_the_same() {
    let deeds = Deeds::new().await;
    assert_eq!(deeds.ask(&admin(1), "POST /make", "k", "{}").await.status, 201);
    let tenant = "acme".parse().unwrap();
    let less = Admin::new(Actor::AdminKey(KeyId::from_bits(1)), vec![Grant::TenantAdmin { tenant }]);
    let answer = deeds.ask(&less, "POST /make", "k", "{}").await;
    assert_eq!(answer.status, 409);
    assert!(!String::from_utf8_lossy(&answer.body).contains("made 0") && deeds.count() == 1);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept_and_it_is_not_done_again() {
    let deeds = Deeds::new().await;
    assert_eq!(deeds.ask(&admin(1), "POST /long", "k", "{}").await.body.len(), 100_000);
    let again = deeds.ask(&admin(1), "POST /long", "k", "{}").await;
    assert_eq!((again.status, deeds.count()), (409, 1));
    assert!(again.json()["detail"].as_str().unwrap().contains("answered with the status 200"));
}

#[tokio::test]
async fn a_body_over_the_bound_is_not_read() {
    let deeds = Deeds::new().await;
    let long = "x".repeat(ADMIN_BODY_BYTES_MAX + 1);
    assert_eq!(deeds.ask(&admin(1), "POST /make", "k", &long).await.status, 413);
    assert_eq!(deeds.count(), 0);
}

#[tokio::test]
async fn a_store_that_is_away_stops_it_before_anything_is_done() {
    let deeds = Deeds::new().await;
    deeds.house.app.store.close().await;
    assert_eq!(deeds.ask(&admin(1), "POST /make", "k", "{}").await.status, 503);
    assert_eq!(deeds.count(), 0);
}
