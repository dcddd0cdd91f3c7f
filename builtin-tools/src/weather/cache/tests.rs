//! The cache by itself, with a clock that a test moves and requests that a test answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{sync::oneshot, task::yield_now};

use super::*;
use crate::weather::{error::Why, fetch::Provider};

const KEY: &str = "https://provider.example/question";

struct Bench {
    cache: Cache,
    hand: Arc<Mutex<Duration>>,
    asked: Arc<AtomicUsize>,
}

impl Bench {
    fn new(entries_max: usize) -> Self {
        let (clock, hand) = Clock::standing();
        Self { cache: Cache::new(entries_max, Duration::from_secs(600), clock), hand, asked: Arc::default() }
    }

    fn pass(&self, seconds: u64) {
        *self.hand.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn ask(&self, key: &str, outcome: Outcome) -> Result<Served, WeatherError> {
        let asked = self.asked.clone();
        let request = || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            outcome
        };
        self.cache.get(key, || request().boxed()).await
    }

    /// A caller whose request is answered by the returned sender.
    fn waiting(&self) -> (tokio::task::JoinHandle<Result<Served, WeatherError>>, oneshot::Sender<Outcome>) {
        let (cache, asked, (answer, answered)) =
            (self.cache.clone(), self.asked.clone(), oneshot::channel::<Outcome>());
        let request = move || {
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                answered.await.unwrap_or_else(|_| failure())
            }
            .boxed()
        };
        (tokio::spawn(async move { cache.get(KEY, request).await }), answer)
    }
}

fn fetched(what: u32, fresh_s: u64) -> Outcome {
    sized(what, fresh_s, 10)
}

fn sized(what: u32, fresh_s: u64, weight: usize) -> Outcome {
    let fresh_for = Duration::from_secs(fresh_s);
    Ok(Fetched { document: Arc::new(what), fresh_for, keep: true, age: Duration::ZERO, weight })
}

fn failure() -> Outcome {
    Err(Provider::Nws.unavailable(Why::Status(500)))
}

