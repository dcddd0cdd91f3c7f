//! A closed loop over HTTP: each connection sends its next request as soon as the last one is answered.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{task::LocalSet, time::sleep};

use crate::{
    connection::Connection,
    job::{Act, Era, HttpJob, Target, Template},
    measure::{Report, Tally, cpu_time},
};

/// How long one request may take before the connection counts as broken.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Runs the job.
pub(crate) async fn run(job: &HttpJob) -> Result<Report> {
    let tally = Rc::new(Tally::default());
    let local = LocalSet::new();
    let mut first = Worker::open(&job.target, &job.act).await.context("before measuring")?;
    first.check_once().await.context("before measuring")?;
    let mut workers = vec![first];
    for _ in 1..job.connections {
        workers.push(Worker::open(&job.target, &job.act).await?);
    }
    for worker in workers {
        local.spawn_local(worker.work(Rc::clone(&tally)));
    }
    let (window, cpu) = local.run_until(window(job, &tally)).await?;
    drop(local);
    let tally = Rc::into_inner(tally).context("all workers are gone with their set")?;
    Ok(tally.report(window, cpu))
}

/// Opens the window after the warm-up and closes it again; the CPU time is read at the same two moments.
async fn window(job: &HttpJob, tally: &Tally) -> Result<(Duration, Duration)> {
    sleep(Duration::from_millis(job.warmup_ms)).await;
    let cpu = cpu_time(&job.pids)?;
    let begun = Instant::now();
    tally.open();
    sleep(Duration::from_millis(job.window_ms)).await;
    tally.close();
    let window = begun.elapsed();
    Ok((window, cpu_time(&job.pids)?.saturating_sub(cpu)))
}

/// One connection and what it does.
struct Worker {
    connection: Connection,
    target: Target,
    act: Act,
    initialize: Template,
    request: Template,
}

impl Worker {
    async fn open(target: &Target, act: &Act) -> Result<Self> {
        let request = act.request(target.era);
        let connection = Connection::open(target).await?;
        let (target, act) = (target.clone(), act.clone());
        let mut worker = Self { connection, target, act, initialize: Template::initialize(), request };
        worker.begin().await?;
        Ok(worker)
    }

    /// What a connection begins with.
    async fn begin(&mut self) -> Result<()> {
        if self.target.era == Era::Legacy && !matches!(self.act, Act::Storm { .. }) {
            self.connection.begin_session(&self.initialize).await?;
        }
        Ok(())
    }

    /// A closer look at one answer, which would cost too much for each.
    async fn check_once(&mut self) -> Result<()> {
        if let Act::Storm { .. } = self.act {
            self.connection.begin_session(&self.initialize).await?;
        }
        let answer = self.connection.ask(&self.request).await?;
        if let Act::List { tools } = self.act {
            let found = answer.windows(13).filter(|window| window == br#""inputSchema""#).count();
            ensure!(found == tools, "expected {tools} tools, the list has {found}");
        }
        Ok(())
    }

    async fn work(mut self, tally: Rc<Tally>) {
        while !tally.is_over() {
            let begun = Instant::now();
            let done = tokio::time::timeout(REQUEST_LIMIT, self.once()).await;
            match done.context("no answer in time").and_then(|answer| answer) {
                Ok(()) => tally.answered(begun),
                Err(error) => {
                    tally.failed(&error);
                    self.reopen(&tally).await;
                }
            }
        }
    }

    async fn once(&mut self) -> Result<()> {
        if let Act::Storm { .. } = self.act {
            self.connection.begin_session(&self.initialize).await?;
        }
        let answer = self.connection.ask(&self.request).await?;
        if let Act::Call { bytes_min, .. } = self.act {
            ensure!(answer.len() >= bytes_min, "an answer of {} bytes is shorter than {bytes_min}", answer.len());
        }
        Ok(())
    }

    async fn reopen(&mut self, tally: &Tally) {
        while !tally.is_over() {
            match Connection::open(&self.target).await {
                Ok(connection) => {
                    self.connection = connection;
                    match self.begin().await {
                        Ok(()) => return,
                        Err(error) => tally.failed(&error),
                    }
                }
                Err(error) => tally.failed(&error),
            }
        }
    }
}
