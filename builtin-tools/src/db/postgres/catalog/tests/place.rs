//! Where a test happens: a fresh database with roles of its own, which go away afterwards, also when the test fails.

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

use crate::{
    OptionsError,
    db::{
        answer::{TableAnalysis, TableDetail, TableList},
        error::QueryError,
        postgres::catalog::{self, TableRules, Visible},
        source::{Bounds, Cx, ListFilter},
    },
};

/// A fresh database.
pub(super) struct Place {
    admin: Config,
    database: String,
    roles: Mutex<Vec<String>>,
}

/// Tells one story, cleans up, and passes on how it ended. Without a server, and where none is required, it is not told.
pub(super) async fn tell<F>(story: impl FnOnce(Arc<Place>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(place) = Place::fresh().await else { return };
    let place = Arc::new(place);
    let ended = tokio::spawn(story(Arc::clone(&place))).await;
    place.clear().await;
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

impl Place {
    #[expect(clippy::print_stderr, reason = "who runs the tests is told what was left out")]
    async fn fresh() -> Option<Self> {
        let Ok(url) = env::var("PATCHBAY_TEST_POSTGRES_URL") else {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(
                !required,
                "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
            );
            eprintln!("left out: PATCHBAY_TEST_POSTGRES_URL names no server");
            return None;
        };
        // What the operator would read in the log, beside the test that failed.
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_test_writer().try_init();
        let admin: Config = url.parse().unwrap();
        let database = unique("patchbay_catalog");
        connect(&admin).await.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        let place = Self { admin, database, roles: Mutex::default() };
        place.run(&format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", place.database)).await;
        Some(place)
    }

    /// Runs statements as the superuser.
    pub(super) async fn run(&self, sql: &str) {
        self.superuser().await.batch_execute(sql).await.unwrap();
    }

    pub(super) async fn superuser(&self) -> Client {
        connect(&self.config(None)).await
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// The URL of the superuser, or of a role, for this database.
    pub(super) fn url(&self, role: Option<&str>) -> String {
        let config = self.config(role);
        let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("tests go over TCP") };
        format!("postgres://{}@{host}:{}/{}", config.get_user().unwrap(), config.get_ports()[0], self.database)
    }

    /// The name of a role that is dropped in the end.
    pub(super) fn role_name(&self) -> String {
        let role = unique("catalog_reader");
        self.roles.lock().unwrap().push(role.clone());
        role
    }

    /// A role with nothing but USAGE of the schema.
    pub(super) async fn role(&self, schema: &str) -> String {
        let role = self.role_name();
        self.run(&format!("CREATE ROLE {role} LOGIN NOINHERIT; GRANT USAGE ON SCHEMA {schema} TO {role}")).await;
        role
    }

    /// A role that may read all tables that are there.
    pub(super) async fn reader(&self, schema: &str) -> String {
        let role = self.role(schema).await;
        self.run(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")).await;
        role
    }

    /// A connection of the role.
    pub(super) async fn session(&self, role: &str) -> Session {
        Session { client: connect(&self.config(Some(role))).await }
    }

    fn config(&self, role: Option<&str>) -> Config {
        let mut config = self.admin.clone();
        config.dbname(&self.database);
        if let Some(role) = role {
            config.user(role);
        }
        config
    }

    async fn clear(&self) {
        let admin = connect(&self.admin).await;
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database)).await.unwrap();
        let roles = std::mem::take(&mut *self.roles.lock().unwrap());
        for role in roles {
            admin.batch_execute(&format!("DROP ROLE IF EXISTS {role}")).await.unwrap();
        }
    }
}

/// A connection of a role, as a source uses it.
pub(super) struct Session {
    pub(super) client: Client,
}

impl Session {
    /// Begins the transaction that a source begins.
    pub(super) async fn begin(&self) -> &Client {
        let begin = "ROLLBACK; BEGIN READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL lock_timeout = '1s'";
        self.client.batch_execute(begin).await.unwrap();
        &self.client
    }

    /// Ends it, as a source does after each question: what it locked is free.
    pub(super) async fn end(&self) {
        self.client.batch_execute("ROLLBACK").await.unwrap();
    }

    pub(super) async fn visible(&self, rules: &TableRules) -> Visible {
        let visible = catalog::load(self.begin().await, rules).await.unwrap();
        self.end().await;
        visible
    }

    pub(super) async fn list(&self, visible: &Visible, filter: &ListFilter) -> TableList {
        let list = catalog::list(self.begin().await, visible, filter, &bounds()).await.unwrap();
        self.end().await;
        list
    }

    pub(super) async fn describe(&self, visible: &Visible, table: &str) -> Result<TableDetail, QueryError> {
        let detail = catalog::describe(self.begin().await, visible, &visible.find(table)?).await;
        self.end().await;
        detail
    }

    pub(super) async fn analyze(
        &self,
        visible: &Visible,
        table: &str,
        columns: &[&str],
    ) -> Result<TableAnalysis, QueryError> {
        let until = Instant::now() + Duration::from_secs(30);
        let table = visible.find(table)?;
        let analysis = catalog::analyze(self.begin().await, visible, &table, &owned(columns), &cx(), until).await;
        self.end().await;
        analysis
    }
}

pub(super) fn cx() -> Cx {
    Cx::new(CancellationToken::new(), None)
}

pub(super) fn bounds() -> Bounds {
    Bounds { rows_max: 200, bytes_max: 1024 * 1024, timeout: Duration::from_secs(5) }
}

/// Rules for all tables of the schema.
pub(super) fn all_of(schema: &str) -> TableRules {
    rules(&[schema], None, &[]).unwrap()
}

pub(super) fn rules(schemas: &[&str], tables: Option<&[&str]>, inserts: &[&str]) -> Result<TableRules, OptionsError> {
    TableRules::new(&owned(schemas), tables.map(owned).as_deref(), &owned(inserts))
}

pub(super) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn unique(beginning: &str) -> String {
    format!("{beginning}_{:016x}", RandomState::new().build_hasher().finish())
}
