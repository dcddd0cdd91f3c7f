//! The store as far as the audit knows it: it keeps each id once, takes batches whole and only where they continue their chains,
//! and does on demand what stores do on bad days.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use patchbay_core::audit::{ChainId, Chained, Checkpoint, Link, Verifier, WriterId};
use tokio::sync::Notify;

use super::*;

/// What becomes of one request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All is well.
    Well,
    /// It is refused.
    Refused,
    /// It is done, but the answer is an error.
    DoneUnsaid,
    /// It is done, but no answer ever comes.
    DoneSilently,
    /// It is not done, and no answer ever comes.
    Silent,
    /// It is refused, and done when something is asked later.
    Late,
    /// The gateway is killed after it was done.
    DoneThenKilled,
    /// The gateway is killed before it was done.
    Killed,
    /// The gateway is killed, and it is done when something is asked later.
    KilledThenDone,
}

#[derive(Clone, Default)]
pub(crate) struct Store {
    kept: Arc<Mutex<Kept>>,
    away: Arc<AtomicBool>,
    pub(crate) batches: Arc<AtomicU64>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    killed: Arc<Notify>,
}

#[derive(Default)]
struct Kept {
    rows: Vec<LinkedRow>,
    ids: HashSet<u128>,
    heads: HashMap<ChainId, Link>,
    checkpoints: Vec<Checkpoint>,
    /// Batches that are kept once so many more requests have come.
    late: VecDeque<(u64, Vec<LinkedRow>)>,
    lates: u64,
    refuses_checkpoints: bool,
}

impl Kept {
    /// Notes a batch that will be kept late: at one of the next requests, at each in turn.
    fn put_off(&mut self, rows: &[LinkedRow]) {
        self.late.push_back((self.lates % 4, rows.to_vec()));
        self.lates += 1;
    }

    /// Keeps what is due. A transaction that does not fit any more is rolled back.
    fn catch_up(&mut self) {
        for (turns, rows) in std::mem::take(&mut self.late) {
            match turns.checked_sub(1) {
                Some(turns) => self.late.push_back((turns, rows)),
                None => drop(self.append(&rows)),
            }
        }
    }

    fn append(&mut self, rows: &[LinkedRow]) -> Result<u64, SinkError> {
        let fresh: Vec<_> = rows.iter().filter(|linked| !self.ids.contains(&linked.row.id())).collect();
        let mut heads = self.heads.clone();
        for linked in &fresh {
            let head = heads.entry(linked.chain).or_insert(Link::START);
            if linked.link.seq != head.seq + 1 {
                return Err(SinkError::Forked(format!("{} comes after {}", linked.link.seq, head.seq)));
            }
            *head = linked.link;
        }
        let count = fresh.len() as u64;
        let fresh: Vec<_> = fresh.into_iter().cloned().collect();
        self.heads = heads;
        self.ids.extend(fresh.iter().map(|linked| linked.row.id()));
        self.rows.extend(fresh);
        Ok(count)
    }

    fn checkpoint(&mut self, checkpoints: &[Checkpoint]) -> Result<(), SinkError> {
        if self.refuses_checkpoints {
            return Err(away());
        }
        for checkpoint in checkpoints {
            let same = |other: &Checkpoint| other.chain == checkpoint.chain && other.link.seq == checkpoint.link.seq;
            if !self.checkpoints.iter().any(same) {
                self.checkpoints.push(checkpoint.clone());
            }
        }
        Ok(())
    }
}

fn away() -> SinkError {
    SinkError::Away("the store is away".to_owned())
}

impl Sink for Store {
    async fn append(&self, rows: &[LinkedRow]) -> Result<u64, SinkError> {
        self.batches.fetch_add(1, Ordering::SeqCst);
        self.asked(|kept| kept.append(rows), Some(rows)).await
    }

    async fn known(&self, ids: &[u128]) -> Result<HashSet<u128>, SinkError> {
        self.asked(|kept| Ok(ids.iter().copied().filter(|id| kept.ids.contains(id)).collect()), None).await
    }

    async fn heads(&self, writer: WriterId) -> Result<Vec<(ChainId, Link)>, SinkError> {
        let of_writer = |kept: &mut Kept| {
            let heads = kept.heads.iter().filter(|(chain, _)| chain.writer == writer);
            Ok(heads.map(|(chain, link)| (*chain, *link)).collect())
        };
        self.asked(of_writer, None).await
    }