fn what(served: &Served) -> u32 {
    *served.document.clone().downcast::<u32>().unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

#[tokio::test]
async fn failure_is_not_kept_and_the_next_caller_asks_anew() {
    let bench = Bench::new(8);
    assert!(bench.ask(KEY, failure()).await.is_err());
    assert_eq!(what(&bench.ask(KEY, fetched(1, 60)).await.unwrap()), 1);
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn caller_that_gives_up_takes_nothing_from_those_who_wait() {
    let bench = Bench::new(8);
    let (leader, answer) = bench.waiting();
    until(|| bench.asked() == 1).await;
    let (follower, unused) = bench.waiting();
    until(|| bench.cache.counts().joined == 1).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    assert!(answer.send(fetched(7, 60)).is_ok());
    assert_eq!(what(&follower.await.unwrap().unwrap()), 7);
    assert!(unused.is_closed());
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn request_that_nobody_waits_for_any_more_ends() {
    let bench = Bench::new(8);
    let (leader, mut answer) = bench.waiting();
    until(|| bench.asked() == 1).await;
    leader.abort();
    answer.closed().await;
    assert_eq!(what(&bench.ask(KEY, fetched(2, 60)).await.unwrap()), 2);
}

#[tokio::test]
async fn equal_questions_share_one_request_and_its_failure() {
    let bench = Bench::new(8);
    let (first, answer) = bench.waiting();
    until(|| bench.asked() == 1).await;
    let others: Vec<_> = (0..5).map(|_| bench.waiting().0).collect();
    until(|| bench.cache.counts().joined == 5).await;
    assert!(answer.send(failure()).is_ok());
    for caller in std::iter::once(first).chain(others) {
        assert!(caller.await.unwrap().is_err());
    }
    assert_eq!(bench.asked(), 1);
    assert_eq!(what(&bench.ask(KEY, fetched(3, 60)).await.unwrap()), 3);
}

#[tokio::test]
async fn stale_answer_stands_in_with_its_age_and_not_for_ever() {
    let bench = Bench::new(8);
    bench.ask(KEY, fetched(1, 60)).await.unwrap();
    bench.pass(59);
    assert!(bench.ask(KEY, failure()).await.unwrap().stale.is_none());
    bench.pass(101);
    let served = bench.ask(KEY, failure()).await.unwrap();
    assert_eq!((what(&served), served.age, served.stale.is_some()), (1, Duration::from_secs(160), true));
    assert_eq!(bench.asked(), 2);
    // Shortly after a failure nobody asks again; later somebody does.
    bench.pass(14);
    assert!(bench.ask(KEY, failure()).await.unwrap().stale.is_some());
    assert_eq!(bench.asked(), 2);
    bench.pass(1);
    assert_eq!(what(&bench.ask(KEY, fetched(2, 60)).await.unwrap()), 2);
    bench.pass(660);
    assert!(bench.ask(KEY, failure()).await.is_err());
}

#[tokio::test]
async fn lasting_refusal_is_believed_for_a_while_and_never_stale() {
    let bench = Bench::new(8);
    assert!(bench.ask(KEY, Err(WeatherError::NotCovered)).await.is_err());
    bench.pass(299);
    assert!(bench.ask(KEY, fetched(1, 60)).await.is_err());
    assert_eq!(bench.asked(), 1);
    bench.pass(1);
    assert_eq!(bench.ask(KEY, failure()).await.err(), failure().err());
    assert_eq!(what(&bench.ask(KEY, fetched(1, 60)).await.unwrap()), 1);
}

#[tokio::test]
async fn what_may_not_be_stored_is_not() {
    let bench = Bench::new(8);
    let once = fetched(1, 60).map(|fetched| Fetched { keep: false, ..fetched });
    bench.ask(KEY, once).await.unwrap();
    assert!(bench.ask(KEY, failure()).await.is_err());
    assert_eq!(bench.cache.counts().bytes, 0);
}

#[tokio::test]
async fn entries_and_bytes_are_bounded_and_the_unused_go_first() {
    let bench = Bench::new(3);
    for key in ["a", "b", "c"] {
        bench.ask(key, fetched(1, 60)).await.unwrap();
    }
    bench.ask("a", failure()).await.unwrap();
    bench.ask("d", fetched(1, 60)).await.unwrap();
    assert_eq!(bench.cache.counts().entries, 3);
    assert!(bench.ask("a", failure()).await.is_ok());
    assert!(bench.ask("b", failure()).await.is_err());
    for number in 0..50 {
        bench.ask(&format!("large {number}"), sized(1, 60, 3 * 1024 * 1024)).await.unwrap();
        let counts = bench.cache.counts();
        assert!(counts.bytes <= counts.bytes_max && counts.entries <= 3, "{counts:?}");
    }
    bench.ask("huge", sized(1, 60, BYTES_MAX)).await.unwrap();
    assert!(bench.ask("huge", failure()).await.is_err());
}

#[tokio::test]
async fn cache_of_no_entries_still_shares_requests() {
    let bench = Bench::new(0);
    bench.ask(KEY, fetched(1, 60)).await.unwrap();
    assert!(bench.ask(KEY, failure()).await.is_err());
    let (first, answer) = bench.waiting();
    until(|| bench.asked() == 3).await;
    let (second, _unused) = bench.waiting();
    until(|| bench.cache.counts().joined == 1).await;
    assert!(answer.send(fetched(9, 60)).is_ok());
    assert_eq!((what(&first.await.unwrap().unwrap()), what(&second.await.unwrap().unwrap())), (9, 9));
}

#[tokio::test]
async fn questions_under_way_are_bounded() {
    let bench = Bench::new(8);
    let endless = || async { std::future::pending::<Outcome>().await }.boxed();
    let mut under_way = Vec::new();
    for number in 0..FLIGHTS_MAX {
        let cache = bench.cache.clone();
        under_way.push(tokio::spawn(async move { cache.get(&number.to_string(), endless).await.map(|_| ()) }));
    }
    until(|| bench.cache.counts().misses == FLIGHTS_MAX as u64).await;
    assert_eq!(bench.ask(KEY, fetched(1, 60)).await.err(), Some(WeatherError::Crowded));
    for caller in under_way {
        caller.abort();
        assert!(caller.await.is_err());
    }
    assert!(bench.ask(KEY, fetched(1, 60)).await.is_ok());
}

#[tokio::test]
async fn age_by_the_word_of_a_cache_on_the_way_counts() {
    let bench = Bench::new(8);
    let old = fetched(1, 60).map(|fetched| Fetched { age: Duration::from_secs(40), ..fetched });
    bench.ask(KEY, old).await.unwrap();
    bench.pass(70);
    assert_eq!(bench.ask(KEY, failure()).await.unwrap().age, Duration::from_secs(110));
}
