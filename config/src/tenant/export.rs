//! From what the store has to a tenant file that `apply` takes back unchanged: `export`.
//!
//! Every secret is written as `${sealed}`, which keeps what the store has.

use std::collections::BTreeMap;

use patchbay_core::model::{ServerSpec, TenantRow, ToolRules, ToolsetSpec, Transport};

use super::{
    SEALED,
    schema::{LimitsFile, RulesFile, ServerFile, TenantFile, ToolsetFile},
};

/// The tenant as a file. Fields that have their default value are left out.
pub fn tenant_to_yaml(row: &TenantRow) -> String {
    let servers = row.servers.iter().map(|server| (server.slug.to_string(), server_file(&server.spec)));
    let toolsets = row.toolsets.iter().map(|(name, spec)| (name.to_string(), toolset_file(spec)));
    let file = TenantFile {
        tenant: row.slug.to_string(),
        title: row.title.clone(),
        enabled: row.enabled,
        servers: servers.collect(),
        toolsets: toolsets.collect(),
        limits: LimitsFile {
            principal_per_second: row.limits.principal_per_second,
            principal_burst: row.limits.principal_burst,
            principal_concurrency: row.limits.principal_concurrency,
        },
    };
    // Quotes instead of folded blocks: a value that is cut into lines is easily broken by the next editor.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&file, options).expect("texts, numbers and mappings of them are always YAML")
}

/// The server as its file has it, secrets as `${sealed}`.
pub(super) fn server_file(spec: &ServerSpec) -> ServerFile {
    let mut file = ServerFile {
        enabled: spec.enabled,
        prefix: spec.prefix.clone(),
        tools: rules_file(&spec.tools),
        call_timeout_s: spec.call_timeout_s,
        concurrency_max: spec.concurrency_max,
        idempotent_tools: spec.idempotent_tools.clone(),
        instructions: spec.instructions,
        ..ServerFile::default()
    };
    let (sharing, era) = match &spec.transport {
        Transport::Builtin { name, options, secrets } => {
            file.builtin = Some(name.clone());
            file.options = options.as_object().cloned();
            file.secrets = sealed(secrets);
            return file;
        }
        Transport::Stdio { command, args, env, cwd, sharing, era } => {
            file.command = Some(command.clone());
            file.args.clone_from(args);
            file.env = sealed(env);
            file.cwd.clone_from(cwd);
            (*sharing, *era)
        }
        Transport::Http { url, headers, oauth: _, sharing, era } => {
            file.url = Some(url.clone());
            file.headers = sealed(headers);
            (*sharing, *era)
        }
    };
    file.sharing = (sharing != Default::default()).then_some(sharing);
    file.era = (era != Default::default()).then_some(era);
    file
}

fn sealed(names: &[String]) -> BTreeMap<String, String> {
    names.iter().map(|name| (name.clone(), SEALED.to_owned())).collect()
}

/// The toolset as its file has it.
pub(super) fn toolset_file(spec: &ToolsetSpec) -> ToolsetFile {
    let names = spec.servers.as_ref().map(|names| names.iter().map(ToString::to_string).collect());
    ToolsetFile {
        servers: names,
        access: spec.access,
        prefix: spec.prefix,
        tools: rules_file(&spec.tools),
        tools_max: spec.tools_max,
        overflow: spec.overflow,
        keep_first: spec.keep_first.clone(),
    }
}

fn rules_file(rules: &ToolRules) -> RulesFile {
    let ToolRules { allow, deny, rename, describe } = rules.clone();
    RulesFile { allow, deny, rename, describe }
}
