//! What a tenant's own admins may not write, and platform admins may. It is judged on what the document means and not on what was
//! sent, so that it holds for every way to write: a part, a whole document, a probe. What stays as it is was allowed before.
//!
//! A secret that an admin cannot read must not be sent where that admin decides; what the gateway can reach beside the open
//! internet (files, databases in its network, programs) is the operator's to give.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use patchbay_builtin_tools::{Builtin, Given, Reach};
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug,
    issuer::{IssuerDoc, IssuerRow},
    model::{Access, Secrets, ServerDoc, ServerRow, TenantDoc, TenantRow, Transport},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use url::Url;

use super::{document::sealed, problem::FieldError};
use crate::control::{builtins, servers};

/// Something that a tenant's own admin may not write.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) field: FieldError,
    /// Whether a platform admin may; if not, the tenant's admin may too, in another way.
    pub(super) is_of_role: bool,
}

/// All that is refused.
pub(super) fn refusals(config: &GatewayConfig, doc: &TenantDoc, held: Option<&TenantRow>) -> Vec<Refusal> {
    let mut refusals = Refusals { config, found: Vec::new() };
    for (name, server) in &doc.servers {
        let before = held.and_then(|held| held.servers.iter().find(|row| row.slug == *name));
        refusals.server(name, server, before);
    }
    for (name, issuer) in &doc.issuers {
        let before = held.and_then(|held| held.issuers.iter().find(|row| row.slug == *name));
        refusals.issuer(name, issuer, before);
    }
    for (name, toolset) in doc.toolsets.iter().filter(|(_, toolset)| toolset.access == Access::Anonymous) {
        let before = held.and_then(|held| held.toolsets.iter().find(|(held, _)| held == name));
        if before.is_none_or(|(_, before)| before != toolset) {
            let why = "expected `key`, `oauth` or `both`: toolsets that are open to everybody are for platform admins";
            refusals.of_role(format!("/toolsets/{name}/access"), why);
        }
    }
    refusals.found
}

struct Refusals<'a> {
    config: &'a GatewayConfig,
    found: Vec<Refusal>,
}

impl Refusals<'_> {
    fn of_role(&mut self, pointer: String, why: impl Into<String>) {
        self.found.push(Refusal { field: FieldError { pointer, detail: why.into() }, is_of_role: true });
    }

    fn of_kept_secret(&mut self, pointer: String) {
        let detail =
            "expected the secret anew: `${sealed}` would send the one that is stored elsewhere than before".to_owned();
        self.found.push(Refusal { field: FieldError { pointer, detail }, is_of_role: false });
    }

    fn server(&mut self, name: &Slug, server: &ServerDoc, before: Option<&ServerRow>) {
        let owner = format!("/servers/{name}");
        let transport = &server.spec.transport;
        if let Some(before) = before {
            let kept = server.secrets.iter().filter(|(_, value)| value.is_none()).map(|(secret, _)| secret);
            for secret in kept.filter(|secret| goes_elsewhere(&before.spec.transport, transport, secret)) {
                self.of_kept_secret(sealed::pointer(&owner, secret));
            }
            if before.spec.transport == *transport && are_same(&server.secrets, &before.secrets) {
                return;
            }
        }
        match transport {
            Transport::Builtin { name: kind, options, secrets } => {
                let secrets = builtins::secrets(secrets, |secret| match server.secrets.get(secret)? {
                    Some(value) => Some(value.clone()),
                    None => before?.secrets.0.get(secret).cloned(),
                });
                self.builtin(&owner, kind, options, secrets);
            }
            Transport::Stdio { command, .. } => {
                if !servers::is_listed(self.config, command) {
                    let why = "expected a command on the operator's list (stdio.commands in patchbay.yaml)";
                    self.of_role(format!("{owner}/command"), why);
                }
            }
            Transport::Http { .. } => {}
        }
    }

    fn builtin(&mut self, owner: &str, kind: &str, options: &Json, secrets: BTreeMap<String, SecretString>) {
        let Some(builtin) = Builtin::find(kind) else {
            return self.of_role(format!("{owner}/builtin"), "expected a built-in server that this gateway has");
        };
        let given = Given { options: options.clone(), secrets, ..Given::default() };
        let pointer = format!("{owner}/options");
        let reach = match builtin.reach(&given) {
            Ok(reach) => reach,
            Err(why) => return self.of_role(pointer, why.to_string()),
        };
        for why in beyond(self.config, &reach) {
            self.of_role(pointer.clone(), why);
        }
    }

    fn issuer(&mut self, name: &Slug, issuer: &IssuerDoc, before: Option<&IssuerRow>) {
        let Some(before) = before else { return };
        let (old, new) = (&before.spec, &issuer.spec);
        let place = |spec: &patchbay_core::issuer::IssuerSpec| {
            let introspection = spec.introspection.clone();
            let asked =
                introspection.map(|introspection| (introspection.url, introspection.client_id, introspection.auth));
            (spec.issuer.clone(), spec.metadata_url.clone(), asked)
        };
        if place(old) != place(new) {
            for (secret, _) in issuer.secrets.iter().filter(|(_, value)| value.is_none()) {
                self.of_kept_secret(sealed::pointer(&format!("/issuers/{name}"), secret));
            }
        }
    }
}

