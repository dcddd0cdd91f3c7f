//! Databases: a fresh one on the Postgres server that the environment names, and a look into the embedded store from outside.

use std::{env, net::SocketAddr, path::Path};

use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use url::Url;

use crate::Wire;

/// A fresh database. It goes away with [`Postgres::clear`], or with its server.
#[derive(Debug, Clone)]
pub struct Postgres {
    admin: Url,
    url: Url,
    name: String,
}

impl Postgres {
    /// A fresh database; `None` when there is no server and none is required.
    ///
    /// # Panics
    /// When the server that is there does not give one.
    pub async fn fresh() -> Option<Self> {
        let Ok(text) = env::var("PATCHBAY_TEST_POSTGRES_URL") else {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(
                !required,
                "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
            );
            return None;
        };
        let admin: Url = text.parse().expect("PATCHBAY_TEST_POSTGRES_URL is a URL");
        let name = format!("patchbay_e2e_{:032x}", u128::from_ne_bytes(patchbay_core::random_bytes()));
        execute(&admin, format!("CREATE DATABASE {name}")).await;
        let mut url = admin.clone();
        url.set_path(&name);
        Some(Self { admin, url, name })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The same database behind a wire that can be cut.
    ///
    /// # Panics
    /// When the server's address is not an IP address.
    pub async fn behind_wire(&self) -> (Wire, Self) {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let ip = if host == "localhost" { [127, 0, 0, 1].into() } else { host.parse().expect("an IP address") };
        let wire = Wire::to(SocketAddr::new(ip, self.url.port().unwrap_or(5432))).await;
        let mut url = self.url.clone();
        url.set_ip_host(wire.address().ip()).expect("such URLs have a host");
        url.set_port(Some(wire.address().port())).expect("such URLs have a port");
        (wire, Self { admin: self.admin.clone(), url, name: self.name.clone() })
    }

    /// Runs a statement.
    pub async fn execute(&self, sql: impl Into<String>) {
        execute(&self.url, sql.into()).await;
    }

    /// All rows of all tables as text.
    pub(crate) async fn dump(&self) -> String {
        let mut connection: PgConnection = PgConnectOptions::from_url(&self.url)
            .expect("a Postgres URL")
            .connect()
            .await
            .expect("the database has to outlive the gateway");
        let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
        let tables: Vec<String> =
            sqlx::query_scalar(tables).fetch_all(&mut connection).await.expect("Postgres lists its tables");
        let mut rows = Vec::new();
        for table in tables {
            let query = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
            let read: Vec<String> =
                sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("a table is read");
            rows.extend(read);
        }
        let _ = connection.close().await;
        rows.join("\n")
    }

    /// Lets it go.
    pub async fn clear(self) {
        execute(&self.admin, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
    }
}

async fn execute(url: &Url, sql: String) {
    let options = PgConnectOptions::from_url(url).expect("a Postgres URL");
    let mut connection: PgConnection = options.connect().await.expect("Postgres answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("Postgres takes the statement");
    let _ = connection.close().await;
}

async fn sqlite(file: &Path, writes: bool) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).read_only(!writes);
    options.connect().await.unwrap_or_else(|error| panic!("{} cannot be opened: {error}", file.display()))
}

/// Runs a statement on an embedded store behind its back.
///
/// # Panics
/// When it is not taken.
pub async fn execute_sqlite(file: &Path, sql: impl Into<String>) {
    let mut connection = sqlite(file, true).await;
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.expect("SQLite takes the statement");
    let _ = connection.close().await;
}

/// The audit records in an embedded store, in the order of their ids.
///
/// # Panics
/// When they cannot be read.
pub async fn audit(file: &Path) -> Vec<Value> {
    let mut connection = sqlite(file, false).await;
    let rows = sqlx::query("SELECT json FROM audit ORDER BY event_id").fetch_all(&mut connection).await;
    let rows = rows.expect("SQLite answers");
    let _ = connection.close().await;
    let parse = |text: String| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    rows.iter().map(|row| parse(row.get::<String, _>(0))).collect()
}
