//! Tenants in Postgres: listed, loaded as one state, applied and deleted in one transaction each.

use async_trait::async_trait;
use patchbay_core::{
    Generation, Slug, TenantId,
    model::{TenantDoc, TenantRow},
};
use sqlx::PgConnection;

use super::{PostgresStore, audit, bump, issuers, lock};
use crate::{
    Applied, Note, StoreError, TenantSummary, Tenants, Vault,
    announce::State,
    error::{Fault, doing},
    held::{Held, Records, TenantRecord},
    plan::Plan,
    rows::{SummaryRecord, all, bits, blob, generation},
};

#[async_trait]
impl Tenants for PostgresStore {
    async fn tenant_list(&self) -> Result<Vec<TenantSummary>, StoreError> {
        doing("list the tenants", async {
            let records: Vec<SummaryRecord> = sqlx::query_as(
                "SELECT id, slug, title, enabled, generation FROM tenants JOIN generations USING (slug) ORDER BY slug",
            )
            .fetch_all(&self.pool)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn tenant_load(&self, slug: &Slug) -> Result<Option<TenantRow>, StoreError> {
        doing("load a tenant", async {
            let mut tx = self.reading().await?;
            let held = held(&mut tx, slug).await?;
            tx.rollback().await?;
            Ok(held.map(|held| held.open(&self.vault)).transpose()?)
        })
        .await
    }

    async fn tenant_apply(
        &self,
        doc: &TenantDoc,
        expected: Option<Generation>,
        note: &Note,
    ) -> Result<Applied, StoreError> {
        doing("apply a tenant", async {
            let mut tx = self.writing().await?;
            let done = apply(&mut tx, doc, expected, note, &self.vault).await;
            self.settled(tx, done).await
        })
        .await
    }

    async fn tenant_delete(&self, slug: &Slug, expected: Option<Generation>, note: &Note) -> Result<bool, StoreError> {
        doing("delete a tenant", async {
            let mut tx = self.writing().await?;
            let state = delete(&mut tx, slug, expected, note).await;
            self.settled(tx, state.map(|state| (state.is_some(), state))).await
        })
        .await
    }
}

/// What was done, and the tenant's new state, when it is one.
async fn apply(
    tx: &mut PgConnection,
    doc: &TenantDoc,
    expected: Option<Generation>,
    note: &Note,
    vault: &Vault,
) -> Result<(Applied, Option<State>), Fault> {
    lock(tx, &doc.slug).await?;
    let held = held(tx, &doc.slug).await?;
    let found = held.as_ref().map_or(Generation(0), |held| held.generation);
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(StoreError::Conflict { expected, found }.into());
    }
    let id = held.as_ref().map_or_else(TenantId::random, |held| held.id);
    let plan = Plan::new(id, held.as_ref(), doc, vault)?;
    if plan.is_empty() {
        return Ok((Applied { id, generation: found, changed: false }, None));
    }
    let state = bump(tx, &doc.slug, true).await?;
    write(tx, id, &doc.slug, plan).await?;
    audit::record(tx, id, note).await?;
    Ok((Applied { id, generation: state.generation, changed: true }, Some(state)))
}

/// The name's new state, or `None` when there was no such tenant.
async fn delete(
    tx: &mut PgConnection,
    slug: &Slug,
    expected: Option<Generation>,
    note: &Note,
) -> Result<Option<State>, Fault> {
    lock(tx, slug).await?;
    if let Some(expected) = expected {
        let Some(found) = generation_of(tx, slug).await? else { return Ok(None) };
        if found != expected {
            return Err(StoreError::Conflict { expected, found }.into());
        }
    }
    lock_keys(tx, slug).await?;
    let gone: Option<Vec<u8>> = sqlx::query_scalar("DELETE FROM tenants WHERE slug = $1 RETURNING id")
        .bind(slug.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(gone) = gone else { return Ok(None) };
    let state = bump(tx, slug, false).await?;
    audit::record(tx, TenantId::from_bits(bits("tenant id", &gone)?), note).await?;
    Ok(Some(state))
}

/// Locks the keys in the order in which batches of last uses lock them; the deletion would take them as they come, and the two
/// could wait for each other.
async fn lock_keys(tx: &mut PgConnection, slug: &Slug) -> Result<(), Fault> {
    sqlx::query(
        "SELECT id FROM api_keys WHERE tenant_id = (SELECT id FROM tenants WHERE slug = $1) ORDER BY id FOR UPDATE",
    )
    .bind(slug.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// Where a tenant is; `None` when there is none.
async fn generation_of(tx: &mut PgConnection, slug: &Slug) -> Result<Option<Generation>, Fault> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT generation FROM tenants JOIN generations USING (slug) WHERE slug = $1")
            .bind(slug.as_str())
            .fetch_optional(tx)
            .await?;
    Ok(number.map(generation).transpose()?)
}

async fn held(tx: &mut PgConnection, slug: &Slug) -> Result<Option<Held>, Fault> {
    let tenant: Option<TenantRecord> = sqlx::query_as(
        "SELECT id, slug, title, enabled, limits::text AS limits, audit::text AS audit, generation \
         FROM tenants JOIN generations USING (slug) WHERE slug = $1",
    )
    .bind(slug.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(tenant) = tenant else {
        return Ok(None);
    };
    let servers = sqlx::query_as("SELECT id, slug, spec::text AS spec FROM servers WHERE tenant_id = $1")
        .bind(tenant.id())
        .fetch_all(&mut *tx)
        .await?;
    let secrets = sqlx::query_as(
        "SELECT server_id, name, sealed FROM secrets JOIN servers ON servers.id = secrets.server_id WHERE tenant_id = $1",
    )
    .bind(tenant.id())
    .fetch_all(&mut *tx)
    .await?;
    let toolsets = sqlx::query_as("SELECT slug, spec::text AS spec FROM toolsets WHERE tenant_id = $1")
        .bind(tenant.id())
        .fetch_all(&mut *tx)
        .await?;
    let (issuers, issuer_secrets) = issuers::held(&mut *tx, tenant.id()).await?;
    Ok(Some(Held::try_from(Records { tenant, servers, secrets, toolsets, issuers, issuer_secrets })?))
}

async fn write(tx: &mut PgConnection, id: TenantId, slug: &Slug, plan: Plan) -> Result<(), Fault> {
    let tenant = blob(id.bits());
    if let Some(fields) = plan.tenant {
        sqlx::query(
            "INSERT INTO tenants (id, slug, title, enabled, limits, audit) VALUES ($1, $2, $3, $4, $5::json, $6::json) \
             ON CONFLICT (id) DO UPDATE SET title = excluded.title, enabled = excluded.enabled, limits = excluded.limits, \
             audit = excluded.audit",
        )
        .bind(tenant.clone())
        .bind(slug.as_str())
        .bind(fields.title)
        .bind(fields.enabled)
        .bind(fields.limits)
        .bind(fields.audit)
        .execute(&mut *tx)
        .await?;
    }
    for server in plan.servers_gone {
        sqlx::query("DELETE FROM servers WHERE id = $1").bind(blob(server.bits())).execute(&mut *tx).await?;
    }
    for (server, slug, spec) in plan.servers_put {
        sqlx::query(
            "INSERT INTO servers (id, tenant_id, slug, spec) VALUES ($1, $2, $3, $4::json) \
             ON CONFLICT (id) DO UPDATE SET spec = excluded.spec",
        )
        .bind(blob(server.bits()))
        .bind(tenant.clone())
        .bind(slug.as_str())
        .bind(spec)
        .execute(&mut *tx)
        .await?;
    }
    for server in plan.catalogs_gone {
        sqlx::query("DELETE FROM catalogs WHERE server_id = $1").bind(blob(server.bits())).execute(&mut *tx).await?;
    }
    for server in plan.tokens_gone {
        sqlx::query("DELETE FROM server_tokens WHERE server_id = $1")
            .bind(blob(server.bits()))
            .execute(&mut *tx)
            .await?;
    }
    for (server, name) in plan.secrets_gone {
        sqlx::query("DELETE FROM secrets WHERE server_id = $1 AND name = $2")
            .bind(blob(server.bits()))
            .bind(name)
            .execute(&mut *tx)
            .await?;
    }
    for (server, name, sealed) in plan.secrets_put {
        sqlx::query(
            "INSERT INTO secrets (server_id, name, sealed) VALUES ($1, $2, $3) \
             ON CONFLICT (server_id, name) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(blob(server.bits()))
        .bind(name)
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
    }
    for toolset in plan.toolsets_gone {
        sqlx::query("DELETE FROM toolsets WHERE tenant_id = $1 AND slug = $2")
            .bind(tenant.clone())
            .bind(toolset.as_str())
            .execute(&mut *tx)
            .await?;
    }
    for (toolset, spec) in plan.toolsets_put {
        sqlx::query(
            "INSERT INTO toolsets (tenant_id, slug, spec) VALUES ($1, $2, $3::json) \
             ON CONFLICT (tenant_id, slug) DO UPDATE SET spec = excluded.spec",
        )
        .bind(tenant.clone())
        .bind(toolset.as_str())
        .bind(spec)
        .execute(&mut *tx)
        .await?;
    }
    issuers::write(tx, tenant, plan.issuers).await
}
