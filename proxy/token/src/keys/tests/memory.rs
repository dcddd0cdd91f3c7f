//! How long keys are believed, when they are asked for anew, and that nobody can make the gateway ask often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use secrecy::SecretString;
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use url::Url;

use super::{
    HOUR, MINUTE, SECOND, given_jwks, issuer, key, later,
    server::{Reply, Server},
    set_of, spec, until,
};
use crate::{Fetch, FetchError, Fetched, keys::IssuerKeys};

#[tokio::test]
async fn a_thousand_random_kids_cause_one_fetch() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    let ask = |at: usize| {
        let keys = keys.clone();
        async move { keys.for_kid(Some(&format!("random-{at}"))).await.unwrap() }
    };
    let sets = join_all((0..1000).map(ask)).await;
    assert!(sets.iter().all(|set| set.has("a") && set.keys.len() == 1), "nothing is evicted");
    assert_eq!(server.count("/jwks"), 2, "one for the first key, one for all others");
    for at in 1000..2000 {
        ask(at).await;
    }
    later(29 * SECOND).await;
    ask(2000).await;
    assert_eq!(server.count("/jwks"), 2);
    later(2 * SECOND).await;
    join_all((0..1000).map(ask)).await;
    assert_eq!(server.count("/jwks"), 3, "at most one in half a minute");
}

#[tokio::test]
async fn a_thousand_random_kids_before_anything_is_known_cause_one_fetch() {
    let (server, keys) = issuer().await;
    let ask = |at: usize| {
        let keys = keys.clone();
        async move { keys.for_kid(Some(&format!("random-{at}"))).await.unwrap() }
    };
    join_all((0..1000).map(ask)).await;
    for at in 0..1000 {
        ask(at).await;
    }
    assert_eq!(server.count("/jwks"), 1);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_and_the_old_one_stays_as_long_as_it_is_there() {
    let (server, keys) = issuer().await;
    let (a, b) = (key("a"), key("b"));
    server.set("/jwks", set_of(std::slice::from_ref(&a)));
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    let version = keys.version();
    server.set("/jwks", set_of(&[a, b.clone()]));
    let set = keys.for_kid(Some("b")).await.unwrap();
    assert!(set.has("a") && set.has("b"));
    assert_eq!(keys.version(), version, "nothing was withdrawn");
    server.set("/jwks", set_of(&[b]));
    later(31 * SECOND).await;
    assert!(!keys.for_kid(Some("c")).await.unwrap().has("a"));
    assert_ne!(keys.version(), version, "a was withdrawn");
}

#[tokio::test]
async fn a_token_without_a_kid_asks_for_nothing_new() {
    let (server, keys) = issuer().await;
    for _ in 0..10 {
        assert_eq!(keys.for_kid(None).await.unwrap().keys.len(), 1);
    }
    assert_eq!(server.count("/jwks"), 1);
}

#[tokio::test]
async fn all_who_wait_share_one_fetch_and_who_goes_away_breaks_nothing_off() {
    let (server, keys) = issuer().await;
    let gate = Arc::new(Semaphore::new(0));
    server.set("/jwks", set_of(&[key("a")]).behind(&gate));
    let ask = || {
        let keys = keys.clone();
        tokio::spawn(async move { keys.for_kid(Some("a")).await })
    };
    let first = ask();
    until("it is asked", || server.count("/jwks") == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    gate.close();
    for other in others {
        assert!(other.await.unwrap().unwrap().has("a"));
    }
    assert_eq!(server.count("/jwks"), 1);
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_a_day_and_come_back_with_it() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    server.set("/jwks", Reply::nothing());
    let start = Instant::now();
    while start.elapsed() < 24 * HOUR - 7 * MINUTE {
        later(7 * MINUTE).await;
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"), "after {:?}", start.elapsed());
        until("the attempt ends", || keys.keys.seen().1.is_some() || start.elapsed() < 8 * MINUTE).await;
    }
    later(8 * MINUTE).await;
    let said = keys.for_kid(Some("a")).await.unwrap_err();
    assert!(said.0.contains("no answer"), "{said}");
    let asked = server.count("/jwks");
    assert!(keys.for_kid(Some("a")).await.is_err());
    assert_eq!(server.count("/jwks"), asked, "after a failure there is a pause");
    server.set("/jwks", set_of(&[key("a")]));
    later(5 * MINUTE).await;
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    assert_eq!(keys.status().last_error, None);
}

#[tokio::test]
async fn what_nobody_could_confirm_for_a_day_is_let_go_also_for_tokens_that_were_verified_before() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    let version = keys.version();
    server.set("/jwks", Reply::nothing());
    later(23 * HOUR).await;
    keys.touch();
    until("it was tried", || keys.status().last_error.is_some()).await;
    assert_eq!(keys.version(), version);
    later(HOUR).await;
    keys.touch();
    assert_ne!(keys.version(), version);
    assert_eq!(keys.status().kids, [""; 0]);
}

#[tokio::test]
async fn failures_are_followed_by_longer_and_longer_pauses() {
    let (server, keys) = issuer().await;
    server.set("/jwks", Reply::new(503, ""));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let (asked, begun) = (server.count("/jwks"), Instant::now());
        while server.count("/jwks") == asked {
            assert!(keys.for_kid(Some("a")).await.is_err());
            later(Duration::from_millis(250)).await;
        }
        pauses.push(begun.elapsed());
    }
    for (at, pause) in pauses.iter().enumerate().skip(1) {
        let whole = (SECOND * (1 << (at - 1))).min(5 * MINUTE);
        let (least, most) = (whole.mul_f64(0.4), whole.mul_f64(1.2) + 2 * SECOND);
        assert!((least..most).contains(pause), "pause {at} of {pauses:?}");
    }
}

