//! A whole tenant as its rows have it, on the way from the tables to a [`TenantRow`] or to a plan.

use std::collections::BTreeMap;

use patchbay_core::{
    Generation, ServerId, Slug, TenantId,
    issuer::IssuerRow,
    model::{ServerRow, TenantRow},
};
use sqlx::FromRow;

use crate::{
    StoreError,
    rows::{bits, generation, parsed, slug},
    secrets::{Owner, Sealed, TenantVault},
    vault::Vault,
};

#[derive(FromRow)]
pub(crate) struct TenantRecord {
    id: Vec<u8>,
    slug: String,
    title: Option<String>,
    enabled: bool,
    generation: i64,
    limits: String,
    audit: String,
}

impl TenantRecord {
    pub(crate) fn id(&self) -> Vec<u8> {
        self.id.clone()
    }
}

#[derive(FromRow)]
pub(crate) struct ServerRecord {
    id: Vec<u8>,
    slug: String,
    spec: String,
}

#[derive(FromRow)]
pub(crate) struct SecretRecord {
    server_id: Vec<u8>,
    name: String,
    sealed: Vec<u8>,
}

#[derive(FromRow)]
pub(crate) struct ToolsetRecord {
    slug: String,
    spec: String,
}

#[derive(FromRow)]
pub(crate) struct IssuerRecord {
    slug: String,
    spec: String,
}

#[derive(FromRow)]
pub(crate) struct IssuerSecretRecord {
    issuer: String,
    name: String,
    sealed: Vec<u8>,
}

/// All rows of a tenant, read in one transaction.
pub(crate) struct Records {
    pub(crate) tenant: TenantRecord,
    pub(crate) servers: Vec<ServerRecord>,
    pub(crate) secrets: Vec<SecretRecord>,
    pub(crate) toolsets: Vec<ToolsetRecord>,
    pub(crate) issuers: Vec<IssuerRecord>,
    pub(crate) issuer_secrets: Vec<IssuerSecretRecord>,
}

/// A tenant as its rows have it: secrets sealed, specs still text, so that one that nobody can read can still be replaced.
pub(crate) struct Held {
    pub(crate) id: TenantId,
    pub(crate) slug: Slug,
    pub(crate) title: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) generation: Generation,
    pub(crate) limits: String,
    pub(crate) audit: String,
    pub(crate) servers: BTreeMap<Slug, HeldServer>,
    pub(crate) toolsets: BTreeMap<Slug, String>,
    pub(crate) issuers: BTreeMap<Slug, HeldIssuer>,
}

pub(crate) struct HeldServer {
    pub(crate) id: ServerId,
    pub(crate) spec: String,
    pub(crate) sealed: Sealed,
}

pub(crate) struct HeldIssuer {
    pub(crate) spec: String,
    pub(crate) sealed: Sealed,
}

impl TryFrom<Records> for Held {
    type Error = StoreError;

    fn try_from(records: Records) -> Result<Self, StoreError> {
        let Records { tenant, servers, secrets, toolsets, issuers, issuer_secrets } = records;
        let toolsets = toolsets.into_iter().map(|toolset| Ok((slug("toolset name", &toolset.slug)?, toolset.spec)));
        Ok(Self {
            id: TenantId::from_bits(bits("tenant id", &tenant.id)?),
            slug: slug("tenant name", &tenant.slug)?,
            title: tenant.title,
            enabled: tenant.enabled,
            generation: generation(tenant.generation)?,
            limits: tenant.limits,
            audit: tenant.audit,
            servers: held_servers(servers, secrets)?,
            toolsets: toolsets.collect::<Result<_, StoreError>>()?,
            issuers: held_issuers(issuers, issuer_secrets)?,
        })
    }
}

fn held_servers(
    servers: Vec<ServerRecord>,
    secrets: Vec<SecretRecord>,
) -> Result<BTreeMap<Slug, HeldServer>, StoreError> {
    let mut sealed: BTreeMap<Vec<u8>, Sealed> = BTreeMap::new();
    for secret in secrets {
        sealed.entry(secret.server_id).or_default().insert(secret.name, secret.sealed);
    }
    let servers = servers.into_iter().map(|server| {
        let id = ServerId::from_bits(bits("server id", &server.id)?);
        let sealed = sealed.remove(&server.id).unwrap_or_default();
        Ok((slug("server name", &server.slug)?, HeldServer { id, spec: server.spec, sealed }))
    });
    servers.collect()
}

fn held_issuers(
    issuers: Vec<IssuerRecord>,
    secrets: Vec<IssuerSecretRecord>,
) -> Result<BTreeMap<Slug, HeldIssuer>, StoreError> {
    let mut sealed: BTreeMap<String, Sealed> = BTreeMap::new();
    for secret in secrets {
        sealed.entry(secret.issuer).or_default().insert(secret.name, secret.sealed);
    }
    let issuers = issuers.into_iter().map(|issuer| {
        let sealed = sealed.remove(&issuer.slug).unwrap_or_default();
        Ok((slug("issuer name", &issuer.slug)?, HeldIssuer { spec: issuer.spec, sealed }))
    });
    issuers.collect()
}

impl Held {
    /// The tenant with its secrets opened.
    pub(crate) fn open(self, vault: &Vault) -> Result<TenantRow, StoreError> {
        let Self { id, slug: tenant, title, enabled, generation, limits, audit, servers, toolsets, issuers } = self;
        let vault = TenantVault { tenant: id, slug: &tenant, vault };
        let servers = servers.into_iter().map(|(name, server)| server.open(name, &vault));
        let servers = servers.collect::<Result<_, _>>()?;
        let issuers = issuers.into_iter().map(|(name, issuer)| issuer.open(name, &vault));
        let issuers = issuers.collect::<Result<_, _>>()?;
        let toolsets = toolsets.into_iter().map(|(name, spec)| {
            let spec = parsed(&format!("toolset `{name}` of tenant `{tenant}`"), &spec)?;
            Ok((name, spec))
        });
        let toolsets = toolsets.collect::<Result<_, StoreError>>()?;
        let limits = parsed(&format!("limits of tenant `{tenant}`"), &limits)?;
        let audit = parsed(&format!("audit of tenant `{tenant}`"), &audit)?;
        Ok(TenantRow { id, slug: tenant, title, enabled, generation, limits, audit, servers, toolsets, issuers })
    }
}

impl HeldServer {
    fn open(self, slug: Slug, vault: &TenantVault<'_>) -> Result<ServerRow, StoreError> {
        let spec = parsed(&format!("server `{slug}` of tenant `{}`", vault.slug), &self.spec)?;
        let secrets = vault.open(Owner::Server(self.id, &slug), &self.sealed)?;
        Ok(ServerRow { id: self.id, slug, spec, secrets })
    }
}

impl HeldIssuer {
    fn open(self, slug: Slug, vault: &TenantVault<'_>) -> Result<IssuerRow, StoreError> {
        let spec = parsed(&format!("issuer `{slug}` of tenant `{}`", vault.slug), &self.spec)?;
        let secrets = vault.open(Owner::Issuer(&slug), &self.sealed)?;
        Ok(IssuerRow { slug, spec, secrets })
    }
}
