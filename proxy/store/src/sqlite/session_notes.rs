//! Notes of sessions in SQLite.

use async_trait::async_trait;
use patchbay_core::TenantId;

use super::SqliteStore;
use crate::{
    SessionNote, SessionNotes, StoreError,
    error::doing,
    rows::{SessionNoteRecord, all, blob, item_of},
};

#[async_trait]
impl SessionNotes for SqliteStore {
    async fn session_notes_put(&self, notes: &[SessionNote]) -> Result<(), StoreError> {
        doing("write notes of sessions", async {
            let mut tx = self.writing().await?;
            let mut newest: Option<i64> = None;
            for note in notes {
                // Replaced and not updated, so that it gets a new number.
                let seq: Option<i64> = sqlx::query_scalar(
                    "INSERT OR REPLACE INTO session_notes (tenant_id, session, item, name, value, expires_ms) \
                     SELECT id, $2, $3, $4, $5, $6 FROM tenants WHERE id = $1 RETURNING seq",
                )
                .bind(blob(note.tenant.bits()))
                .bind(note.session.to_vec())
                .bind(item_of(&note.name))
                .bind(&note.name)
                .bind(&note.value)
                .bind(note.expires_ms)
                .fetch_optional(&mut *tx)
                .await?;
                newest = seq.or(newest);
            }
            tx.commit().await?;
            if let Some(seq) = newest {
                self.announcer.notes_at(seq);
            }
            Ok(())
        })
        .await
    }

    async fn session_notes_since(&self, after: i64, limit: u32) -> Result<Vec<(i64, SessionNote)>, StoreError> {
        doing("read the notes of sessions", async {
            let records: Vec<SessionNoteRecord> = sqlx::query_as(
                "SELECT seq, tenant_id, session, name, value, expires_ms FROM session_notes WHERE seq > $1 \
                 ORDER BY seq LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn session_notes_of(&self, tenant: TenantId, session: [u8; 16]) -> Result<Vec<SessionNote>, StoreError> {
        doing("read the notes of a session", async {
            let records: Vec<SessionNoteRecord> = sqlx::query_as(
                "SELECT seq, tenant_id, session, name, value, expires_ms FROM session_notes \
                 WHERE tenant_id = $1 AND session = $2 ORDER BY name",
            )
            .bind(blob(tenant.bits()))
            .bind(session.to_vec())
            .fetch_all(&self.read)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn session_notes_forget(&self, tenant: TenantId, session: [u8; 16]) -> Result<(), StoreError> {
        doing("forget the notes of a session", async {
            sqlx::query("DELETE FROM session_notes WHERE tenant_id = $1 AND session = $2")
                .bind(blob(tenant.bits()))
                .bind(session.to_vec())
                .execute(&self.write)
                .await?;
            Ok(())
        })
        .await
    }

    async fn session_notes_sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        doing("delete expired notes of sessions", async {
            let done = sqlx::query("DELETE FROM session_notes WHERE expires_ms <= $1")
                .bind(now_ms)
                .execute(&self.write)
                .await?;
            Ok(done.rows_affected())
        })
        .await
    }
}
