//! What a tenant wants of its records: how surely they are kept, what they show, and what becomes of calls that find no room.

use futures_util::future::join_all;
use patchbay_core::{
    Generation,
    audit::{Arguments, AuditArguments, DigestKey},
};

use super::*;

const KEY: DigestKey = DigestKey::new([5; 32]);

fn policy(level: AuditLevel) -> AuditPolicy {
    AuditPolicy { level, ..AuditPolicy::default() }
}

fn call_under(audit: &Arc<Audit>, policy: &AuditPolicy, tool: &str) -> Trail {
    let mut trail = call(audit, tool);
    trail.policy(policy, Generation(3));
    trail.target("shop", tool, "shop_tool");
    trail
}

/// Fills the spool until a call of a tenant with the defaults is refused.
fn fill(audit: &Arc<Audit>) {
    let mut calls = 0;
    while call(audit, "filler").intent().is_ok() {
        calls += 1;
        assert!(calls < 10_000, "the spool has no bound");
    }
    while audit.has_room() {
        Trail::open(audit, None, None).session_opened();
    }
    let mut rest = 0;
    while audit.missed.load(Ordering::Relaxed) == 0 {
        Trail::open(audit, None, None).session_opened();
        rest += 1;
        assert!(rest < 10_000, "the spool has no bound");
    }
}

fn missed(audit: &Audit) -> u64 {
    audit.missed.load(Ordering::Relaxed)
}

#[test]
fn a_record_names_the_state_the_id_the_trace_and_the_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut trail = call(&audit, "query");
    trail.policy(&AuditPolicy { arguments: AuditArguments::Redacted, ..AuditPolicy::default() }, Generation(3));
    trail.rpc(b"77");
    trail.trace([0xcd; 16]);
    trail.target("shop", "query", "shop_tool");
    let request = trail.request_id().unwrap().to_string();
    let keep = ["city".to_owned()];
    trail.arguments(Arguments { raw: Some(r#"{"city":"Bern","token":"x"}"#), keep: &keep }, &KEY);
    trail.intent().unwrap();
    trail.done(false, false, 1);
    assert!(trail.request_id().is_none());
    for row in records(&audit) {
        let said = json(&row);
        assert_eq!((&said["revision"], &said["rpc"]), (&3.into(), &"a88a7902cb4ef697".into()));
        assert_eq!(said["trace"], "cd".repeat(16));
        assert_eq!(said["event"], request.as_str());
        assert_eq!(said["arguments"]["redacted"]["city"], "Bern");
        assert_eq!(said["decision"], "allow");
    }
}

#[test]
fn arguments_are_of_no_interest_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut trail = call(&audit, "query");
    trail.arguments(Arguments { raw: Some(r#"{"a":"secret"}"#), keep: &[] }, &KEY);
    trail.done(false, false, 1);
    assert!(json(&records(&audit)[0]).get("arguments").is_none());
}

#[test]
fn a_refusal_says_which_rule_denied_it_and_what_ended_undecided_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut denied = call(&audit, "query");
    denied.rule("exports");
    denied.refuse(429, 42901, "limited");
    drop(call(&audit, "query"));
    let mut sent = call(&audit, "query");
    sent.intent().unwrap();
    sent.refuse(500, 0, "internal");
    let said: Vec<_> = records(&audit).iter().map(json).collect();
    assert_eq!((&said[0]["decision"], &said[0]["rule"]), (&"deny".into(), &"exports".into()));
    assert_eq!((said[1].get("decision"), &said[1]["outcome"]), (None, &"cancelled".into()));
    assert_eq!((&said[3]["decision"], &said[3]["outcome"]), (&"allow".into(), &"failed".into()));
}

#[test]
fn an_asynchronous_call_leaves_one_record_and_never_waits_for_room() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let mut trail = call_under(&audit, &policy(AuditLevel::Async), "query");
    trail.intent().unwrap();
    assert_eq!(records(&audit).len(), 0);
    trail.done(false, false, 1);
    let [row] = records(&audit).try_into().unwrap();
    assert_eq!((row.stage, &json(&row)["decision"]), (Stage::Closed, &"allow".into()));

    fill(&audit);
    let before = missed(&audit);
    assert!(audit.lets_on(&policy(AuditLevel::Async)) && !audit.lets_on(&policy(AuditLevel::Ack)));
    let mut trail = call_under(&audit, &policy(AuditLevel::Async), "query");
    trail.intent().unwrap();
    trail.done(false, false, 1);
    assert_eq!(missed(&audit), before + 1, "a record vanished unsaid");
}

#[test]
fn a_full_spool_refuses_lets_pass_or_stays_closed_as_the_tenant_wants() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    fill(&audit);
    let before = missed(&audit);
    let pass = AuditPolicy { when_full: WhenFull::Pass, ..AuditPolicy::default() };
    assert_eq!(call_under(&audit, &AuditPolicy::default(), "query").intent(), Err(SpoolFull));
    assert!(audit.lets_on(&pass) && !audit.lets_on(&AuditPolicy::default()));
    // The refused one is itself a record that finds no room.
    assert_eq!(missed(&audit), before + 1);

    let mut passing = call_under(&audit, &pass, "query");
    passing.intent().unwrap();
    passing.done(false, false, 1);
    assert_eq!(missed(&audit), before + 2, "a record vanished unsaid");

    for level in [AuditLevel::Ack, AuditLevel::Sync, AuditLevel::Async] {
        let mut closed = call_under(&audit, &AuditPolicy { level, ..pass.clone() }, "pay");
        closed.closed();
        assert_eq!(closed.intent(), Err(SpoolFull), "{level:?}");
    }
}

#[tokio::test]
async fn a_record_that_has_to_be_on_the_disk_is_before_the_call_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    audit.set_disk(move || told.recv().unwrap_or(Ok(false)));
    let mut trail = call_under(&audit, &policy(AuditLevel::Sync), "query");
    trail.intent().unwrap();
    {
        let mut kept = std::pin::pin!(trail.kept());
        assert!(futures_util::poll!(&mut kept).is_pending());
        tell.send(Ok(true)).unwrap();
        kept.await.unwrap();
    }
    trail.kept().await.unwrap();
    trail.done(false, false, 1);
    let mut kept = std::pin::pin!(trail.kept());
    assert!(futures_util::poll!(&mut kept).is_pending());
    tell.send(Ok(true)).unwrap();
    kept.await.unwrap();
    assert_eq!(audit.syncs().count, 2);
}

