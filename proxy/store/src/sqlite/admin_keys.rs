//! Admin keys.

use async_trait::async_trait;
use patchbay_core::{KeyId, admin::AdminKeyRow};

use super::SqliteStore;
use crate::{AdminKeys, Note, StoreError};

#[async_trait]
impl AdminKeys for SqliteStore {
    async fn admin_key_create(&self, _key: &AdminKeyRow, _note: &Note) -> Result<(), StoreError> {
        todo!()
    }

    async fn admin_key_bootstrap(&self, _key: &AdminKeyRow, _note: &Note) -> Result<bool, StoreError> {
        todo!()
    }

    async fn admin_key_find(&self, _digest: [u8; 32]) -> Result<Option<AdminKeyRow>, StoreError> {
        todo!()
    }

    async fn admin_key_list(&self) -> Result<Vec<AdminKeyRow>, StoreError> {
        todo!()
    }

    async fn admin_key_revoke(&self, _key: KeyId, _at_ms: i64, _note: &Note) -> Result<bool, StoreError> {
        todo!()
    }

    async fn admin_key_touch(&self, _key: KeyId, _at_ms: i64) -> Result<(), StoreError> {
        todo!()
    }
}
