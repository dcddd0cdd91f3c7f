//! Who tells of changes: one [`Announcer`] per handle, fed by the handle's own writes and by its watcher, each change told once.
//!
//! A tenant's generation only grows, so what was told before is known by comparing numbers, in whichever order news arrives.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_core::{Generation, Slug};
use tokio::{
    sync::{broadcast, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{Cancelled, Change};

/// Changes that a slow listener may be behind; one that is further behind has to read everything again anyhow.
const CHANGES_MAX: usize = 1024;

/// Calls that were taken back which a slow listener may be behind; those that are too old are lost to it.
const CANCELS_MAX: usize = 1024;

/// What is known of one tenant name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) slug: Slug,
    pub(crate) generation: Generation,
    /// Whether there is such a tenant; the number stays when it goes.
    pub(crate) live: bool,
}

pub(crate) struct Announcer {
    sender: broadcast::Sender<Change>,
    cancels: broadcast::Sender<Cancelled>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    tenants: HashMap<Slug, Generation>,
    tombstones: (i64, i64),
    notes: i64,
}

impl Announcer {
    pub(crate) fn new() -> Self {
        let (sender, cancels) = (broadcast::channel(CHANGES_MAX).0, broadcast::channel(CANCELS_MAX).0);
        Self { sender, cancels, told: Mutex::default() }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.sender.subscribe()
    }

    pub(crate) fn cancels(&self) -> broadcast::Receiver<Cancelled> {
        self.cancels.subscribe()
    }

    /// Tells of a call that another process was told to end.
    pub(crate) fn cancelled(&self, call: Cancelled) {
        // An error only says that nobody listens.
        let _ = self.cancels.send(call);
    }

    /// Tells of a tenant, unless this state or a newer one was told before.
    pub(crate) fn tenant(&self, state: &State) {
        if self.told().advance(state) {
            let State { slug, generation, live } = state.clone();
            self.send(if live { Change::Tenant { slug, generation } } else { Change::TenantGone { slug } });
        }
    }

    /// Tells of tombstones without looking what was told before.
    pub(crate) fn tombstones(&self) {
        self.send(Change::Tombstones);
    }

    /// Tells of tombstones unless `mark` is the one that was seen last. A mark is a pair of numbers that differs when there are
    /// new ones.
    pub(crate) fn tombstones_at(&self, mark: (i64, i64)) {
        let before = std::mem::replace(&mut self.told().tombstones, mark);
        if before != mark {
            self.send(Change::Tombstones);
        }
    }

    /// Tells of notes of sessions without looking what was told before.
    pub(crate) fn notes(&self) {
        self.send(Change::SessionNotes);
    }

    /// Tells of notes of sessions unless `mark`, the number of the newest, is the one that was seen last.
    pub(crate) fn notes_at(&self, mark: i64) {
        let before = std::mem::replace(&mut self.told().notes, mark);
        if before != mark {
            self.send(Change::SessionNotes);
        }
    }

    /// Takes the number of the newest note as known.
    pub(crate) fn learn_notes(&self, mark: i64) {
        self.told().notes = mark;
    }

    /// Takes a whole reading as known without telling of it: at the start, and before [`Announcer::resync`].
    pub(crate) fn learn(&self, states: &[State], mark: (i64, i64)) {
        let mut told = self.told();
        for state in states {
            told.advance(state);
        }
        told.tombstones = mark;
    }

    pub(crate) fn resync(&self) {
        self.send(Change::Resync);
    }

    fn send(&self, change: Change) {
        // An error only says that nobody listens.
        let _ = self.sender.send(change);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Whether this is news; if so, it is known from now on.
    fn advance(&mut self, state: &State) -> bool {
        match self.tenants.get_mut(&state.slug) {
            Some(known) if *known >= state.generation => false,
            Some(known) => {
                *known = state.generation;
                true
            }
            None => {
                self.tenants.insert(state.slug.clone(), state.generation);
                true
            }
        }
    }
}

/// How long a task that was asked to end may take; one that takes longer is broken off.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A task that ends with its owner.
pub(crate) struct Background(Mutex<Option<Task>>);

struct Task {
    running: JoinHandle<()>,
    /// Dropped to ask for the end; `None` for a task that need not be asked.
    wanted: Option<oneshot::Sender<()>>,
}

impl Background {
    /// A task that is broken off in the end.
    pub(crate) fn new(running: JoinHandle<()>) -> Self {
        Self(Mutex::new(Some(Task { running, wanted: None })))
    }

    /// Begins a task that ends by itself soon after what it is given is over.
    pub(crate) fn asked<F>(task: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (wanted, unwanted) = oneshot::channel();
        Self(Mutex::new(Some(Task { running: tokio::spawn(task(unwanted)), wanted: Some(wanted) })))
    }

    /// Ends the task and waits until it is gone.
    pub(crate) async fn stop(&self) {
        let Some(Task { mut running, wanted }) = self.take() else { return };
        let is_asked = wanted.is_some();
        drop(wanted);
        if !is_asked || timeout(STOP_MAX, &mut running).await.is_err() {
            running.abort();
            let _ = running.await;
        }
    }

    fn take(&self) -> Option<Task> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.running.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(slug: &str, generation: u64, live: bool) -> State {
        State { slug: slug.parse().expect("a slug"), generation: Generation(generation), live }
    }

    fn told(receiver: &mut broadcast::Receiver<Change>) -> Vec<Change> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn late_and_repeated_news_is_not_told() {
        let announcer = Announcer::new();
        announcer.learn(&[state("acme", 3, true)], (0, 0));
        let mut receiver = announcer.subscribe();
        for stale in [state("acme", 3, true), state("acme", 2, false)] {
            announcer.tenant(&stale);
        }
        assert_eq!(told(&mut receiver), []);
        for _ in 0..2 {
            announcer.tenant(&state("acme", 5, true));
            announcer.tenant(&state("acme", 4, true));
        }
        let slug: Slug = "acme".parse().expect("a slug");
        assert_eq!(told(&mut receiver), [Change::Tenant { slug, generation: Generation(5) }]);
    }

    #[test]
    fn tenant_that_goes_and_comes_back_is_told_twice() {
        let announcer = Announcer::new();
        let mut receiver = announcer.subscribe();
        let slug: Slug = "acme".parse().expect("a slug");
        announcer.tenant(&state("acme", 2, false));
        announcer.tenant(&state("acme", 3, true));
        let expected = [Change::TenantGone { slug: slug.clone() }, Change::Tenant { slug, generation: Generation(3) }];
        assert_eq!(told(&mut receiver), expected);
    }

    #[test]
    fn tombstones_are_told_when_the_mark_moves() {
        let announcer = Announcer::new();
        announcer.learn(&[], (2, 7));
        let mut receiver = announcer.subscribe();
        announcer.tombstones_at((2, 7));
        assert_eq!(told(&mut receiver), []);
        announcer.tombstones_at((3, 8));
        announcer.tombstones_at((3, 8));
        assert_eq!(told(&mut receiver), [Change::Tombstones]);
    }

    #[tokio::test(start_paused = true)]
    async fn task_is_asked_to_end_and_one_that_does_not_listen_is_broken_off() {
        let (said, mut heard) = tokio::sync::mpsc::channel(1);
        let polite = Background::asked(|unwanted| async move {
            let _ = unwanted.await;
            said.try_send("goodbye").expect("somebody listens");
        });
        polite.stop().await;
        assert_eq!(heard.try_recv(), Ok("goodbye"));
        polite.stop().await;
        let deaf = Background::asked(|_unwanted| std::future::pending());
        timeout(STOP_MAX * 2, deaf.stop()).await.expect("it is broken off");
    }
}
