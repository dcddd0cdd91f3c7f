//! The secrets of a tenant's servers and issuers, between sealed rows and values: opened when the tenant is loaded, compared and
//! sealed when a file is applied. The cipher is `vault`'s.

use std::{collections::BTreeMap, fmt};

use patchbay_core::{ServerId, Slug, TenantId, model::Secrets};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    StoreError,
    vault::{Bound, Closed, Of, Vault},
};

/// Sealed secrets by their names.
pub(crate) type Sealed = BTreeMap<String, Vec<u8>>;

/// The vault, for the secrets of one tenant.
pub(crate) struct TenantVault<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) slug: &'a Slug,
    pub(crate) vault: &'a Vault,
}

/// Whose secrets, as rows and as people know it.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    Server(ServerId, &'a Slug),
    Issuer(&'a Slug),
}

/// The secrets of one owner that have to be written.
pub(crate) struct SecretsPlan {
    pub(crate) gone: Vec<String>,
    pub(crate) put: Vec<(String, Vec<u8>)>,
}

impl SecretsPlan {
    /// Whether a secret of one of these names is another one from now on.
    pub(crate) fn changes(&self, names: &[&str]) -> bool {
        let put = self.put.iter().map(|(name, _)| name);
        self.gone.iter().chain(put).any(|name| names.contains(&name.as_str()))
    }
}

impl TenantVault<'_> {
    /// All secrets of one owner, opened.
    pub(crate) fn open(&self, owner: Owner<'_>, sealed: &Sealed) -> Result<Secrets, StoreError> {
        let opened = sealed.iter().map(|(name, sealed)| {
            let opened = self.vault.open(self.bound(owner, name), sealed);
            Ok((name.clone(), opened.map_err(|closed| self.closed(owner, name, closed))?))
        });
        Ok(Secrets(opened.collect::<Result<_, StoreError>>()?))
    }

    /// What makes of the sealed secrets of one owner what is wanted.
    pub(crate) fn plan(
        &self,
        owner: Owner<'_>,
        wanted: &BTreeMap<String, Option<SecretString>>,
        sealed: Option<&Sealed>,
    ) -> Result<SecretsPlan, StoreError> {
        let none = Sealed::new();
        let sealed = sealed.unwrap_or(&none);
        let mut put = Vec::new();
        for (name, value) in wanted {
            if let Some(fresh) = self.fresh(owner, name, value.as_ref(), sealed.get(name))? {
                put.push((name.clone(), fresh));
            }
        }
        let gone = sealed.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        Ok(SecretsPlan { gone, put })
    }

    /// The bytes to write for one secret, or `None` when those that are there stay.
    fn fresh(
        &self,
        owner: Owner<'_>,
        name: &str,
        value: Option<&SecretString>,
        sealed: Option<&Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let bound = self.bound(owner, name);
        let opened = sealed.map(|sealed| self.vault.open(bound, sealed));
        match (value, opened) {
            (Some(value), Some(Ok(same))) if same.expose_secret() == value.expose_secret() => Ok(None),
            (Some(value), _) => Ok(Some(self.vault.seal(bound, value.expose_secret()))),
            (None, Some(Ok(_))) => Ok(None),
            (None, Some(Err(closed))) => Err(self.closed(owner, name, closed)),
            (None, None) => Err(StoreError::NotFound(format!(
                "the secret `{name}` of {owner} of tenant `{}` should be kept as it is, but none is stored: give its value once",
                self.slug
            ))),
        }
    }

    fn bound<'a>(&self, owner: Owner<'a>, name: &'a str) -> Bound<'a> {
        let of = match owner {
            Owner::Server(id, _) => Of::Server(id),
            Owner::Issuer(slug) => Of::Issuer(slug),
        };
        Bound { tenant: self.tenant, of, name }
    }

    /// The error for a secret that stays closed, in words for whoever has the keys.
    fn closed(&self, owner: Owner<'_>, name: &str, closed: Closed) -> StoreError {
        StoreError::Sealed(format!(
            "the secret `{name}` of {owner} of tenant `{}` cannot be opened: {closed}; start with the key that sealed it, or \
             apply the tenant's file again with the value",
            self.slug
        ))
    }
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(_, slug) => write!(f, "server `{slug}`"),
            Self::Issuer(slug) => write!(f, "issuer `{slug}`"),
        }
    }
}
