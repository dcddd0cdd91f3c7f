//! Revocations.

use async_trait::async_trait;
use patchbay_core::{RevocationId, TenantId, issuer::RevocationRow};

use super::PostgresStore;
use crate::{Revocations, StoreError};

#[async_trait]
impl Revocations for PostgresStore {
    async fn revocation_add(&self, row: &RevocationRow) -> Result<(), StoreError> {
        let _ = row;
        todo!()
    }

    async fn revocation_list(&self, tenant: TenantId, now_ms: i64) -> Result<Vec<RevocationRow>, StoreError> {
        let _ = (tenant, now_ms);
        todo!()
    }

    async fn revocation_lift(&self, tenant: TenantId, id: RevocationId) -> Result<bool, StoreError> {
        let _ = (tenant, id);
        todo!()
    }
}
