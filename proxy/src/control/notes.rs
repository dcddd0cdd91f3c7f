//! Brings what sessions asked for beside their calls to the store, and what other replicas wrote there to the clients' streams
//! here. No request waits for it; while the store is away, it is known to the replica that was told.

use std::{sync::Arc, time::Duration};

use patchbay_store::{Change, SessionNote, StoreError};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    app::App,
    audit::now_ms,
    hub::{
        Hub,
        wishes::{About, Wish},
    },
};

/// The most notes that are read or written at once; more take several turns.
const NOTES_AT_ONCE_MAX: u32 = 500;
/// The pause after the store did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// How often those that have expired are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How long the last ones may take to be written at the end.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Follows both sides until `stop`.
pub(super) async fn follow(app: Arc<App>, stop: CancellationToken) {
    let mut follower = Follower { app, after: 0, read_at: Some(Instant::now()), write_at: None, is_away: false };
    stop.run_until_cancelled(follower.run()).await;
    let _ = tokio::time::timeout(END_PATIENCE, follower.write()).await;
}

struct Follower {
    app: Arc<App>,
    /// The number of the last note that was read.
    after: i64,
    /// When the store is read next.
    read_at: Option<Instant>,
    /// When it is written to next.
    write_at: Option<Instant>,
    /// Whether it did not answer lately, so that this is said once.
    is_away: bool,
}

impl Follower {
    async fn run(&mut self) {
        let mut changes = self.app.store.changes();
        let mut sweeps = tokio::time::interval(SWEEP_EVERY);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let app = self.app.clone();
        loop {
            let (read_at, write_at) = (self.read_at, self.write_at);
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(Change::SessionNotes) => drop(self.read_at.get_or_insert_with(Instant::now)),
                    // Tables that were there before may be others now.
                    Ok(Change::Resync) | Err(RecvError::Lagged(_)) => (self.after, self.read_at) = (0, Some(Instant::now())),
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
                () = app.hub.wishes.changed() => drop(self.write_at.get_or_insert_with(Instant::now)),
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => self.read().await,
                () = sleep_until(write_at.unwrap_or_else(Instant::now)), if write_at.is_some() => self.write().await,
                _ = sweeps.tick() => self.sweep().await,
            }
        }
    }

    async fn read(&mut self) {
        self.read_at = None;
        let read = self.app.store.session_notes_since(self.after, NOTES_AT_ONCE_MAX).await;
        let Some(notes) = self.answered(read) else {
            self.read_at = Some(Instant::now() + PAUSE);
            return;
        };
        if notes.len() >= NOTES_AT_ONCE_MAX as usize {
            self.read_at = Some(Instant::now());
        }
        for (number, note) in notes {
            self.after = number;
            self.heard(&note);
        }
    }

    fn heard(&self, SessionNote { tenant, session, name, value, expires_ms }: &SessionNote) {
        if *expires_ms <= now_ms() {
            return;
        }
        let (hub, about) = (&self.app.hub, About::read(name, value.as_deref()));
        hub.wishes.heard(*session, name, &about, hub.has_client(*tenant, *session));
        if let About::Resource(uri, is_wanted) = about {
            Hub::wish(&self.app, *tenant, *session, &uri, is_wanted);
        }
    }

    async fn write(&mut self) {
        self.write_at = None;
        let (wishes, gone) = self.app.hub.wishes.to_write(NOTES_AT_ONCE_MAX as usize);
        let life_ms = i64::try_from(self.app.config.limits.session.as_millis()).unwrap_or(i64::MAX);
        let expires_ms = now_ms().saturating_add(life_ms);
        let note = |Wish { tenant, client, name, value }: &Wish| {
            let (name, value) = (name.clone(), value.clone());
            SessionNote { tenant: *tenant, session: *client, name, value, expires_ms }
        };
        let notes: Vec<_> = wishes.iter().map(note).collect();
        let written = if notes.is_empty() { Ok(()) } else { self.app.store.session_notes_put(&notes).await };
        for (tenant, session) in gone {
            // What stays of a session that has ended is swept when it would have expired.
            if let Err(error) = self.app.store.session_notes_forget(tenant, session).await {
                debug!(%error, "the notes of a session that ended stay in the store until they expire");
            }
        }
        match self.answered(written) {
            None => self.write_at = Some(Instant::now() + PAUSE),
            Some(()) if self.app.hub.wishes.written(&wishes) => self.write_at = Some(Instant::now()),
            Some(()) => {}
        }
    }

    async fn sweep(&mut self) {
        match self.app.store.session_notes_sweep(now_ms()).await {
            Ok(count) => debug!(count, "deleted {count} expired notes of sessions"),
            Err(error) => debug!(%error, "expired notes of sessions cannot be deleted now"),
        }
    }

    /// What the store answered. That it did not is said once.
    fn answered<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.is_away = false;
                Some(value)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    warn!(%error, "what sessions asked for cannot be shared with other replicas; trying again");
                }
                None
            }
        }
    }
}
