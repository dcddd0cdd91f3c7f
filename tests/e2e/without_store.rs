//! A gateway that is started while its Postgres is away: from the last good copies of an earlier run, or waiting for the store when
//! there are none. What is no copy of its own is not used.

use std::{fs, net::TcpListener};

use patchbay_e2e::{
    Ask, Client, TestGateway,
    database::Postgres,
    setup::{Setup, scripted, tenant},
    wait_until,
};
use serde_json::json;

/// The status and the text of a page of the operations listener.
async fn says(gateway: std::net::SocketAddr, page: &str) -> Option<(u16, String)> {
    let reply = Ask::get(page).try_send(gateway).await.ok()?;
    Some((reply.status, reply.text().await))
}

fn servers() -> [(&'static str, serde_json::Value); 1] {
    [("one", scripted(&["--no-odd"]))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_any_copy_waits_for_its_store_and_says_so() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, behind) = database.behind_wire().await;
    let operations = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
    let setup = Setup::new().postgres(&behind).set("listen", json!({ "operations": operations.to_string() }));
    wire.cut();
    let mut gateway = TestGateway::spawn(&setup.home());
    wait_until("it says that it starts", || async {
        says(operations, "/readyz").await == Some((503, "starting\n".to_owned()))
    })
    .await;
    assert_eq!(says(operations, "/livez").await.unwrap().0, 200, "it is alive, so nobody has to restart it");
    wire.mend();
    wait_until("it is ready", || async { says(operations, "/readyz").await.is_some_and(|(status, _)| status == 200) })
        .await;
    // Once it serves, it is ready, whatever becomes of the store.
    wire.cut();
    for _ in 0..20 {
        assert_eq!(says(operations, "/readyz").await.unwrap().0, 200);
    }
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(gateway.ended().success());
    assert!(!gateway.err().contains("panicked"), "{}", gateway.err());
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_copy_of_its_own_is_named_and_its_tenant_waits_for_the_store() {
    let Some(database) = Postgres::fresh().await else { return };
    let (wire, behind) = database.behind_wire().await;
    let setup = TestGateway::setup().postgres(&behind);
    let setup = ["acme", "other", "third"].into_iter().fold(setup, |setup, name| setup.tenant(tenant(name, servers())));
    let mut gateway = setup.start().await;
    let session = gateway.legacy("other").await;
    let ended = gateway.legacy("other").await;
    let delete = Ask::new("DELETE", &*ended.path).bearer(gateway.key("other"));
    let delete = delete.header("Mcp-Session-Id", ended.session.clone().unwrap());
    assert_eq!(delete.send(gateway.address).await.status, 200);
    let revoked = gateway.new_key("other", "leaked", &[]);
    let home = gateway.home().clone();
    let file = |name: &str| home.path(&format!("data/last-good/{name}.copy"));
    wait_until("each has a copy", || async { ["acme", "other", "third"].iter().all(|name| file(name).exists()) }).await;
    let before = fs::metadata(file("other")).unwrap().modified().unwrap();
    gateway.patchbay(&["key", "revoke", "--tenant", "other", &revoked.id]).good();
    wait_until("the copy is written again", || async {
        fs::metadata(file("other")).is_ok_and(|copy| copy.modified().unwrap() > before)
    })
    .await;
    gateway.terminate();
    gateway.ended();

    let mut bytes = fs::read(file("acme")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file("acme"), bytes).unwrap();
    fs::copy(file("other"), file("third")).unwrap();
    wire.cut();
    let gateway = gateway.again().await;
    let log = gateway.log();
    for name in ["acme", "third"] {
        let line = log.lines().find(|line| line.contains(&format!("{name}.copy is not used")));
        assert!(line.is_some_and(|line| line.contains("was not sealed for this name")), "{name}: {log}");
    }
    assert!(log.contains("1 tenants are served from their last good copies"), "{log}");
    assert!(!session.at(gateway.address).call("one_echo", json!({})).await.is_error(), "a session of before goes on");
    let probe = |key: &str| Client::modern(gateway.address, &session.path, Some(key)).ask("tools/list", json!({}));
    assert_eq!(probe(&revoked.text).send(gateway.address).await.status, 401, "what was revoked stays so");
    for name in ["acme", "third"] {
        let client = gateway.modern(name);
        assert_eq!(client.ask("tools/list", json!({})).send(gateway.address).await.status, 401, "{name}");
    }
    wire.mend();
    for name in ["acme", "third"] {
        let client = gateway.modern(name);
        wait_until(format!("{name} is there"), || async {
            client.ask("tools/list", json!({})).send(gateway.address).await.status == 200
        })
        .await;
    }
    wait_until("the store has been heard", || async {
        gateway.metrics().await.lines().any(|line| line == "patchbay_snapshot_age_seconds 0")
    })
    .await;
    drop(gateway);
    database.clear().await;
}