#[tokio::test]
async fn a_refreshed_set_that_cannot_be_used_takes_nothing_away() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    let version = keys.version();
    let many: Vec<_> = (0..51).map(|at| key(&at.to_string())).collect();
    let weak = json!({"kty": "oct", "kid": "a", "k": "AAAA"});
    let table = [
        (Reply::new(302, "").header("location", "/elsewhere"), "HTTP 302"),
        (Reply::new(404, ""), "HTTP 404"),
        (Reply::new(500, "{\"keys\":[]}"), "HTTP 500"),
        (Reply::new(200, "<html>"), "no JSON"),
        (Reply::new(200, "{}"), "no key set"),
        (Reply::new(200, " ".repeat(64 * 1024 + 1)), "larger than 65536 bytes"),
        (set_of(&many), "51 keys"),
        (set_of(&[]), "it is empty"),
        (set_of(&[weak]), "symmetric"),
        (Reply::nothing(), "no answer"),
    ];
    for (reply, word) in table {
        server.set("/jwks", reply);
        let asked = server.count("/jwks");
        later(10 * MINUTE).await;
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"), "{word}");
        until("it was tried", || {
            server.count("/jwks") > asked && keys.status().last_error.is_some_and(|error| error.contains(word))
        })
        .await;
    }
    assert_eq!((keys.version(), server.count("/elsewhere")), (version, 0));
    server.set("/jwks", set_of(&[key("b")]));
    later(10 * MINUTE).await;
    assert!(keys.for_kid(Some("b")).await.unwrap().has("b"));
    assert_eq!(keys.status().last_error, None);
}

