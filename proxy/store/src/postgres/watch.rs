//! How a handle learns of other replicas' writes: `LISTEN` on one connection, on which the generations are also read every few
//! seconds. That reading covers a lost notification (a pooler between may drop them all) and finds a dead connection.

use std::{io, sync::Arc, time::Duration};

use patchbay_core::{Generation, Slug};
use sqlx::{
    PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::connect::{in_time, named};
use crate::{
    CANCEL_ID_BYTES_MAX, Cancelled, StoreError,
    announce::{Announcer, State},
    error::Fault,
    rows::{GenerationRecord, all},
};

const CHANNEL: &str = "patchbay";
/// Between two readings of the generations; jittered, so that replicas that started together do not ask together.
const POLL_MS: std::ops::Range<u64> = 2000..4000;
/// A reading that takes longer means that the connection is dead.
const POLL_MAX: Duration = Duration::from_secs(5);
/// Between two attempts to connect again; doubled from the first to the last, and jittered.
const RETRY_MS: std::ops::RangeInclusive<u64> = 100..=5000;

pub(super) struct Watch {
    to_server: PgConnectOptions,
    announcer: Arc<Announcer>,
    origin: u64,
    listener: PgListener,
}

impl Watch {
    /// Listens, then takes what is there as known: from the return of this on, every change is told.
    pub(super) async fn begin(
        to_server: &PgConnectOptions,
        announcer: Arc<Announcer>,
        origin: u64,
    ) -> Result<Self, StoreError> {
        let to_server = named(to_server, "patchbay watch");
        let listener = in_time(&to_server, listen(&to_server, &announcer)).await?;
        Ok(Self { to_server, announcer, origin, listener })
    }

    pub(super) async fn run(mut self) {
        loop {
            let error = self.follow().await;
            warn!(?error, "the connection that listens for changes of the store broke; connecting again");
            self.listener = self.again().await;
            info!("listening for changes of the store again");
            self.announcer.resync();
        }
    }

    /// Hears and polls until the connection breaks.
    async fn follow(&mut self) -> Fault {
        let mut poll_at = next_poll();
        loop {
            tokio::select! {
                            heard = self.listener.try_recv() => match heard {
                                Ok(Some(notification)) => self.hear(notification.payload()),
                                Ok(None) => return Fault::Sql(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into())),
                                Err(error) => return error.into(),
                            },
                            () = sleep_until(poll_at) => {
                                match timeout(POLL_MAX, read(&mut self.listener)).await {
                                    Ok(Ok((states, mark, notes))) => {
                                        for state in &states {
                                            self.announcer.tenant(state);
                                        }
                                        self.announcer.tombstones_at(mark);
            self.announcer.notes_at(notes);
                                    }
                                    Ok(Err(Fault::Sql(error))) => return error.into(),
                                    Ok(Err(Fault::Store(error))) => warn!(%error, "the generations in the store make no sense"),
                                    Err(late) => return Fault::Sql(sqlx::Error::Io(late.into())),
                                }
                                poll_at = next_poll();
                            }
                        }
        }
    }

    fn hear(&self, payload: &str) {
        match News::parse(payload) {
            Some(News::Tenant(state)) => self.announcer.tenant(&state),
            Some(News::Tombstones { origin }) if origin == self.origin => {}
            Some(News::Tombstones { .. }) => self.announcer.tombstones(),
            Some(News::Cancelled { origin, .. }) if origin == self.origin => {}
            Some(News::Cancelled { call, .. }) => self.announcer.cancelled(call),
            Some(News::SessionNotes { origin }) if origin == self.origin => {}
            Some(News::SessionNotes { .. }) => self.announcer.notes(),
            None => warn!(payload, "a notification on the channel `{CHANNEL}` is not one of ours"),
        }
    }

    /// A new listener, after as many attempts as it takes.
    async fn again(&self) -> PgListener {
        let mut wait_ms = *RETRY_MS.start();
        loop {
            sleep(Duration::from_millis(jittered(wait_ms / 2..wait_ms))).await;
            match in_time(&self.to_server, listen(&self.to_server, &self.announcer)).await {
                Ok(listener) => return listener,
                Err(_) => wait_ms = (wait_ms * 2).min(*RETRY_MS.end()),
            }
        }
    }
}

/// One connection that listens; what the tables say after it began to is known without being told.
async fn listen(to_server: &PgConnectOptions, announcer: &Announcer) -> Result<PgListener, sqlx::Error> {
    let only = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let mut listener = PgListener::connect_with(&only.connect_with(to_server.clone()).await?).await?;
    // The loss is for `run` to notice and to tell.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    match read(&mut listener).await {
        Ok((states, mark, notes)) => {
            announcer.learn(&states, mark);
            announcer.learn_notes(notes);
        }
        Err(Fault::Sql(error)) => return Err(error),
        Err(Fault::Store(error)) => return Err(sqlx::Error::Decode(error.into())),
    }
    Ok(listener)
}

