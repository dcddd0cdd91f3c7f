//! Opens streams of changes, says when they are there, and for each line on standard input waits until every one of them was told
//! of one more change. Ends with its input.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
    task::LocalSet,
    time::timeout,
};

use crate::{connection::Connection, job::ListenJob, say};

/// How many streams are being opened at once.
const AT_ONCE: usize = 16;
/// How long all streams together may take to be told.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a stream begins with, and what it is told.
const BEGUN: &[u8] = b"notifications/subscriptions/acknowledged";
const CHANGED: &[u8] = b"notifications/tools/list_changed";

/// Runs the job.
pub(crate) async fn run(job: &ListenJob) -> Result<()> {
    LocalSet::new().run_until(listen(job)).await
}

async fn listen(job: &ListenJob) -> Result<()> {
    let (told, mut heard) = mpsc::channel(job.streams + 1);
    let open = async || -> Result<Connection> {
        let mut connection = Connection::open(&job.target).await?;
        let mut body = connection.listen().await?;
        wait_for(&mut body, BEGUN).await.context("the stream's first event")?;
        let told = told.clone();
        tokio::task::spawn_local(async move {
            while wait_for(&mut body, CHANGED).await.is_ok() {
                if told.send(Instant::now()).await.is_err() {
                    return;
                }
            }
        });
        Ok(connection)
    };
    let held: Vec<Connection> =
        stream::iter(0..job.streams).map(|_| open()).buffer_unordered(AT_ONCE).try_collect().await?;
    say(&serde_json::json!({ "held": held.len() }))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await.context("waiting for the next round")?.is_some() {
        let (mut first, mut last) = (None, None);
        for _ in 0..job.streams {
            let at = timeout(PATIENCE, heard.recv()).await.context("not every stream was told in time")?;
            let at = at.context("the streams have ended")?;
            first.get_or_insert(at);
            last = Some(at);
        }
        let (first, last) = first.zip(last).context("there are no streams")?;
        ensure!(heard.is_empty(), "a stream was told twice of one change");
        say(&serde_json::json!({ "spread_us": last.duration_since(first).as_micros() }))?;
    }
    Ok(())
}

/// Reads until these bytes come by. Events are short, and each is written as a whole.
async fn wait_for(body: &mut Incoming, wanted: &[u8]) -> Result<()> {
    loop {
        let frame = body.frame().await.context("the stream has ended")??;
        let data = frame.into_data().unwrap_or_default();
        if data.windows(wanted.len()).any(|window| window == wanted) {
            return Ok(());
        }
    }
}
