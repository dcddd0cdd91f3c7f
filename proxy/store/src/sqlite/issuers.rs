//! The issuers of a tenant in Sqlite: read and written inside the transactions of `tenants`.

use sqlx::SqliteConnection;

use crate::{
    error::Fault,
    held::{IssuerRecord, IssuerSecretRecord},
    plan::IssuersPlan,
};

/// The rows of a tenant's issuers, and of their secrets.
pub(super) async fn held(
    tx: &mut SqliteConnection,
    tenant: Vec<u8>,
) -> Result<(Vec<IssuerRecord>, Vec<IssuerSecretRecord>), Fault> {
    let issuers = sqlx::query_as("SELECT slug, spec FROM issuers WHERE tenant_id = $1")
        .bind(tenant.clone())
        .fetch_all(&mut *tx)
        .await?;
    let secrets = sqlx::query_as("SELECT issuer, name, sealed FROM issuer_secrets WHERE tenant_id = $1")
        .bind(tenant)
        .fetch_all(tx)
        .await?;
    Ok((issuers, secrets))
}

pub(super) async fn write(tx: &mut SqliteConnection, tenant: Vec<u8>, plan: IssuersPlan) -> Result<(), Fault> {
    for issuer in plan.gone {
        sqlx::query("DELETE FROM issuers WHERE tenant_id = $1 AND slug = $2")
            .bind(tenant.clone())
            .bind(issuer.as_str())
            .execute(&mut *tx)
            .await?;
    }
    for (issuer, spec) in plan.put {
        sqlx::query(
            "INSERT INTO issuers (tenant_id, slug, spec) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant_id, slug) DO UPDATE SET spec = excluded.spec",
        )
        .bind(tenant.clone())
        .bind(issuer.as_str())
        .bind(spec)
        .execute(&mut *tx)
        .await?;
    }
    for (issuer, name) in plan.secrets_gone {
        sqlx::query("DELETE FROM issuer_secrets WHERE tenant_id = $1 AND issuer = $2 AND name = $3")
            .bind(tenant.clone())
            .bind(issuer.as_str())
            .bind(name)
            .execute(&mut *tx)
            .await?;
    }
    for (issuer, name, sealed) in plan.secrets_put {
        sqlx::query(
            "INSERT INTO issuer_secrets (tenant_id, issuer, name, sealed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (tenant_id, issuer, name) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(tenant.clone())
        .bind(issuer.as_str())
        .bind(name)
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
