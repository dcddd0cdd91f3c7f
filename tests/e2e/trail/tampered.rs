//! Whoever changes a stored record is found out: edited, deleted, swapped, cut off, put in; in the store and in an export.

use std::fs;

use patchbay_e2e::{
    Outcome, TestGateway,
    database::execute_sqlite,
    setup::{Home, scripted, tenant},
    wait_until,
};
use serde_json::json;

/// Records that the chain of the tenant has at least.
const CALLS: usize = 12;

/// A gateway that has written some records and stopped in order, so that its last checkpoint covers them all.
async fn written() -> (std::sync::Arc<Home>, String) {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let client = gateway.modern("acme");
    for _ in 0..CALLS {
        assert!(!client.call("one_echo", json!({})).await.is_error());
    }
    wait_until("they are on record", || async {
        gateway.audit().await.iter().filter(|record| record["action"] == "tool.call").count() >= CALLS
    })
    .await;
    let key = gateway.patchbay(&["audit", "key"]).good().trim().to_owned();
    (gateway.stop(), key)
}

fn verify(home: &Home) -> Outcome {
    home.patchbay(&["audit", "verify", "--tenant", "acme"])
}

/// The chain of the gateway, in SQL: the one with the calls.
const CHAIN: &str = "writer = (SELECT writer FROM audit WHERE kind = 'tool.call' LIMIT 1) \
                     AND tenant_id = (SELECT tenant_id FROM audit WHERE kind = 'tool.call' LIMIT 1)";

/// The same where heads and checkpoints are.
const HEAD: &str = "writer = (SELECT writer FROM audit WHERE kind = 'tool.call' LIMIT 1) \
                    AND tenant = (SELECT tenant_id FROM audit WHERE kind = 'tool.call' LIMIT 1)";

#[tokio::test]
async fn every_way_to_change_a_stored_record_is_found() {
    let (home, _) = written().await;
    let database = home.path("data/patchbay.db");
    let whole = fs::read(&database).unwrap();
    let good = verify(&home);
    assert!(good.code == 0 && good.out.contains("checkpoints"), "{good:?}");
    // What is done, and what is said of it.
    let deeds = [
        (
            "edited",
            "UPDATE audit SET json = replace(json, 'answered', 'refused ') WHERE CHAIN AND seq = 4".to_owned(),
            "record 4",
        ),
        ("moved in time", "UPDATE audit SET at_ms = at_ms + 1 WHERE CHAIN AND seq = 5".to_owned(), "record 5"),
        ("of another kind", "UPDATE audit SET kind = 'list' WHERE CHAIN AND seq = 5".to_owned(), "record 5"),
        ("found elsewhere", "UPDATE audit SET actor = 'key:0' WHERE CHAIN AND seq = 6".to_owned(), "record 6"),
        ("with another hash", "UPDATE audit SET hash = randomblob(32) WHERE CHAIN AND seq = 7".to_owned(), "record 7"),
        ("deleted", "DELETE FROM audit WHERE CHAIN AND seq = 3".to_owned(), "records 3 to 3"),
        ("deleted at the beginning", "DELETE FROM audit WHERE CHAIN AND seq <= 2".to_owned(), "records 1 to 2"),
        (
            "swapped",
            "UPDATE audit SET seq = CASE seq WHEN 4 THEN 5 ELSE 4 END WHERE CHAIN AND seq IN (4, 5)".to_owned(),
            "record 4",
        ),
        ("cut off", "DELETE FROM audit WHERE CHAIN AND seq > 6".to_owned(), "7"),
        (
            "cut off with its head",
            "DELETE FROM audit WHERE CHAIN AND seq > 6; \
             UPDATE audit_heads SET seq = 6, hash = (SELECT hash FROM audit WHERE CHAIN AND seq = 6) WHERE HEAD"
                .to_owned(),
            "7",
        ),
        ("without its head", "DELETE FROM audit_heads WHERE HEAD".to_owned(), "no head"),
        (
            "with a forged checkpoint",
            "UPDATE audit_checkpoints SET signature = randomblob(64) WHERE HEAD".to_owned(),
            "not signed",
        ),
    ];
    for (what, deed, said) in deeds {
        execute_sqlite(&database, deed.replace("CHAIN", CHAIN).replace("HEAD", HEAD)).await;
        let found = verify(&home);
        assert!(found.code == 1, "{what}: nothing was found: {found:?}");
        assert!(found.out.contains("FAIL") && found.out.contains(said), "{what}: {found:?}");
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.path(&format!("data/patchbay.db{suffix}")));
        }
        fs::write(&database, &whole).unwrap();
    }
    assert_eq!(verify(&home).code, 0);
}

#[tokio::test]
async fn an_export_is_verified_by_anybody_with_the_public_key_alone() {
    let (home, key) = written().await;
    let file = home.path("export.jsonl");
    let path = file.to_str().unwrap();
    home.patchbay(&["audit", "export", "--tenant", "acme", "--out", path]).good();
    // Without configuration, store or gateway.
    let alone = || {
        patchbay_e2e::process::run(&mut patchbay_e2e::process::command(
            &patchbay_e2e::programs::program("patchbay"),
            ["audit", "verify", "--file", path, "--key", &key],
        ))
    };
    let good = alone();
    assert!(good.code == 0 && good.out.contains("as they were written"), "{good:?}");
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let is_record = |line: &&str| line.contains(r#""type":"record""#);
    let records: Vec<usize> = (0..lines.len()).filter(|at| is_record(&lines[*at])).collect();
    let (third, last) = (records[2], records[records.len() - 1]);
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    let mut edited = lines.clone();
    let changed = lines[third].replace("\"duration_us\":", "\"duration_us\":1");
    edited[third] = &changed;
    let mut swapped = lines.clone();
    swapped.swap(third, records[3]);
    let mut doubled = lines.clone();
    doubled.insert(third, lines[third]);
    for (what, lines) in [
        ("edited", edited),
        ("deleted", without(third)),
        ("swapped", swapped),
        ("doubled", doubled),
        ("cut off", without(last)),
    ] {
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        let found = alone();
        assert!(found.code == 1 && found.out.contains("FAIL"), "{what}: {found:?}");
    }
    fs::write(&file, "{\"type\":\"record\"}\n").unwrap();
    let wrong = alone();
    assert!(wrong.code == 1 && wrong.err.contains("line 1"), "{wrong:?}");
}

#[tokio::test]
async fn a_whole_chain_that_was_removed_is_missed_by_whoever_kept_its_checkpoints() {
    let (home, _) = written().await;
    let file = home.path("kept.jsonl");
    let path = file.to_str().unwrap();
    home.patchbay(&["audit", "export", "--tenant", "acme", "--out", path]).good();
    let deed = "CREATE TEMP TABLE gone AS SELECT DISTINCT writer AS w, tenant_id AS t FROM audit WHERE kind = 'tool.call'; \
                DELETE FROM audit WHERE writer IN (SELECT w FROM gone) AND tenant_id IN (SELECT t FROM gone); \
                DELETE FROM audit_heads WHERE writer IN (SELECT w FROM gone); \
                DELETE FROM audit_checkpoints WHERE writer IN (SELECT w FROM gone)";
    execute_sqlite(&home.path("data/patchbay.db"), deed).await;
    assert_eq!(verify(&home).code, 0, "the store alone cannot know");
    let found = home.patchbay(&["audit", "verify", "--tenant", "acme", "--checkpoints", path]);
    assert!(found.code == 1 && found.out.contains("missing"), "{found:?}");
}