/// Whether a secret that is kept would be shown to somebody else than before. A path says who it is as much as a host does where
/// several share one; a program and its arguments decide what becomes of its environment.
fn goes_elsewhere(before: &Transport, after: &Transport, secret: &str) -> bool {
    match (before, after) {
        (
            Transport::Builtin { name, options, .. },
            Transport::Builtin { name: other_name, options: other_options, .. },
        ) => (name, options) != (other_name, other_options),
        (
            Transport::Stdio { command, args, cwd, .. },
            Transport::Stdio { command: other_command, args: other_args, cwd: other_cwd, .. },
        ) => (command, args, cwd) != (other_command, other_args, other_cwd),
        (Transport::Http { url, oauth, .. }, Transport::Http { url: other_url, oauth: other_oauth, .. }) => {
            let place = |oauth: &Option<patchbay_core::model::ServerOauth>| {
                let oauth = oauth.clone()?;
                Some((oauth.client_id, oauth.auth, oauth.issuer, oauth.resource))
            };
            !same_url(url, other_url) || (secret.starts_with("oauth:") && place(oauth) != place(other_oauth))
        }
        _ => true,
    }
}

fn same_url(one: &str, other: &str) -> bool {
    one == other || matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether all secrets are those that are held.
fn are_same(wanted: &BTreeMap<String, Option<SecretString>>, held: &Secrets) -> bool {
    wanted.iter().all(|(name, value)| {
        value.as_ref().is_none_or(|value| held.reveal(name).is_some_and(|held| held == value.expose_secret()))
    })
}

/// What a built-in server would reach beyond what the operator gives to tenants.
fn beyond(config: &GatewayConfig, reach: &Reach) -> Vec<String> {
    let given = &config.tenant_admins;
    let mut whys = Vec::new();
    for (host, port) in &reach.hosts {
        if !given.database_hosts.iter().any(|listed| is_host(listed, host, *port)) {
            whys.push(format!(
                "expected a database on a host that the operator gives to tenants (tenant_admins.database_hosts in patchbay.yaml), \
                 found {host}:{port}"
            ));
        }
    }
    let sample = config.data_dir.join(builtins::SAMPLE_FILE);
    let files: Vec<PathBuf> =
        given.database_files.iter().chain([&sample]).filter_map(|path| path.canonicalize().ok()).collect();
    if !reach.files.iter().all(|path| is_within(&files, path)) {
        // The same words whether the file is there or not.
        whys.push(
            "expected a file that the operator gives to tenants (tenant_admins.database_files in patchbay.yaml)"
                .to_owned(),
        );
    }
    if !reach.urls.is_empty() && !given.custom_weather {
        whys.push(
            "expected the weather services' own addresses: others are for platform admins, unless the operator allows them \
             (tenant_admins.allow_custom_weather in patchbay.yaml)"
                .to_owned(),
        );
    }
    whys
}

/// Whether an entry of the list, `host` or `host:port`, names this host.
fn is_host(listed: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').trim_matches(['[', ']']).to_ascii_lowercase();
    let listed = listed.trim().to_ascii_lowercase();
    [host.clone(), format!("[{host}]"), format!("{host}:{port}"), format!("[{host}]:{port}")].contains(&listed)
}

/// Whether the path leads to one of these files, or into one of these folders, whichever links it goes over.
fn is_within(files: &[PathBuf], path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| files.iter().any(|allowed| path.starts_with(allowed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_on_the_list_by_itself_or_with_its_port() {
        for (listed, host, port) in [
            ("db.example", "DB.example.", 5432),
            ("db.example:5433", "db.example", 5433),
            ("::1", "::1", 5432),
            ("[::1]:5432", "::1", 5432),
        ] {
            assert!(is_host(listed, host, port), "{listed}");
        }
        for (listed, host, port) in [
            ("db.example:5433", "db.example", 5432),
            ("db.example", "db.example.org", 5432),
            ("example", "db.example", 5432),
            ("", "db.example", 5432),
        ] {
            assert!(!is_host(listed, host, port), "{listed}");
        }
    }

    #[test]
    fn a_file_is_within_a_folder_by_its_parts_and_not_by_its_letters() {
        let folder = tempfile::tempdir().unwrap();
        let (data, near) = (folder.path().join("data"), folder.path().join("data-2"));
        for folder in [&data, &near] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("a.db"), "").unwrap();
        }
        std::os::unix::fs::symlink(near.join("a.db"), data.join("link.db")).unwrap();
        let files = [data.canonicalize().unwrap()];
        assert!(is_within(&files, &data.join("a.db")));
        for path in [near.join("a.db"), data.join("../data-2/a.db"), data.join("link.db"), data.join("gone.db")] {
            assert!(!is_within(&files, &path), "{path:?}");
        }
    }
}
