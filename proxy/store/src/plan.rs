//! What applying a tenant file has to write: the difference between what is held and what is wanted, without touching either.
//!
//! Both databases carry the same [`Plan`] out inside one transaction; an empty plan means that nothing changed.

use std::collections::BTreeMap;

use patchbay_core::{
    ServerId, Slug, TenantId,
    issuer::IssuerDoc,
    model::{DEFAULT_TOOLSET, ServerDoc, ServerOauth, ServerSpec, TenantDoc, ToolsetSpec},
};
use serde::de::DeserializeOwned;

use crate::{
    StoreError,
    held::{Held, HeldIssuer, HeldServer},
    rows::json,
    secrets::{Owner, TenantVault},
    vault::Vault,
};

/// The secrets by which the gateway is somebody at a server.
const IDENTITY: [&str; 2] = [ServerOauth::SECRET, ServerOauth::PRIVATE_KEY];

/// The rows to write. Deletions come first, then servers and issuers, then what hangs on them.
#[derive(Default)]
pub(crate) struct Plan {
    /// Title, switch, limits or audit differ, or the tenant is new.
    pub(crate) tenant: Option<TenantFields>,
    pub(crate) servers_gone: Vec<ServerId>,
    pub(crate) servers_put: Vec<(ServerId, Slug, String)>,
    /// Servers that are reached otherwise than before, so that what they offered says nothing any more.
    pub(crate) catalogs_gone: Vec<ServerId>,
    /// Servers that are reached otherwise, or by another identity, so that the gateway's token there is not to be shown any more.
    pub(crate) tokens_gone: Vec<ServerId>,
    pub(crate) secrets_gone: Vec<(ServerId, String)>,
    pub(crate) secrets_put: Vec<(ServerId, String, Vec<u8>)>,
    pub(crate) toolsets_gone: Vec<Slug>,
    pub(crate) toolsets_put: Vec<(Slug, String)>,
    pub(crate) issuers: IssuersPlan,
}

/// The rows of issuers to write, in this order.
#[derive(Default)]
pub(crate) struct IssuersPlan {
    pub(crate) gone: Vec<Slug>,
    pub(crate) put: Vec<(Slug, String)>,
    pub(crate) secrets_gone: Vec<(Slug, String)>,
    pub(crate) secrets_put: Vec<(Slug, String, Vec<u8>)>,
}

pub(crate) struct TenantFields {
    pub(crate) title: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) limits: String,
    pub(crate) audit: String,
}

impl Plan {
    /// What makes of `held` what `doc` says; `id` is the tenant's, fresh when nothing is held.
    pub(crate) fn new(id: TenantId, held: Option<&Held>, doc: &TenantDoc, vault: &Vault) -> Result<Self, StoreError> {
        let mut plan = Self { tenant: tenant_fields(held, doc)?, ..Self::default() };
        let vault = TenantVault { tenant: id, slug: &doc.slug, vault };
        plan.servers(held, doc, &vault)?;
        plan.issuers.fill(held, doc, &vault)?;
        plan.toolsets(held, doc)?;
        Ok(plan)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tenant.is_none()
            && self.servers_gone.is_empty()
            && self.servers_put.is_empty()
            && self.secrets_gone.is_empty()
            && self.secrets_put.is_empty()
            && self.toolsets_gone.is_empty()
            && self.toolsets_put.is_empty()
            && self.issuers.is_empty()
    }

    fn servers(&mut self, held: Option<&Held>, doc: &TenantDoc, vault: &TenantVault<'_>) -> Result<(), StoreError> {
        let none = BTreeMap::new();
        let held = held.map_or(&none, |held| &held.servers);
        for (slug, wanted) in &doc.servers {
            self.server(slug, wanted, held.get(slug), vault)?;
        }
        let gone = held.iter().filter(|(slug, _)| !doc.servers.contains_key(*slug));
        self.servers_gone = gone.map(|(_, server)| server.id).collect();
        Ok(())
    }

