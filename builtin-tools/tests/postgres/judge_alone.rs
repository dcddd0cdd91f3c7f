//! Every layer off but the judge: what it accepts is run, as it was rendered, by a superuser in autocommit, in the protocol that
//! would run a second statement too. The server has to be the same afterwards, nobody may have been shown a canary, and the
//! rendered text has to mean what the original meant.

use std::{fmt::Write, mem};

use patchbay_sql_policy::{Judged, STACK_BYTES, judge};
use tokio_postgres::Client;

use crate::{
    cluster::{Cluster, connect},
    fingerprint::Fingerprint,
    generated,
    rows::{Outcome, simple, with_nulls},
    shop::{self, CANARY, DATABASE, Listed},
};

/// How many accepted statements run between two looks at the server.
const GROUP: usize = 500;
/// How many findings are told.
const TOLD_MAX: usize = 40;

/// Words of what gives another value each time.
const VOLATILE: &[&str] =
    &["now(", "current_", "localtime", "random", "clock_timestamp", "timeofday", "today", "tomorrow"];

/// A server with the shop, and the two sessions that statements run in.
struct Stage {
    cluster: Cluster,
    watcher: Client,
    /// Superuser, autocommit, may write: runs what was rendered.
    free: Client,
    /// Superuser, read-only, looks names up in `app`: runs the original, to compare.
    original: Client,
}

impl Stage {
    async fn set() -> Option<Self> {
        let cluster = Cluster::start().await?;
        let watcher = shop::create(&cluster).await;
        let options = "-c statement_timeout=2s -c lock_timeout=1s -c TimeZone=UTC -c jit=off -c search_path";
        let mut config = cluster.config("postgres", DATABASE);
        let free = connect(config.options(format!("{options}=pg_catalog"))).await;
        let original = connect(config.options(format!("{options}=app -c default_transaction_read_only=on"))).await;
        Some(Self { cluster, watcher, free, original })
    }

    async fn fingerprint(&self) -> Fingerprint {
        Fingerprint::take(&self.cluster, &self.watcher, &self.free).await
    }

    async fn run(&self, judged: &Judged) -> Outcome {
        if judged.params > 0 {
            return with_nulls(&self.free, &judged.sql, judged.params).await;
        }
        simple(&self.free, &judged.sql).await
    }

    async fn run_original(&self, sql: &str, params: usize) -> Outcome {
        if params > 0 {
            return with_nulls(&self.original, sql, params).await;
        }
        // The text as it came may hold a second statement; then it is not run.
        match self.original.prepare(sql).await {
            Err(error) => error.code().map_or(Outcome::Gone, |code| Outcome::Failed(code.code().to_owned())),
            Ok(_) => simple(&self.original, sql).await,
        }
    }
}

/// What was found, and how much was tried.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    ran: usize,
    timed_out: usize,
    findings: Vec<String>,
}

impl Tally {
    fn find(&mut self, what: &str, original: &str, rendered: &str) {
        self.findings.push(format!("{what}\n  original: {original:?}\n  rendered: {rendered:?}"));
    }

    fn report(&self) -> String {
        let Self { accepted, refused, ran, timed_out, findings } = self;
        let mut text =
            format!("accepted {accepted}, refused {refused}, ran without error {ran}, out of time {timed_out}");
        for finding in findings.iter().take(TOLD_MAX) {
            write!(text, "\n{finding}").unwrap();
        }
        text
    }
}

