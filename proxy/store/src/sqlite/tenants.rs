//! Tenants in SQLite: listed, loaded as one state, applied and deleted in one transaction each.

use async_trait::async_trait;
use patchbay_core::{
    Generation, Slug, TenantId,
    model::{TenantDoc, TenantRow},
};
use sqlx::SqliteConnection;

use super::{SqliteStore, audit, issuers};
use crate::{
    Applied, Note, StoreError, TenantSummary, Tenants,
    announce::State,
    error::{Fault, doing},
    held::{Held, Records, TenantRecord},
    plan::Plan,
    rows::{SummaryRecord, all, bits, blob, generation, slug},
};

#[async_trait]
impl Tenants for SqliteStore {
    async fn tenant_list(&self) -> Result<Vec<TenantSummary>, StoreError> {
        doing("list the tenants", async {
            let records: Vec<SummaryRecord> = sqlx::query_as(
                "SELECT id, slug, title, enabled, generation FROM tenants JOIN generations USING (slug) ORDER BY slug",
            )
            .fetch_all(&self.read)
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
            let held = held(&mut tx, &doc.slug).await?;
            let found = held.as_ref().map_or(Generation(0), |held| held.generation);
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(StoreError::Conflict { expected, found }.into());
            }
            let id = held.as_ref().map_or_else(TenantId::random, |held| held.id);
            let plan = Plan::new(id, held.as_ref(), doc, &self.vault)?;
            if plan.is_empty() {
                return Ok(Applied { id, generation: found, changed: false });
            }
            let state = bump(&mut tx, &doc.slug, true).await?;
            write(&mut tx, id, &doc.slug, plan).await?;
            audit::record(&mut tx, id, note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(Applied { id, generation: state.generation, changed: true })
        })
        .await
    }

    async fn tenant_delete(&self, slug: &Slug, expected: Option<Generation>, note: &Note) -> Result<bool, StoreError> {
        doing("delete a tenant", async {
            let mut tx = self.writing().await?;
            if let Some(expected) = expected {
                let Some(found) = generation_of(&mut tx, slug).await? else { return Ok(false) };
                if found != expected {
                    return Err(StoreError::Conflict { expected, found }.into());
                }
            }
            let gone: Option<Vec<u8>> = sqlx::query_scalar("DELETE FROM tenants WHERE slug = $1 RETURNING id")
                .bind(slug.as_str())
                .fetch_optional(&mut *tx)
                .await?;
            let Some(gone) = gone else { return Ok(false) };
            let state = bump(&mut tx, slug, false).await?;
            audit::record(&mut tx, TenantId::from_bits(bits("tenant id", &gone)?), note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(true)
        })
        .await
    }
}

/// Adds one to a name's generation; the first is 1.
pub(super) async fn bump(tx: &mut SqliteConnection, slug: &Slug, live: bool) -> Result<State, Fault> {
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO generations (slug, generation, live) VALUES ($1, 1, $2) \
         ON CONFLICT (slug) DO UPDATE SET generation = generation + 1, live = excluded.live RETURNING generation",
    )
    .bind(slug.as_str())
    .bind(live)
    .fetch_one(tx)
    .await?;
    Ok(State { slug: slug.clone(), generation: generation(number)?, live })
}

/// The name of a tenant; `None` when it is gone.
pub(super) async fn slug_of(tx: &mut SqliteConnection, tenant: TenantId) -> Result<Option<Slug>, Fault> {
    let text: Option<String> = sqlx::query_scalar("SELECT slug FROM tenants WHERE id = $1")
        .bind(blob(tenant.bits()))
        .fetch_optional(tx)
        .await?;
    Ok(text.map(|text| slug("tenant name", &text)).transpose()?)
}

/// Where a tenant is; `None` when there is none.
async fn generation_of(tx: &mut SqliteConnection, slug: &Slug) -> Result<Option<Generation>, Fault> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT generation FROM tenants JOIN generations USING (slug) WHERE slug = $1")
            .bind(slug.as_str())
            .fetch_optional(tx)
            .await?;
    Ok(number.map(generation).transpose()?)
}

async fn held(tx: &mut SqliteConnection, slug: &Slug) -> Result<Option<Held>, Fault> {
    let tenant: Option<TenantRecord> = sqlx::query_as(
        "SELECT id, slug, title, enabled, limits, audit, generation FROM tenants JOIN generations USING (slug) WHERE slug = $1",
    )
    .bind(slug.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(tenant) = tenant else {
        return Ok(None);
    };
    let servers = sqlx::query_as("SELECT id, slug, spec FROM servers WHERE tenant_id = $1")
        .bind(tenant.id())
        .fetch_all(&mut *tx)
        .await?;
    let secrets = sqlx::query_as(
        "SELECT server_id, name, sealed FROM secrets JOIN servers ON servers.id = secrets.server_id WHERE tenant_id = $1",
    )
    .bind(tenant.id())
    .fetch_all(&mut *tx)
    .await?;
    let toolsets = sqlx::query_as("SELECT slug, spec FROM toolsets WHERE tenant_id = $1")
        .bind(tenant.id())
        .fetch_all(&mut *tx)
        .await?;
    let (issuers, issuer_secrets) = issuers::held(&mut *tx, tenant.id()).await?;
    Ok(Some(Held::try_from(Records { tenant, servers, secrets, toolsets, issuers, issuer_secrets })?))
}

async fn write(tx: &mut SqliteConnection, id: TenantId, slug: &Slug, plan: Plan) -> Result<(), Fault> {
    let tenant = blob(id.bits());
    if let Some(fields) = plan.tenant {
        sqlx::query(
            "INSERT INTO tenants (id, slug, title, enabled, limits, audit) VALUES ($1, $2, $3, $4, $5, $6) \
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
            "INSERT INTO servers (id, tenant_id, slug, spec) VALUES ($1, $2, $3, $4) \
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
            "INSERT INTO toolsets (tenant_id, slug, spec) VALUES ($1, $2, $3) \
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
