//! Who may administer what: the grants of admin keys and of people, and what an admin key is. How somebody proves to be an admin
//! is the gateway's `auth`; where keys are kept, the store's.

use serde::{Deserialize, Serialize};

use crate::{KeyId, Slug};

/// What an administrator may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Grant {
    /// Everything: all tenants, admin keys, the gateway itself.
    PlatformAdmin,
    /// Everything that belongs to one tenant.
    TenantAdmin {
        /// Which.
        tenant: Slug,
    },
    /// To look at what belongs to one tenant.
    TenantViewer {
        /// Which.
        tenant: Slug,
    },
}

/// What somebody needs for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// To administer the platform.
    Platform,
    /// To change what belongs to this tenant.
    Change(&'a Slug),
    /// To see what belongs to this tenant.
    See(&'a Slug),
}

impl Grant {
    /// Whether this is enough.
    pub fn covers(&self, need: Need<'_>) -> bool {
        match (self, need) {
            (Self::PlatformAdmin, _) => true,
            (Self::TenantAdmin { tenant }, Need::Change(of) | Need::See(of))
            | (Self::TenantViewer { tenant }, Need::See(of)) => tenant == of,
            (Self::TenantAdmin { .. } | Self::TenantViewer { .. }, Need::Platform)
            | (Self::TenantViewer { .. }, Need::Change(_)) => false,
        }
    }

    /// The word for the role.
    pub const fn role(&self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform_admin",
            Self::TenantAdmin { .. } => "tenant_admin",
            Self::TenantViewer { .. } => "tenant_viewer",
        }
    }

    /// The tenant that it is about; `None` for all.
    pub const fn tenant(&self) -> Option<&Slug> {
        match self {
            Self::PlatformAdmin => None,
            Self::TenantAdmin { tenant } | Self::TenantViewer { tenant } => Some(tenant),
        }
    }
}

/// An admin key as the store has it. The key itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminKeyRow {
    /// The row.
    pub id: KeyId,
    /// What people call it.
    pub label: String,
    /// The visible beginning of the key, to recognise it by.
    pub shown: String,
    /// SHA-256 of the whole key.
    pub digest: [u8; 32],
    /// What it may do.
    pub grant: Grant,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it is refused.
    pub expires_ms: Option<i64>,
    /// Since when it is refused.
    pub revoked_ms: Option<i64>,
    /// When it was last used; written at most once a minute.
    pub used_ms: Option<i64>,
}

impl AdminKeyRow {
    /// Whether it opens anything at this moment.
    pub fn is_active(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|at_ms| now_ms < at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_own_tenant_and_nothing_above() {
        let (acme, other): (Slug, Slug) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let admin = Grant::TenantAdmin { tenant: acme.clone() };
        let viewer = Grant::TenantViewer { tenant: acme.clone() };
        for need in [Need::Platform, Need::Change(&acme), Need::See(&other)] {
            assert!(Grant::PlatformAdmin.covers(need));
        }
        assert!(admin.covers(Need::Change(&acme)) && admin.covers(Need::See(&acme)));
        assert!(viewer.covers(Need::See(&acme)) && !viewer.covers(Need::Change(&acme)));
        for grant in [admin, viewer] {
            assert!(
                !grant.covers(Need::Platform)
                    && !grant.covers(Need::See(&other))
                    && !grant.covers(Need::Change(&other))
            );
        }
    }
}
