//! Whatever the store does, and wherever the gateway is killed: every record is there once, in a chain that verifies.

use std::collections::{BTreeSet, HashMap};

use super::{
    store::{Fate, Store},
    *,
};

const TENANTS: [u128; 3] = [7, 8, 9];

/// Calls, by names that no other call has.
#[derive(Default)]
struct Calls {
    next: u64,
    ended: BTreeSet<String>,
    running: BTreeSet<String>,
}

impl Calls {
    /// A call that has ended.
    fn end(&mut self, audit: &Arc<Audit>) {
        self.begin(audit).done(false, false, 1);
        let name = (self.next - 1).to_string();
        self.running.remove(&name);
        self.ended.insert(name);
    }

    /// A call that is still running.
    fn begin(&mut self, audit: &Arc<Audit>) -> Trail {
        let name = self.next.to_string();
        self.next += 1;
        let tenant = TenantId::from_bits(TENANTS[(self.next * 7 % 11 % 3) as usize]);
        let mut trail = Trail::open(audit, None, None);
        trail.known(tenant, &"default".parse::<Slug>().unwrap(), Actor::Anonymous);
        trail.method(&Method::ToolsCall);
        trail.target("shop", &name, &name);
        trail.intent().unwrap();
        self.running.insert(name);
        trail
    }

    /// A call that never ends, since its gateway is killed.
    fn strand(&mut self, audit: &Arc<Audit>) {
        std::mem::forget(self.begin(audit));
    }

    /// Each that has ended has one row that says so, and no call has two of the same stage.
    fn are_in(&self, store: &Store) {
        let mut rows: HashMap<(String, bool), usize> = HashMap::new();
        for row in store.rows() {
            let name = json(&row)["native"].as_str().unwrap().to_owned();
            *rows.entry((name, row.stage == Stage::Closed)).or_default() += 1;
        }
        assert!(rows.values().all(|count| *count == 1), "{rows:?}");
        let missing: Vec<_> = self.ended.iter().filter(|name| !rows.contains_key(&((*name).clone(), true))).collect();
        assert!(missing.is_empty(), "{missing:?} are missing");
        let unsaid: Vec<_> = self.running.iter().filter(|name| !rows.contains_key(&((*name).clone(), false))).collect();
        assert!(unsaid.is_empty(), "{unsaid:?} are missing");
    }
}

fn small_batches() -> DrainOptions {
    DrainOptions { batch_rows: 4, ..quick() }
}

fn writers(store: &Store) -> usize {
    store.heads_now().keys().map(|chain| chain.writer).collect::<BTreeSet<_>>().len()
}

