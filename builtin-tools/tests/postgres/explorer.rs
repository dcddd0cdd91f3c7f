//! Every layer on, and the role that a source should have: the whole explorer over MCP, asked as a model asks it. Hostile
//! statements are errors, legitimate ones give the rows that a plain driver gives, and the server is the same afterwards.

use std::time::{Duration, Instant};

use patchbay_builtin_tools::{Given, db};
use patchbay_sql_policy::corpus;
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    cluster::{Cluster, connect},
    fingerprint::Fingerprint,
    generated, judging,
    rows::{Outcome, cell_is, is_volatile, simple},
    shop::{self, CANARY, DATABASE, LISTED},
};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long one may take that has no end.
const SHORT: Duration = Duration::from_millis(500);
/// The most bytes of one answer's rows.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a connection that was handed back may take to be clean again.
const SETTLED: Duration = Duration::from_secs(10);

struct Stage {
    cluster: Cluster,
    watcher: Client,
    explorer: RunningService<RoleClient, ()>,
    /// The same role over a plain driver.
    plain: Client,
}

impl Stage {
    async fn set() -> Option<Self> {
        let cluster = Cluster::start().await?;
        let watcher = shop::create(&cluster).await;
        let explorer = explore(&cluster, TIMEOUT).await;
        let options = "-c statement_timeout=4s -c TimeZone=UTC -c jit=off -c search_path=app";
        let plain = connect(cluster.config("reader", DATABASE).options(options)).await;
        Some(Self { cluster, watcher, explorer, plain })
    }

    /// Asks with nulls for the statement's parameters.
    async fn query(&self, sql: &str, params: usize) -> CallToolResult {
        let params = vec![Value::Null; params];
        let arguments = json!({ "sql": sql, "params": params, "limit": 10_000 }).as_object().unwrap().clone();
        let request = CallToolRequestParams::new("query_database").with_arguments(arguments);
        self.explorer.call_tool(request).await.unwrap()
    }

