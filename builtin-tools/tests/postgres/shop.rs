//! The proof's database, which of its tables are listed, and who looks at it from outside.

use patchbay_sql_policy::{TableName, Tables};
use tokio_postgres::Client;

use super::cluster::{Cluster, connect};

/// Only in what nobody may be shown.
pub(crate) const CANARY: &str = "canary";
/// The proof's database.
pub(crate) const DATABASE: &str = "shop";
/// What may be read in the schema `app`.
pub(crate) const LISTED: [&str; 4] = ["products", "orders", "order_items", "order_totals"];

/// Makes the database in a fresh server and gives the connection that watches it.
pub(crate) async fn create(cluster: &Cluster) -> Client {
    std::fs::write(cluster.scratch().join("secret.txt"), "canary-file\n").unwrap();
    let admin = connect(&cluster.config("postgres", "postgres")).await;
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.unwrap();
    let mut config = cluster.config("postgres", DATABASE);
    let watcher = connect(config.application_name("canary-session")).await;
    watcher.batch_execute(include_str!("shop.sql")).await.unwrap();
    // Rows that are settled need no writing by who reads them first.
    watcher.batch_execute("VACUUM FREEZE ANALYZE").await.unwrap();
    watcher.batch_execute("CHECKPOINT").await.unwrap();
    watcher
}

/// The listed tables, as a source has them that looks names up in `app`.
pub(crate) struct Listed;

impl Tables for Listed {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let listed = schema.is_none_or(|schema| schema == "app") && LISTED.contains(&name);
        listed.then(|| TableName { schema: "app".to_owned(), name: name.to_owned() })
    }
}

/// Words of functions whose extensions this server does not have.
pub(crate) async fn missing_extensions(watcher: &Client) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (extension, word) in [("dblink", "dblink"), ("adminpack", "pg_file_write")] {
        let found = watcher.query("SELECT 1 FROM pg_extension WHERE extname = $1", &[&extension]).await.unwrap();
        if found.is_empty() {
            missing.push(word);
        }
    }
    missing
}
