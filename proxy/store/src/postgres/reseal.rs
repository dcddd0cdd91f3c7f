//! Sealing everything anew in Postgres: a page of rows in one transaction that waits for nobody. A row that somebody else has locked
//! is left for another pass, so this is never part of a deadlock.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, undone};
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
            "SELECT v.tenant_id AS tenant, s.server_id AS id, ''::text AS issuer, s.name, s.sealed \
             FROM secrets s JOIN servers v ON v.id = s.server_id \
             WHERE (s.server_id, ''::text, s.name) > ($1, $2::text, $3::text) ORDER BY s.server_id, s.name LIMIT $4"
        }
        Kind::IssuerSecrets => {
            "SELECT tenant_id AS tenant, tenant_id AS id, issuer, name, sealed FROM issuer_secrets \
             WHERE (tenant_id, issuer, name) > ($1, $2::text, $3::text) ORDER BY tenant_id, issuer, name LIMIT $4"
        }
        Kind::Tokens => {
            "SELECT v.tenant_id AS tenant, t.server_id AS id, ''::text AS issuer, ''::text AS name, t.sealed \
             FROM server_tokens t JOIN servers v ON v.id = t.server_id \
             WHERE (t.server_id, ''::text, ''::text) > ($1, $2::text, $3::text) AND t.sealed IS NOT NULL ORDER BY t.server_id LIMIT $4"
        }
        Kind::Answers => {
            "SELECT ''::bytea AS tenant, request AS id, ''::text AS issuer, ''::text AS name, answer AS sealed FROM admin_requests \
             WHERE (request, ''::text, ''::text) > ($1, $2::text, $3::text) AND answer IS NOT NULL ORDER BY request LIMIT $4"
        }
    }
}

/// Writes one row: `$1`, `$2` and `$3` are its place, `$4` what is there, `$5` what is to be.
const fn put(kind: Kind) -> &'static str {
    match kind {
        Kind::Secrets => {
            "UPDATE secrets SET sealed = $5 WHERE sealed = $4 AND (server_id, name) IN (SELECT server_id, name FROM secrets \
             WHERE server_id = $1 AND $2::text = '' AND name = $3 AND sealed = $4 FOR UPDATE SKIP LOCKED)"
        }
        Kind::IssuerSecrets => {
            "UPDATE issuer_secrets SET sealed = $5 WHERE sealed = $4 AND (tenant_id, issuer, name) IN \
             (SELECT tenant_id, issuer, name FROM issuer_secrets \
             WHERE tenant_id = $1 AND issuer = $2 AND name = $3 AND sealed = $4 FOR UPDATE SKIP LOCKED)"
        }
        Kind::Tokens => {
            "UPDATE server_tokens SET sealed = $5 WHERE sealed = $4 AND server_id IN (SELECT server_id FROM server_tokens \
             WHERE server_id = $1 AND $2::text = '' AND $3::text = '' AND sealed = $4 FOR UPDATE SKIP LOCKED)"
        }
        Kind::Answers => {
            "UPDATE admin_requests SET answer = $5 WHERE answer = $4 AND request IN (SELECT request FROM admin_requests \
             WHERE request = $1 AND $2::text = '' AND $3::text = '' AND answer = $4 FOR UPDATE SKIP LOCKED)"
        }
    }
}

#[async_trait]
impl Reseal for PostgresStore {
    async fn reseal(&self) -> Result<Resealed, StoreError> {
        run(self).await
    }
}

#[async_trait]
impl SealedRows for PostgresStore {
    async fn page(&self, kind: Kind, after: &Place) -> Result<(Tally, Option<Place>), StoreError> {
        doing("seal secrets anew", async {
            let mut tx = self.writing().await?;
            match page(&mut tx, kind, after, &self.vault).await {
                Ok(done) => {
                    tx.commit().await?;
                    Ok(done)
                }
                Err(fault) => Err(undone(tx, fault).await),
            }
        })
        .await
    }
}

async fn page(
    tx: &mut PgConnection,
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

async fn write(tx: &mut PgConnection, kind: Kind, row: &SealedRecord, sealed: Vec<u8>) -> Result<bool, Fault> {
    let Place { id, issuer, name } = row.place();
    let query = sqlx::query(put(kind)).bind(id).bind(issuer).bind(name).bind(&row.sealed).bind(sealed);
    Ok(query.execute(tx).await?.rows_affected() > 0)
}
