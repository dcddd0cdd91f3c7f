//! What applying a tenant file has to write: the difference between what is held and what is wanted, without touching either.
//!
//! Both databases carry the same [`Plan`] out inside one transaction; an empty plan means that nothing changed.

use std::collections::BTreeMap;

use patchbay_core::{
    ServerId, Slug, TenantId,
    model::{DEFAULT_TOOLSET, ServerDoc, ServerSpec, TenantDoc, ToolsetSpec},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::{
    StoreError,
    held::{Held, HeldServer, sealed_error},
    rows::json,
    vault::{Bound, Vault},
};

/// The rows to write. Deletions come first, then servers, then what hangs on them.
#[derive(Default)]
pub(crate) struct Plan {
    /// Title, switch or limits differ, or the tenant is new.
    pub(crate) tenant: Option<TenantFields>,
    pub(crate) servers_gone: Vec<ServerId>,
    pub(crate) servers_put: Vec<(ServerId, Slug, String)>,
    /// Servers that are reached otherwise than before, so that what they offered says nothing any more.
    pub(crate) catalogs_gone: Vec<ServerId>,
    pub(crate) secrets_gone: Vec<(ServerId, String)>,
    pub(crate) secrets_put: Vec<(ServerId, String, Vec<u8>)>,
    pub(crate) toolsets_gone: Vec<Slug>,
    pub(crate) toolsets_put: Vec<(Slug, String)>,
}

pub(crate) struct TenantFields {
    pub(crate) title: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) limits: String,
}

impl Plan {
    /// What makes of `held` what `doc` says; `id` is the tenant's, fresh when nothing is held.
    pub(crate) fn new(id: TenantId, held: Option<&Held>, doc: &TenantDoc, vault: &Vault) -> Result<Self, StoreError> {
        let mut plan = Self { tenant: tenant_fields(held, doc)?, ..Self::default() };
        let servers = Servers { tenant: id, tenant_slug: &doc.slug, vault };
        let none = BTreeMap::new();
        let held_servers = held.map_or(&none, |held| &held.servers);
        for (slug, wanted) in &doc.servers {
            servers.put(&mut plan, slug, wanted, held_servers.get(slug))?;
        }
        let gone = held_servers.iter().filter(|(slug, _)| !doc.servers.contains_key(*slug));
        plan.servers_gone = gone.map(|(_, server)| server.id).collect();
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

fn tenant_fields(held: Option<&Held>, doc: &TenantDoc) -> Result<Option<TenantFields>, StoreError> {
    let limits = json(&doc.limits)?;
    let same = held.is_some_and(|held| {
        held.title == doc.title && held.enabled == doc.enabled && says(&held.limits, &limits, &doc.limits)
    });
    Ok((!same).then(|| TenantFields { title: doc.title.clone(), enabled: doc.enabled, limits }))
}

/// Whether the text that is held says the same as the wanted value, whose text is `text`. The texts alone would see a
/// difference in the order of keys, the values alone one in the last bit of a fraction that was read back.
fn says<T: DeserializeOwned + PartialEq>(held: &str, text: &str, wanted: &T) -> bool {
    held == text || serde_json::from_str::<T>(held).is_ok_and(|held| held == *wanted)
}

/// What stays the same while one server after the other is planned.
struct Servers<'a> {
    tenant: TenantId,
    tenant_slug: &'a Slug,
    vault: &'a Vault,
}

impl Servers<'_> {
    fn put(
        &self,
        plan: &mut Plan,
        slug: &Slug,
        wanted: &ServerDoc,
        held: Option<&HeldServer>,
    ) -> Result<(), StoreError> {
        let id = held.map_or_else(ServerId::random, |held| held.id);
        let text = json(&wanted.spec)?;
        if !held.is_some_and(|held| says(&held.spec, &text, &wanted.spec)) {
            plan.servers_put.push((id, slug.clone(), text));
            let known: Option<ServerSpec> = held.and_then(|held| serde_json::from_str(&held.spec).ok());
            if known.is_none_or(|known| known.transport != wanted.spec.transport) {
                plan.catalogs_gone.push(id);
            }
        }
        let none = BTreeMap::new();
        let sealed = held.map_or(&none, |held| &held.sealed);
        for (name, value) in &wanted.secrets {
            if let Some(fresh) = self.secret(id, slug, name, value.as_ref(), sealed.get(name))? {
                plan.secrets_put.push((id, name.clone(), fresh));
            }
        }
        let gone = sealed.keys().filter(|name| !wanted.secrets.contains_key(*name));
        plan.secrets_gone.extend(gone.map(|name| (id, name.clone())));
        Ok(())
    }

    /// The bytes to write for one secret, or `None` when those that are there stay.
    fn secret(
        &self,
        server: ServerId,
        slug: &Slug,
        name: &str,
        value: Option<&SecretString>,
        sealed: Option<&Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let bound = Bound { tenant: self.tenant, server, name };
        let opened = sealed.map(|sealed| self.vault.open(bound, sealed));
        match (value, opened) {
            (Some(value), Some(Ok(same))) if same.expose_secret() == value.expose_secret() => Ok(None),
            (Some(value), _) => Ok(Some(self.vault.seal(bound, value.expose_secret()))),
            (None, Some(Ok(_))) => Ok(None),
            (None, Some(Err(closed))) => Err(sealed_error(self.tenant_slug, slug, name, closed)),
            (None, None) => Err(StoreError::NotFound(format!(
                "the secret `{name}` of server `{slug}` of tenant `{}` should be kept as it is, but none is stored: \
                 give its value once",
                self.tenant_slug
            ))),
        }
    }
}
