//! The DB explorer on real PostgreSQL databases behind the gateway: whose data it shows, what happens to a statement that does
//! not end, to a client that goes or stops reading, and to a database role that may too much.

use std::{
    fs,
    net::TcpStream as StdStream,
    time::{Duration, Instant},
};

use patchbay_e2e::{
    Client, Exchange, TestGateway,
    database::Postgres,
    process::{command, run},
    programs::program,
    setup::tenant,
    wait_until, within,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions};

/// A database with the sample shop, and a role of its own that may read it.
struct Shop {
    database: Postgres,
    role: String,
}

/// The password of the roles; the server trusts anybody, so it only shows where passwords appear.
const PASSWORD: &str = "hunter2-hunter2";

impl Shop {
    /// `None` when there is no server and none is required. `sql` is run in the schema of the shop after it was made.
    async fn new(sql: &str) -> Option<Self> {
        let database = Postgres::fresh().await?;
        let role = format!("reader_{:016x}", u64::from_ne_bytes(patchbay_core::random_bytes()));
        let mut sample = command(&program("patchbay-tools"), ["sample", "--schema", "shop", "--reader", &role]);
        run(sample.env("PATCHBAY_TOOLS_DATABASE", database.url())).good();
        database.execute(format!("SET search_path = shop; {sql}")).await;
        database.execute(format!("GRANT SELECT ON ALL TABLES IN SCHEMA shop TO {role}")).await;
        Some(Self { database, role })
    }

    /// The URL of the role, with its password.
    fn url(&self) -> String {
        self.database.url().replace("postgres@", &format!("{}:{PASSWORD}@", self.role))
    }

    /// The server of a tenant file that explores it.
    fn server(&self, more: &Value) -> Value {
        let mut options = json!({ "database": "secret:url", "schemas": ["shop"] });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "builtin": "db", "options": options, "secrets": { "url": self.url() } })
    }

    async fn ask(&self, sql: &str) -> i64 {
        let options = PgConnectOptions::from_url(&self.database.url().parse().unwrap()).unwrap();
        let mut connection: PgConnection = options.connect().await.unwrap();
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap();
        let number = row.get(0);
        connection.close().await.unwrap();
        number
    }

    /// How many statements of the role run in the database.
    async fn running(&self) -> i64 {
        let role = &self.role;
        self.ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND state = 'active'")).await
    }

    async fn gone(self) {
        let Self { database, role } = self;
        database.execute(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        database.clear().await;
    }
}

async fn query(client: &Client, sql: &str) -> Exchange {
    client.call("db_query_database", json!({ "sql": sql })).await
}

fn rows(exchange: &Exchange) -> &Value {
    assert!(!exchange.is_error(), "{}", exchange.raw);
    &exchange.result()["structuredContent"]["rows"]
}

#[tokio::test]
async fn each_tenant_sees_its_own_database_and_nobody_sees_the_password() {
    let Some(one) = Shop::new("CREATE TABLE plans AS SELECT 'a merger' AS plan").await else { return };
    let two = Shop::new("").await.unwrap();
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("db", one.server(&json!({})))]))
        .tenant(tenant("rival", [("db", two.server(&json!({})))]))
        .start()
        .await;
    for (client, other) in gateway.both("acme").await.into_iter().zip(gateway.both("rival").await) {
        assert_eq!(rows(&query(&client, "SELECT plan FROM shop.plans").await), &json!([["a merger"]]));
        assert_eq!(rows(&query(&other, "SELECT count(*) FROM shop.orders").await), &json!([[42]]));
        let refused = query(&other, "SELECT plan FROM shop.plans").await;
        assert!(refused.is_error() && !refused.raw.contains("merger"), "{}", refused.raw);
        let tables = other.call("db_list_tables", json!({})).await;
        assert!(tables.raw.contains("order_items") && !tables.raw.contains("plans"), "{}", tables.raw);
        let cast = query(&client, "SELECT plan::int FROM shop.plans").await;
        assert!(cast.is_error() && !cast.raw.contains("merger"), "a cell in an error: {}", cast.raw);
    }
    let exported = gateway.patchbay(&["export", "--tenant", "acme"]).good();
    assert!(exported.contains("${sealed}"), "{exported}");
    let shown = gateway.patchbay(&["tenant", "show", "acme"]).good();
    for text in [&exported, &shown, &gateway.written()] {
        assert!(!text.contains(PASSWORD), "the password is in: {text}");
    }
    for entry in fs::read_dir(gateway.home().path("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()), "in {path:?}");
        }
    }
    drop(gateway);
    one.gone().await;
    two.gone().await;
}

