//! Requests of admins that must not be done twice.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{AdminRequests, Reservation, Reserved, StoreError};

#[async_trait]
impl AdminRequests for SqliteStore {
    async fn request_reserve(&self, _request: &Reservation) -> Result<Reserved, StoreError> {
        todo!()
    }

    async fn request_answer(&self, _request: [u8; 32], _answer: &[u8]) -> Result<(), StoreError> {
        todo!()
    }

    async fn request_release(&self, _request: [u8; 32]) -> Result<(), StoreError> {
        todo!()
    }
}
