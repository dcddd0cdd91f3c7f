//! Signs how far the chains have come, beside the drain and never in its way: each chain that has grown once a minute, one that
//! grows fast more often, and all of them at the end. What the store does not take is tried again, with the newest place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use patchbay_core::audit::{ChainId, Checkpoint, CheckpointReason, Link};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Audit, DrainOptions, Signer, Sink, SinkError, now_ms, sink::in_time};

/// Checkpoints that are signed and sent at once; signing them takes some milliseconds.
const CHECKPOINTS_MAX: usize = 256;

/// The chains that have grown since they were last signed.
pub(super) struct Grown {
    chains: Mutex<HashMap<ChainId, Growth>>,
    rows_many: u64,
    many: Notify,
}

#[derive(Clone, Copy)]
struct Growth {
    link: Link,
    rows: u64,
}

impl Grown {
    pub(super) fn new(options: &DrainOptions) -> Self {
        Self { chains: Mutex::default(), rows_many: options.checkpoint_rows, many: Notify::new() }
    }

    /// Notes where chains are, and how many rows came to each.
    pub(super) fn note(&self, moved: impl IntoIterator<Item = (ChainId, Link, u64)>) {
        let mut chains = self.chains();
        let mut are_many = false;
        for (chain, link, rows) in moved {
            let growth = chains.entry(chain).or_insert(Growth { link, rows: 0 });
            growth.link = link;
            growth.rows += rows;
            are_many |= growth.rows >= self.rows_many;
        }
        drop(chains);
        if are_many {
            self.many.notify_one();
        }
    }

    /// Takes those that have grown by so many rows.
    fn take(&self, rows_min: u64) -> Vec<(ChainId, Growth)> {
        self.chains().extract_if(|_, growth| growth.rows >= rows_min).collect()
    }

    /// Gives back what was not signed; what has grown since is further.
    fn give_back(&self, taken: &[(ChainId, Growth)]) {
        let mut chains = self.chains();
        for (chain, growth) in taken {
            chains.entry(*chain).and_modify(|newer| newer.rows += growth.rows).or_insert(*growth);
        }
    }

    fn chains(&self) -> MutexGuard<'_, HashMap<ChainId, Growth>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who signs.
pub(super) struct Notary<S> {
    pub(super) audit: Arc<Audit>,
    pub(super) grown: Arc<Grown>,
    pub(super) sink: Arc<S>,
    pub(super) signer: Arc<Signer>,
    pub(super) options: DrainOptions,
    /// Nothing more will be drained.
    pub(super) drained: CancellationToken,
}

impl<S: Sink> Notary<S> {
    /// Signs until nothing more is drained, and then what is left, for as long as it takes.
    pub(super) async fn run(self) {
        let DrainOptions { checkpoint_every, checkpoint_rows, retry_min, retry_max, .. } = self.options;
        let mut next = Instant::now() + checkpoint_every;
        let mut is_failing = false;
        loop {
            let rows_min = tokio::select! {
                () = self.drained.cancelled() => break,
                () = sleep_until(next) => 0,
                () = self.grown.many.notified(), if !is_failing => checkpoint_rows,
            };
            let failed = self.sign(rows_min).await.err();
            if let Some(error) = failed.as_ref().filter(|_| !is_failing) {
                warn!(%error, "the store takes no checkpoints of the audit's chains; they are tried again");
            }
            is_failing = failed.is_some();
            if is_failing {
                next = Instant::now() + retry_max;
            } else if rows_min == 0 {
                next = Instant::now() + checkpoint_every;
            }
        }
        let mut pause = retry_min;
        while self.sign(0).await.is_err() {
            sleep(pause).await;
            pause = (pause * 2).min(retry_max);
        }
    }

    /// Signs the chains that have grown by so many rows, and brings that to the store.
    async fn sign(&self, rows_min: u64) -> Result<(), SinkError> {
        let taken = self.grown.take(rows_min);
        let mut left = &*taken;
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(CHECKPOINTS_MAX));
            let checkpoints: Vec<_> = now.iter().map(|(chain, growth)| self.signed(*chain, growth.link)).collect();
            if let Err(error) = in_time(self.options.append_timeout, self.sink.checkpoint(&checkpoints)).await {
                self.audit.progress.failed();
                self.grown.give_back(left);
                return Err(error);
            }
            self.audit.progress.checkpointed(checkpoints.len() as u64);
            left = later;
        }
        Ok(())
    }

    fn signed(&self, chain: ChainId, link: Link) -> Checkpoint {
        let (reason, at_ms) = (CheckpointReason::Head, now_ms());
        let mut checkpoint = Checkpoint { chain, link, reason, at_ms, signature: [0; 64] };
        self.signer.sign(&mut checkpoint);
        checkpoint
    }
}
