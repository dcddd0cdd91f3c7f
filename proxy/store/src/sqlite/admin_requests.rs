//! Requests of admins that must not be done twice, in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    AdminRequests, Reservation, Reserved, StoreError,
    admin::{ANSWER, FORGOTTEN_MAX, RELEASE, RESERVE, RESERVED, RequestRecord, not_reserved, seal},
    error::doing,
};

const FORGET: &str = "DELETE FROM admin_requests WHERE request IN \
     (SELECT request FROM admin_requests WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)";

#[async_trait]
impl AdminRequests for SqliteStore {
    async fn request_reserve(&self, request: &Reservation) -> Result<Reserved, StoreError> {
        doing("reserve a request", async {
            let mut tx = self.writing().await?;
            sqlx::query(FORGET).bind(request.now_ms).bind(FORGOTTEN_MAX).execute(&mut *tx).await?;
            let reserved = sqlx::query(RESERVE)
                .bind(request.request.to_vec())
                .bind(request.body.to_vec())
                .bind(request.expires_ms)
                .bind(request.now_ms)
                .execute(&mut *tx)
                .await?;
            if reserved.rows_affected() > 0 {
                tx.commit().await?;
                return Ok(Reserved::New);
            }
            let query = sqlx::query_as(RESERVED).bind(request.request.to_vec());
            let held: RequestRecord = query.fetch_one(&mut *tx).await?;
            tx.commit().await?;
            Ok(held.outcome(request, &self.vault))
        })
        .await
    }

    async fn request_answer(&self, request: [u8; 32], answer: &[u8]) -> Result<(), StoreError> {
        let sealed = seal(request, answer, &self.vault)?;
        doing("keep the answer of a request", async {
            let kept = sqlx::query(ANSWER).bind(request.to_vec()).bind(sealed).execute(&self.write).await?;
            if kept.rows_affected() > 0 { Ok(()) } else { Err(not_reserved().into()) }
        })
        .await
    }

    async fn request_release(&self, request: [u8; 32]) -> Result<(), StoreError> {
        doing("forget a request", async {
            sqlx::query(RELEASE).bind(request.to_vec()).execute(&self.write).await?;
            Ok(())
        })
        .await
    }
}
