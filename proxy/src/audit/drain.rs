//! Brings the spool's records to the store, in batches, in the background. A record leaves the spool only after the store has
//! said that it has it; while the store is away, they wait, and nothing is lost until the spool is full.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{Audit, Row, merge::Merger, reader::Reader};

/// Where rows go.
pub trait Sink: Send + Sync + 'static {
    /// Keeps rows, all of them or none; rows that are there already change nothing, since a batch may come twice.
    ///
    /// # Errors
    /// With words for the log; the batch comes again.
    fn append(&self, rows: &[Row]) -> impl Future<Output = Result<(), String>> + Send;
}

/// The bounds of draining.
#[derive(Debug, Clone, Copy)]
pub struct DrainOptions {
    /// Rows in one batch at the most.
    pub batch_rows: usize,
    /// How long records are gathered before a batch that is not full.
    pub gather: Duration,
    /// How long the record of a call that was sent on waits for that of its outcome.
    pub patience: Duration,
    /// How long the store may take for a batch.
    pub append_timeout: Duration,
    /// The pause after the first failure; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest pause.
    pub retry_max: Duration,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            batch_rows: 2000,
            gather: Duration::from_millis(50),
            patience: Duration::from_secs(5),
            append_timeout: Duration::from_secs(30),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
        }
    }
}

/// What [`Drain::flush`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Records that stay on the spool for the next start.
    pub left: u64,
}

/// The running drain. When it is dropped, draining stops; what is left stays on the spool.
#[derive(Debug)]
pub struct Drain {
    audit: Arc<Audit>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drain {
    /// Starts to drain on a runtime.
    pub fn start<S: Sink>(audit: Arc<Audit>, sink: S, options: DrainOptions, runtime: &Handle) -> Self {
        let (closing, closed) = watch::channel(false);
        let worker = Worker {
            reader: Reader::new(&audit.spool),
            merger: Merger::new(options.patience),
            audit: audit.clone(),
            sink,
            options,
            closing: closed,
        };
        Self { audit, closing, task: runtime.spawn(worker.run()) }
    }

    /// Drains what is there, also calls whose outcome is not known, and stops; for as long as `within`. To be called when no
    /// more requests come.
    pub async fn flush(mut self, within: Duration) -> Flushed {
        self.closing.send_replace(true);
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
        Flushed { left: self.audit.depth().records }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Worker<S> {
    audit: Arc<Audit>,
    sink: S,
    options: DrainOptions,
    reader: Reader,
    merger: Merger,
    closing: watch::Receiver<bool>,
}

impl<S: Sink> Worker<S> {
    async fn run(mut self) {
        loop {
            let closing = *self.closing.borrow();
            self.audit.spool.prepare();
            let more = self.fill();
            self.merger.ripen(&self.audit.spool, Instant::now(), closing && !more);
            self.note_gap();
            if self.merger.rows().is_empty() {
                self.settle(0);
                if closing && !more {
                    return;
                }
            }
            while !self.merger.rows().is_empty() {
                self.send_batch().await;
            }
            if !more && !closing {
                self.rest().await;
            }
        }
    }

    /// Reads records until a batch is full; `false` when there are no more.
    fn fill(&mut self) -> bool {
        let now = Instant::now();
        // Calls that are still running make no rows, so the records are bounded too.
        for _ in 0..2 * self.options.batch_rows {
            if self.merger.rows().len() >= self.options.batch_rows {
                return true;
            }
            match self.reader.next(&self.audit.spool) {
                Some((place, entry)) => self.merger.take(place, entry, now),
                None => return false,
            }
        }
        true
    }

    /// Says in the audit that records found no room.
    fn note_gap(&mut self) {
        let missed = self.audit.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            warn!(missed, "{missed} requests left no audit record, because the spool was full");
            let at_ms = super::now_ms();
            self.merger.rows().push_back(Row::gap(self.audit.event_id(at_ms), at_ms, missed));
        }
    }

    /// Sends the first rows until the store has them.
    async fn send_batch(&mut self) {
        let count = self.merger.rows().len().min(self.options.batch_rows);
        let rest = self.merger.rows().split_off(count);
        let mut batch: VecDeque<Row> = std::mem::replace(self.merger.rows(), rest);
        let rows = batch.make_contiguous();
        let mut pause = self.options.retry_min;
        let mut failures = 0u32;
        while let Err(error) = attempt(&self.sink, rows, self.options.append_timeout).await {
            if failures == 0 {
                warn!(%error, "the store takes no audit records; they wait in the spool");
            }
            failures += 1;
            self.audit.spool.prepare();
            sleep(pause).await;
            pause = (pause * 2).min(self.options.retry_max);
        }
        if failures > 0 {
            info!(failures, "the store takes audit records again");
        }
        self.settle(count as u64);
    }

    /// Lets go of what the store has, once no row is on its way.
    fn settle(&mut self, rows: u64) {
        let done = rows + self.merger.take_merged();
        self.audit.drained.fetch_add(done, Ordering::Relaxed);
        if self.merger.rows().is_empty() {
            let place = self.merger.oldest().unwrap_or(self.reader.place());
            self.audit.spool.drained_to(place);
        }
    }

    /// Waits for records, then a little longer for their company.
    async fn rest(&mut self) {
        if self.audit.spool.sleep_at(self.reader.place()) {
            let ripe = self.merger.next_ripe().map(tokio::time::Instant::from_std);
            let ripened = async {
                match ripe {
                    Some(ripe) => tokio::time::sleep_until(ripe).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.audit.spool.woken() => {}
                () = ripened => return,
                _ = self.closing.wait_for(|closing| *closing) => return,
            }
        }
        tokio::select! {
            () = sleep(self.options.gather) => {}
            _ = self.closing.wait_for(|closing| *closing) => {}
        }
    }
}

async fn attempt<S: Sink>(sink: &S, rows: &[Row], within: Duration) -> Result<(), String> {
    match timeout(within, sink.append(rows)).await {
        Ok(done) => done,
        Err(_) => Err(format!("it has not answered within {} seconds", within.as_secs())),
    }
}
