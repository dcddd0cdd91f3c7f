//! The admin API: where it listens, who signs admins in and what their groups may do, and what tenants' own admins may point
//! built-in servers at.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Component, Path, PathBuf},
};

use patchbay_core::{Slug, admin::Grant, issuer::IssuerDoc};

use super::{ADDRESS_OR_OFF, Lower};
use crate::{
    gateway::{AdminConfig, GroupGrant, TenantAdminsConfig},
    path::FieldPath,
    schema::{AdminFile, GrantFile, Role, TenantAdminsFile},
    suggest::nearest,
    tenant::{IssuerFile, RegistrationFile, SEALED, lower_issuers},
};

impl Lower<'_, '_> {
    /// The listener of the admin API. `others` are those that it must differ from, by their fields.
    pub(super) fn listen_admin(&mut self, text: &str, others: &[(&str, Option<SocketAddr>)]) -> Option<SocketAddr> {
        if text.trim() == "off" {
            return None;
        }
        let field = FieldPath::of(["listen", "admin"]);
        let address: SocketAddr = self.parse(&field, text, ADDRESS_OR_OFF)?;
        let same = others.iter().find(|(_, other)| address.port() != 0 && *other == Some(address));
        if let Some((name, _)) = same {
            let message =
                format!("expected another address than {name}, or `off`: the admin API has a listener of its own");
            self.report.meaning(&field, message);
        }
        Some(address)
    }

    pub(super) fn admin(&mut self, file: AdminFile) -> AdminConfig {
        let field = FieldPath::of(["admin"]);
        let names: Vec<String> = file.issuers.keys().cloned().collect();
        self.refuse_tokens_of_nobody(&field, &file);
        AdminConfig {
            bootstrap_key: file.bootstrap_key.as_deref().and_then(|text| self.bootstrap_key(text)),
            allowed_hosts: self.authorities(&field.key("allowed_hosts"), &file.allowed_hosts),
            issuers: self.admin_issuers(&field.key("issuers"), file.issuers, file.public_url.is_some()),
            grants: self.grants(&field.key("grants"), &file.grants, &names),
            public_url: file.public_url.as_deref().and_then(|text| self.address(&field.key("public_url"), text)),
        }
    }

    fn refuse_tokens_of_nobody(&mut self, field: &FieldPath, file: &AdminFile) {
        if file.issuers.is_empty() && !file.grants.is_empty() && !self.report.is_misshapen(&field.key("issuers")) {
            let message = "expected admin.issuers beside it, found none: groups are those of their tokens";
            self.report.meaning(&field.key("grants"), message);
        }
    }

    fn admin_issuers(
        &mut self,
        field: &FieldPath,
        files: BTreeMap<String, IssuerFile>,
        has_address: bool,
    ) -> BTreeMap<Slug, IssuerDoc> {
        for (name, file) in &files {
            let field = field.key(name);
            if !has_address && file.audiences.is_empty() {
                let message = "expected admin.public_url, which is the audience of admins' tokens, or `audiences` here; found \
                               neither";
                self.report.meaning(&field.key("audiences"), message);
            }
            if file.registration != RegistrationFile::default() {
                let message = "belongs to the issuers of tenants: it tells users of toolsets how their clients come to a client \
                               id; leave it out";
                self.report.meaning(&field.key("registration"), message);
            }
            if file.introspection.as_ref().is_some_and(|introspection| introspection.client_secret == SEALED) {
                let message =
                    "expected ${env:NAME} or ${file:PATH}: the store keeps secrets of tenants, and none of this file";
                self.report.meaning(&field.key("introspection").key("client_secret"), message);
            }
        }
        lower_issuers(&mut self.report, self.resolve, field, files)
    }

    fn grants(&mut self, field: &FieldPath, files: &[GrantFile], issuers: &[String]) -> Vec<GroupGrant> {
        let mut grants = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let field = field.index(at);
            let issuer = file.issuer.as_deref().and_then(|name| self.known_issuer(&field.key("issuer"), name, issuers));
            let grant = self.grant(&field, file);
            grants.extend(grant.map(|grant| GroupGrant { issuer, group: file.group.clone(), grant }));
        }
        grants
    }

    fn known_issuer(&mut self, field: &FieldPath, name: &str, issuers: &[String]) -> Option<Slug> {
        // Without any, that was said already.
        if !issuers.is_empty() && !issuers.iter().any(|issuer| issuer == name) {
            let near = nearest(name, issuers.iter().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            self.report.meaning(field, format!("there is no issuer {name:?} under admin.issuers{hint}"));
        }
        name.parse().ok()
    }

    fn grant(&mut self, field: &FieldPath, file: &GrantFile) -> Option<Grant> {
        let field = field.key("tenant");
        let tenant = match (file.role, file.tenant.as_deref()) {
            (Role::PlatformAdmin, None) => return Some(Grant::PlatformAdmin),
            (Role::PlatformAdmin, Some(_)) => {
                let message =
                    "belongs to the roles tenant_admin and tenant_viewer; a platform_admin administers all tenants";
                self.report.meaning(&field, message);
                return None;
            }
            (Role::TenantAdmin | Role::TenantViewer, None) => {
                let message = "expected the name of a tenant beside the role of a tenant, found nothing";
                self.report.meaning(&field, message);
                return None;
            }
            (Role::TenantAdmin | Role::TenantViewer, Some(tenant)) => tenant,
        };
        let tenant = tenant.parse().map_err(|why| self.report.meaning(&field, format!("{why}"))).ok()?;
        match file.role {
            Role::PlatformAdmin => None,
            Role::TenantAdmin => Some(Grant::TenantAdmin { tenant }),
            Role::TenantViewer => Some(Grant::TenantViewer { tenant }),
        }
    }

    pub(super) fn tenant_admins(&mut self, file: &TenantAdminsFile) -> TenantAdminsConfig {
        let field = FieldPath::of(["tenant_admins"]);
        let mut files = Vec::new();
        for (at, text) in file.database_files.iter().enumerate() {
            if is_plain_path(text) {
                files.push(PathBuf::from(text));
            } else {
                let message = format!("expected an absolute path without `..`, as in /srv/databases, found {text:?}");
                self.report.meaning(&field.key("database_files").index(at), message);
            }
        }
        TenantAdminsConfig {
            database_hosts: self.authorities(&field.key("database_hosts"), &file.database_hosts),
            database_files: files,
            custom_weather: file.allow_custom_weather,
        }
    }
}

/// Whether the path is absolute and leads only down.
fn is_plain_path(text: &str) -> bool {
    let down = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    text.starts_with('/') && !text.contains('\0') && Path::new(text).components().all(down)
}
