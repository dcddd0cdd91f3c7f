//! Sealing everything anew after the sealing key changed: which rows are sealed, and how long it goes on. The databases read a page
//! of rows and write them in one short transaction; whoever changes a row at the same time wins.

use std::time::Duration;

use async_trait::async_trait;
use patchbay_core::{ServerId, TenantId};
use sqlx::FromRow;
use tokio::time::{sleep, timeout};

use crate::{
    Resealed, StoreError, admin,
    rows::{bits, fixed, slug},
    tokens,
    vault::{Bound, Closed, Of, Vault},
};

/// Rows of one transaction.
pub(crate) const RESEAL_ROWS_MAX: usize = 100;
/// How often the rows of a table are gone over when others change some of them at the same time.
const PASSES_MAX: u32 = 40;
const PASS_PAUSE: Duration = Duration::from_millis(250);
/// How long all of it may take.
const RESEAL_MAX: Duration = Duration::from_secs(10 * 60);

/// Where sealed rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Secrets,
    IssuerSecrets,
    Tokens,
    Answers,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Secrets, Self::IssuerSecrets, Self::Tokens, Self::Answers];
}

/// A row by its key. Not every kind has all parts; those that it does not have are empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// A server, a tenant or a request.
    pub(crate) id: Vec<u8>,
    pub(crate) issuer: String,
    pub(crate) name: String,
}

/// A sealed row of any kind.
#[derive(FromRow)]
pub(crate) struct SealedRecord {
    tenant: Vec<u8>,
    id: Vec<u8>,
    issuer: String,
    name: String,
    pub(crate) sealed: Vec<u8>,
}

impl SealedRecord {
    pub(crate) fn place(&self) -> Place {
        Place { id: self.id.clone(), issuer: self.issuer.clone(), name: self.name.clone() }
    }

    /// The same secret sealed with the current key; `None` when it is so already.
    pub(crate) fn anew(&self, kind: Kind, vault: &Vault) -> Result<Option<Vec<u8>>, Closed> {
        let tenant = || bits("tenant id", &self.tenant).map(TenantId::from_bits).map_err(malformed);
        let server = || bits("server id", &self.id).map(ServerId::from_bits).map_err(malformed);
        let issuer;
        let bound = match kind {
            Kind::Secrets => Bound { tenant: tenant()?, of: Of::Server(server()?), name: &self.name },
            Kind::IssuerSecrets => {
                issuer = slug("issuer name", &self.issuer).map_err(malformed)?;
                Bound { tenant: tenant()?, of: Of::Issuer(&issuer), name: &self.name }
            }
            Kind::Tokens => tokens::bound(tenant()?, server()?),
            Kind::Answers => admin::bound(fixed("request", &self.id).map_err(malformed)?),
        };
        vault.reseal(bound, &self.sealed)
    }
}

/// A key that nothing was ever bound to opens nothing.
fn malformed(_: StoreError) -> Closed {
    Closed::Malformed
}

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) current: u64,
    pub(crate) resealed: u64,
    pub(crate) closed: u64,
    /// Those that somebody else changed, or was just changing.
    pub(crate) late: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.current += other.current;
        self.resealed += other.resealed;
        self.closed += other.closed;
        self.late += other.late;
    }
}

/// A database in which there are sealed rows.
#[async_trait]
pub(crate) trait SealedRows: Sync {
    /// Seals the next rows after a place anew, in one transaction, without waiting for anybody who has one of them. The place is
    /// that of the last row; `None` when there are none after it.
    async fn page(&self, kind: Kind, after: &Place) -> Result<(Tally, Option<Place>), StoreError>;
}

/// Goes over all sealed rows.
pub(crate) async fn run(rows: &dyn SealedRows) -> Result<Resealed, StoreError> {
    let all = async {
        let mut all = Resealed::default();
        for kind in Kind::ALL {
            let of_kind = over(rows, kind).await?;
            all.current += of_kind.current;
            all.resealed += of_kind.resealed;
            all.closed += of_kind.closed;
        }
        Ok(all)
    };
    timeout(RESEAL_MAX, all).await.unwrap_or_else(|late| {
        Err(StoreError::Unavailable {
            tried: format!(
                "not everything was sealed anew within {} minutes; do it again: what is done stays so. Keep the former keys until \
                 then",
                RESEAL_MAX.as_secs() / 60
            ),
            source: late.into(),
        })
    })
}

/// Goes over the rows of one kind until nobody was in the way.
async fn over(rows: &dyn SealedRows, kind: Kind) -> Result<Resealed, StoreError> {
    let mut done = Resealed::default();
    for _ in 0..PASSES_MAX {
        let seen = pass(rows, kind).await?;
        done.current = seen.current.saturating_sub(done.resealed);
        done.resealed += seen.resealed;
        done.closed = seen.closed;
        if seen.late == 0 {
            return Ok(done);
        }
        sleep(PASS_PAUSE).await;
    }
    let tried = "some secrets are being changed over and over, and were not sealed anew; do it again when there are fewer changes, \
                 and keep the former keys until then";
    Err(StoreError::Unavailable {
        tried: tried.to_owned(),
        source: "rows are locked, or change between two looks".into(),
    })
}

async fn pass(rows: &dyn SealedRows, kind: Kind) -> Result<Tally, StoreError> {
    let mut seen = Tally::default();
    let mut after = Place::default();
    // The places only grow, so this ends.
    loop {
        let (tally, last) = rows.page(kind, &after).await?;
        seen.add(tally);
        match last {
            Some(last) => after = last,
            None => return Ok(seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Two pages of which one row is in somebody's hands for some passes.
    struct Busy {
        passes: AtomicU64,
        late: u64,
    }

    #[async_trait]
    impl SealedRows for Busy {
        async fn page(&self, kind: Kind, after: &Place) -> Result<(Tally, Option<Place>), StoreError> {
            if kind != Kind::Secrets {
                return Ok((Tally::default(), None));
            }
            if after.id.is_empty() {
                let place = Place { id: vec![1], ..Place::default() };
                return Ok((Tally { closed: 1, ..Tally::default() }, Some(place)));
            }
            let tally = match self.passes.fetch_add(1, Ordering::Relaxed) {
                0 => Tally { current: 2, resealed: 3, late: 1, ..Tally::default() },
                pass if pass < self.late => Tally { current: 5, late: 1, ..Tally::default() },
                _ => Tally { current: 5, resealed: 1, ..Tally::default() },
            };
            Ok((tally, None))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn row_that_somebody_changes_is_looked_at_again_and_each_counts_once() {
        let busy = Busy { passes: AtomicU64::new(0), late: 3 };
        let done = run(&busy).await.expect("it is free in the end");
        assert_eq!(done, Resealed { current: 2, resealed: 4, closed: 1 });
        assert_eq!(busy.passes.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn row_that_is_never_free_is_said_and_nobody_waits_for_it_for_ever() {
        let busy = Busy { passes: AtomicU64::new(0), late: u64::MAX };
        let error = run(&busy).await.expect_err("it is never free").to_string();
        assert!(error.contains("keep the former keys"), "{error}");
    }
}
