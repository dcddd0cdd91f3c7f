//! Where a story happens: a fresh SQLite file, or a fresh Postgres database that goes away afterwards, also when the story fails.

use std::{borrow::Cow, env, sync::Arc};

use patchbay_store::{OpenOptions, Store, Vault};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection,
    migrate::{Migration, Migrator},
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use url::Url;

pub(crate) const KEY: [u8; 32] = [7; 32];

pub(crate) enum Place {
    Sqlite { folder: TempDir },
    Postgres { admin: Url, url: Url, name: String },
}

/// Tells one story, cleans up, and passes on how it ended.
pub(crate) async fn tell<F>(place: Place, story: impl FnOnce(Arc<Place>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let place = Arc::new(place);
    let ended = tokio::spawn(story(Arc::clone(&place))).await;
    place.clear().await;
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { folder: TempDir::new().unwrap() }
    }

    /// A fresh database, or `None` when there is no server and none is required.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(text) = env::var("PATCHBAY_TEST_POSTGRES_URL") else {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(
                !required,
                "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
            );
            return None;
        };
        let admin: Url = text.parse().unwrap();
        let name = format!("patchbay_{:032x}", u128::from_ne_bytes(patchbay_core::random_bytes()));
        let mut connection = connect(&admin).await;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let mut url = admin.clone();
        url.set_path(&name);
        Some(Self::Postgres { admin, url, name })
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { folder } => format!("sqlite://{}/patchbay.db", folder.path().display()),
            Self::Postgres { url, .. } => url.to_string(),
        }
    }

    /// Whether it is a store that several replicas share.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        self.open_with(Vault::new(1, KEY)).await
    }

    pub(crate) async fn open_with(&self, vault: Vault) -> Arc<dyn Store> {
        patchbay_store::open(&self.url(), vault, OpenOptions::default()).await.unwrap()
    }

    /// Makes the tables as the first Patchbay made them.
    pub(crate) async fn make_first_tables(&self) {
        let first = |all: Migrator| {
            Migrator::with_migrations(all.iter().filter(|step| step.version == 1).map(Migration::clone).collect())
        };
        match self {
            Self::Sqlite { folder } => {
                let mut connection = connect_sqlite(folder).await;
                first(sqlx::migrate!("migrations/sqlite")).run_direct(None, &mut connection, false).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { url, .. } => {
                let mut connection = connect(url).await;
                first(sqlx::migrate!("migrations/postgres")).run_direct(None, &mut connection, false).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Bytes as statements write them.
    pub(crate) fn bytes(&self, hex: &str) -> String {
        match self {
            Self::Sqlite { .. } => format!("X'{hex}'"),
            Self::Postgres { .. } => format!("'\\x{hex}'"),
        }
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn run(&self, sql: impl Into<Cow<'static, str>>) {
        let sql = AssertSqlSafe(sql.into().into_owned());
        match self {
            Self::Sqlite { folder } => {
                let mut connection = connect_sqlite(folder).await;
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { url, .. } => {
                let mut connection = connect(url).await;
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// Runs a statement in a transaction on Postgres that stays open until the connection is closed.
    pub(crate) async fn hold(&self, sql: &'static str) -> PgConnection {
        let Self::Postgres { url, .. } = self else { panic!("SQLite has no locks on rows") };
        let mut connection = connect(url).await;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection
    }

    /// From now on no row can be added to a table.
    pub(crate) async fn refuse_rows(&self, table: &str) {
        let refuse = match self {
            Self::Sqlite { .. } => format!(
                "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no row for you'); END"
            ),
            Self::Postgres { .. } => format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'no row for you'; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
        };
        self.run(refuse).await;
    }

    /// Says in the tables that a program of the future was here, and which level a program must know since then.
    pub(crate) async fn bring_to_the_future(&self, oldest: i64) {
        self.run(format!(
            "CREATE TABLE future_things (id INTEGER PRIMARY KEY); \
             ALTER TABLE tenants ADD COLUMN future_id TEXT; \
             ALTER TABLE admin_keys ADD COLUMN future_mark INTEGER NOT NULL DEFAULT 7; \
             INSERT INTO schema_needs (oldest) VALUES ({oldest}); \
             INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'future', true, '', 0)"
        ))
        .await;
    }

    /// Counts the rows of a table behind the store's back.
    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        match self {
            Self::Sqlite { folder } => {
                sqlx::query_scalar(query).fetch_one(&mut connect_sqlite(folder).await).await.unwrap()
            }
            Self::Postgres { url, .. } => sqlx::query_scalar(query).fetch_one(&mut connect(url).await).await.unwrap(),
        }
    }

    /// All that lies on the disk, as bytes in which a plain text would be found.
    pub(crate) async fn dump(&self) -> Vec<u8> {
        match self {
            Self::Sqlite { folder } => {
                let files = std::fs::read_dir(folder.path()).unwrap();
                files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
            }
            Self::Postgres { url, .. } => dump_postgres(url).await,
        }
    }

    async fn clear(&self) {
        if let Self::Postgres { admin, name, .. } = self {
            let mut connection = connect(admin).await;
            let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}

async fn connect(url: &Url) -> PgConnection {
    PgConnectOptions::from_url(url).unwrap().connect().await.unwrap()
}

async fn connect_sqlite(folder: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path().join("patchbay.db")).create_if_missing(true);
    options.connect().await.unwrap()
}

async fn dump_postgres(url: &Url) -> Vec<u8> {
    let mut connection = connect(url).await;
    // Bytes that are letters are then written as letters.
    sqlx::raw_sql("SET bytea_output = 'escape'").execute(&mut connection).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let query = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        for row in sqlx::query(query).fetch_all(&mut connection).await.unwrap() {
            all.extend_from_slice(row.get::<String, _>(0).as_bytes());
            all.push(b'\n');
        }
    }
    all
}