#[tokio::test]
async fn at_other_levels_nobody_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    audit.set_disk(|| Err(std::io::Error::other("never asked")));
    for level in [AuditLevel::Ack, AuditLevel::Async] {
        let mut trail = call_under(&audit, &policy(level), "query");
        trail.intent().unwrap();
        trail.kept().await.unwrap();
        trail.done(false, false, 1);
        trail.kept().await.unwrap();
    }
    assert_eq!(audit.syncs(), Syncs::default());
}

#[tokio::test]
async fn a_disk_that_refuses_stops_the_call_and_is_not_asked_twice() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    audit.set_disk(|| Err(std::io::Error::other("no")));
    let mut trail = call_under(&audit, &policy(AuditLevel::Sync), "query");
    trail.intent().unwrap();
    assert_eq!(trail.kept().await, Err(NotKept));
    trail.refuse(503, 50301, "overloaded");
    trail.kept().await.unwrap();
    assert_eq!(audit.syncs().failures, 1);
}

#[tokio::test]
async fn a_hundred_calls_at_once_share_the_work_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SpoolOptions { segments_max: 9, ..SMALL });
    // The real disk, behind a gate, so that all of them wait at once however quick it is.
    let (open, gate) = std::sync::mpsc::sync_channel::<()>(8);
    let real = Arc::downgrade(&audit);
    audit.set_disk(move || {
        gate.recv().map_err(std::io::Error::other)?;
        real.upgrade().map_or(Ok(false), |audit| audit.spool.sync())
    });
    let arrived = AtomicU64::new(0);
    let calls = (0..100).map(|number| {
        let (audit, arrived) = (&audit, &arrived);
        async move {
            let mut trail = call_under(audit, &policy(AuditLevel::Sync), &number.to_string());
            trail.intent().unwrap();
            trail.kept().await.unwrap();
            trail.done(false, false, 1);
            arrived.fetch_add(1, Ordering::Relaxed);
            trail.kept().await.unwrap();
        }
    });
    let opened = async {
        // A round that has begun with some of them, and one for the rest: for the intents, and for the outcomes.
        (0..2).for_each(|_| open.send(()).unwrap());
        while arrived.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        (0..2).for_each(|_| open.send(()).unwrap());
    };
    futures_util::join!(join_all(calls), opened);
    assert_eq!(records(&audit).len(), 200);
    assert!((2..=4).contains(&audit.syncs().count), "{:?}", audit.syncs());
    assert!(audit.syncs().took > Duration::ZERO);
}