/// Statements that would not end, or would answer without end, each by another door.
const ENDLESS: [&str; 6] = [
    "SELECT count(*) FROM generate_series(1, 100000000000) AS g",
    "SELECT g FROM generate_series(1, 1000000000) AS g ORDER BY g DESC",
    "SELECT count(*) FROM shop.order_items a, shop.order_items b, shop.order_items c, shop.order_items d, shop.order_items e, shop.order_items f",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "SELECT * FROM shop.sleeper",
    "SELECT s.id FROM shop.orders s JOIN shop.sleeper z ON true ORDER BY 1",
];

#[tokio::test]
async fn what_does_not_end_is_ended_in_time_and_others_are_served_meanwhile() {
    let sleeper = "CREATE VIEW sleeper AS SELECT pg_sleep(600)::text AS nap; \
                   CREATE TABLE attic AS SELECT repeat('x', 64 * 1024 * 1024) AS cell";
    let Some(shop) = Shop::new(sleeper).await else { return };
    let calm = Shop::new("").await.unwrap();
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("db", shop.server(&json!({ "timeout_ms": 1500, "connections_max": 3 })))]))
        .tenant(tenant("calm", [("db", calm.server(&json!({})))]))
        .start()
        .await;
    let (client, other) = (gateway.modern("acme"), gateway.modern("calm"));
    rows(&query(&client, "SELECT 1").await);
    let before = resident_peak_kib(gateway.pid());
    let calls: Vec<_> = ENDLESS
        .map(|sql| {
            let client = client.clone();
            tokio::spawn(async move { (sql, within(sql, query(&client, sql)).await) })
        })
        .into_iter()
        .collect();
    // Another tenant is served while all of them run.
    wait_until("statements run", || async { shop.running().await > 0 }).await;
    assert_eq!(rows(&query(&other, "SELECT count(*) FROM shop.products").await)[0][0].as_i64(), Some(24));
    for call in calls {
        let (sql, exchange) = call.await.unwrap();
        assert!(exchange.is_error(), "{sql}: {}", exchange.raw);
        let text = exchange.text();
        let told = ["TIMEOUT", "57014", "BUSY", "TOO_LARGE", "53"].iter().any(|code| text.starts_with(code));
        assert!(told, "{sql}: {text}");
    }
    // A cell of 64 MB is cut or refused; it does not pass, and it does not stay.
    let cell = query(&client, "SELECT cell FROM shop.attic").await;
    assert!(cell.raw.len() < 2 * 1024 * 1024, "{} bytes", cell.raw.len());
    assert!(cell.is_error() || cell.result()["structuredContent"]["truncated"] == true, "{}", &cell.raw[..300]);
    wait_until("nothing runs in the database any more", || async { shop.running().await == 0 }).await;
    let grown = resident_peak_kib(gateway.pid()) - before;
    assert!(grown < 48 * 1024, "the gateway grew by {grown} KiB");
    assert_eq!(rows(&query(&client, "SELECT count(*) FROM shop.orders").await), &json!([[42]]));
    drop(gateway);
    shop.gone().await;
    calm.gone().await;
}

#[tokio::test]
async fn client_that_goes_ends_its_statement_in_the_database() {
    let Some(shop) = Shop::new("CREATE VIEW sleeper AS SELECT pg_sleep(600)::text AS nap").await else { return };
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("db", shop.server(&json!({ "timeout_ms": 60000 })))]))
        .start()
        .await;
    let (client, address) = (gateway.modern("acme"), gateway.address);
    let ask = client.ask_tool("db_query_database", json!({ "sql": "SELECT * FROM shop.sleeper" }));
    let call = tokio::spawn(async move { ask.try_send(address).await.map(|reply| reply.status) });
    wait_until("the statement runs", || async { shop.running().await == 1 }).await;
    call.abort();
    wait_until("it has ended", || async { shop.running().await == 0 }).await;
    assert_eq!(rows(&query(&client, "SELECT count(*) FROM shop.orders").await), &json!([[42]]));
    drop(gateway);
    shop.gone().await;
}

#[tokio::test]
async fn client_that_stops_reading_holds_up_neither_the_database_nor_others() {
    let Some(shop) =
        Shop::new("CREATE TABLE long AS SELECT g, repeat('x', 1000) AS t FROM generate_series(1, 4000) g").await
    else {
        return;
    };
    let options = json!({ "connections_max": 1, "rows_max": 10000, "bytes_max": 4194304, "timeout_ms": 30000 });
    let gateway = TestGateway::setup().tenant(tenant("acme", [("db", shop.server(&options))])).start().await;
    let client = gateway.modern("acme");
    let asked = client.ask_tool("db_query_database", json!({ "sql": "SELECT * FROM shop.long ORDER BY g" }));
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = StdStream::connect(gateway.address).unwrap();
        std::io::Write::write_all(&mut stream, &raw(&asked, gateway.address)).unwrap();
        deaf.push(stream);
    }
    // With one connection to the database, the next is served only when the deaf ones have let go of it.
    let begun = Instant::now();
    assert_eq!(rows(&query(&client, "SELECT count(*) FROM shop.orders").await), &json!([[42]]));
    assert!(begun.elapsed() < Duration::from_secs(25), "it waited for the deaf ones");
    wait_until("nothing runs in the database", || async { shop.running().await == 0 }).await;
    drop((deaf, gateway));
    shop.gone().await;
}