/// Judges on a thread with the stack that the judge asks for.
fn judge_all(statements: Vec<String>) -> Vec<(String, Option<Judged>)> {
    let judging = move || {
        let judged = statements.into_iter().map(|sql| {
            let judged = judge(&sql, &Listed).ok();
            (sql, judged)
        });
        judged.collect()
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(judging).unwrap().join().unwrap()
}

/// Runs one accepted statement and says whether the session lives on.
async fn try_one(stage: &Stage, original: &str, judged: &Judged, tally: &mut Tally) -> bool {
    let rendered = stage.run(judged).await;
    tally.timed_out += usize::from(rendered.timed_out());
    tally.ran += usize::from(matches!(rendered, Outcome::Rows(..)));
    if judged.tables.iter().any(|table| table.schema != "app" || !shop::LISTED.contains(&table.name.as_str())) {
        tally.find("reads what is not listed", original, &judged.sql);
    }
    if rendered.shows(CANARY) {
        tally.find("shows a canary", original, &judged.sql);
    }
    match &rendered {
        Outcome::Gone => {
            tally.find("ends the session", original, &judged.sql);
            return false;
        }
        Outcome::Several => tally.find("is several statements", original, &judged.sql),
        _ => {}
    }
    let plain = stage.run_original(original, judged.params).await;
    if !same_meaning(original, &plain, &rendered) {
        tally.find(&format!("means something else: {plain:.300?} and then {rendered:.300?}"), original, &judged.sql);
    }
    true
}

/// Whether the original and what was rendered from it came to the same.
fn same_meaning(sql: &str, original: &Outcome, rendered: &Outcome) -> bool {
    let lower = sql.to_lowercase();
    let explains = lower.contains("explain");
    match (original, rendered) {
        _ if original.timed_out() || rendered.timed_out() => true,
        (Outcome::Rows(..), Outcome::Rows(..)) if explains || VOLATILE.iter().any(|word| lower.contains(word)) => true,
        (Outcome::Rows(..), Outcome::Rows(..)) => original == rendered,
        (Outcome::Failed(one), Outcome::Failed(other)) => one.get(..2) == other.get(..2),
        _ => false,
    }
}

/// Runs a group on a fresh server, one by one, until the server differs, and says after which.
async fn culprit(group: &[(String, Judged)]) -> String {
    let stage = Stage::set().await.unwrap();
    let mut before = stage.fingerprint().await;
    for (original, judged) in group {
        stage.run(judged).await;
        let after = stage.fingerprint().await;
        if before != after {
            let differences = before.differences(&after).join("\n  ");
            return format!(
                "changed the server\n  original: {original:?}\n  rendered: {:?}\n  {differences}",
                judged.sql
            );
        }
        before = after;
    }
    "changed the server, though none of the group does so alone".into()
}

/// Throws the statements at the judge, and what it accepts at the server.
async fn prove(stage: &Stage, statements: impl Iterator<Item = String>) -> Tally {
    let mut tally = Tally::default();
    let mut group = Vec::new();
    let mut before = stage.fingerprint().await;
    let mut statements = statements.peekable();
    while statements.peek().is_some() {
        for (original, judged) in judge_all(statements.by_ref().take(GROUP).collect()) {
            let Some(judged) = judged else {
                tally.refused += 1;
                continue;
            };
            tally.accepted += 1;
            let lives = try_one(stage, &original, &judged, &mut tally).await;
            group.push((original, judged));
            if !lives {
                return tally;
            }
        }
        let after = stage.fingerprint().await;
        if before != after {
            let found = culprit(&mem::take(&mut group)).await;
            tally.findings.push(format!("{found}\nfirst seen as: {}", before.differences(&after).join("\n  ")));
            return tally;
        }
        before = after;
        group.clear();
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_judge_accepts_of_a_grammar_a_superuser_may_run() {
    let Some(stage) = Stage::set().await else { return };
    let tally = prove(&stage, generated(&stage.cluster.scratch())).await;
    eprintln!("{}", tally.report());
    let all = tally.accepted + tally.refused;
    assert!(tally.accepted * 20 > all && tally.refused * 20 > all, "a hollow proof: {}", tally.report());
    assert!(tally.ran * 2 > tally.accepted, "most of what is accepted fails: {}", tally.report());
    assert!(tally.findings.is_empty(), "{}", tally.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tmp_stats() {
    let stage = Stage::set().await.unwrap();
    let mut g = crate::generator::Generator::new(crate::generator::Dice::new(1), "/tmp/x", vec![]);
    let mut stats = std::collections::BTreeMap::<String, (usize, Vec<String>)>::new();
    for _ in 0..3000 {
        let sql = g.tmp_plain();
        let t = std::time::Instant::now();
        let out = stage.run_original(&sql, 0).await;
        if t.elapsed().as_millis() > 200 { eprintln!("SLOW {:?} {sql}", t.elapsed()); }
        let key = match &out { Outcome::Failed(c) => c.clone(), Outcome::Rows(_, r) => if r.is_empty() {"empty".into()} else {"rows".into()}, o => format!("{o:?}") };
        let e = stats.entry(key.clone()).or_default();
        e.0 += 1;
        if e.1.len() < 4 {
            let msg = stage.original.simple_query(&sql).await.err().map(|e| e.as_db_error().map(|d| d.message().to_owned()).unwrap_or_default());
            e.1.push(format!("{msg:?} {sql}"));
        }
    }
    for (k, (n, ex)) in stats { eprintln!("== {k} {n}"); if k != "rows" { for e in ex { eprintln!("     {e}"); } } else { for e in ex { eprintln!("     {e}"); } } }
}
