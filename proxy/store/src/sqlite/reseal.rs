//! Sealing everything anew in SQLite: a page of rows under the write lock, so nobody else is in the way.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::{
    Reseal, Resealed, StoreError,
    error::{Fault, doing},
    reseal::{Kind, Place, RESEAL_ROWS_MAX, SealedRecord, SealedRows, Tally, run},
    vault::Vault,
};

/// The next rows: `$1`, `$2` and `$3` are the place, `$4` the number.
const fn next(kind: Kind) -> &'static str {
    match kind {
        Kind::Secrets => {
            "SELECT v.tenant_id AS tenant, s.server_id AS id, '' AS issuer, s.name, s.sealed \
             FROM secrets s JOIN servers v ON v.id = s.server_id \
             WHERE (s.server_id, '', s.name) > ($1, $2, $3) ORDER BY s.server_id, s.name LIMIT $4"
        }
        Kind::IssuerSecrets => {
            "SELECT tenant_id AS tenant, tenant_id AS id, issuer, name, sealed FROM issuer_secrets \
             WHERE (tenant_id, issuer, name) > ($1, $2, $3) ORDER BY tenant_id, issuer, name LIMIT $4"
        }
        Kind::Tokens => {
            "SELECT v.tenant_id AS tenant, t.server_id AS id, '' AS issuer, '' AS name, t.sealed \
             FROM server_tokens t JOIN servers v ON v.id = t.server_id \
             WHERE (t.server_id, '', '') > ($1, $2, $3) AND t.sealed IS NOT NULL ORDER BY t.server_id LIMIT $4"
        }
        Kind::Answers => {
            "SELECT x'' AS tenant, request AS id, '' AS issuer, '' AS name, answer AS sealed FROM admin_requests \
             WHERE (request, '', '') > ($1, $2, $3) AND answer IS NOT NULL ORDER BY request LIMIT $4"
        }
    }
}

/// Writes one row: `$1`, `$2` and `$3` are its place, `$4` what is there, `$5` what is to be.
const fn put(kind: Kind) -> &'static str {
    match kind {
        Kind::Secrets => {
            "UPDATE secrets SET sealed = $5 WHERE server_id = $1 AND $2 = '' AND name = $3 AND sealed = $4"
        }
        Kind::IssuerSecrets => {
            "UPDATE issuer_secrets SET sealed = $5 WHERE tenant_id = $1 AND issuer = $2 AND name = $3 AND sealed = $4"
        }
        Kind::Tokens => {
            "UPDATE server_tokens SET sealed = $5 WHERE server_id = $1 AND $2 = '' AND $3 = '' AND sealed = $4"
        }
        Kind::Answers => {
            "UPDATE admin_requests SET answer = $5 WHERE request = $1 AND $2 = '' AND $3 = '' AND answer = $4"
        }
    }
}

#[async_trait]
impl Reseal for SqliteStore {
    async fn reseal(&self) -> Result<Resealed, StoreError> {
        run(self).await
    }
}

#[async_trait]
impl SealedRows for SqliteStore {
    async fn page(&self, kind: Kind, after: &Place) -> Result<(Tally, Option<Place>), StoreError> {
        doing("seal secrets anew", async {
            let mut tx = self.writing().await?;
            let done = page(&mut tx, kind, after, &self.vault).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }
}

async fn page(
    tx: &mut SqliteConnection,
    kind: Kind,
    after: &Place,
    vault: &Vault,
) -> Result<(Tally, Option<Place>), Fault> {
    let query = sqlx::query_as(next(kind)).bind(&after.id).bind(&after.issuer).bind(&after.name);
    let rows: Vec<SealedRecord> = query.bind(RESEAL_ROWS_MAX as i64).fetch_all(&mut *tx).await?;
    let mut tally = Tally::default();
    for row in &rows {
        match row.anew(kind, vault) {
            Ok(None) => tally.current += 1,
            Ok(Some(sealed)) => match write(tx, kind, row, sealed).await? {
                true => tally.resealed += 1,
                false => tally.late += 1,
            },
            Err(_) => tally.closed += 1,
        }
    }
    Ok((tally, rows.last().map(SealedRecord::place)))
}

async fn write(tx: &mut SqliteConnection, kind: Kind, row: &SealedRecord, sealed: Vec<u8>) -> Result<bool, Fault> {
    let Place { id, issuer, name } = row.place();
    let query = sqlx::query(put(kind)).bind(id).bind(issuer).bind(name).bind(&row.sealed).bind(sealed);
    Ok(query.execute(tx).await?.rows_affected() > 0)
}
