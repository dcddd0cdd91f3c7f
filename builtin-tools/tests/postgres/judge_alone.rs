//! Every layer off but the judge: what it accepts is run, as it was rendered, by a superuser in autocommit, in the protocol that
//! would run a second statement too. The server has to be the same afterwards, nobody may have been shown a canary, and the
//! rendered text has to mean what the original meant.

use std::{fmt::Write, mem};

use patchbay_sql_policy::{Judged, corpus};
use tokio_postgres::Client;

use crate::{
    cluster::{Cluster, connect},
    fingerprint::Fingerprint,
    generated, judging,
    rows::{Outcome, is_volatile, simple, with_nulls},
    shop::{self, CANARY, DATABASE},
};

/// How many accepted statements run between two looks at the server.
const GROUP: usize = 500;
/// How many findings are told.
const TOLD_MAX: usize = 40;

/// A server with the shop, and the two sessions that statements run in.
pub(crate) struct Stage {
    cluster: Cluster,
    pub(crate) watcher: Client,
    /// Superuser, autocommit, may write: runs what was rendered.
    free: Client,
    /// Superuser, read-only, looks names up in `app`: runs the original, to compare.
    original: Client,
}

impl Stage {
    pub(crate) async fn set() -> Option<Self> {
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
        simple(&self.free, &judged.sql, false).await
    }

    async fn run_original(&self, sql: &str, params: usize) -> Outcome {
        if params > 0 {
            return with_nulls(&self.original, sql, params).await;
        }
        // The text as it came may hold a second statement; then it is not run.
        match self.original.prepare(sql).await {
            Err(error) => Outcome::of(&error),
            Ok(_) => simple(&self.original, sql, false).await,
        }
    }
}

/// What was found, and how much was tried.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    refused: usize,
    ran: usize,
    timed_out: usize,
    pub(crate) findings: Vec<String>,
}

impl Tally {
    fn find(&mut self, what: &str, original: &str, rendered: &str) {
        let finding = format!("{what}\n  original: {original:?}\n  rendered: {rendered:?}");
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(crate) fn report(&self) -> String {
        let Self { accepted, refused, ran, timed_out, findings } = self;
        let mut text =
            format!("accepted {accepted}, refused {refused}, ran without error {ran}, out of time {timed_out}");
        for finding in findings.iter().take(TOLD_MAX) {
            write!(text, "\n{finding}").unwrap();
        }
        text
    }
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
        let [plain, rendered] =
            [plain, rendered].map(|outcome| format!("{outcome:?}").chars().take(300).collect::<String>());
        tally.find(&format!("means something else: {plain}\n  and then: {rendered}"), original, &judged.sql);
    }
    true
}

/// Whether the original and what was rendered from it came to the same.
fn same_meaning(sql: &str, original: &Outcome, rendered: &Outcome) -> bool {
    match (original, rendered) {
        _ if original.timed_out() || rendered.timed_out() => true,
        // A function of a user that is written as a column is found in `app`, and not where what was rendered runs.
        (Outcome::Rows(..), Outcome::Failed(code)) if code == "42703" && sql.to_lowercase().contains("evil") => true,
        (Outcome::Rows(..), Outcome::Rows(..)) if is_volatile(sql) => true,
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
pub(crate) async fn prove(stage: &Stage, statements: impl Iterator<Item = String>) -> Tally {
    let mut tally = Tally::default();
    let mut group = Vec::new();
    let mut before = stage.fingerprint().await;
    let mut judged = judging(statements).peekable();
    while let Some((original, verdict)) = judged.next() {
        let Some(verdict) = verdict else {
            tally.refused += 1;
            continue;
        };
        tally.accepted += 1;
        if !try_one(stage, &original, &verdict, &mut tally).await {
            return tally;
        }
        group.push((original, verdict));
        if group.len() < GROUP && judged.peek().is_some() {
            continue;
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
    let tally = prove(&stage, generated(&stage.cluster)).await;
    if tally.findings.is_empty() {
        eprintln!("{}", tally.report());
    }
    let all = tally.accepted + tally.refused;
    assert!(tally.accepted * 20 > all && tally.refused * 20 > all, "a hollow proof: {}", tally.report());
    assert!(tally.ran * 2 > tally.accepted, "most of what is accepted fails: {}", tally.report());
    assert!(tally.findings.is_empty(), "{}", tally.report());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_judge_accepts_of_the_corpora_a_superuser_may_run() {
    let Some(stage) = Stage::set().await else { return };
    let (legitimate, hostile) = (corpus::postgres_legitimate(), corpus::postgres_hostile());
    let wanted = legitimate.len();
    let all = legitimate.into_iter().chain(hostile).map(|case| case.sql.to_owned());
    let tally = prove(&stage, all).await;
    assert!(tally.findings.is_empty(), "{}", tally.report());
    assert_eq!((tally.accepted, tally.ran), (wanted, wanted), "{}", tally.report());
}