/// A gateway from the folder on, until all is drained and signed.
async fn finish(dir: &Path, store: &Store) {
    store.expect([]);
    let audit = Audit::open(dir, SMALL).unwrap();
    let drain = start(&audit, store, small_batches());
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(drain.flush(Duration::from_secs(600)).await, Flushed { left: 0 });
    let signed: HashMap<_, _> = store.checkpoints().into_iter().map(|last| (last.chain, last.link)).collect();
    assert!(store.heads_now().iter().all(|(chain, head)| signed.get(chain) == Some(head)), "a head is not signed");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_store_kept_without_saying_so_comes_again_as_it_was() {
    for fate in [Fate::DoneUnsaid, Fate::DoneSilently, Fate::Late] {
        let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
        let audit = audit(dir.path(), SMALL);
        // The heads, then batches.
        store.expect([Fate::Well, fate, fate, Fate::Well, fate, fate]);
        let drain = start(&audit, &store, small_batches());
        (0..10).for_each(|_| calls.end(&audit));
        assert_eq!(drain.flush(Duration::from_secs(600)).await, Flushed { left: 0 });
        calls.are_in(&store);
        assert_eq!((writers(&store), store.rows().len(), store.verified().len()), (1, 10, 3), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_killed_at_any_request_to_the_store_goes_on_where_it_was() {
    for killed in [Fate::Killed, Fate::DoneThenKilled, Fate::KilledThenDone] {
        for at in 0..12 {
            let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
            let audit = audit(dir.path(), SMALL);
            store.expect(std::iter::repeat_n(Fate::Well, at).chain([killed]));
            let options = DrainOptions { checkpoint_every: Duration::from_millis(20), ..small_batches() };
            let drain = start(&audit, &store, options);
            for _ in 0..6 {
                (0..3).for_each(|_| calls.end(&audit));
                calls.strand(&audit);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::timeout(Duration::from_secs(60), store.killed()).await.expect("so many requests");
            let left = copied(dir.path());
            drop(drain);
            finish(left.path(), &store).await;
            calls.are_in(&store);
            store.verified();
            assert_eq!(writers(&store), 1, "{killed:?} at {at} began new chains");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_stored_as_running_and_found_as_ended_has_both_records() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let first = audit(dir.path(), SMALL);
    // The first record is kept, but the spool does not learn of it.
    store.expect([Fate::Well, Fate::DoneThenKilled]);
    let drain = start(&first, &store, DrainOptions { patience: Duration::ZERO, ..small_batches() });
    let mut slow = calls.begin(&first);
    store.killed().await;
    slow.done(false, false, 1);
    drop(drain);
    let left = copied(dir.path());
    finish(left.path(), &store).await;
    let stages: Vec<_> = store.rows().iter().map(|row| row.stage).collect();
    assert_eq!(stages, [Stage::Sent, Stage::Closed]);
    assert_eq!(store.verified().values().sum::<usize>(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_first_record_is_passed_over_when_the_store_has_the_second_one() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let first = audit(dir.path(), SMALL);
    let mut slow = calls.begin(&first);
    // As if the second record had not come to the disk before the power failed.
    let left = copied(dir.path());
    slow.done(false, false, 1);
    let drain = start(&first, &store, small_batches());
    assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    finish(left.path(), &store).await;
    assert_eq!(store.rows().iter().map(|row| row.stage).collect::<Vec<_>>(), [Stage::Closed]);
    store.verified();
}

#[tokio::test(start_paused = true)]
async fn two_gateways_with_copies_of_one_folder_go_on_in_chains_of_their_own() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let one = audit(dir.path(), SpoolOptions { segments_max: 20, ..SMALL });
    // Both find these.
    (0..9).for_each(|_| calls.end(&one));
    calls.strand(&one);
    let copy = copied(dir.path());
    let other = audit(copy.path(), SpoolOptions { segments_max: 20, ..SMALL });
    assert_eq!(one.chained_by.id(), other.chained_by.id());
    let drains = [start(&one, &store, small_batches()), start(&other, &store, small_batches())];
    for _ in 0..20 {
        for audit in [&one, &other] {
            (0..3).for_each(|_| calls.end(audit));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for drain in drains {
        assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    }
    assert_ne!(one.chained_by.id(), other.chained_by.id());
    calls.are_in(&store);
    store.verified();
    assert!((2..=3).contains(&writers(&store)), "{} writers", writers(&store));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_set_back_gets_new_chains_and_what_is_missing_is_found() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let audit = audit(dir.path(), SMALL);
    let drain = start(&audit, &store, DrainOptions { checkpoint_every: Duration::from_millis(5), ..small_batches() });
    (0..30).for_each(|_| calls.end(&audit));
    until("the checkpoints", || store.checkpoints().len() == 3).await;
    store.forget_after(12);
    let kept: Vec<_> = store.rows();
    (0..30).for_each(|_| calls.end(&audit));
    assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    assert_eq!((writers(&store), store.rows().len()), (2, kept.len() + 30));
    let verified = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.verified()));
    assert!(verified.is_err(), "the chains that were cut verify");
}

#[tokio::test(start_paused = true)]
async fn chains_that_grow_are_signed_now_and_then_and_at_the_end() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let audit = audit(dir.path(), SpoolOptions { segments_max: 20, ..SMALL });
    let options = DrainOptions { batch_rows: 50, checkpoint_rows: 100, ..quick() };
    let drain = start(&audit, &store, options);
    (0..30).for_each(|_| calls.end(&audit));
    until("the rows", || store.rows().len() == 30).await;
    assert_eq!(store.checkpoints().len(), 0, "too early");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(store.checkpoints().len(), 3, "one for each chain");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(store.checkpoints().len(), 3, "what has not grown is not signed again");
    (0..600).for_each(|_| calls.end(&audit));
    until("the rows", || store.rows().len() == 630).await;
    until("those that grow fast", || store.checkpoints().len() >= 6).await;
    calls.end(&audit);
    assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    let last: HashMap<_, _> = store.checkpoints().into_iter().map(|last| (last.chain, last.link)).collect();
    assert_eq!(last, store.heads_now());
    assert_eq!(audit.depth().checkpoints, store.checkpoints().len() as u64);
    store.verified();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_checkpoints_takes_rows_all_the_same_and_checkpoints_later() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let audit = audit(dir.path(), SMALL);
    store.refuse_checkpoints(true);
    let options = DrainOptions { checkpoint_rows: 2, ..small_batches() };
    let drain = start(&audit, &store, options);
    for rows in 1..40 {
        calls.end(&audit);
        until("the row", || store.rows().len() == rows).await;
    }
    assert!(audit.depth().failures > 0);
    store.refuse_checkpoints(false);
    until("the checkpoints", || store.checkpoints().len() == 3).await;
    let signed: HashMap<_, _> = store.checkpoints().into_iter().map(|last| (last.chain, last.link)).collect();
    assert_eq!(signed, store.heads_now(), "the newest places are signed");
    store.refuse_checkpoints(true);
    calls.end(&audit);
    assert_eq!(drain.flush(Duration::from_secs(5)).await.left, 0, "checkpoints hold up no records");
    store.verified();
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_starts_again_continues_its_chains_and_signs_what_was_left_unsigned() {
    let (dir, store, mut calls) = (tempfile::tempdir().unwrap(), Store::default(), Calls::default());
    let first = audit(dir.path(), SMALL);
    let drain = start(&first, &store, small_batches());
    (0..9).for_each(|_| calls.end(&first));
    until("an empty spool", || first.depth().records == 0).await;
    drop(drain);
    assert_eq!(store.checkpoints().len(), 0);
    let left = copied(dir.path());
    let second = audit(left.path(), SMALL);
    let drain = start(&second, &store, DrainOptions { checkpoint_every: Duration::from_secs(1), ..small_batches() });
    calls.end(&second);
    until("the checkpoints", || store.checkpoints().len() == 3).await;
    assert_eq!(drain.flush(Duration::from_secs(60)).await.left, 0);
    calls.are_in(&store);
    assert_eq!((store.verified().len(), writers(&store)), (3, 1));
}

/// Numbers that look like chance and come again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) % bound
    }

    fn fate(&mut self) -> Fate {
        use Fate::{DoneSilently, DoneThenKilled, DoneUnsaid, Killed, KilledThenDone, Late, Refused, Silent, Well};
        let bad = [Refused, DoneUnsaid, DoneSilently, Silent, Late, DoneThenKilled, Killed, KilledThenDone];
        if self.below(3) < 2 { Well } else { bad[self.below(8) as usize] }
    }
}

#[tokio::test(start_paused = true)]
async fn through_any_mix_of_failures_and_kills_every_record_is_kept_once_in_chains_that_verify() {
    for seed in 0..40 {
        let (mut dice, store, mut calls) = (Dice(seed), Store::default(), Calls::default());
        let mut dir = tempfile::tempdir().unwrap();
        for _ in 0..1 + dice.below(6) {
            let fates: Vec<_> = (0..dice.below(25)).map(|_| dice.fate()).collect();
            store.expect(fates);
            let patience = if dice.below(2) == 0 { Duration::ZERO } else { Duration::from_secs(60) };
            let checkpoint_every = Duration::from_millis(1 + dice.below(50));
            let options =
                DrainOptions { patience, checkpoint_every, batch_rows: 1 + dice.below(9) as usize, ..quick() };
            let audit = Audit::open(dir.path(), SpoolOptions { segments_max: 50, ..SMALL }).unwrap();
            let drain = start(&audit, &store, options);
            let life = async {
                for _ in 0..dice.below(40) {
                    match dice.below(8) {
                        0 => calls.strand(&audit),
                        1 => tokio::time::sleep(Duration::from_millis(dice.below(30))).await,
                        _ => calls.end(&audit),
                    }
                }
                while store.fates_left() > 0 && audit.depth().records > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                () = store.killed() => {}
                _ = tokio::time::timeout(Duration::from_secs(60), life) => {}
            }
            dir = copied(dir.path());
            drop(drain);
        }
        finish(dir.path(), &store).await;
        calls.are_in(&store);
        store.verified();
        assert_eq!(writers(&store).max(1), 1, "new chains were begun with seed {seed}");
    }
}