#[tokio::test]
async fn the_real_disk_keeps_what_was_written_in_several_files_and_is_asked_once() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SpoolOptions { segments_max: 9, ..SMALL });
    audit.durable().await.unwrap();
    let first = audit.syncs().count;
    assert!(first <= 1);
    for number in 0..500 {
        call(&audit, &number.to_string()).done(false, false, 1);
    }
    audit.durable().await.unwrap();
    assert_eq!(audit.syncs().count, first + 1);
    assert!(!audit.spool.sync().unwrap(), "something was left out");
    audit.durable().await.unwrap();
    assert_eq!(audit.syncs().count, first + 1, "the disk was asked for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_is_nearly_full_slows_calls_down_the_more_the_fuller_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SpoolOptions { segments_max: 4, ..SMALL });
    let pause = async |level| {
        let began = tokio::time::Instant::now();
        call_under(&audit, &policy(level), "query").pace().await;
        began.elapsed()
    };
    assert_eq!(pause(AuditLevel::Ack).await, Duration::ZERO);
    assert!(audit.depth().occupancy < 0.1);
    let mut waits = Vec::new();
    for number in 0..10_000 {
        let mut trail = call(&audit, &number.to_string());
        if trail.intent().is_err() {
            break;
        }
        trail.done(false, false, 1);
        waits.push(pause(AuditLevel::Sync).await);
    }
    assert!(waits.is_sorted());
    let longest = *waits.last().unwrap();
    assert!((Duration::from_millis(20)..=Duration::from_millis(50)).contains(&longest), "{longest:?}");
    assert_eq!(pause(AuditLevel::Async).await, Duration::ZERO);
    assert!(audit.depth().occupancy > 0.8 && !audit.depth().stunted);
}

#[tokio::test]
async fn a_disk_without_room_is_told_and_its_end_too() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let audit = audit(dir.path(), SpoolOptions { segments_max: 9, ..SMALL });
    std::fs::remove_dir_all(dir.path()).unwrap();
    fill(&audit);
    let depth = audit.depth();
    assert!(depth.stunted && depth.occupancy > 0.8, "{depth:?}");
    std::fs::create_dir(dir.path()).unwrap();
    let _drain =
        Drain::start(audit.clone(), store, signer(), DrainOptions::default(), &tokio::runtime::Handle::current());
    until("the end of it", || {
        // The drain looks for room whenever records come.
        call(&audit, "again").done(false, false, 1);
        !audit.depth().stunted
    })
    .await;
    until("room", || audit.depth().occupancy < 0.5 && audit.has_room()).await;
}

#[test]
fn the_gateway_writes_down_what_it_does_itself() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit(dir.path(), SMALL);
    audit.own_event(Action::GatewayStart, "version 1");
    audit.own_event(Action::LimitsMode, "shared to local");
    let rows = records(&audit);
    let said: Vec<_> = rows.iter().map(|row| (row.kind, row.tenant, json(row)["actor"]["kind"].clone())).collect();
    assert_eq!(said, [("gateway.start", None, "gateway".into()), ("limits.mode", None, "gateway".into())]);
    assert_eq!(json(&rows[1])["reason"], "shared to local");
}
