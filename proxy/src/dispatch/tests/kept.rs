//! No call goes out and no answer leaves before its record is kept as surely as the tenant wants it.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
};

use futures_util::{FutureExt, StreamExt, stream};
use patchbay_core::{
    audit::{AuditLevel, ToolAudit, WhenFull},
    era::Era,
    rewrite::Plan,
    snapshot::SERVER_INFO,
};
use patchbay_downstream::{Answer as ServerAnswer, Reply};

use super::*;
use crate::{
    admission,
    audit::{Audit, SEGMENT_BYTES_MIN, SpoolOptions},
    dispatch::relay::Relay,
};

/// A house with a tenant that wants its records on the disk, and a disk that answers as often as it is told to.
async fn house() -> (House, SyncSender<io::Result<bool>>) {
    let house = House::new().await;
    house.open("acme", |row, _| row.audit.level = Some(AuditLevel::Sync));
    let (tell, told) = sync_channel(8);
    house.app.audit.set_disk(move || told.recv().unwrap_or_else(|_| Err(io::Error::other("gone"))));
    (house, tell)
}

/// A house whose audit has no room for a call.
async fn full() -> (House, tempfile::TempDir) {
    let (mut house, folder) = (House::new().await, tempfile::tempdir().unwrap());
    let options = SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 2 };
    Arc::get_mut(&mut house.app).unwrap().audit = Audit::open(folder.path(), options).unwrap();
    let goes_out = |mut trail: Trail| {
        trail.method(&Method::ToolsCall);
        trail.intent().is_ok()
    };
    while goes_out(house.trail()) {}
    (house, folder)
}

/// A call that has gone out and whose intent is on the disk.
async fn relay(house: &House, tell: &SyncSender<io::Result<bool>>) -> Relay {
    let cx = cx(house, &[], "").await;
    let mut trail = house.trail();
    trail.known(cx.tenant.id(), &cx.tenant.view().toolset, cx.principal.actor());
    trail.policy(&cx.tenant.snapshot().audit, cx.tenant.snapshot().generation);
    trail.method(&Method::ToolsCall);
    trail.target("shop", "get", "shop_get");
    trail.intent().unwrap();
    tell.send(Ok(true)).unwrap();
    trail.kept().await.unwrap();
    let timeout = std::time::Duration::from_secs(60);
    let toll = admission::Toll {
        rules: cx.tenant.view().limits,
        cost: 1,
        server: cx.tenant.server(0).id,
        tool: None,
        timeout,
    };
    let permit = admission::call(&cx, toll).await.unwrap();
    let plan = Plan {
        id: Bytes::from_static(b"1"),
        from: Era::Legacy,
        to: Era::Legacy,
        cacheable: false,
        server_info: SERVER_INFO,
    };
    let server = cx.tenant.server(0).clone();
    Relay {
        cx,
        plan,
        method: Method::ToolsCall,
        index: 0,
        about: None,
        asking: Default::default(),
        progress_token: None,
        trail,
        meter: server.meter.begin(None, std::time::Instant::now()),
        server,
        _permit: permit,
        log: None,
    }
}

const ANSWER: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

fn whole() -> Reply {
    Reply::One(ServerAnswer { head: Bytes::from_static(ANSWER), rest: None, era: Era::Legacy })
}

fn streamed() -> Reply {
    let (head, rest) = ANSWER.split_at(30);
    let rest = stream::iter([Ok(Bytes::from_static(rest))]).boxed();
    Reply::One(ServerAnswer { head: Bytes::from_static(head), rest: Some(rest), era: Era::Legacy })
}

#[tokio::test]
async fn a_whole_answer_waits_for_its_record() {
    let (house, tell) = house().await;
    let relay = relay(&house, &tell).await;
    let mut answer = Box::pin(relay.reply(whole()));
    assert!((&mut answer).now_or_never().is_none());
    tell.send(Ok(true)).unwrap();
    assert!(text(answer.await.ok().unwrap()).contains("content"));
}

#[tokio::test]
async fn an_answer_whose_record_is_not_on_the_disk_does_not_leave() {
    let (house, tell) = house().await;
    let relay = relay(&house, &tell).await;
    tell.send(Err(io::Error::other("no"))).unwrap();
    let refused = relay.reply(whole()).await.err().unwrap();
    assert!(refused.to_string().contains("may have been carried out"), "{refused}");
}

