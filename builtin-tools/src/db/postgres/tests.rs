//! A PostgreSQL source on a real server: each layer alone, with the others off; what is left behind; what the types become.
//! Here is the place where the stories happen: a fresh database with a role of its own, gone afterwards however a story ends.

mod answers;
mod bounds;
mod errors;
mod layers;
mod leftovers;
mod pool;
mod types;
mod whole_layer;

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    panic::{AssertUnwindSafe, resume_unwind},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use patchbay_sql_policy::Kind;
use serde_json::json;
use tokio_postgres::{Client, NoTls, types::FromSqlOwned};
use url::Url;

use super::{layers::Layer, *};
use crate::{Given, db::options};

/// How long a condition may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

/// A statement as if the judge had accepted it.
pub(super) fn unjudged(query: &Query) -> Judged {
    let is_explain = query.sql.trim_start().to_ascii_uppercase().starts_with("EXPLAIN");
    let kind = if is_explain { Kind::Explain } else { Kind::Query };
    Judged { sql: query.sql.clone(), kind, params: query.params.len(), tables: BTreeSet::new() }
}

/// A database and a role that may do nothing in it but connect.
struct Place {
    admin: Client,
    server: Url,
    name: String,
}

/// Tells one story, cleans up, and passes on how it ended. Without a server, and when none is required, nothing is told.
async fn tell(story: impl AsyncFnOnce(Arc<Place>)) {
    let Some(place) = Place::fresh().await else { return };
    let place = Arc::new(place);
    let ended = AssertUnwindSafe(story(Arc::clone(&place))).catch_unwind().await;
    let server = connect(&place.server).await;
    let name = &place.name;
    place.run(&format!("DROP OWNED BY {name}")).await;
    server.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    server.batch_execute(&format!("DROP ROLE {name}")).await.unwrap();
    if let Err(failed) = ended {
        resume_unwind(failed);
    }
}

async fn connect(url: &Url) -> Client {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Place {
    #[expect(clippy::print_stderr, reason = "a story that is not told is seen to be not told")]
    async fn fresh() -> Option<Self> {
        let Ok(text) = env::var("PATCHBAY_TEST_POSTGRES_URL") else {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(
                !required,
                "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_POSTGRES_URL to name a server"
            );
            eprintln!("skipped: PATCHBAY_TEST_POSTGRES_URL names no server");
            return None;
        };
        let server: Url = text.parse().unwrap();
        let name = format!("patchbay_pg_{:016x}", RandomState::new().build_hasher().finish());
        let client = connect(&server).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        client.batch_execute(&format!("CREATE ROLE {name} LOGIN NOINHERIT")).await.unwrap();
        let mut url = server.clone();
        url.set_path(&name);
        let place = Self { admin: connect(&url).await, server, name };
        place
            .run(&format!(
                "REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {name}; \
                 CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO {name}; \
                 ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {name}",
                name = place.name
            ))
            .await;
        Some(place)
    }

    /// Runs statements as the superuser.
    async fn run(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    /// Asks for one value as the superuser.
    async fn ask<T: FromSqlOwned>(&self, sql: &str) -> T {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The URL of the role.
    fn url(&self) -> Url {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.set_username(&self.name).unwrap();
        url.set_password(Some("hunter2")).unwrap();
        url
    }

    /// A source on it with such options, as the role or, with `as_owner`, as the superuser.
    fn source_as(&self, as_owner: bool, without: &[Layer], more: Value) -> PostgresSource {
        let mut url = self.url();
        if as_owner {
            url.set_username(self.server.username()).unwrap();
        }
        let mut options = json!({ "database": "secret:url", "schemas": ["app"] });
        if let (Value::Object(options), Value::Object(more)) = (&mut options, more) {
            options.extend(more);
        }
        let secrets = [("url".to_owned(), url.as_str().into())].into();
        let given = Given { options, secrets, ..Given::default() };
        let Some(options::Settings::Postgres(settings)) = options::parse(&given).unwrap().pop() else {
            panic!("expected the settings of a PostgreSQL database")
        };
        PostgresSource::with_layers(*settings, Layers::without(without)).unwrap()
    }

    fn source(&self, without: &[Layer], more: Value) -> PostgresSource {
        self.source_as(false, without, more)
    }

    /// A source whose caller's text runs unjudged, inside of a query of ours.
    fn open(&self) -> PostgresSource {
        self.source(&[Layer::Judge], json!({}))
    }

    /// A source of the superuser whose caller's text runs as it is.
    fn bare(&self, more: Value) -> PostgresSource {
        self.source_as(true, &[Layer::Judge, Layer::Wrapper, Layer::Probe], more)
    }

    /// How many statements run there beside the asking one.
    async fn running(&self) -> i64 {
        self.ask(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' \
             AND backend_type = 'client backend'",
        )
        .await
    }

    /// How many statements run there that have this text in them.
    async fn runs(&self, text: &str) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND state = 'active' AND position($1 IN query) > 0";
        self.admin.query_one(sql, &[&text]).await.unwrap().get(0)
    }

    /// How many connections there are beside the asking one.
    async fn connections(&self) -> i64 {
        self.ask(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        .await
    }
}

fn cx() -> Cx {
    Cx::new(CancellationToken::new(), None)
}

fn asked(sql: &str, params: Value) -> Query {
    let Value::Array(params) = params else { panic!("expected a list of values") };
    Query { sql: sql.to_owned(), params, limit: None }
}

async fn query(source: &PostgresSource, sql: &str) -> Result<QueryAnswer, QueryError> {
    source.query(asked(sql, json!([])), &cx()).await
}

/// The rows of a query that succeeds.
async fn rows(source: &PostgresSource, sql: &str) -> Value {
    match query(source, sql).await {
        Ok(answer) => json!(answer.rows),
        Err(error) => panic!("{sql}: {}", error.to_text()),
    }
}

/// What is said of a query that fails.
async fn refusal(source: &PostgresSource, sql: &str) -> String {
    match query(source, sql).await {
        Ok(answer) => panic!("{sql}: {:?}", answer.rows),
        Err(error) => error.to_text(),
    }
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
