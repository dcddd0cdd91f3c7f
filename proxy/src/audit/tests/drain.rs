//! Rows reach the store: none lost, none kept twice, whatever the store and the process do.

use std::collections::HashSet;

use patchbay_core::audit::{ChainId, Checkpoint, Link, WriterId};

use super::*;

fn names(store: &Store) -> Vec<String> {
    store.rows().iter().map(|row| json(row)["native"].as_str().unwrap_or("").to_owned()).collect()
}

fn expected(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_call_is_one_row_with_its_outcome() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SpoolOptions::default());
    let _drain = start(&audit, &store, quick());
    (0..300).for_each(|number| whole_call(&audit, &number.to_string()));
    until("the last row", || store.rows().len() >= 300).await;
    until("an empty spool", || audit.depth().records == 0).await;
    assert_eq!(names(&store), expected(0..300));
    assert!(store.rows().iter().all(|row| row.stage == Stage::Closed && json(row)["outcome"] == "answered"));
    assert!(store.batches.load(Ordering::SeqCst) < 300, "rows came one by one");
}

#[tokio::test]
async fn a_store_that_is_away_for_a_while_misses_nothing() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SpoolOptions { segments_max: 50, ..SMALL });
    store.set_away(true);
    let drain = start(&audit, &store, quick());
    for number in 0..2000 {
        whole_call(&audit, &number.to_string());
        if number % 500 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!((store.rows().len(), audit.depth().records), (0, 4000));
    store.set_away(false);
    until("the last row", || store.rows().len() >= 2000).await;
    assert_eq!(names(&store), expected(0..2000));
    assert_eq!(drain.flush(Duration::from_secs(5)).await, Flushed { left: 0 });
}

#[tokio::test]
async fn a_full_spool_refuses_calls_until_the_store_is_back_and_says_what_is_missing() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SMALL);
    store.set_away(true);
    let _drain = start(&audit, &store, quick());
    let mut taken = 0;
    let refused = loop {
        let mut trail = call(&audit, &taken.to_string());
        if trail.intent().is_err() {
            break trail;
        }
        trail.done(false, false, 1);
        taken += 1;
        assert!(taken < 10_000, "the spool has no bound");
    };
    while audit.has_room() {
        Trail::open(&audit, None, None).session_opened();
    }
    let missed_before = audit.missed.load(Ordering::Relaxed);
    drop(refused);
    let mut list = Trail::open(&audit, None, None);
    (0..200).for_each(|_| {
        let mut one = list.sibling();
        one.method(&Method::ToolsList);
        one.answered(1);
    });
    list.cancelled();
    let missed = audit.missed.load(Ordering::Relaxed);
    assert!(missed > missed_before, "a record vanished unsaid");

    store.set_away(false);
    until("room", || audit.has_room()).await;
    whole_call(&audit, "after");
    let gap = || store.rows().into_iter().find(|row| row.kind == "gap");
    until("the gap", || gap().is_some() && names(&store).iter().any(|name| name == "after")).await;
    assert_eq!(json(&gap().unwrap())["records"], missed);
    assert_eq!(json(&gap().unwrap())["actor"]["kind"], "gateway");
    until("an empty spool", || audit.depth().records == 0).await;
    whole_call(&audit, "counted");
    assert!(audit.depth().records > 0, "the gap was counted as a record of the spool");
    store.verified();
    let calls: Vec<_> = names(&store).into_iter().filter(|name| name.parse::<u32>().is_ok()).collect();
    assert_eq!(calls[..taken as usize], expected(0..taken));
}

#[tokio::test]
async fn a_call_that_runs_on_is_told_first_without_and_then_with_its_outcome() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SMALL);
    let _drain = start(&audit, &store, DrainOptions { patience: Duration::from_millis(20), ..quick() });
    let mut slow = call(&audit, "slow");
    slow.intent().unwrap();
    until("the intent", || store.rows().len() == 1).await;
    assert_eq!(json(&store.rows()[0])["outcome"], "unknown");
    slow.done(false, false, 1);
    until("the outcome", || store.rows().len() == 2).await;
    let [sent, closed] = store.rows().try_into().unwrap();
    assert_eq!((sent.id() | 1, closed.stage), (closed.id(), Stage::Closed));
    until("an empty spool", || audit.depth().records == 0).await;
}

