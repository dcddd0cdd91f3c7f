//! Brings the spool's records to the store, in batches, in the background. A record leaves the spool only after the store has
//! said that it has it; while the store is away, they wait, and nothing is lost until the spool is full. How they are chained,
//! and why each comes there once, is [`super::chain`]'s.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use patchbay_core::audit::{ChainId, Link};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Audit, Row, Signer, Sink, SinkError,
    chain::{self, Batch, Chains},
    checkpoints::{Grown, Notary},
    merge::Merger,
    reader::Reader,
    sink::{Attempts, in_time},
    spool::Place,
};

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
    /// How often the places of chains that have grown are signed.
    pub checkpoint_every: Duration,
    /// By how many rows a chain may grow before that.
    pub checkpoint_rows: u64,
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
            checkpoint_every: Duration::from_secs(60),
            checkpoint_rows: 10_000,
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
    drained: CancellationToken,
    notary: JoinHandle<()>,
}

impl Drain {
    /// Starts to drain on a runtime.
    pub fn start<S: Sink>(
        audit: Arc<Audit>,
        sink: S,
        signer: Arc<Signer>,
        options: DrainOptions,
        runtime: &Handle,
    ) -> Self {
        let (closing, closed) = watch::channel(false);
        let (sink, grown) = (Arc::new(sink), Arc::new(Grown::new(&options)));
        let drained = CancellationToken::new();
        let notary = Notary {
            audit: audit.clone(),
            grown: grown.clone(),
            sink: sink.clone(),
            signer,
            options,
            drained: drained.clone(),
        };
        let worker = Worker {
            reader: Reader::new(&audit.spool),
            found: Some(audit.spool.end()),
            merger: Merger::new(options.patience),
            chains: Chains::of(audit.chained_by.id()),
            audit: audit.clone(),
            sink,
            grown,
            options,
            closing: closed,
        };
        Self { audit, closing, task: runtime.spawn(worker.run()), drained, notary: runtime.spawn(notary.run()) }
    }

    /// Drains what is there, also calls whose outcome is not known, signs how far the chains have come, and stops; for as long
    /// as `within`. To be called when no more requests come.
    pub async fn flush(mut self, within: Duration) -> Flushed {
        self.closing.send_replace(true);
        let done = async {
            let _ = (&mut self.task).await;
            self.drained.cancel();
            let _ = (&mut self.notary).await;
        };
        if timeout(within, done).await.is_err() {
            self.task.abort();
            self.notary.abort();
        }
        Flushed { left: self.audit.depth().records }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.task.abort();
        self.notary.abort();
    }
}

struct Worker<S> {
    audit: Arc<Audit>,
    sink: Arc<S>,
    options: DrainOptions,
    reader: Reader,
    /// Up to where the spool was filled at the start, until all of that is drained: the store may know it already.
    found: Option<Place>,
    merger: Merger,
    chains: Chains,
    grown: Arc<Grown>,
    closing: watch::Receiver<bool>,
}

