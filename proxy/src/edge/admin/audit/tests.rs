use std::collections::BTreeSet;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, CheckpointReason, EventId, Facets, Link, WriterId},
};
use patchbay_store::AuditRow;
use serde_json::{Value as Json, json};

use super::super::tests::{Kit, admin_of, platform, viewer_of};
use crate::{audit::Signer, audit::now_ms, ledger::verify};

/// A kit whose gateway has keys of its own, with a tenant and another one.
async fn kit() -> (Kit, TenantId, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let kit = Kit::with(|config| config.data_dir = folder.path().to_owned()).await;
    for name in ["acme", "other"] {
        kit.apply(&format!("tenant: {name}\n")).await;
    }
    let id = kit.store().tenant_load(&"acme".parse().unwrap()).await.unwrap().unwrap().id;
    (kit, id, folder)
}

fn json_of(number: u64) -> String {
    let (server, outcome) =
        (["shop", "web"][number as usize % 2], ["answered", "refused", "failed"][number as usize % 3]);
    format!(
        r#"{{"number":{number},"actor":{{"kind":"key","key":"{}"}},"server":"{server}","exposed":"get","outcome":"{outcome}"}}"#,
        number % 5
    )
}

/// A chain of as many records, ten of each at one time.
fn rows(tenant: TenantId, count: u64) -> Vec<AuditRow> {
    let chain = ChainId { tenant: Some(tenant), writer: WriterId(7) };
    let (mut at, begin_ms) = (Link::START, now_ms() - 1_000_000);
    let row = |number: u64| {
        let at_ms = begin_ms + i64::try_from(number / 10).unwrap();
        // The other way round than they were written, so that nothing is in order by chance.
        let (event_id, json) = (EventId::compose(at_ms, 10_000 - number, 1).bits(), json_of(number));
        at = at.next(chain, event_id, at_ms, "tool.call", &json);
        let (kind, facets) = ("tool.call".to_owned(), Facets::of(&json));
        AuditRow { event_id, chain, link: at, at_ms, kind, facets, json }
    };
    (0..count).map(row).collect()
}

async fn sign(kit: &Kit, signer: &Signer, row: &AuditRow) {
    let (chain, link, reason) = (row.chain, row.link, CheckpointReason::Head);
    let mut checkpoint = Checkpoint { chain, link, reason, at_ms: 0, signature: [0; 64] };
    signer.sign(&mut checkpoint);
    kit.store().audit_checkpoint_put(&[checkpoint]).await.unwrap();
}

fn signer(kit: &Kit) -> Signer {
    crate::app::Keys::of(kit.desk.config()).unwrap().signer().unwrap()
}

/// The numbers of the records that all pages together show, in their order.
async fn numbers(kit: &Kit, path: &str) -> Vec<u64> {
    let (mut seen, mut at, mut pages) = (Vec::new(), path.to_owned(), 0);
    loop {
        let page = kit.get(&viewer_of("acme"), &at).await.json;
        seen.extend(page["items"].as_array().unwrap().iter().filter_map(|item| item["number"].as_u64()));
        pages += 1;
        assert!(pages < 100, "it comes to an end");
        let Some(next) = page["next"].as_str() else { return seen };
        at = format!("{path}&cursor={next}");
    }
}

#[tokio::test]
async fn nobody_hears_of_another_tenants_audit_and_only_the_platform_of_all() {
    let (kit, id, _folder) = kit().await;
    let nowhere = kit.ask(&platform(), "GET", "/tenants/nowhere/audit", &[], Json::Null).await;
    assert_eq!(nowhere.status, 404);
    for (method, path, body) in [
        ("GET", "/tenants/acme/audit", Json::Null),
        ("GET", "/tenants/acme/audit/export", Json::Null),
        ("POST", "/tenants/acme/audit/verify", json!({})),
    ] {
        let other = kit.ask(&admin_of("other"), method, path, &[], body.clone()).await;
        assert_eq!((other.status, &other.text), (404, &nowhere.text), "{path}");
        assert_eq!(kit.ask(&viewer_of("acme"), method, path, &[], body.clone()).await.status, 200, "{path}");
        let all = path.replace("/tenants/acme", "");
        assert_eq!(kit.ask(&admin_of("acme"), method, &all, &[], body.clone()).await.status, 403, "{all}");
        assert_eq!(kit.ask(&platform(), method, &all, &[], body).await.status, 200, "{all}");
    }
    for parameter in ["tenant=other", "tenant_id=x", "no_tenant=true", "nonsense=1"] {
        let path = format!("/tenants/acme/audit?{parameter}");
        assert_eq!(kit.ask(&admin_of("acme"), "GET", &path, &[], Json::Null).await.status, 400, "{path}");
    }
    for wrong in [
        "tenant=acme&no_tenant=true",
        "tenant_id=x",
        "since=yesterday",
        "limit=0",
        "limit=1001",
        "outcome=x",
        "cursor=x",
    ] {
        let path = format!("/audit?{wrong}");
        assert_eq!(kit.ask(&platform(), "GET", &path, &[], Json::Null).await.status, 400, "{path}");
    }
    for public in [viewer_of("acme"), platform()] {
        let keys = kit.get(&public, "/audit/public-keys").await.json;
        assert_eq!(keys["keys"][0]["public_key"].as_str().unwrap().len(), 64);
    }
    // A tenant that is deleted leaves its audit to the platform.
    kit.store().audit_append(&rows(id, 3)).await.unwrap();
    let note = patchbay_store::Note::by_operator("a test", 0);
    assert!(delete(&kit, &note).await);
    let left = kit.get(&platform(), &format!("/audit?tenant_id={id}&actor=key:*")).await.json;
    assert_eq!(left["items"].as_array().unwrap().len(), 3);
    assert_eq!(kit.ask(&viewer_of("acme"), "GET", "/tenants/acme/audit", &[], Json::Null).await.status, 404);
}