#[tokio::test]
async fn role_that_may_too_much_is_told_to_the_operator_and_reads_nothing() {
    let Some(shop) = Shop::new("").await else { return };
    shop.database.execute(format!("GRANT INSERT ON shop.orders TO {}", shop.role)).await;
    let home = TestGateway::setup().home();
    let file = tenant("acme", [("db", shop.server(&json!({})))]);
    let applied = home.apply(&file);
    let told = applied.out.clone() + &applied.err;
    assert!(told.contains("write-right") && told.contains("REVOKE"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    let gateway = TestGateway::setup().tenant(file).start().await;
    let client = gateway.modern("acme");
    let refused = query(&client, "SELECT count(*) FROM shop.orders").await;
    assert!(refused.is_error() && refused.text().starts_with("UNAVAILABLE"), "{}", refused.raw);
    assert!(!refused.raw.contains(&shop.role), "the role's name is for the operator: {}", refused.raw);
    // Accepted by name, it is open.
    gateway.apply(&tenant("acme", [("db", shop.server(&json!({ "accepted_risks": ["write-right"] })))]));
    wait_until("the source is open", || async {
        let answer = query(&client, "SELECT count(*) FROM shop.orders").await;
        answer.response["result"].is_object() && !answer.is_error()
    })
    .await;
    let written = query(&client, "INSERT INTO shop.orders (id) VALUES (1000)").await;
    assert!(written.is_error(), "{}", written.raw);
    assert_eq!(shop.ask("SELECT count(*) FROM shop.orders").await, 42);
    drop(gateway);
    shop.gone().await;
}

#[tokio::test]
async fn row_is_added_only_where_the_operator_opened_the_table() {
    let Some(shop) = Shop::new("CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, body text NOT NULL)").await
    else {
        return;
    };
    shop.database.execute(format!("GRANT INSERT ON shop.notes TO {}", shop.role)).await;
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("db", shop.server(&json!({ "inserts": ["notes"] })))]))
        .start()
        .await;
    for client in gateway.both("acme").await {
        let body = "'); DROP TABLE notes; --";
        let added = client.call("db_insert_record", json!({ "table": "notes", "values": { "body": body } })).await;
        assert!(!added.is_error(), "{}", added.raw);
        assert_eq!(added.result()["structuredContent"]["row"]["body"], body);
        let refused = client.call("db_insert_record", json!({ "table": "orders", "values": { "id": 1 } })).await;
        assert!(refused.is_error(), "{}", refused.raw);
    }
    assert_eq!(shop.ask("SELECT count(*) FROM shop.notes").await, 2);
    drop(gateway);
    shop.gone().await;
}

#[tokio::test]
async fn the_gateways_own_database_is_no_source() {
    let Some(own) = Postgres::fresh().await else { return };
    let setup = TestGateway::setup().postgres(&own);
    let home = setup.home();
    let server = json!({ "builtin": "db", "options": { "database": "secret:url" }, "secrets": { "url": own.url() } });
    let applied = home.apply(&tenant("acme", [("db", server)]));
    assert!((applied.out.clone() + &applied.err).contains("belongs to the gateway"), "{applied:?}");
    own.clear().await;
}

#[tokio::test]
async fn progress_of_a_long_analysis_reaches_the_client() {
    let wide: Vec<String> = (0..60).map(|number| format!("g + {number} AS c{number}")).collect();
    let table = format!("CREATE TABLE wide AS SELECT {} FROM generate_series(1, 20000) g", wide.join(", "));
    let Some(shop) = Shop::new(&table).await else { return };
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("db", shop.server(&json!({ "timeout_ms": 30000 })))]))
        .start()
        .await;
    for client in gateway.both("acme").await {
        let params =
            json!({ "name": "db_analyze_table", "arguments": { "table": "wide" }, "_meta": { "progressToken": "p" } });
        let answer = client.request("tools/call", params).await;
        assert!(!answer.is_error(), "{}", answer.raw);
        let steps: Vec<f64> =
            answer.before.iter().filter_map(|message| message["params"]["progress"].as_f64()).collect();
        assert!(!steps.is_empty() && steps.is_sorted(), "{steps:?}");
    }
    drop(gateway);
    shop.gone().await;
}

/// The bytes of a request as they go over the wire.
fn raw(ask: &patchbay_e2e::Ask, address: std::net::SocketAddr) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: {address}\r\n", ask.method, ask.path);
    for (name, value) in &ask.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", ask.body.len());
    [head.as_bytes(), &ask.body].concat()
}

/// The most memory that a process has held so far, in KiB.
fn resident_peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
