//! How a handle on the file learns of other processes' writes: `PRAGMA data_version`, four times a second, on a connection of
//! its own. Only when that number moves are the generations read and compared.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::{sync::oneshot, time::MissedTickBehavior};
use tracing::warn;

use crate::{
    announce::{Announcer, State},
    error::Fault,
    rows::{GenerationRecord, all},
};

/// A change of another process is seen within a second, and this leaves three quarters of it for reading and rebuilding.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) struct Watch {
    connection: SqliteConnection,
    announcer: Arc<Announcer>,
    version: i64,
}

impl Watch {
    /// Takes what is there as known: from the return of this on, every change is told.
    pub(super) async fn begin(
        mut connection: SqliteConnection,
        announcer: Arc<Announcer>,
    ) -> Result<Self, sqlx::Error> {
        let version = data_version(&mut connection).await?;
        match read(&mut connection).await {
            Ok((states, mark, notes)) => {
                announcer.learn(&states, mark);
                announcer.learn_notes(notes);
            }
            Err(Fault::Sql(error)) => return Err(error),
            Err(Fault::Store(error)) => return Err(sqlx::Error::Decode(error.into())),
        }
        Ok(Self { connection, announcer, version })
    }

    /// Looks until nobody wants it any more. The connection is closed then, and not only dropped: whoever closes the store finds
    /// its file free.
    pub(super) async fn run(mut self, mut unwanted: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fails = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut unwanted => break,
            }
            match self.look().await {
                Ok(()) => fails = false,
                Err(error) if !fails => {
                    fails = true;
                    warn!(?error, "the store cannot be watched for changes; it is tried again four times a second");
                }
                Err(_) => {}
            }
        }
        if let Err(error) = self.connection.close().await {
            warn!(?error, "the connection that watched the store for changes could not be closed");
        }
    }

    async fn look(&mut self) -> Result<(), Fault> {
        let version = data_version(&mut self.connection).await?;
        if version == self.version {
            return Ok(());
        }
        let (states, mark, notes) = read(&mut self.connection).await?;
        for state in &states {
            self.announcer.tenant(state);
        }
        self.announcer.tombstones_at(mark);
        self.announcer.notes_at(notes);
        // Only now: a reading that failed is repeated.
        self.version = version;
        Ok(())
    }
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

async fn read(connection: &mut SqliteConnection) -> Result<(Vec<State>, (i64, i64), i64), Fault> {
    let states: Vec<GenerationRecord> =
        sqlx::query_as("SELECT slug, generation, live FROM generations").fetch_all(&mut *connection).await?;
    // The sequence, not the table: expired rows go, and that is no news.
    let newest: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'tombstones'")
        .fetch_optional(&mut *connection)
        .await?;
    let noted: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'session_notes'")
        .fetch_optional(&mut *connection)
        .await?;
    Ok((all(states)?, (0, newest.unwrap_or(0)), noted.unwrap_or(0)))
}