    fn server(
        &mut self,
        slug: &Slug,
        wanted: &ServerDoc,
        held: Option<&HeldServer>,
        vault: &TenantVault<'_>,
    ) -> Result<(), StoreError> {
        let id = held.map_or_else(ServerId::random, |held| held.id);
        let text = json(&wanted.spec)?;
        let mut elsewhere = false;
        if !held.is_some_and(|held| says(&held.spec, &text, &wanted.spec)) {
            self.servers_put.push((id, slug.clone(), text));
            let known: Option<ServerSpec> = held.and_then(|held| serde_json::from_str(&held.spec).ok());
            elsewhere = known.is_none_or(|known| known.transport != wanted.spec.transport);
        }
        let secrets = vault.plan(Owner::Server(id, slug), &wanted.secrets, held.map(|held| &held.sealed))?;
        if elsewhere {
            self.catalogs_gone.push(id);
        }
        if elsewhere || secrets.changes(&IDENTITY) {
            self.tokens_gone.push(id);
        }
        self.secrets_gone.extend(secrets.gone.into_iter().map(|name| (id, name)));
        self.secrets_put.extend(secrets.put.into_iter().map(|(name, sealed)| (id, name, sealed)));
        Ok(())
    }

    fn toolsets(&mut self, held: Option<&Held>, doc: &TenantDoc) -> Result<(), StoreError> {
        let none = BTreeMap::new();
        let held = held.map_or(&none, |held| &held.toolsets);
        let plain = ToolsetSpec::default();
        let default: Slug = DEFAULT_TOOLSET.parse().expect("`default` is a well-formed slug");
        let mut wanted: BTreeMap<&Slug, &ToolsetSpec> = doc.toolsets.iter().collect();
        wanted.entry(&default).or_insert(&plain);
        for (slug, spec) in &wanted {
            let text = json(spec)?;
            if !held.get(*slug).is_some_and(|held| says(held, &text, *spec)) {
                self.toolsets_put.push(((*slug).clone(), text));
            }
        }
        self.toolsets_gone = held.keys().filter(|slug| !wanted.contains_key(slug)).cloned().collect();
        Ok(())
    }
}

impl IssuersPlan {
    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.put.is_empty() && self.secrets_gone.is_empty() && self.secrets_put.is_empty()
    }

    fn fill(&mut self, held: Option<&Held>, doc: &TenantDoc, vault: &TenantVault<'_>) -> Result<(), StoreError> {
        let none = BTreeMap::new();
        let held = held.map_or(&none, |held| &held.issuers);
        for (slug, wanted) in &doc.issuers {
            self.issuer(slug, wanted, held.get(slug), vault)?;
        }
        self.gone = held.keys().filter(|slug| !doc.issuers.contains_key(*slug)).cloned().collect();
        Ok(())
    }

    fn issuer(
        &mut self,
        slug: &Slug,
        wanted: &IssuerDoc,
        held: Option<&HeldIssuer>,
        vault: &TenantVault<'_>,
    ) -> Result<(), StoreError> {
        let text = json(&wanted.spec)?;
        if !held.is_some_and(|held| says(&held.spec, &text, &wanted.spec)) {
            self.put.push((slug.clone(), text));
        }
        let secrets = vault.plan(Owner::Issuer(slug), &wanted.secrets, held.map(|held| &held.sealed))?;
        self.secrets_gone.extend(secrets.gone.into_iter().map(|name| (slug.clone(), name)));
        self.secrets_put.extend(secrets.put.into_iter().map(|(name, sealed)| (slug.clone(), name, sealed)));
        Ok(())
    }
}

fn tenant_fields(held: Option<&Held>, doc: &TenantDoc) -> Result<Option<TenantFields>, StoreError> {
    let (limits, audit) = (json(&doc.limits)?, json(&doc.audit)?);
    let same = held.is_some_and(|held| {
        held.title == doc.title
            && held.enabled == doc.enabled
            && says(&held.limits, &limits, &doc.limits)
            && says(&held.audit, &audit, &doc.audit)
    });
    Ok((!same).then(|| TenantFields { title: doc.title.clone(), enabled: doc.enabled, limits, audit }))
}

/// Whether the text that is held says the same as the wanted value, whose text is `text`. The texts alone would see a
/// difference in the order of keys, the values alone one in the last bit of a fraction that was read back.
fn says<T: DeserializeOwned + PartialEq>(held: &str, text: &str, wanted: &T) -> bool {
    held == text || serde_json::from_str::<T>(held).is_ok_and(|held| held == *wanted)
}
