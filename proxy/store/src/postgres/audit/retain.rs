//! Removing the beginnings of the audit's chains in Postgres: whole partitions are dropped, what lies in others goes in batches.

use patchbay_core::audit::{ChainId, Checkpoint, Link};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;
use tracing::warn;

use super::{
    partitions::{Partition, cut, partitions},
    put_checkpoints,
};
use crate::{
    StoreError,
    audit::{COLUMNS, LinkRecord, RETAIN_MAX, RETAIN_ROWS_MAX, seq_column, tenant_column, writer_column},
    error::{Fault, doing},
    postgres::PostgresStore,
    rows::{blob, count},
};

/// Partitions that are dropped at once, since each keeps some locks until the end of the transaction.
const PARTITIONS_MAX: usize = 16;
/// Rows that leave a partition before it is dropped, because they stand in their chains behind rows that stay. Where there are
/// more, the partition stays for now.
const STRAGGLERS_MAX: u64 = 20_000;
/// Chains that one statement looks at: each costs a look into every partition.
const CHAINS_MAX: usize = 500;

/// For each of the next chains the row before the first one that stays, or the head's when none stays; where that row is gone
/// already, there is nothing to remove. (LIMIT keeps Postgres from reading all rows and joining them.)
const EXPIRED: &str = "SELECT h.tenant, h.writer, a.seq, a.hash FROM (SELECT g.tenant, g.writer, coalesce((\
         SELECT k.seq - 1 FROM audit k WHERE k.writer = g.writer AND coalesce(k.tenant_id, ''::bytea) = g.tenant AND k.seq > 0 \
         AND k.event_id >= $1 ORDER BY k.seq LIMIT 1), g.seq) AS last \
         FROM audit_heads g WHERE $2::bytea IS NULL OR (g.tenant, g.writer) > ($2, $3) ORDER BY g.tenant, g.writer LIMIT $4) h \
     LEFT JOIN LATERAL (SELECT a.seq, a.hash FROM audit a WHERE a.writer = h.writer \
         AND coalesce(a.tenant_id, ''::bytea) = h.tenant AND a.seq = h.last AND a.seq > 0 AND a.event_id < $1 LIMIT 1) a ON true \
     ORDER BY h.tenant, h.writer";

/// The first rows of a chain, lowest number first, so that the anchor's own goes last: a removal that breaks off is found again.
const FIRST: &str = "DELETE FROM audit WHERE event_id < $4 AND event_id = ANY(ARRAY(SELECT event_id FROM audit \
     WHERE writer = $1 AND coalesce(tenant_id, ''::bytea) = $2 AND seq > 0 AND seq <= $3 AND event_id < $4 ORDER BY seq LIMIT $5))";

const UNCHAINED: &str = "DELETE FROM audit WHERE event_id < $1 AND event_id = ANY(ARRAY(SELECT event_id FROM audit \
     WHERE writer = 0 AND seq = 0 AND event_id < $1 LIMIT $2))";

/// A chain, and the last row that it would lose.
type Looked = (Vec<u8>, i64, Option<i64>, Option<Vec<u8>>);

impl PostgresStore {
    pub(super) async fn expired(&self, before_ms: i64) -> Result<Vec<(ChainId, Link)>, StoreError> {
        let what = "look for what the audit need not keep";
        let all = doing(what, async { partitions(&mut *self.pool.acquire().await?).await }).await?;
        let cut = cut(before_ms, &all);
        let mut expired = Vec::new();
        let mut after: Option<(Vec<u8>, i64)> = None;
        loop {
            let looked: Vec<Looked> = doing(what, async {
                let (tenant, writer) = after.clone().unzip();
                let query = sqlx::query_as(EXPIRED).bind(blob(cut)).bind(tenant).bind(writer);
                Ok(query.bind(CHAINS_MAX as i64).persistent(false).fetch_all(&self.pool).await?)
            })
            .await?;
            let is_last = looked.len() < CHAINS_MAX;
            for (tenant, writer, seq, hash) in looked {
                after = Some((tenant.clone(), writer));
                if let Some((seq, hash)) = seq.zip(hash) {
                    expired.push(LinkRecord { tenant, writer, seq, hash }.try_into()?);
                }
            }
            if is_last {
                return Ok(expired);
            }
        }
    }

    pub(super) async fn retain(&self, before_ms: i64, anchors: &[Checkpoint]) -> Result<u64, StoreError> {
        let until = Instant::now() + RETAIN_MAX;
        let what = "remove what the audit need not keep";
        let all = doing(what, async { partitions(&mut *self.pool.acquire().await?).await }).await?;
        let cut = cut(before_ms, &all);
        let mut whole: Vec<_> = all.into_iter().filter(|partition| partition.to <= cut).collect();
        doing(what, self.anchor(anchors)).await?;
        let mut removed = 0;
        for whole in whole.chunks_mut(PARTITIONS_MAX) {
            for partition in &mut *whole {
                partition.rows = self.rows_of(partition).await;
            }
            if Instant::now() < until {
                removed += doing(what, self.drop_whole(whole, anchors)).await?;
            }
        }
        for anchor in anchors.iter().map(Some).chain([None]) {
            while Instant::now() < until {
                let batch = doing(what, self.remove(cut, anchor)).await?;
                removed += batch;
                if batch < RETAIN_ROWS_MAX {
                    break;
                }
            }
        }
        Ok(removed)
    }

