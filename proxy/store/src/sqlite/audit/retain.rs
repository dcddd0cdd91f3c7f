//! Removing the beginnings of the audit's chains in SQLite: in batches, between which others write.

use patchbay_core::audit::{ChainId, Checkpoint, Link};
use tokio::time::Instant;

use super::put_checkpoints;
use crate::{
    StoreError,
    audit::{LinkRecord, RETAIN_MAX, RETAIN_ROWS_MAX, event_floor, seq_column, tenant_column, writer_column},
    error::doing,
    rows::{all, blob},
    sqlite::SqliteStore,
};

/// For each chain the row before the first one that stays, or the head's when none stays; where that row is gone already, there
/// is nothing to remove. (MATERIALIZED and the plus signs keep SQLite from reading all rows by their ids.)
const EXPIRED: &str = "WITH h AS MATERIALIZED (SELECT g.tenant, g.writer, coalesce((\
         SELECT k.seq - 1 FROM audit k WHERE k.writer = g.writer AND coalesce(k.tenant_id, x'') = g.tenant AND k.seq > 0 \
         AND +k.event_id >= $1 ORDER BY k.seq LIMIT 1), g.seq) AS last FROM audit_heads g) \
     SELECT h.tenant, h.writer, a.seq, a.hash FROM h CROSS JOIN audit a \
     WHERE a.writer = h.writer AND coalesce(a.tenant_id, x'') = h.tenant AND a.seq = h.last AND h.last > 0 \
     AND +a.event_id < $1 ORDER BY h.tenant, h.writer";

/// The first rows of a chain, lowest number first, so that the anchor's own goes last: a removal that breaks off is found again.
const FIRST: &str = "DELETE FROM audit WHERE event_id IN (SELECT event_id FROM audit \
     WHERE writer = $1 AND coalesce(tenant_id, x'') = $2 AND seq > 0 AND seq <= $3 AND +event_id < $4 ORDER BY seq LIMIT $5)";

const UNCHAINED: &str = "DELETE FROM audit WHERE event_id IN (SELECT event_id FROM audit \
     WHERE writer = 0 AND seq = 0 AND +event_id < $1 LIMIT $2)";

impl SqliteStore {
    pub(super) async fn expired(&self, before_ms: i64) -> Result<Vec<(ChainId, Link)>, StoreError> {
        doing("look for what the audit need not keep", async {
            let records: Vec<LinkRecord> =
                sqlx::query_as(EXPIRED).bind(blob(event_floor(before_ms))).fetch_all(&self.read).await?;
            Ok(all(records)?)
        })
        .await
    }

    pub(super) async fn retain(&self, before_ms: i64, anchors: &[Checkpoint]) -> Result<u64, StoreError> {
        let until = Instant::now() + RETAIN_MAX;
        self.anchor(anchors).await?;
        let mut removed = 0;
        for anchor in anchors {
            while Instant::now() < until {
                let batch = self.remove(before_ms, Some(anchor)).await?;
                removed += batch;
                if batch < RETAIN_ROWS_MAX {
                    break;
                }
            }
        }
        while Instant::now() < until {
            let batch = self.remove(before_ms, None).await?;
            removed += batch;
            if batch < RETAIN_ROWS_MAX {
                break;
            }
        }
        Ok(removed)
    }

    /// Keeps the anchors, and lets go of the checkpoints before them.
    async fn anchor(&self, anchors: &[Checkpoint]) -> Result<(), StoreError> {
        doing("keep retention checkpoints of the audit", async {
            let mut tx = self.writing().await?;
            put_checkpoints(&mut tx, anchors).await?;
            for anchor in anchors {
                sqlx::query("DELETE FROM audit_checkpoints WHERE tenant = $1 AND writer = $2 AND seq < $3")
                    .bind(tenant_column(anchor.chain.tenant))
                    .bind(writer_column(anchor.chain.writer))
                    .bind(seq_column(anchor.link.seq))
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Removes one batch: of the chain up to its anchor, or of what is in no chain.
    async fn remove(&self, before_ms: i64, anchor: Option<&Checkpoint>) -> Result<u64, StoreError> {
        let floor = blob(event_floor(before_ms));
        let batch = RETAIN_ROWS_MAX.cast_signed();
        doing("remove what the audit need not keep", async {
            let query = match anchor {
                Some(anchor) => sqlx::query(FIRST)
                    .bind(writer_column(anchor.chain.writer))
                    .bind(tenant_column(anchor.chain.tenant))
                    .bind(seq_column(anchor.link.seq))
                    .bind(floor)
                    .bind(batch),
                None => sqlx::query(UNCHAINED).bind(floor).bind(batch),
            };
            Ok(query.execute(&self.write).await?.rows_affected())
        })
        .await
    }
}
