//! A loop over HTTP: each connection sends its next request as soon as the last one is answered, or when its time has come.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{task::LocalSet, time::sleep};

use crate::{
    connection::{Connection, Refused},
    job::{Act, Era, HttpJob, Target, Template},
    measure::{Report, Tally, cpu_time},
};

/// How long one request may take before the connection counts as broken.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Runs the job.
pub(crate) async fn run(job: &HttpJob) -> Result<Report> {
    let tally = Rc::new(Tally::default());
    let local = LocalSet::new();
    let mut first = Worker::open(job).await.context("before measuring")?;
    first.check_once().await.context("before measuring")?;
    let mut workers = vec![first];
    for _ in 1..job.connections {
        workers.push(Worker::open(job).await?);
    }
    let between = job.per_s.map(|per_s| Duration::from_secs_f64(1.0 / per_s));
    for (at, worker) in workers.into_iter().enumerate() {
        let pace = between.map(|between| {
            let first = Instant::now() + between * u32::try_from(at).unwrap_or(u32::MAX);
            Pace { next: first, every: between * u32::try_from(job.connections).unwrap_or(u32::MAX) }
        });
        local.spawn_local(worker.work(Rc::clone(&tally), pace));
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

/// When a connection sends its requests.
struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    /// Waits for the next time. Times that have gone by meanwhile are left out, so that a stall is followed by no burst.
    async fn wait(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        let now = Instant::now();
        while self.next <= now {
            self.next += self.every;
        }
    }
}

/// One connection and what it does.
struct Worker {
    connection: Connection,
    may_be_refused: bool,
    target: Target,
    act: Act,
    initialize: Template,
    request: Template,
}

impl Worker {
    async fn open(job: &HttpJob) -> Result<Self> {
        let HttpJob { target, act, may_be_refused, .. } = job;
        let request = act.request(target.era);
        let connection = Connection::open(target).await?;
        let (target, act) = (target.clone(), act.clone());
        let initialize = Template::initialize();
        let mut worker = Self { connection, may_be_refused: *may_be_refused, target, act, initialize, request };
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

    async fn work(mut self, tally: Rc<Tally>, mut pace: Option<Pace>) {
        while !tally.is_over() {
            if let Some(pace) = &mut pace {
                pace.wait().await;
            }
            let begun = Instant::now();
            let done = tokio::time::timeout(REQUEST_LIMIT, self.once()).await;
            match done.context("no answer in time").and_then(|answer| answer) {
                Ok(()) => tally.answered(begun),
                Err(error) if self.may_be_refused && error.is::<Refused>() => tally.refused(),
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
        if let Act::Progress { messages, .. } = self.act {
            let token = br#""progressToken":"p""#;
            let found = answer.windows(token.len()).filter(|window| window == token).count();
            ensure!(found == messages, "expected {messages} messages of progress, found {found}");
        }
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