#[tokio::test]
async fn files_of_running_calls_stay_until_the_calls_are_told() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = Audit::open(dir.path(), SpoolOptions { segments_max: 50, ..SMALL }).unwrap();
    let drain = start(&audit, &store, quick());
    let mut slow = call(&audit, "slow");
    slow.intent().unwrap();
    (0..1000).for_each(|number| whole_call(&audit, &number.to_string()));
    until("the last row", || store.rows().len() == 1000).await;
    assert!(audit.depth().bytes > 500_000, "the file with the running call was given up");

    // As if killed here: the drain stops, nothing is closed.
    drop(drain);
    std::mem::forget(slow);
    let copy = copied(dir.path());
    let again = Audit::open(copy.path(), SMALL).unwrap();
    let drain = start(&again, &store, quick());
    assert_eq!(drain.flush(Duration::from_secs(10)).await, Flushed { left: 0 });
    let rows = store.rows();
    assert_eq!(rows.len(), 1001, "rows were kept twice");
    assert_eq!((rows[1000].stage, &json(&rows[1000])["native"]), (Stage::Sent, &"slow".into()));
}

#[tokio::test]
async fn a_flush_ends_in_time_and_what_is_left_is_drained_by_the_next_start() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let first = audit(dir.path(), SMALL);
    store.set_away(true);
    let drain = start(&first, &store, quick());
    (0..100).for_each(|number| whole_call(&first, &number.to_string()));
    assert_eq!(drain.flush(Duration::from_millis(50)).await, Flushed { left: 200 });
    until("the last owner", || Arc::strong_count(&first) == 1).await;
    drop(first);

    store.set_away(false);
    let second = audit(dir.path(), SMALL);
    assert_eq!(second.depth().records, 200);
    let drain = start(&second, &store, quick());
    assert_eq!(drain.flush(Duration::from_secs(10)).await, Flushed { left: 0 });
    assert_eq!(names(&store), expected(0..100));
    until("the last owner", || Arc::strong_count(&second) == 1).await;
    drop(second);

    assert_eq!(audit(dir.path(), SMALL).depth().records, 0, "drained records were found again");
}

#[tokio::test]
async fn a_flush_writes_down_calls_that_never_ended() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SMALL);
    let drain = start(&audit, &store, quick());
    let mut stuck = call(&audit, "stuck");
    stuck.intent().unwrap();
    assert_eq!(drain.flush(Duration::from_secs(10)).await, Flushed { left: 0 });
    assert_eq!(json(&store.rows()[0])["outcome"], "unknown");
}

/// A store that never answers.
struct Silent;

impl Sink for Silent {
    async fn append(&self, _: &[LinkedRow]) -> Result<u64, SinkError> {
        std::future::pending().await
    }

    async fn known(&self, _: &[u128]) -> Result<HashSet<u128>, SinkError> {
        std::future::pending().await
    }

    async fn heads(&self, _: WriterId) -> Result<Vec<(ChainId, Link)>, SinkError> {
        std::future::pending().await
    }

    async fn checkpoint(&self, _: &[Checkpoint]) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_asked_again_and_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let drain =
        Drain::start(audit.clone(), Silent, signer(), DrainOptions::default(), &tokio::runtime::Handle::current());
    whole_call(&audit, "lost?");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(drain.flush(Duration::from_secs(10)).await, Flushed { left: 2 });
    assert_eq!(records(&audit).len(), 2);
    assert!(audit.depth().failures >= 3, "{:?}", audit.depth());
}

#[tokio::test]
async fn what_waits_says_how_old_its_oldest_record_is() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SMALL);
    assert_eq!(audit.depth().lag_ms, 0);
    let began_ms = now_ms();
    whole_call(&audit, "old");
    until("time", || now_ms() > began_ms + 5).await;
    let at_least_ms = (now_ms() - began_ms).unsigned_abs() - 1;
    whole_call(&audit, "new");
    assert!(audit.depth().lag_ms >= at_least_ms.min(4), "{:?}", audit.depth());
    let drain = start(&audit, &store, quick());
    assert_eq!(drain.flush(Duration::from_secs(10)).await.left, 0);
    assert_eq!(audit.depth().lag_ms, 0);
}

#[tokio::test]
async fn the_oldest_record_is_found_behind_the_end_of_a_file() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = Audit::open(dir.path(), SpoolOptions { segments_max: 50, ..SMALL }).unwrap();
    let _drain = start(&audit, &store, quick());
    for round in 1..=400 {
        whole_call(&audit, "x");
        until("an empty spool", || audit.depth().records == 0).await;
        assert_eq!((store.rows().len(), audit.depth().lag_ms), (round, 0));
    }
}
