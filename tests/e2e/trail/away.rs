//! The store is away, the spool is full, the disk is full: calls go on or are refused as the tenant says, it is said, and nothing
//! is lost unsaid.

use std::{collections::BTreeSet, fs, process::Command};

use patchbay_e2e::{
    Client, Fixture, TestGateway,
    database::Postgres,
    process::{Running, command},
    programs::program,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::json;

use super::{called, query, verify};

/// Fills a spool of 1 MiB several times over.
const MANY: usize = 4000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_loses_no_record_and_stops_no_call() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, behind) = database.behind_wire().await;
    let acme = tenant("acme", [("one", scripted(&["--no-odd", "--tools", "400"]))]);
    let gateway = TestGateway::setup().postgres(&behind).tenant(acme).start().await;
    let client = gateway.modern("acme");
    wire.cut();
    let mut done = BTreeSet::new();
    for number in 1..=400 {
        done.extend(called(&client, format!("one_tool_{number:04}")).await);
    }
    assert_eq!(done.len(), 400, "calls fail while the store is away");
    let lag = gateway.metrics().await;
    let lag = lag.lines().find(|line| line.starts_with("patchbay_audit_lag_records ")).unwrap().to_owned();
    assert!(!lag.ends_with(" 0"), "{lag}");
    wire.mend();
    wait_until("all of them are on record", || async {
        let records = query(&gateway, &["--tenant", "acme", "--action", "tool.call", "--outcome", "answered"]);
        let known: BTreeSet<_> =
            records.iter().filter_map(|record| record["exposed"].as_str().map(str::to_owned)).collect();
        done.is_subset(&known)
    })
    .await;
    let verified = verify(&gateway);
    assert!(verified.code == 0, "{verified:?}");
    drop(gateway);
    database.clear().await;
}

/// A gateway with the smallest spool on a store that is away, and clients of a tenant that refuses and of one that goes on.
async fn full(database: &Postgres) -> (patchbay_e2e::Wire, TestGateway, Client, Client) {
    let (wire, behind) = database.behind_wire().await;
    let fixture = scripted(&["--no-odd"]);
    let strict = tenant("strict", [("one", fixture.clone())]);
    let mut lax = tenant("lax", [("one", fixture)]);
    lax["audit"] = json!({ "when_full": "pass", "closed_tools": ["one/seen"] });
    let gateway = TestGateway::setup()
        .postgres(&behind)
        .set("audit", json!({ "spool_mib": 2 }))
        .limit("principal_per_second", 100_000)
        .limit("principal_burst", 100_000)
        .tenant(strict)
        .tenant(lax)
        .start()
        .await;
    let clients = (gateway.modern("strict"), gateway.modern("lax"));
    wire.cut();
    for _ in 0..MANY {
        let reply = clients.0.ask_tool("one_echo", json!({})).send(gateway.address).await;
        if reply.status == 503 {
            return (wire, gateway, clients.0, clients.1);
        }
        assert_eq!(reply.status, 200);
    }
    panic!("the spool is never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_those_who_want_no_call_without_a_record_and_says_what_is_missing() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, gateway, strict, lax) = full(&database).await;
    for _ in 0..5 {
        assert!(!lax.call("one_echo", json!({})).await.is_error(), "a tenant that goes on is refused");
    }
    let closed = lax.ask_tool("one_seen", json!({})).send(gateway.address).await;
    assert_eq!((closed.status, closed.header("retry-after")), (503, Some("1")));
    wire.mend();
    wait_until("calls are taken again", || async {
        strict.ask_tool("one_echo", json!({})).send(gateway.address).await.status == 200
    })
    .await;
    wait_until("the audit says what is missing", || async {
        query(&gateway, &["--no-tenant", "--action", "gap"])
            .iter()
            .filter_map(|gap| gap["records"].as_u64())
            .sum::<u64>()
            >= 5
    })
    .await;
    let verified = verify(&gateway);
    assert!(verified.code == 0, "{verified:?}");
    drop(gateway);
    database.clear().await;
}

/// A file system of a few MiB, for the data of a gateway; it goes with its process.
struct SmallDisk {
    gateway: Running,
    key: String,
    /// Goes after the gateway.
    _home: std::sync::Arc<patchbay_e2e::setup::Home>,
}

impl SmallDisk {
    /// Starts a gateway whose data folder is a file system of its own. `None` where nobody may mount one.
    fn start(setup: &patchbay_e2e::Setup, mib: u32, tenant: &serde_json::Value) -> Option<Self> {
        let may = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).status();
        if !may.is_ok_and(|status| status.success()) {
            return None;
        }
        let home = setup.home();
        home.apply(tenant).good();
        let args = ["key", "create", "--tenant", tenant["tenant"].as_str()?, "--label", "disk", "--json"];
        let made: serde_json::Value = serde_json::from_str(&home.patchbay(&args).good()).unwrap();
        let key = made["key"].as_str()?.to_owned();
        let data = home.path("data/audit-spool");
        fs::create_dir_all(&data).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={mib}m tmpfs '{}' && exec '{}' --config '{}'",
            data.display(),
            program("patchbay").display(),
            home.config().display()
        );
        let gateway =
            Running::start(command("unshare".as_ref(), ["-rm", "sh", "-c", &script]).current_dir(home.path(".")));
        Some(Self { gateway, key, _home: home })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_spool_is_said_bounded_and_recovered_from() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, behind) = database.behind_wire().await;
    let setup = TestGateway::setup()
        .postgres(&behind)
        .set("audit", json!({ "spool_mib": 64 }))
        .limit("principal_per_second", 100_000)
        .limit("principal_burst", 100_000);
    let fixture = Fixture::scripted(&["--no-odd"]);
    // The spool would grow to 64 MiB, in files of 8; the disk has room for two of them.
    let Some(mut small) = SmallDisk::start(&setup, 20, &tenant("acme", [("one", fixture.server())])) else {
        assert!(
            std::env::var_os("PATCHBAY_TEST_REQUIRE_MOUNT").is_none(),
            "PATCHBAY_TEST_REQUIRE_MOUNT is set, and nobody may mount a file system here"
        );
        return;
    };
    let mut address = None;
    wait_until("it listens", || {
        let log = small.gateway.err();
        assert!(small.gateway.status().is_none(), "it ended: {log}");
        let line = log.lines().find(|line| line.contains("listening on"));
        let line = line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        address = line.and_then(|line| line["mcp"].as_str()?.parse().ok());
        std::future::ready(address.is_some())
    })
    .await;
    let address: std::net::SocketAddr = address.unwrap();
    let client = Client::modern(address, "/t/acme/mcp", Some(&small.key));
    wait_until("the tool is there", || async { !client.tools().await.is_empty() }).await;
    wire.cut();
    let ask = client.ask_tool("one_echo", json!({}));
    let until = std::time::Instant::now() + patchbay_e2e::PATIENCE;
    let mut refused = false;
    while !refused && std::time::Instant::now() < until {
        let end = std::time::Instant::now() + std::time::Duration::from_millis(500);
        let shots = patchbay_e2e::flood::flood(&[(address, ask.clone())], 8, end).await;
        assert!(shots.iter().all(|shot| matches!(shot.status, 200 | 503)), "something else was answered");
        refused = shots.iter().any(|shot| shot.status == 503);
    }
    assert!(refused, "the disk is never full");
    assert!(small.gateway.err().contains("the audit spool cannot grow"), "{}", small.gateway.err());
    wire.mend();
    wait_until("calls are taken again", || async { ask.send(address).await.status == 200 }).await;
    small.gateway.kill();
    database.clear().await;
}