/// The generations, a mark that moves with every new tombstone (also one that commits after a later one), and the number of the
/// newest note of a session.
async fn read(listener: &mut PgListener) -> Result<(Vec<State>, (i64, i64), i64), Fault> {
    let states: Vec<GenerationRecord> =
        sqlx::query_as("SELECT slug, generation, live FROM generations").fetch_all(&mut *listener).await?;
    let mark: (i64, i64) =
        sqlx::query_as("SELECT count(*), coalesce(max(seq), 0) FROM tombstones").fetch_one(&mut *listener).await?;
    let noted: i64 =
        sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM session_notes").fetch_one(&mut *listener).await?;
    Ok((all(states)?, mark, noted))
}

pub(super) async fn notify_tenant(tx: &mut PgConnection, state: &State) -> Result<(), Fault> {
    notify(tx, &News::Tenant(state.clone())).await
}

pub(super) async fn notify_tombstones(tx: &mut PgConnection, origin: u64) -> Result<(), Fault> {
    notify(tx, &News::Tombstones { origin }).await
}

/// Tells of all of them in one statement.
pub(super) async fn notify_cancelled(
    connection: &mut PgConnection,
    calls: &[Cancelled],
    origin: u64,
) -> Result<(), Fault> {
    let told = calls.iter().filter(|call| call.id.len() <= CANCEL_ID_BYTES_MAX);
    let payloads: Vec<_> = told.map(|call| News::Cancelled { origin, call: call.clone() }.to_string()).collect();
    sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
        .bind(CHANNEL)
        .bind(payloads)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn notify_session_notes(tx: &mut PgConnection, origin: u64) -> Result<(), Fault> {
    notify(tx, &News::SessionNotes { origin }).await
}

/// Postgres delivers it when the transaction commits, and forgets it when it does not.
async fn notify(tx: &mut PgConnection, news: &News) -> Result<(), Fault> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(news.to_string()).execute(tx).await?;
    Ok(())
}

/// The payload of a notification, as words.
#[derive(Debug, PartialEq)]
enum News {
    Tenant(State),
    Tombstones { origin: u64 },
    Cancelled { origin: u64, call: Cancelled },
    SessionNotes { origin: u64 },
}

impl std::fmt::Display for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tenant(State { slug, generation, live: true }) => write!(f, "tenant {slug} {generation}"),
            Self::Tenant(State { slug, generation, live: false }) => write!(f, "gone {slug} {generation}"),
            Self::Tombstones { origin } => write!(f, "tombstones {origin}"),
            Self::Cancelled { origin, call } => {
                write!(f, "cancelled {origin} {:032x} ", u128::from_be_bytes(call.session))?;
                call.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::SessionNotes { origin } => write!(f, "notes {origin}"),
        }
    }
}

impl News {
    fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let news = match words.next()? {
            "tombstones" => Self::Tombstones { origin: words.next()?.parse().ok()? },
            "cancelled" => {
                let origin = words.next()?.parse().ok()?;
                let session = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
                let id = of_hex(words.next()?)?;
                Self::Cancelled { origin, call: Cancelled { session, id } }
            }
            "notes" => Self::SessionNotes { origin: words.next()?.parse().ok()? },
            kind @ ("tenant" | "gone") => {
                let slug: Slug = words.next()?.parse().ok()?;
                let generation = Generation(words.next()?.parse().ok()?);
                Self::Tenant(State { slug, generation, live: kind == "tenant" })
            }
            _ => return None,
        };
        words.next().is_none().then_some(news)
    }
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn next_poll() -> Instant {
    Instant::now() + Duration::from_millis(jittered(POLL_MS))
}

fn jittered(range_ms: std::ops::Range<u64>) -> u64 {
    let width = (range_ms.end - range_ms.start).max(1);
    range_ms.start + u64::from_ne_bytes(patchbay_core::random_bytes()) % width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_survives_its_payload_and_other_words_are_none() {
        for live in [true, false] {
            let state = State { slug: "acme-2".parse().expect("a slug"), generation: Generation(7), live };
            let news = News::Tenant(state);
            assert_eq!(News::parse(&news.to_string()), Some(news));
        }
        for news in [News::Tombstones { origin: u64::MAX }, News::SessionNotes { origin: 1 }] {
            assert_eq!(News::parse(&news.to_string()), Some(news));
        }
        for id in [&b"7"[..], b"\"an id with \\\" and spaces\"", b""] {
            let call = Cancelled { session: [9; 16], id: id.to_vec() };
            let news = News::Cancelled { origin: 3, call };
            assert_eq!(News::parse(&news.to_string()), Some(news));
        }
        for odd in [
            "",
            "tenant",
            "tenant acme",
            "tenant acme x",
            "tenant A 1",
            "tenant acme 1 2",
            "hello",
            "tombstones -1",
            "cancelled 1 aa",
            "cancelled 1 aa a",
            "cancelled 1 aa ag",
        ] {
            assert_eq!(News::parse(odd), None, "{odd}");
        }
    }
}