async fn delete(kit: &Kit, note: &patchbay_store::Note) -> bool {
    kit.store().tenant_delete(&"acme".parse().unwrap(), None, note).await.unwrap()
}

#[tokio::test]
async fn pages_of_three_thousand_records_of_the_same_times_neither_repeat_nor_skip() {
    let (kit, id, _folder) = kit().await;
    let rows = rows(id, 3_000);
    kit.store().audit_append(&rows).await.unwrap();
    let mut newest = rows.clone();
    newest.sort_by_key(|row| std::cmp::Reverse(row.event_id));
    let wanted = |keep: fn(&Facets) -> bool| -> Vec<u64> {
        let kept = newest.iter().filter(|row| keep(&row.facets));
        kept.map(|row| serde_json::from_str::<Json>(&row.json).unwrap()["number"].as_u64().unwrap()).collect()
    };
    for (query, keep) in [
        ("limit=97", (|_| true) as fn(&Facets) -> bool),
        ("limit=100&server=shop&outcome=failed", |it| it.server.as_deref() == Some("shop") && it.outcome == "failed"),
        ("limit=1000&actor=key:3", |it| it.actor == "key:3"),
        ("limit=13&actor=key:*&name=get&action=tool.call&outcome=refused&server=web&since=1d", |it| {
            it.server.as_deref() == Some("web") && it.outcome == "refused"
        }),
        ("limit=10&name=none", |_| false),
    ] {
        assert_eq!(numbers(&kit, &format!("/tenants/acme/audit?{query}")).await, wanted(keep), "{query}");
    }
    let since = jiff::Timestamp::from_millisecond(rows[1_500].at_ms).unwrap();
    let later = numbers(&kit, &format!("/tenants/acme/audit?limit=1000&since={since}")).await;
    assert_eq!(later.iter().copied().collect::<BTreeSet<_>>(), (1_500..3_000).collect());
    let before = numbers(&kit, &format!("/tenants/acme/audit?limit=1000&until={since}")).await;
    assert_eq!(before.iter().copied().collect::<BTreeSet<_>>(), (0..1_500).collect());
}

