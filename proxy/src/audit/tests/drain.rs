//! Rows reach the store: none lost, none kept twice, whatever the store and the process do.

use super::*;

fn quick() -> DrainOptions {
    DrainOptions {
        batch_rows: 50,
        gather: Duration::from_millis(1),
        patience: Duration::from_secs(60),
        append_timeout: Duration::from_secs(5),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(20),
    }
}

fn start(audit: &Arc<Audit>, store: &Store, options: DrainOptions) -> Drain {
    Drain::start(audit.clone(), store.clone(), options, &tokio::runtime::Handle::current())
}

fn names(store: &Store) -> Vec<String> {
    store.rows().iter().map(|row| json(row)["native"].as_str().unwrap_or("").to_owned()).collect()
}

fn expected(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn whole_call(audit: &Arc<Audit>, name: &str) {
    let mut trail = call(audit, name);
    trail.intent().unwrap();
    trail.done(false, false, 10);
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
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
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
    async fn append(&self, _: &[Row]) -> Result<(), String> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_asked_again_and_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let drain = Drain::start(audit.clone(), Silent, DrainOptions::default(), &tokio::runtime::Handle::current());
    whole_call(&audit, "lost?");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(drain.flush(Duration::from_secs(10)).await, Flushed { left: 2 });
    assert_eq!(records(&audit).len(), 2);
}
