//! Notes of sessions in Postgres. Writers take turns, so that numbers become visible in their order.

use async_trait::async_trait;
use patchbay_core::TenantId;
use sqlx::PgConnection;

use super::{PostgresStore, ended, watch};
use crate::{
    SessionNote, SessionNotes, StoreError,
    error::{Fault, doing},
    rows::{SessionNoteRecord, all, blob, item_of},
};

/// The advisory lock by which writers take turns ("pb-notes", as a number).
const TURN: i64 = 0x7062_2d6e_6f74_6573;

#[async_trait]
impl SessionNotes for PostgresStore {
    async fn session_notes_put(&self, notes: &[SessionNote]) -> Result<(), StoreError> {
        doing("write notes of sessions", async {
            let mut tx = self.writing().await?;
            let done = put(&mut tx, notes, self.origin).await;
            if ended(tx, done).await? {
                self.announcer.notes();
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
            .fetch_all(&self.pool)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn session_notes_of(&self, tenant: TenantId, session: [u8; 16]) -> Result<Vec<SessionNote>, StoreError> {
        doing("read the notes of a session", async {
            let records: Vec<SessionNoteRecord> = sqlx::query_as(
                "SELECT seq, tenant_id, session, name, value, expires_ms FROM session_notes \
                 WHERE tenant_id = $1 AND session = $2 ORDER BY name COLLATE \"C\"",
            )
            .bind(blob(tenant.bits()))
            .bind(session.to_vec())
            .fetch_all(&self.pool)
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
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    async fn session_notes_sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        doing("delete expired notes of sessions", async {
            // Rows that somebody holds are for the next time.
            let done = sqlx::query(
                "DELETE FROM session_notes WHERE ctid = ANY (ARRAY( \
                 SELECT ctid FROM session_notes WHERE expires_ms <= $1 FOR UPDATE SKIP LOCKED))",
            )
            .bind(now_ms)
            .execute(&self.pool)
            .await?;
            Ok(done.rows_affected())
        })
        .await
    }
}

/// Whether any was written.
async fn put(tx: &mut PgConnection, notes: &[SessionNote], origin: u64) -> Result<bool, Fault> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *tx).await?;
    // First the tenants, whoever deletes one takes them first too.
    let tenants: Vec<Vec<u8>> = notes.iter().map(|note| blob(note.tenant.bits())).collect();
    let there: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM tenants WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE")
            .bind(tenants)
            .fetch_all(&mut *tx)
            .await?;
    let mut any = false;
    for note in notes {
        let tenant = blob(note.tenant.bits());
        if !there.contains(&tenant) {
            continue;
        }
        any = true;
        sqlx::query(
            "INSERT INTO session_notes (tenant_id, session, item, name, value, expires_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, session, item) DO UPDATE \
             SET seq = excluded.seq, value = excluded.value, expires_ms = excluded.expires_ms",
        )
        .bind(tenant)
        .bind(note.session.to_vec())
        .bind(item_of(&note.name))
        .bind(&note.name)
        .bind(&note.value)
        .bind(note.expires_ms)
        .execute(&mut *tx)
        .await?;
    }
    if any {
        watch::notify_session_notes(tx, origin).await?;
    }
    Ok(any)
}