#[tokio::test]
async fn a_record_is_shown_byte_for_byte_and_every_look_leaves_one() {
    let (kit, id, _folder) = kit().await;
    let mut odd = rows(id, 2);
    odd[0].json = r#"{"z":1,  "a":1.50,"outcome":"answered","actor":{"kind":"key","key":"1"}}"#.to_owned();
    odd[1].json = "no JSON".to_owned();
    kit.store().audit_append(&odd).await.unwrap();
    let shown = kit.get(&viewer_of("acme"), "/tenants/acme/audit?action=tool.call&since=1d").await;
    assert!(shown.text.contains(&odd[0].json) && shown.text.contains(r#""no JSON""#), "{}", shown.text);
    kit.ask(&viewer_of("acme"), "POST", "/tenants/acme/audit/verify", &[], json!({})).await;
    kit.get(&platform(), "/audit?no_tenant=true&server=web").await;

    let looks = kit.get(&platform(), "/tenants/acme/audit?actor=admin_key:*&action=audit.query").await;
    assert_eq!(looks.json["items"].as_array().unwrap().len(), 2, "{}", looks.text);
    assert!(looks.text.contains("read 2 records of the audit, action tool.call"), "{}", looks.text);
    assert!(looks.text.contains("verified the audit"), "{}", looks.text);
    let others = kit.get(&platform(), "/audit?no_tenant=true&action=audit.query").await;
    assert!(others.text.contains("server web"), "{}", others.text);
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_named_in_whichever_part_it_stands() {
    let (kit, id, _folder) = kit().await;
    let mut rows = rows(id, 2_500);
    let end = rows[2_499].clone();
    rows[2_300].json = json_of(7);
    kit.store().audit_append(&rows).await.unwrap();
    sign(&kit, &signer(&kit), &end).await;
    let (mut body, mut problems, mut parts) = (json!({ "max_s": 0 }), Vec::new(), 0);
    loop {
        let answer = kit.ask(&viewer_of("acme"), "POST", "/tenants/acme/audit/verify", &[], body.clone()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let report = answer.json;
        let found = report["problems"].as_array().unwrap();
        assert_eq!(report["ok"], json!(found.is_empty()));
        problems.extend(found.clone());
        parts += 1;
        let Some(next) = report["next"].as_str() else { break };
        assert_eq!(report["complete"], json!(false));
        body["cursor"] = json!(next);
    }
    assert!((2..10).contains(&parts));
    let expected = json!({
        "chain": { "tenant": id.to_string(), "writer": "0000000000000007" }, "at": 2301, "what": "record 2301 was changed",
    });
    assert_eq!(problems, [expected]);

    let whole = kit.ask(&platform(), "POST", "/audit/verify", &[], json!({})).await.json;
    assert_eq!((&whole["ok"], &whole["complete"], &whole["unchained"]), (&json!(false), &json!(true), &json!(0)));
    // Of another tenant nothing is said, whatever cursor is sent.
    let other = kit.ask(&admin_of("other"), "POST", "/tenants/other/audit/verify", &[], json!({})).await.json;
    assert_eq!((&other["ok"], &other["problems"]), (&json!(true), &json!([])));
    let foreign = kit.ask(&admin_of("other"), "POST", "/tenants/other/audit/verify", &[], body).await;
    assert_eq!((foreign.status, foreign.pointers()), (422, vec!["/cursor"]));
}

#[tokio::test]
async fn what_was_kept_elsewhere_counts_and_what_is_no_such_thing_is_refused() {
    let (kit, id, _folder) = kit().await;
    let rows = rows(id, 5);
    kit.store().audit_append(&rows[..3]).await.unwrap();
    let signer = signer(&kit);
    let mut kept = Checkpoint {
        chain: rows[4].chain,
        link: rows[4].link,
        reason: CheckpointReason::Head,
        at_ms: 0,
        signature: [0; 64],
    };
    signer.sign(&mut kept);
    let line: Json = serde_json::from_str(&crate::ledger::lines::Line::checkpoint(&kept).text()).unwrap();
    let ask = async |body: Json| kit.ask(&viewer_of("acme"), "POST", "/tenants/acme/audit/verify", &[], body).await;
    assert_eq!(ask(json!({})).await.json["ok"], json!(true), "nobody here knows of the end");
    let cut = ask(json!({ "checkpoints": [line] })).await.json;
    assert_eq!((&cut["ok"], &cut["problems"][0]["at"]), (&json!(false), &json!(4)));
    let foreign = ask(json!({ "checkpoints": [line], "public_keys": ["00".repeat(32)] })).await.json;
    assert!(foreign["problems"][0]["what"].as_str().unwrap().contains("not signed"), "{foreign}");
    let wrong = ask(json!({ "max_s": 51, "cursor": "x", "public_keys": ["0"], "checkpoints": [{}] })).await;
    assert_eq!((wrong.status, wrong.pointers()), (422, vec!["/cursor", "/max_s", "/public_keys/0", "/checkpoints/0"]));
}

#[tokio::test]
async fn an_export_is_whole_verifies_without_the_gateway_and_leaves_a_record() {
    let (kit, id, _folder) = kit().await;
    let rows = rows(id, 1_700);
    kit.store().audit_append(&rows).await.unwrap();
    let signer = signer(&kit);
    sign(&kit, &signer, &rows[1_699]).await;
    let exported = async |path: &str| {
        let answer = kit.ask(&platform(), "GET", path, &[], Json::Null).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &answer.text).unwrap();
        let verdicts = verify::file(file.path(), signer.publics()).unwrap();
        let of_rows = verdicts.iter().find(|verdict| verdict.chain == rows[0].chain).cloned();
        (of_rows, verdicts.len(), answer.text)
    };
    let (whole, chains, text) = exported("/tenants/acme/audit/export").await;
    let whole = whole.unwrap();
    assert_eq!((whole.fault, whole.records, whole.checkpoints, chains), (None, 1_700, 1, 2));
    assert!(text.contains(&rows[3].json) && !text.contains("other"));
    let since = jiff::Timestamp::from_millisecond(rows[1_000].at_ms).unwrap();
    let part = exported(&format!("/tenants/acme/audit/export?since={since}")).await.0.unwrap();
    assert_eq!((part.fault, part.begin, part.last), (None, 1_000, 1_700));
    let all = exported("/audit/export").await;
    assert_eq!((all.0.unwrap().records, all.1), (1_700, 3));
    assert_eq!(exported("/audit/export?no_tenant=true").await.0, None);
    let looks = kit.get(&viewer_of("acme"), "/tenants/acme/audit?action=audit.export").await;
    assert_eq!(looks.json["items"].as_array().unwrap().len(), 2, "{}", looks.text);
    assert!(looks.text.contains("exported 2 chains of the audit"), "{}", looks.text);
}