#[tokio::test]
async fn keys_that_are_used_are_renewed_before_they_are_old() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    later(7 * MINUTE).await;
    keys.for_kid(Some("a")).await.unwrap();
    assert_eq!(server.count("/jwks"), 1);
    later(MINUTE).await;
    let gate = Arc::new(Semaphore::new(0));
    server.set("/jwks", set_of(&[key("a"), key("b")]).behind(&gate));
    for _ in 0..10 {
        assert!(!keys.for_kid(Some("a")).await.unwrap().has("b"), "nobody waits for that");
    }
    until("it is asked", || server.count("/jwks") == 2).await;
    gate.close();
    until("it is renewed", || keys.status().kids.len() == 2).await;
    assert_eq!(server.count("/jwks"), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_missed_even_if_nobody_brings_a_new_token() {
    let (server, keys) = issuer().await;
    keys.for_kid(Some("a")).await.unwrap();
    let version = keys.version();
    server.set("/jwks", set_of(&[key("b")]));
    for _ in 0..1000 {
        keys.touch();
    }
    later(8 * MINUTE).await;
    for _ in 0..1000 {
        keys.touch();
    }
    until("the key is missed", || keys.version() != version).await;
    assert_eq!(server.count("/jwks"), 2);
}

#[tokio::test]
async fn the_issuer_says_within_bounds_how_long_its_keys_are_believed() {
    for (said, kept, lost) in [
        ("max-age=0", 44 * SECOND, 61 * SECOND),
        ("max-age=1200", 14 * MINUTE, 21 * MINUTE),
        ("max-age=999999999", 44 * MINUTE, 61 * MINUTE),
    ] {
        let (server, keys) = issuer().await;
        server.set("/jwks", set_of(&[key("a")]).header("cache-control", said));
        keys.for_kid(Some("a")).await.unwrap();
        server.set("/jwks", set_of(&[key("a"), key("b")]));
        later(kept).await;
        assert_eq!(keys.for_kid(Some("a")).await.unwrap().keys.len(), 1, "{said}");
        later(lost - kept).await;
        assert_eq!(keys.for_kid(Some("a")).await.unwrap().keys.len(), 2, "{said}");
    }
}

#[tokio::test]
async fn operators_see_what_is_known() {
    let (server, keys) = issuer().await;
    assert_eq!(keys.status(), crate::keys::KeysStatus::default());
    server.set("/jwks", set_of(&[key("a"), json!({"kty": "oct", "kid": "s", "k": "AAAA"})]));
    keys.for_kid(Some("a")).await.unwrap();
    later(MINUTE).await;
    let status = keys.status();
    assert_eq!(status.source_url, Some(format!("{}/jwks", server.url)));
    assert!((MINUTE..2 * MINUTE).contains(&status.fetched.unwrap()));
    assert_eq!(status.kids, ["a"]);
    assert_eq!(status.ignored, ["key \"s\": it is symmetric, and only public keys count"]);
    assert_eq!(status.last_error, None);
}

#[test]
fn a_fetch_that_ends_with_its_runtime_is_begun_anew() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fetch = Arc::new(Script::default());
    let keys = fetch.keys();
    let first = runtime();
    first.block_on(async {
        let asking = keys.clone();
        tokio::spawn(async move { asking.for_kid(None).await });
        until("it is asked", || fetch.asked() == 1).await;
    });
    drop(first);
    runtime().block_on(async {
        fetch.gate.close();
        assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    });
    assert_eq!(fetch.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_a_slow_issuer_while_old_keys_are_good() {
    let fetch = Arc::new(Script::default());
    fetch.gate.add_permits(1);
    let keys = fetch.keys();
    keys.for_kid(Some("a")).await.unwrap();
    time::advance(11 * MINUTE).await;
    let begun = Instant::now();
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    assert_eq!(begun.elapsed().as_secs(), 3);
    time::sleep(MINUTE).await;
    assert!(keys.status().last_error.unwrap().contains("within 30 s"));
    assert!(keys.for_kid(Some("a")).await.unwrap().has("a"));
    assert_eq!(begun.elapsed().as_secs(), 63, "after a failure nobody waits at all");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_is_given_up() {
    let fetch = Arc::new(Script::default());
    let keys = fetch.keys();
    let begun = Instant::now();
    let asks = (0..100).map(|_| keys.for_kid(Some("a")));
    assert!(join_all(asks).await.iter().all(Result::is_err));
    assert_eq!((begun.elapsed().as_secs(), fetch.asked()), (30, 1));
}

#[tokio::test]
async fn issuers_do_not_share_keys() {
    let (first, one) = issuer().await;
    let second = Server::start().await;
    second.set("/jwks", set_of(&[key("b")]));
    let two = given_jwks(&second);
    assert!(!one.for_kid(Some("b")).await.unwrap().has("b"));
    assert!(!two.for_kid(Some("a")).await.unwrap().has("a"));
    assert_eq!((first.count("/jwks"), second.count("/jwks")), (1, 1));
}

/// Answers with one key `a` each time that there is a permit, without a network: for tests in which time stands still.
struct Script {
    gate: Semaphore,
    asked: AtomicUsize,
    body: Vec<u8>,
}

impl Default for Script {
    fn default() -> Self {
        let body = json!({"keys": [key("a")]}).to_string().into();
        Self { gate: Semaphore::new(0), asked: AtomicUsize::new(0), body }
    }
}

impl Script {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn keys(self: &Arc<Self>) -> Arc<IssuerKeys> {
        let spec = spec(json!({"issuer": "https://i.test", "jwks_url": "https://i.test/jwks"}));
        IssuerKeys::new(&spec, self.clone())
    }
}

impl Fetch for Script {
    fn get<'a>(&'a self, _: &'a Url, _: usize) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
            Ok(Fetched { status: 200, max_age: None, body: self.body.clone() })
        })
    }

    fn post_form<'a>(
        &'a self,
        _: &'a Url,
        _: Option<&'a SecretString>,
        _: SecretString,
        _: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async { Err(FetchError::Forbidden("keys are not posted for".into())) })
    }
}