    /// Waits until the server is as it was; fails with what differs when it does not come to that.
    async fn settles_at(&self, before: &Fingerprint, what: &str) {
        let end = Instant::now() + SETTLED;
        loop {
            let differences = before.differences(&Fingerprint::outside(&self.cluster, &self.watcher).await);
            if differences.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{what} changed the server: {differences:#?}");
        }
    }
}

/// A client of an explorer of the shop.
async fn explore(cluster: &Cluster, timeout: Duration) -> RunningService<RoleClient, ()> {
    let explorer = db(&Given::of(json!({
        "database": cluster.url("reader", DATABASE),
        "source": "shop",
        "schemas": ["app"],
        "tables": LISTED,
        "rows_max": 10_000,
        "bytes_max": BYTES_MAX,
        "timeout_ms": timeout.as_millis() as u64,
    })))
    .unwrap();
    explorer.check().await.unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
    ().serve(near).await.unwrap()
}

fn text(result: &CallToolResult) -> &str {
    &result.content.first().unwrap().as_text().unwrap().text
}

/// Whether the explorer's answer has the rows that a plain driver got, in that order where it matters.
fn same_rows(answer: &Value, plain: &Outcome, ordered: bool) -> bool {
    let Outcome::Rows(names, plain) = plain else { return false };
    let names_same = answer["columns"].as_array().unwrap().iter().eq(names);
    let rows: Vec<&Vec<Value>> = answer["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap()).collect();
    let same = |row: &Vec<Value>, other: &Vec<Option<String>>| {
        row.len() == other.len() && row.iter().zip(other).all(|(cell, text)| cell_is(cell, text.as_deref()))
    };
    if !names_same || rows.len() != plain.len() {
        return false;
    }
    if ordered {
        return rows.iter().zip(plain).all(|(row, other)| same(row, other));
    }
    let mut left: Vec<&Vec<Option<String>>> = plain.iter().collect();
    rows.iter().all(|row| {
        let found = left.iter().position(|other| same(row, other));
        found.map(|at| left.swap_remove(at)).is_some()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_are_errors_or_stopped_and_leave_the_server_as_it_was() {
    let Some(mut stage) = Stage::set().await else { return };
    let before = Fingerprint::outside(&stage.cluster, &stage.watcher).await;
    let cases = corpus::postgres_hostile();
    assert!(cases.len() >= 150, "only {} hostile statements", cases.len());
    for case in cases {
        let result = stage.query(case.sql, 0).await;
        assert_eq!(result.is_error, Some(true), "answered: {}\n{}\n{}", case.name, case.sql, text(&result));
        assert!(result.structured_content.is_none(), "{}", case.name);
        assert!(!text(&result).contains(CANARY), "{} shows: {}", case.name, text(&result));
    }
    stage.settles_at(&before, "the hostile corpus").await;

    stage.explorer = explore(&stage.cluster, SHORT).await;
    for case in corpus::postgres_runtime() {
        let begun = Instant::now();
        let result = stage.query(case.sql, 0).await;
        assert!(begun.elapsed() < SHORT + SETTLED, "{} took {:?}", case.name, begun.elapsed());
        let told = text(&result);
        assert!(!told.contains(CANARY), "{} shows: {told:.300}", case.name);
        assert!(told.len() < 2 * BYTES_MAX, "{} is answered in {} bytes", case.name, told.len());
        // No error has a cell in it.
        let cell = ["Customer", "Utrecht", "shipping", "2024-"].iter().find(|cell| told.contains(**cell));
        assert!(result.is_error != Some(true) || cell.is_none(), "{} quotes: {told}", case.name);
    }
    stage.settles_at(&before, "what is stopped while it runs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legitimate_statements_give_the_rows_of_a_plain_driver() {
    let Some(stage) = Stage::set().await else { return };
    let before = Fingerprint::outside(&stage.cluster, &stage.watcher).await;
    let cases = corpus::postgres_legitimate().into_iter().map(|case| case.sql.to_owned());
    let (mut count, mut wrong) = (0, Vec::new());
    for (sql, judged) in judging(cases) {
        count += 1;
        let params = judged.map_or(0, |judged| judged.params);
        let result = stage.query(&sql, params).await;
        let Some(answer) = result.structured_content.as_ref().filter(|_| result.is_error != Some(true)) else {
            wrong.push(format!("{}\n{sql}", text(&result)));
            continue;
        };
        if params > 0 || is_volatile(&sql) {
            continue;
        }
        let ordered = sql.to_lowercase().contains("order by");
        let plain = simple(&stage.plain, &sql, ordered).await;
        if !same_rows(answer, &plain, ordered) {
            wrong.push(format!("{}\nbeside a plain driver's {plain:?}\n{sql}", text(&result)));
        }
    }
    assert!(count >= 60, "only {count} legitimate statements");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    stage.settles_at(&before, "the legitimate corpus").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_statements_leave_the_server_as_it_was_and_show_no_secret() {
    let Some(stage) = Stage::set().await else { return };
    let before = Fingerprint::outside(&stage.cluster, &stage.watcher).await;
    let (mut answered, mut failed, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    for (sql, judged) in judging(generated(&stage.cluster)) {
        let result = stage.query(&sql, judged.as_ref().map_or(0, |judged| judged.params)).await;
        let succeeded = result.is_error != Some(true);
        if text(&result).contains(CANARY) && !sql.contains(CANARY) {
            wrong.push(format!("shows a canary: {}\n{sql}", text(&result)));
        }
        let Some(judged) = judged else {
            refused += 1;
            if succeeded {
                wrong.push(format!("answered although the judge refuses it: {sql}"));
            }
            continue;
        };
        (answered, failed) = (answered + usize::from(succeeded), failed + usize::from(!succeeded));
        // What PostgreSQL itself does with a constant that is grouped in sets depends on what stands around the query.
        let lower = sql.to_lowercase();
        let sets = ["rollup", "cube", "sets"].iter().any(|word| lower.contains(word));
        if judged.params > 0 || sets || is_volatile(&sql) {
            continue;
        }
        let plain = simple(&stage.plain, &sql, false).await;
        let same = match result.structured_content.as_ref().filter(|_| succeeded) {
            Some(answer) if answer["truncated"] == true => true,
            Some(answer) => same_rows(answer, &plain, false),
            // What the database refuses in one text it may skip in the other; the other way round there is no excuse.
            None => !matches!(plain, Outcome::Rows(..)),
        };
        if !same {
            wrong.push(format!("{}\nbeside a plain driver's {plain:.300?}\n{sql}", text(&result)));
        }
    }
    eprintln!("answered {answered}, failed {failed}, refused {refused}");
    let all = answered + failed + refused;
    assert!(answered * 20 > all && refused * 20 > all, "a hollow proof: {answered} answered, {refused} refused");
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n\n"));
    stage.settles_at(&before, "what was generated").await;
}
