//! The whole-layer proof for PostgreSQL sources: hostile, legitimate and generated statements against a server of our own,
//! which has to be the same afterwards. `judge_alone` switches every layer off but the judge, `explorer` has them all on; the
//! proof with the judge off needs the inside of the source and is in `src/db/postgres/tests/whole_layer.rs`.
//!
//! `PATCHBAY_SOAK_STATEMENTS` says how many statements are generated, and `PATCHBAY_SOAK_SEED` which.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "a proof says what it was about")]

mod cluster;
mod explorer;
mod fingerprint;
mod generator;
mod judge_alone;
mod rows;
mod shop;
mod sight;
mod sweep;

use std::{env, iter, thread};

use cluster::Cluster;
use generator::{Dice, Generator, Place};
use patchbay_sql_policy::{Judged, STACK_BYTES, corpus, judge};

/// How many statements are generated where nothing else is said; the soak run makes 100,000.
const STATEMENTS: usize = 3_000;
/// Changed when the generator is, so that the normal run always has the same statements.
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number and is {text:?}")))
}

/// The statements of this run, in the order of making.
fn generated(cluster: &Cluster) -> impl Iterator<Item = String> + use<> {
    let count = number("PATCHBAY_SOAK_STATEMENTS").map_or(STATEMENTS, |count| usize::try_from(count).unwrap());
    let seed = number("PATCHBAY_SOAK_SEED").unwrap_or(SEED);
    eprintln!("{count} statements of seed {seed}");
    let scratch = cluster.scratch().to_str().unwrap().to_owned();
    let place = Place { scratch, connection: cluster.connection(shop::DATABASE) };
    let mut generator = Generator::new(Dice::new(seed), place, corpus_texts());
    (0..count).map(move |_| generator.statement())
}

/// The statements of the corpora, for the generator to cut and join.
fn corpus_texts() -> Vec<String> {
    corpus::postgres_legitimate()
        .into_iter()
        .chain(corpus::postgres_hostile())
        .map(|case| case.sql.to_owned())
        .collect()
}

/// How many statements are judged at a time.
const JUDGED_TOGETHER: usize = 500;

/// Each statement with what the judge makes of it, in the order that they come.
fn judging(mut statements: impl Iterator<Item = String>) -> impl Iterator<Item = (String, Option<Judged>)> {
    iter::from_fn(move || {
        let some: Vec<String> = statements.by_ref().take(JUDGED_TOGETHER).collect();
        (!some.is_empty()).then(|| judge_all(some))
    })
    .flatten()
}

/// Judges on a thread with the stack that the judge asks for.
fn judge_all(statements: Vec<String>) -> Vec<(String, Option<Judged>)> {
    let judging = move || {
        let judged = statements.into_iter().map(|sql| {
            let judged = judge(&sql, &shop::Listed).ok();
            (sql, judged)
        });
        judged.collect()
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(judging).unwrap().join().unwrap()
}
