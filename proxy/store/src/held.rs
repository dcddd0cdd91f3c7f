//! A whole tenant as its rows have it, on the way from the tables to a [`TenantRow`] or to a plan.

use std::collections::BTreeMap;

use patchbay_core::{
    Generation, ServerId, Slug, TenantId,
    model::{Secrets, ServerRow, TenantRow},
};
use sqlx::FromRow;

use crate::{
    StoreError,
    rows::{bits, generation, parsed, slug},
    vault::{Bound, Closed, Vault},
};

#[derive(FromRow)]
pub(crate) struct TenantRecord {
    id: Vec<u8>,
    slug: String,
    title: Option<String>,
    enabled: bool,
    generation: i64,
    limits: String,
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

/// A tenant as its rows have it: secrets sealed, specs still text, so that one that nobody can read can still be replaced.
pub(crate) struct Held {
    pub(crate) id: TenantId,
    pub(crate) slug: Slug,
    pub(crate) title: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) generation: Generation,
    pub(crate) limits: String,
    pub(crate) servers: BTreeMap<Slug, HeldServer>,
    pub(crate) toolsets: BTreeMap<Slug, String>,
}

pub(crate) struct HeldServer {
    pub(crate) id: ServerId,
    pub(crate) spec: String,
    pub(crate) sealed: BTreeMap<String, Vec<u8>>,
}

impl Held {
    pub(crate) fn from_records(
        tenant: TenantRecord,
        servers: Vec<ServerRecord>,
        secrets: Vec<SecretRecord>,
        toolsets: Vec<ToolsetRecord>,
    ) -> Result<Self, StoreError> {
        let mut sealed: BTreeMap<Vec<u8>, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for secret in secrets {
            sealed.entry(secret.server_id).or_default().insert(secret.name, secret.sealed);
        }
        let servers = servers.into_iter().map(|server| {
            let id = ServerId::from_bits(bits("server id", &server.id)?);
            let sealed = sealed.remove(&server.id).unwrap_or_default();
            Ok((slug("server name", &server.slug)?, HeldServer { id, spec: server.spec, sealed }))
        });
        let servers = servers.collect::<Result<_, StoreError>>()?;
        let toolsets = toolsets.into_iter().map(|toolset| Ok((slug("toolset name", &toolset.slug)?, toolset.spec)));
        Ok(Self {
            id: TenantId::from_bits(bits("tenant id", &tenant.id)?),
            slug: slug("tenant name", &tenant.slug)?,
            title: tenant.title,
            enabled: tenant.enabled,
            generation: generation(tenant.generation)?,
            limits: tenant.limits,
            servers,
            toolsets: toolsets.collect::<Result<_, StoreError>>()?,
        })
    }

    /// The tenant with its secrets opened.
    pub(crate) fn open(self, vault: &Vault) -> Result<TenantRow, StoreError> {
        let Self { id, slug: tenant, title, enabled, generation, limits, servers, toolsets } = self;
        let servers = servers.into_iter().map(|(name, server)| server.open(id, &tenant, name, vault));
        let servers = servers.collect::<Result<_, _>>()?;
        let toolsets = toolsets.into_iter().map(|(name, spec)| {
            let spec = parsed(&format!("toolset `{name}` of tenant `{tenant}`"), &spec)?;
            Ok((name, spec))
        });
        let toolsets = toolsets.collect::<Result<_, StoreError>>()?;
        let limits = parsed(&format!("limits of tenant `{tenant}`"), &limits)?;
        Ok(TenantRow { id, slug: tenant, title, enabled, generation, limits, servers, toolsets, issuers: Vec::new() })
    }
}

impl HeldServer {
    fn open(self, tenant: TenantId, tenant_slug: &Slug, slug: Slug, vault: &Vault) -> Result<ServerRow, StoreError> {
        let spec = parsed(&format!("server `{slug}` of tenant `{tenant_slug}`"), &self.spec)?;
        let secrets = self.sealed.iter().map(|(name, sealed)| {
            let opened = vault.open(Bound { tenant, server: self.id, name }, sealed);
            let opened = opened.map_err(|closed| sealed_error(tenant_slug, &slug, name, closed))?;
            Ok((name.clone(), opened))
        });
        let secrets = Secrets(secrets.collect::<Result<_, StoreError>>()?);
        Ok(ServerRow { id: self.id, slug, spec, secrets })
    }
}

/// The error for a secret that stays closed, in words for whoever has the keys.
pub(crate) fn sealed_error(tenant: &Slug, server: &Slug, name: &str, closed: Closed) -> StoreError {
    StoreError::Sealed(format!(
        "the secret `{name}` of server `{server}` of tenant `{tenant}` cannot be opened: {closed}; start with the key that \
         sealed it, or apply the tenant's file again with the value"
    ))
}