impl<S: Sink> Worker<S> {
    async fn run(mut self) {
        loop {
            let closing = *self.closing.borrow();
            self.audit.spool.prepare();
            self.found = self.found.filter(|end| self.undrained() < *end);
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
                self.look_round().await;
                self.rest().await;
            }
        }
    }

    /// The place of the oldest record that is not in a row, while no row is on its way.
    fn undrained(&self) -> Place {
        self.merger.oldest().unwrap_or(self.reader.place())
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
        let records: Vec<Row> = self.merger.rows().drain(..count).collect();
        let spooled = records.iter().filter(|row| !row.is_gap()).count();
        let mut attempts = Attempts::new(&self.options);
        let mut batch = self.linked(records, &mut attempts).await;
        while !batch.rows.is_empty() {
            match in_time(self.options.append_timeout, self.sink.append(&batch.rows)).await {
                Ok(fresh) => {
                    self.taken(&batch, fresh, &mut attempts).await;
                    break;
                }
                Err(error) => {
                    attempts.failed(&self.audit, &error).await;
                    if let SinkError::Forked(why) = error {
                        batch = self.linked_anew(batch, &why, &mut attempts).await;
                    }
                }
            }
        }
        attempts.over();
        self.settle(spooled as u64);
    }

    /// Links records behind what the store has. Of those that were found at the start, it may have some.
    async fn linked(&mut self, mut records: Vec<Row>, attempts: &mut Attempts) -> Batch {
        if self.found.is_some() {
            let known = self.known(&chain::ids(&records), attempts).await;
            chain::without_known(&mut records, &known);
        }
        if !self.chains.is_read() {
            let heads = self.heads(attempts).await;
            self.read(&heads);
        }
        self.chains.link(records)
    }

    /// Links what the store refused because it does not continue its chain.
    async fn linked_anew(&mut self, refused: Batch, why: &str, attempts: &mut Attempts) -> Batch {
        let known = self.known(&refused.ids(), attempts).await;
        let heads = self.heads(attempts).await;
        if !self.chains.adopt(&heads, &refused) {
            let (old, new) = (self.chains.writer(), self.audit.chained_by.renew());
            warn!(
                old = format_args!("{:016x}", old.0),
                new = format_args!("{:016x}", new.0),
                why,
                "somebody else continues this gateway's audit chains, probably with a copy of its data folder; it begins new ones"
            );
            self.chains = Chains::begun(new);
        }
        let mut records = refused.into_records();
        chain::without_known(&mut records, &known);
        self.chains.link(records)
    }

    /// The store has a batch, of which so many rows were new to it. If not all were, only the store knows where its chains are.
    async fn taken(&mut self, batch: &Batch, fresh: u64, attempts: &mut Attempts) {
        if fresh == batch.rows.len() as u64 {
            self.grown.note(self.chains.confirm(batch));
            return;
        }
        let heads = self.heads(attempts).await;
        self.read(&heads);
    }

    /// Takes the store's word on where the chains are. Whoever came there may have had no time to sign it.
    fn read(&mut self, heads: &[(ChainId, Link)]) {
        self.chains.read(heads);
        let begun = heads.iter().filter(|(_, link)| link.seq > 0);
        self.grown.note(begun.map(|(chain, link)| (*chain, *link, 0)));
    }

    async fn known(&self, ids: &[u128], attempts: &mut Attempts) -> HashSet<u128> {
        loop {
            match in_time(self.options.append_timeout, self.sink.known(ids)).await {
                Ok(known) => return known,
                Err(error) => attempts.failed(&self.audit, &error).await,
            }
        }
    }

    async fn heads(&self, attempts: &mut Attempts) -> Vec<(ChainId, Link)> {
        loop {
            match in_time(self.options.append_timeout, self.sink.heads(self.chains.writer())).await {
                Ok(heads) => return heads,
                Err(error) => attempts.failed(&self.audit, &error).await,
            }
        }
    }

    /// Lets go of what the store has, once no row is on its way.
    fn settle(&mut self, records: u64) {
        let done = records + self.merger.take_merged();
        self.audit.progress.drained_more(done);
        if self.merger.rows().is_empty() {
            self.audit.spool.drained_to(self.undrained());
        }
    }

    /// Reads where the chains are when there is nothing to drain, so that what the run before left unsigned is signed.
    async fn look_round(&mut self) {
        if self.chains.is_read() {
            return;
        }
        let (mut attempts, mut closing) = (Attempts::new(&self.options), self.closing.clone());
        let heads = tokio::select! {
            heads = self.heads(&mut attempts) => heads,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        attempts.over();
        self.read(&heads);
    }

    /// Waits for records, then a little longer for their company.
    async fn rest(&mut self) {
        if self.audit.spool.sleep_at(self.reader.place()) {
            let ripe = self.merger.next_ripe();
            let ripened = async {
                match ripe {
                    Some(ripe) => sleep_until(ripe).await,
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
