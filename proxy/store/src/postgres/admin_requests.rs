//! Requests of admins that must not be done twice, in Postgres.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    AdminRequests, Reservation, Reserved, StoreError,
    admin::{ANSWER, FORGOTTEN_MAX, RELEASE, RESERVE, RESERVE_TRIES_MAX, RESERVED, RequestRecord, not_reserved, seal},
    error::doing,
};

/// Rows that another replica is just deleting are passed over: two who delete many never wait for each other.
const FORGET: &str = "DELETE FROM admin_requests WHERE request IN (SELECT request FROM admin_requests \
     WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl AdminRequests for PostgresStore {
    async fn request_reserve(&self, request: &Reservation) -> Result<Reserved, StoreError> {
        doing("reserve a request", async {
            sqlx::query(FORGET).bind(request.now_ms).bind(FORGOTTEN_MAX).execute(&self.pool).await?;
            for _ in 0..RESERVE_TRIES_MAX {
                let reserved = sqlx::query(RESERVE)
                    .bind(request.request.to_vec())
                    .bind(request.body.to_vec())
                    .bind(request.expires_ms)
                    .bind(request.now_ms)
                    .execute(&self.pool)
                    .await?;
                if reserved.rows_affected() > 0 {
                    return Ok(Reserved::New);
                }
                let query = sqlx::query_as(RESERVED).bind(request.request.to_vec());
                let held: Option<RequestRecord> = query.fetch_optional(&self.pool).await?;
                // Released between the two statements: it is free again.
                if let Some(held) = held {
                    return Ok(held.outcome(request, &self.vault));
                }
            }
            Ok(Reserved::Begun)
        })
        .await
    }

    async fn request_answer(&self, request: [u8; 32], answer: &[u8]) -> Result<(), StoreError> {
        let sealed = seal(request, answer, &self.vault)?;
        doing("keep the answer of a request", async {
            let kept = sqlx::query(ANSWER).bind(request.to_vec()).bind(sealed).execute(&self.pool).await?;
            if kept.rows_affected() > 0 { Ok(()) } else { Err(not_reserved().into()) }
        })
        .await
    }

    async fn request_release(&self, request: [u8; 32]) -> Result<(), StoreError> {
        doing("forget a request", async {
            sqlx::query(RELEASE).bind(request.to_vec()).execute(&self.pool).await?;
            Ok(())
        })
        .await
    }
}
