//! Sealing everything anew after the sealing key changed.

use async_trait::async_trait;

use super::SqliteStore;
use crate::{Reseal, Resealed, StoreError};

#[async_trait]
impl Reseal for SqliteStore {
    async fn reseal(&self) -> Result<Resealed, StoreError> {
        todo!()
    }
}