    /// How many rows a partition has; what Postgres believes when they are too many to be counted in time.
    async fn rows_of(&self, partition: &Partition) -> u64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM ONLY {}", partition.name));
        let counted = doing("count a partition of the audit", async {
            let rows: i64 = sqlx::query_scalar(query).persistent(false).fetch_one(&self.pool).await?;
            Ok(count(rows)?)
        });
        counted.await.unwrap_or(partition.rows)
    }

    /// Keeps the anchors, and lets go of the checkpoints before them.
    async fn anchor(&self, anchors: &[Checkpoint]) -> Result<(), Fault> {
        let mut tx = self.writing().await?;
        put_checkpoints(&mut tx, anchors).await?;
        let ends = Ends::of(anchors);
        sqlx::query(
            "DELETE FROM audit_checkpoints c USING unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS u (tenant, writer, seq) \
             WHERE c.tenant = u.tenant AND c.writer = u.writer AND c.seq < u.seq",
        )
        .bind(&ends.tenants)
        .bind(&ends.writers)
        .bind(&ends.seqs)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Drops partitions, and gives the number of rows that went with them.
    async fn drop_whole(&self, whole: &[Partition], anchors: &[Checkpoint]) -> Result<u64, Fault> {
        let ends = Ends::of(anchors);
        let mut tx = self.writing().await?;
        // Taken first, as everybody who reads or writes does, so that nobody waits in a circle; not waited for long, since others
        // queue up behind it.
        sqlx::raw_sql("SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY audit IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *tx)
            .await?;
        let mut removed = 0;
        for partition in whole {
            let mut step = tx.begin().await?;
            match drop_one(&mut step, partition, &ends).await? {
                Some(stay) => {
                    step.commit().await?;
                    removed += partition.rows.saturating_sub(stay);
                }
                None => {
                    step.rollback().await?;
                    warn!(
                        partition = partition.name,
                        "the partition {} of the audit is old enough to be removed, but more than {STRAGGLERS_MAX} of its records \
                         stand in their chains behind newer ones; it is tried again the next time",
                        partition.name
                    );
                }
            }
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Removes one batch: of the chain up to its anchor, or of what is in no chain.
    async fn remove(&self, cut: u128, anchor: Option<&Checkpoint>) -> Result<u64, Fault> {
        let batch = RETAIN_ROWS_MAX.cast_signed();
        let query = match anchor {
            Some(anchor) => sqlx::query(FIRST)
                .bind(writer_column(anchor.chain.writer))
                .bind(tenant_column(anchor.chain.tenant))
                .bind(seq_column(anchor.link.seq))
                .bind(blob(cut))
                .bind(batch),
            None => sqlx::query(UNCHAINED).bind(blob(cut)).bind(batch),
        };
        Ok(query.persistent(false).execute(&self.pool).await?.rows_affected())
    }
}

/// Where chains end that lose rows: the anchors, as columns.
struct Ends {
    tenants: Vec<Vec<u8>>,
    writers: Vec<i64>,
    seqs: Vec<i64>,
}

impl Ends {
    fn of(anchors: &[Checkpoint]) -> Self {
        Self {
            tenants: anchors.iter().map(|anchor| tenant_column(anchor.chain.tenant)).collect(),
            writers: anchors.iter().map(|anchor| writer_column(anchor.chain.writer)).collect(),
            seqs: anchors.iter().map(|anchor| seq_column(anchor.link.seq)).collect(),
        }
    }
}

/// Drops a partition after those of its rows that stay have moved to the default one, and gives their number; `None` when they
/// are too many.
async fn drop_one(tx: &mut PgConnection, partition: &Partition, ends: &Ends) -> Result<Option<u64>, Fault> {
    let name = &partition.name;
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER TABLE audit DETACH PARTITION {name}"))).execute(&mut *tx).await?;
    // OFFSET 0 keeps Postgres from reading all rows: for each chain only those after its anchor are looked up.
    let moved = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO audit ({COLUMNS}) SELECT l.* FROM audit_heads h \
         LEFT JOIN unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS u (tenant, writer, seq) USING (tenant, writer) \
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM {name} a WHERE a.writer = h.writer \
             AND coalesce(a.tenant_id, ''::bytea) = h.tenant AND a.seq > coalesce(u.seq, 0) OFFSET 0) l LIMIT $4"
    )))
    .bind(&ends.tenants)
    .bind(&ends.writers)
    .bind(&ends.seqs)
    .bind(STRAGGLERS_MAX.cast_signed() + 1)
    .persistent(false)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if moved > STRAGGLERS_MAX {
        return Ok(None);
    }
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(tx).await?;
    Ok(Some(moved))
}
