//! Reads the gateway's configuration: the file, then the environment over it, then the commands trusted at run time.

use std::{fs, path::Path};

use serde_json::Value as Json;

use crate::{
    check::check,
    environment::{Environment, overlay, refuse_unknown},
    error::{ConfigErrors, Report},
    gateway::GatewayConfig,
    lower::Lower,
    node::{FILE_BYTES_MAX, Node},
    schema::GatewayFile,
    secret::{resolver, variables},
    trust,
};

/// The defaults as a commented file, for `patchbay.yaml` to start from.
pub const DEFAULTS_YAML: &str = include_str!("../defaults.yaml");

/// The JSON schema of `patchbay.yaml`.
pub fn json_schema() -> Json {
    schemars::schema_for!(GatewayFile).to_value()
}

/// The configuration in the file at `path`, or the defaults when there is none, with the environment's settings over it.
///
/// A setting's variable is `PATCHBAY_` and the field's path in capitals, joined by `_`: `limits.body_bytes_max` is
/// `PATCHBAY_LIMITS_BODY_BYTES_MAX`. Lists are written with commas; lists of mappings, and mappings
/// with free keys as `stdio.commands`, can only be set in the file. An empty
/// variable counts as not set; one that begins with `PATCHBAY_` and is no setting is an error, except those of
/// [`crate::NOT_SETTINGS`], [`crate::NOT_SETTINGS_PREFIXES`], those that the file itself refers to, and those that
/// Kubernetes makes for a service.
///
/// Everything that is wrong is told at once. Nothing is opened, bound or created.
pub fn load(path: Option<&Path>, env: &Environment) -> Result<GatewayConfig, ConfigErrors> {
    let (text, name) = match path {
        Some(path) => (read(path)?, path.display().to_string()),
        None => (String::new(), "patchbay.yaml".to_owned()),
    };
    let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut config = from_yaml(&text, &name, folder, env)?;
    for (name, command) in trust::trusted_commands(&config.trusted_commands_path())? {
        config.stdio.commands.entry(name).or_insert(command);
    }
    Ok(config)
}

/// The configuration in `text`; `name` stands for the file in messages and `folder` is where it lies.
fn from_yaml(text: &str, name: &str, folder: &Path, env: &Environment) -> Result<GatewayConfig, ConfigErrors> {
    let schema = json_schema();
    let mut root = Node::parse(text, name)?;
    overlay(&mut root, env, &schema);
    let mut report = Report::new(name, &root);
    let json = check(&root, &schema, &mut report);
    let file: Option<GatewayFile> = serde_json::from_value(json).ok();
    let referred = file.iter().flat_map(referred_variables).collect();
    refuse_unknown(env, &schema, &referred, &mut report);
    let mut lower = Lower { report, resolve: &resolver(env, folder), folder };
    let config = file.and_then(|file| lower.gateway(file));
    lower.report.finish(config)
}

/// The variables that the file itself reads: those may have any name.
fn referred_variables(file: &GatewayFile) -> Vec<String> {
    let of_sinks = file.audit.sinks.values().flat_map(|sink| sink.secret.iter().chain(sink.headers.values()));
    let urls = [&file.store.url, &file.redis.url].into_iter().flatten();
    let introspections = file.admin.issuers.values().filter_map(|issuer| issuer.introspection.as_ref());
    let of_issuers = introspections.map(|introspection| &introspection.client_secret);
    let secrets = urls.chain(of_sinks).chain(file.traces.headers.values()).chain(of_issuers);
    let keys = file.sealing_key.iter().chain(&file.sealing_keys_old).chain(&file.admin.bootstrap_key);
    let keys = keys.filter_map(|text| text.strip_prefix("env:"));
    secrets.flat_map(|text| variables(text)).chain(keys).map(str::to_owned).collect()
}

/// The text of a configuration file.
pub(crate) fn read(path: &Path) -> Result<String, ConfigErrors> {
    let name = path.display().to_string();
    let refuse = |why: String| Err(ConfigErrors::file(&name, why));
    match fs::metadata(path) {
        Ok(about) if about.len() > FILE_BYTES_MAX as u64 => {
            refuse(format!("expected at most {FILE_BYTES_MAX} bytes, found {}", about.len()))
        }
        Ok(_) => fs::read_to_string(path).or_else(|error| refuse(format!("the file cannot be read: {error}"))),
        Err(error) => refuse(format!("the file cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests;
