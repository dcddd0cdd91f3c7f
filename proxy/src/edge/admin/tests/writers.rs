//! Many admins at one tenant: nobody's change is lost, whichever part it is about. On SQLite, and on Postgres where
//! `PATCHBAY_TEST_POSTGRES_URL` names a server.

use std::{process::Command, sync::Arc};

use futures_util::future::join_all;
use serde_json::json;

use super::{Kit, admin_of};

const WRITERS: usize = 50;
/// How often one of them tries: enough for all others to be first, again and again.
const TRIES: usize = 10_000;

/// Half of the writers add one to a number that they share, by what they have read; each of the others changes a server that is its
/// own. All at once.
async fn fifty_writers_lose_no_update(kit: Kit) {
    let own_servers = || (0..WRITERS).filter(|n| n % 2 == 1);
    let servers: String = own_servers().map(|n| format!("  s{n}: {{ builtin: weather, enabled: false }}\n")).collect();
    kit.apply(&format!("tenant: acme\ntitle: '0'\nservers:\n{servers}")).await;
    let kit = Arc::new(kit);
    let writers = (0..WRITERS).map(|n| {
        let kit = kit.clone();
        tokio::spawn(async move { if n % 2 == 0 { count_up(&kit).await } else { own(&kit, n).await } })
    });
    for ended in join_all(writers).await {
        ended.unwrap();
    }
    let tenant = kit.get(&admin_of("acme"), "/tenants/acme").await.json;
    assert_eq!(tenant["title"], json!((WRITERS / 2).to_string()));
    assert_eq!(tenant["generation"], json!(1 + WRITERS), "each change was one, and none was made twice");
    for n in own_servers() {
        let server = kit.get(&admin_of("acme"), &format!("/tenants/acme/servers/s{n}")).await.json;
        assert_eq!(server["prefix"], json!(format!("p{n}")));
    }
    kit.store().close().await;
}

async fn count_up(kit: &Kit) {
    let admin = admin_of("acme");
    for _ in 0..TRIES {
        let seen = kit.get(&admin, "/tenants/acme").await;
        let next: usize = seen.json["title"].as_str().unwrap().parse::<usize>().unwrap() + 1;
        let body = json!({ "title": next.to_string() });
        let answer = kit.ask(&admin, "PATCH", "/tenants/acme", &[("if-match", &seen.tag())], body).await;
        match answer.status {
            200 => return,
            412 => {}
            _ => panic!("{answer:?}"),
        }
    }
    panic!("never first");
}

/// Nobody else changes this server, so its tag stays good while others change the tenant.
async fn own(kit: &Kit, n: usize) {
    let (admin, path) = (admin_of("acme"), format!("/tenants/acme/servers/s{n}"));
    let tag = kit.get(&admin, &path).await.tag();
    for _ in 0..TRIES {
        let answer = kit.ask(&admin, "PATCH", &path, &[("if-match", &tag)], json!({ "prefix": format!("p{n}") })).await;
        match answer.status {
            200 => return,
            409 => {}
            _ => panic!("{answer:?}"),
        }
    }
    panic!("never first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_on_sqlite_lose_no_update() {
    fifty_writers_lose_no_update(Kit::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_on_postgres_lose_no_update() {
    let Ok(server) = std::env::var("PATCHBAY_TEST_POSTGRES_URL") else {
        let required = std::env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
        assert!(
            !required,
            "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
        );
        return;
    };
    let database = Database::new(&server);
    fifty_writers_lose_no_update(Kit::at(&database.url, |_| ()).await).await;
}

/// A database that goes away afterwards, also when the test fails.
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    fn new(server: &str) -> Self {
        let name = format!("patchbay_{:032x}", u128::from_ne_bytes(patchbay_core::random_bytes()));
        let mut url: url::Url = server.parse().unwrap();
        url.set_path(&name);
        let database = Self { server: server.to_owned(), name, url: url.into() };
        database.sql(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn sql(&self, statement: &str) {
        let run = Command::new("psql").args(["-X", "-q", "-d", &self.server, "-c", statement]).output();
        let run = run.expect("the client of PostgreSQL (psql) is there");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = Command::new("psql").args(["-X", "-q", "-d", &self.server, "-c", &statement]).output();
    }
}