    async fn checkpoint(&self, checkpoints: &[Checkpoint]) -> Result<(), SinkError> {
        self.asked(|kept| kept.checkpoint(checkpoints), None).await
    }
}

impl Store {
    async fn asked<T>(
        &self,
        ask: impl FnOnce(&mut Kept) -> Result<T, SinkError>,
        rows: Option<&[LinkedRow]>,
    ) -> Result<T, SinkError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(away());
        }
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Well);
        let answer = {
            let mut kept = self.kept();
            kept.catch_up();
            match fate {
                Fate::Well | Fate::DoneUnsaid | Fate::DoneSilently | Fate::DoneThenKilled => Some(ask(&mut kept)),
                Fate::Late | Fate::KilledThenDone => {
                    rows.into_iter().for_each(|rows| kept.put_off(rows));
                    None
                }
                Fate::Refused | Fate::Silent | Fate::Killed => None,
            }
        };
        match (fate, answer) {
            (Fate::Well, Some(answer)) => answer,
            (Fate::Refused | Fate::DoneUnsaid | Fate::Late, _) => Err(away()),
            (Fate::DoneThenKilled | Fate::Killed | Fate::KilledThenDone, _) => {
                self.killed.notify_one();
                std::future::pending().await
            }
            _ => std::future::pending().await,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// What becomes of the next requests.
    pub(crate) fn expect(&self, fates: impl IntoIterator<Item = Fate>) {
        *self.fates.lock().unwrap() = fates.into_iter().collect();
    }

    /// Waits until the gateway is to be killed.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Requests whose fate has not come yet.
    pub(crate) fn fates_left(&self) -> usize {
        self.fates.lock().unwrap().len()
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn refuse_checkpoints(&self, refuse: bool) {
        self.kept().refuses_checkpoints = refuse;
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.kept().rows.iter().map(|linked| linked.row.clone()).collect()
    }

    pub(crate) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.kept().checkpoints.clone()
    }

    pub(crate) fn heads_now(&self) -> HashMap<ChainId, Link> {
        self.kept().heads.clone()
    }

    /// Forgets the last rows of all chains, and their heads, as a backup from before them would.
    pub(crate) fn forget_after(&self, rows: usize) {
        let mut kept = self.kept();
        let forgotten = kept.rows.split_off(rows);
        for linked in &forgotten {
            kept.ids.remove(&linked.row.id());
        }
        kept.heads.clear();
        let heads: Vec<_> = kept.rows.iter().map(|linked| (linked.chain, linked.link)).collect();
        kept.heads.extend(heads);
    }

    /// Verifies all chains with the checkpoints that were signed, and gives the chains with how many rows they have.
    pub(crate) fn verified(&self) -> BTreeMap<ChainId, usize> {
        let kept = self.kept();
        let mut chains: BTreeMap<ChainId, Vec<&LinkedRow>> = BTreeMap::new();
        for linked in &kept.rows {
            assert_eq!(linked.chain.tenant, linked.row.tenant);
            assert_eq!(linked.facets.outcome, json(&linked.row)["outcome"]);
            chains.entry(linked.chain).or_default().push(linked);
        }
        let public = signer().public();
        assert!(kept.checkpoints.iter().all(|checkpoint| is_signed(checkpoint, &public)));
        for (chain, rows) in &chains {
            let places = kept.checkpoints.iter().filter(|checkpoint| checkpoint.chain == *chain);
            let mut verifier = Verifier::new(*chain, Link::START, places.map(|checkpoint| checkpoint.link).collect());
            for LinkedRow { row, link, .. } in rows {
                let (event_id, at_ms, kind, json) = (row.id(), row.at_ms, row.kind, &*row.json);
                let verdict = verifier.record(&Chained { link: *link, event_id, at_ms, kind, json });
                verdict.unwrap_or_else(|fault| panic!("{chain:?}: {fault}"));
            }
            assert_eq!(verifier.end(), Ok(kept.heads[chain]));
        }
        assert!(kept.checkpoints.iter().all(|checkpoint| chains.contains_key(&checkpoint.chain)));
        chains.into_iter().map(|(chain, rows)| (chain, rows.len())).collect()
    }
}
