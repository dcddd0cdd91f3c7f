//! What goes on beside the requests: makes the first connection, probes while Redis is away, says that this replica is there and
//! counts the others, gives back what could not be given back at once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ::redis::{Pipeline, Value};
use patchbay_core::{
    TenantId,
    limits::{Gcra, LimitKey, WhenAway},
};
use tokio::{
    select,
    time::{sleep, sleep_until},
};

use super::{Asked, Inner, connect::Conn, connect::Failure, lease::Lease, script::Answer};
use crate::{Charge, Place};

/// How long Redis is left alone after failures, and between two probes.
const OPEN: Duration = Duration::from_secs(1);
/// How often this replica says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How long one word of a replica holds.
const ALIVE: Duration = Duration::from_secs(6);
/// Pause after a beat that failed.
const AGAIN: Duration = Duration::from_millis(100);

/// Runs until it is aborted.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        match probe(&inner).await {
            Ok(conn) => {
                inner.lanes.keep(conn);
                inner.breaker.close();
                attend(&inner).await;
                inner.lanes.give_up();
            }
            Err(why) => inner.breaker.open(why),
        }
        sleep(OPEN).await;
    }
}

/// Connects, and asks what a request would ask and with its patience, so that who may not write, has no room or is slow is not
/// taken for well. No caller pays for it, and the script is loaded by it.
async fn probe(inner: &Arc<Inner>) -> Result<Arc<Conn>, &'static str> {
    let conn = inner.target.connect().await?;
    let well = async {
        conn.ask(&inner.scripts.load(), inner.patience()).await?;
        let key = LimitKey(0);
        let gcra = Gcra { emission_us: 1, capacity_us: 1_000_000 };
        let charge = Charge { key, gcra, cost: 1, away: WhenAway::Open, dry_run: true };
        let place = Place { key, max: u32::MAX, away: WhenAway::Open, dry_run: true };
        let (charges, places) = (Box::from([charge]), Box::from([place]));
        let asked = Asked { tenant: TenantId::from_bits(0), charges, places, hold: ALIVE };
        let lease = Lease::of(inner, asked.tenant, &asked.places);
        let cmd = inner.scripts.take(&asked, lease.as_ref().map(|lease| lease.member()));
        let answer = conn.ask(&cmd, inner.timeout).await?;
        Answer::read(&answer).ok_or(Failure::Strange)?;
        // The lease goes to the backlog, which is emptied next.
        drop(lease);
        beat(inner, &conn).await
    };
    well.await.map_err(|failure: Failure| failure.reason())?;
    Ok(conn)
}

/// Looks after things until Redis is away.
async fn attend(inner: &Arc<Inner>) {
    let mut next = tokio::time::Instant::now();
    while inner.breaker.is_shared() {
        select! {
            () = inner.breaker.opened.notified() => continue,
            () = inner.backlog.filled.notified() => {}
            () = inner.lanes.missing.notified() => {}
            () = sleep_until(next) => {}
        }
        next = match attend_once(inner, next <= tokio::time::Instant::now()).await {
            Ok(true) => tokio::time::Instant::now() + BEAT_EVERY,
            Ok(false) => next,
            Err(why) => {
                inner.breaker.failed(why);
                sleep(AGAIN).await;
                tokio::time::Instant::now()
            }
        };
    }
}

/// Whether it said that this replica is there.
async fn attend_once(inner: &Arc<Inner>, is_due: bool) -> Result<bool, &'static str> {
    let conn = match inner.lanes.keepers() {
        Some(conn) => conn,
        None => {
            let conn = inner.target.connect().await?;
            inner.lanes.keep(conn.clone());
            conn
        }
    };
    let done = async {
        release(inner, &conn).await?;
        if is_due { beat(inner, &conn).await.map(|()| true) } else { Ok(false) }
    };
    done.await.map_err(|failure: Failure| failure.reason())
}

async fn beat(inner: &Inner, conn: &Conn) -> Result<(), Failure> {
    match conn.ask(&inner.scripts.replicas(inner.replica, ALIVE), inner.patience()).await? {
        Value::Int(count) => {
            let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
            inner.replicas.store(count, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(Failure::Strange),
    }
}

/// Gives back what waits for it.
async fn release(inner: &Inner, conn: &Conn) -> Result<(), Failure> {
    loop {
        let waiting = inner.backlog.take();
        if waiting.is_empty() {
            return Ok(());
        }
        let mut all = Pipeline::with_capacity(waiting.len());
        for release in &waiting {
            all.add_command(inner.scripts.release(release.tenant, release.key, release.member));
        }
        if let Err(failure) = conn.ask_all(&all, waiting.len(), inner.patience()).await {
            waiting.into_iter().for_each(|release| inner.backlog.add_for_later(release));
            return Err(failure);
        }
    }
}