#[tokio::test]
async fn the_last_piece_of_a_long_answer_waits_for_its_record() {
    let (house, tell) = house().await;
    let relay = relay(&house, &tell).await;
    let Ok(Answer::Streaming(mut streaming)) = relay.reply(streamed()).await else { panic!("a stream was expected") };
    let mut seen = Vec::new();
    while let Some(piece) = streaming.next().now_or_never() {
        seen.extend_from_slice(&piece.unwrap().unwrap());
    }
    assert!(!seen.ends_with(b"}}"), "the answer left before its record was on the disk");
    tell.send(Ok(true)).unwrap();
    while let Some(piece) = streaming.next().await {
        seen.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(seen, ANSWER);
}

#[tokio::test]
async fn a_long_answer_whose_record_is_not_on_the_disk_breaks_off() {
    let (house, tell) = house().await;
    let relay = relay(&house, &tell).await;
    let Ok(Answer::Streaming(mut streaming)) = relay.reply(streamed()).await else { panic!("a stream was expected") };
    tell.send(Err(io::Error::other("no"))).unwrap();
    let mut seen = Vec::new();
    let broke = loop {
        match streaming.next().await {
            Some(Ok(piece)) => seen.extend_from_slice(&piece),
            other => break other,
        }
    };
    assert!(matches!(broke, Some(Err(_))) && !seen.ends_with(b"}}"));
    assert!(streaming.next().await.is_none());
}

#[tokio::test]
async fn a_call_whose_intent_is_not_on_the_disk_does_not_go_out() {
    let (house, tell) = house().await;
    tell.send(Err(io::Error::other("no"))).unwrap();
    let mut trail = house.trail();
    let refused = call(cx(&house, &[], "").await, "shop_get", &mut trail).await.err().unwrap();
    assert!(refused.to_string().contains("was not carried out"), "{refused}");
    assert!(trail.request_id().is_some(), "the edge closes the trail with the refusal");
}

#[tokio::test]
async fn a_list_waits_for_its_record_too() {
    let (house, tell) = house().await;
    let (cx, mut trail) = (cx(&house, &[], "").await, house.trail());
    trail.policy(&cx.tenant.snapshot().audit, cx.tenant.snapshot().generation);
    let mut list = Box::pin(run(cx, asked("tools/list", &json!({})), &mut trail));
    assert!((&mut list).now_or_never().is_none());
    tell.send(Ok(true)).unwrap();
    assert!(text(list.await.ok().unwrap()).contains("shop_get"));
}

#[tokio::test]
async fn a_full_spool_stops_calls_or_lets_them_pass_as_the_tenant_wants() {
    let (house, _folder) = full().await;
    house.open("acme", |_, _| {});
    for refused in [
        call(cx(&house, &[], "").await, "shop_get", &mut house.trail()).await,
        run(cx(&house, &[], "").await, asked("tools/list", &json!({})), &mut house.trail()).await,
    ] {
        assert!(matches!(refused, Err(GatewayError::Overloaded(_))));
    }
    house.open("acme", |row, _| row.audit.when_full = Some(WhenFull::Pass));
    let passed = call(cx(&house, &[], "").await, "shop_get", &mut house.trail()).await;
    assert!(text(passed.ok().unwrap()).contains("is not reachable right now"));
    let listed = run(cx(&house, &[], "").await, asked("tools/list", &json!({})), &mut house.trail()).await;
    assert!(text(listed.ok().unwrap()).contains("shop_get"));
}

#[tokio::test]
async fn a_closed_tool_is_never_called_without_a_record() {
    let (house, _folder) = full().await;
    house.open("acme", |row, _| row.audit.when_full = Some(WhenFull::Pass));
    let cx = cx(&house, &[], "").await;
    let mut trail = house.trail();
    trail.policy(&cx.tenant.snapshot().audit, cx.tenant.snapshot().generation);
    let closed = ToolAudit { closed: true, keep: None };
    let refused = crate::dispatch::call::record(&cx, &asked("tools/call", &json!({})), Some(&closed), &mut trail).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.facts(cx.caller.era()).label, "audit_full");
}
