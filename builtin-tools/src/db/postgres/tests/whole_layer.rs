//! The whole layer without the judge: hostile statements of a role that only reads, as they come, on a server of their own.
//! What the other layers let pass, they undo. The proofs with the judge are in `tests/postgres`, and so is the server.

#![expect(clippy::print_stderr, reason = "a story that is not told is seen to be not told")]
#![expect(dead_code, reason = "the proofs with the judge use more of it")]

#[path = "../../../../tests/postgres/cluster.rs"]
mod cluster;
#[path = "../../../../tests/postgres/fingerprint.rs"]
mod fingerprint;
#[path = "../../../../tests/postgres/generator.rs"]
mod generator;
#[path = "../../../../tests/postgres/shop.rs"]
mod shop;

use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::Cluster;
use fingerprint::Fingerprint;
use futures_util::{StreamExt, stream};
use generator::{Dice, Generator, Place};
use patchbay_sql_policy::corpus;

use super::*;

/// How many statements are generated beside the corpus.
const GENERATED: usize = 600;

/// How many run at once; many of them sleep.
const TOGETHER: usize = 4;

/// Data that the role has no right to. What stands in catalogs, everybody may read who is not judged.
const SECRETS: [&str; 4] = ["canary-password", "canary-vault", "canary-file", "canary-object"];

/// The one part of a server that does not come back: that a number was taken by a transaction which was then rolled back,
/// as `lo_create`, `NOTIFY` and `txid_current` take one even where nothing may be written.
const KNOWN: &str = "the next transaction: ";

fn source(cluster: &Cluster, without: &[Layer]) -> PostgresSource {
    let options = json!({
        "database": cluster.url("reader", shop::DATABASE),
        "schemas": ["app"],
        "connections_max": TOGETHER,
        "timeout_ms": 200,
    });
    let Some(options::Settings::Postgres(settings)) = options::parse(&Given::of(options)).unwrap().pop() else {
        panic!("expected the settings of a PostgreSQL database")
    };
    PostgresSource::with_layers(*settings, Layers::without(without)).unwrap()
}

/// What differs, beside what is known, once everything that was handed back is clean.
async fn left(before: &Fingerprint, cluster: &Cluster, watcher: &Client) -> Vec<String> {
    let mut left = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        left = before.differences(&Fingerprint::outside(cluster, watcher).await);
        left.retain(|difference| !difference.starts_with(KNOWN));
        if left.is_empty() {
            break;
        }
    }
    left
}

async fn survive(without: &[Layer]) {
    let Some(cluster) = Cluster::start().await else { return };
    let watcher = shop::create(&cluster).await;
    let place = Place {
        scratch: cluster.scratch().to_str().unwrap().to_owned(),
        connection: cluster.connection(shop::DATABASE),
    };
    let hostile: Vec<String> = corpus::postgres_hostile().iter().map(|case| case.sql.to_owned()).collect();
    let mut generator = Generator::new(Dice::new(2), place, hostile.clone());
    let generated = std::iter::repeat_with(|| generator.statement()).take(GENERATED);
    let source = source(&cluster, without);
    source.check().await.unwrap();
    let before = Fingerprint::outside(&cluster, &watcher).await;
    let ran = AtomicUsize::new(0);
    let statements: Vec<String> = hostile.into_iter().chain(generated).collect();
    stream::iter(&statements)
        .for_each_concurrent(TOGETHER, async |sql| {
            let told = match query(&source, sql).await {
                Ok(answer) => {
                    ran.fetch_add(1, Ordering::Relaxed);
                    json!(answer).to_string()
                }
                Err(error) => error.to_text(),
            };
            let shown = SECRETS.iter().find(|secret| told.contains(*secret) && !sql.contains(*secret));
            assert_eq!(shown, None, "{sql}\n{told}");
        })
        .await;
    let ran = ran.into_inner();
    // On a busy machine many reach their time limit.
    assert!(ran > GENERATED / 20, "a hollow proof: only {ran} ran");
    assert_eq!(left(&before, &cluster, &watcher).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_that_nobody_judges_leave_nothing_behind() {
    survive(&[Layer::Judge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_that_nobody_judges_or_wraps_leave_nothing_behind() {
    survive(&[Layer::Judge, Layer::Wrapper]).await;
}
