//! A closed loop over one connection to PostgreSQL, by a plain driver: what the DB explorer is held against.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio_postgres::{Client, NoTls};

use crate::{
    job::SqlJob,
    measure::{Report, Tally},
};

/// Runs the job. The time counts as a caller of a driver sees it: text in, all rows out.
pub(crate) async fn run(job: &SqlJob) -> Result<Report> {
    let (client, connection) = tokio_postgres::connect(&job.url, NoTls).await.context("connecting to the database")?;
    let driving = tokio::spawn(connection);
    let tally = Tally::default();
    let warm = Instant::now() + Duration::from_millis(job.warmup_ms);
    while Instant::now() < warm {
        once(&client, job).await.context("before measuring")?;
    }
    tally.open();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(job.window_ms) {
        let started = Instant::now();
        once(&client, job).await?;
        tally.answered(started);
    }
    let window = begun.elapsed();
    tally.close();
    driving.abort();
    Ok(tally.report(window, Duration::ZERO))
}

async fn once(client: &Client, job: &SqlJob) -> Result<()> {
    for statement in &job.statements {
        let rows = client.query(statement.as_str(), &[]).await.with_context(|| format!("running {statement}"))?;
        ensure!(!rows.is_empty(), "no rows came of {statement}");
    }
    Ok(())
}
