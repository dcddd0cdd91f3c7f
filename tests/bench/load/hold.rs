//! Opens legacy sessions, says when they are there, and keeps them and their connections until standard input ends.

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncReadExt;

use crate::{
    connection::Connection,
    job::{HoldJob, Template},
    say,
};

/// How many sessions are being opened at once.
const AT_ONCE: usize = 16;

/// Runs the job.
pub(crate) async fn run(job: &HoldJob) -> Result<()> {
    let initialize = Template::initialize();
    let open = async || -> Result<Connection> {
        let mut connection = Connection::open(&job.target).await?;
        connection.begin_session(&initialize).await?;
        Ok(connection)
    };
    let held: Vec<Connection> =
        stream::iter(0..job.sessions).map(|_| open()).buffer_unordered(AT_ONCE).try_collect().await?;
    say(&serde_json::json!({ "held": held.len() }))?;
    let mut rest = Vec::new();
    tokio::io::stdin().take(1 << 10).read_to_end(&mut rest).await.context("waiting for the end of standard input")?;
    Ok(())
}
