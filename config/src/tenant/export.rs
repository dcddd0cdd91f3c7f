//! From what the store has to a tenant file that `apply` takes back unchanged: `export`.
//!
//! Every secret is written as `${sealed}`, which keeps what the store has.

use std::collections::BTreeMap;

use patchbay_core::{
    access::ScopeRules,
    issuer::{ClaimNames, ClientAuth, Introspection, IssuerSpec, Registration},
    model::{ServerOauth, ServerSpec, TenantRow, ToolRules, ToolsetSpec, Transport},
};

use super::{
    SEALED,
    limits::{audit_file, limits_file},
    schema::{
        AsksFile, ClaimsFile, IntrospectionFile, IssuerFile, RegistrationFile, RulesFile, ScopeList, ScopesFile,
        ServerFile, ServerOauthFile, TenantFile, ToolsetFile,
    },
};

/// The tenant as a file. Fields that have their default value are left out.
pub fn tenant_to_yaml(row: &TenantRow) -> String {
    // Quotes instead of folded blocks: a value that is cut into lines is easily broken by the next editor.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&tenant_file(row), options)
        .expect("texts, numbers and mappings of them are always YAML")
}

/// The tenant as a tree of JSON: what its file would say, secrets as [`SEALED`].
pub fn tenant_to_json(row: &TenantRow) -> serde_json::Value {
    serde_json::to_value(tenant_file(row)).expect("texts, numbers and mappings of them are always JSON")
}

fn tenant_file(row: &TenantRow) -> TenantFile {
    let servers = row.servers.iter().map(|server| (server.slug.to_string(), server_file(&server.spec)));
    let toolsets = row.toolsets.iter().map(|(name, spec)| (name.to_string(), toolset_file(spec)));
    let issuers = row.issuers.iter().map(|issuer| (issuer.slug.to_string(), issuer_file(&issuer.spec)));
    TenantFile {
        tenant: row.slug.to_string(),
        title: row.title.clone(),
        enabled: row.enabled,
        issuers: issuers.collect(),
        servers: servers.collect(),
        toolsets: toolsets.collect(),
        limits: limits_file(&row.limits),
        audit: audit_file(&row.audit),
    }
}

/// The issuer as its file has it, its secret as `${sealed}`.
pub(super) fn issuer_file(spec: &IssuerSpec) -> IssuerFile {
    let ClaimNames { subject, name, groups } = spec.claims.clone();
    let Registration { client_id, callback_port, dynamic, metadata_document } = spec.registration.clone();
    let implied = spec.scope_implies.iter().map(|(scope, list)| (scope.clone(), ScopeList(list.clone())));
    IssuerFile {
        issuer: spec.issuer.clone(),
        metadata_url: spec.metadata_url.clone(),
        jwks_url: spec.jwks_url.clone(),
        audiences: spec.audiences.clone(),
        algorithms: spec.algorithms.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        token_types: spec.token_types.clone(),
        claims: ClaimsFile { subject, name, groups },
        scope_implies: implied.collect(),
        scopes_required: ScopeList(spec.scopes_required.clone()),
        introspection: spec.introspection.clone().map(introspection_file),
        registration: RegistrationFile { client_id, callback_port, dynamic, metadata_document },
    }
}

fn introspection_file(spec: Introspection) -> IntrospectionFile {
    let Introspection { url, client_id, auth, cache_s } = spec;
    IntrospectionFile { url, client_id, client_secret: SEALED.to_owned(), auth, cache_s }
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
        read_tools: spec.classes.read.clone(),
        write_tools: spec.classes.write.clone(),
        trust_read_only_hint: spec.classes.trust_hints,
        instructions: spec.instructions,
        asks: AsksFile::of(spec.asks),
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
        Transport::Http { url, headers, oauth, sharing, era } => {
            file.url = Some(url.clone());
            file.oauth = oauth.clone().map(oauth_file);
            file.headers = sealed(headers);
            (*sharing, *era)
        }
    };
    file.sharing = (sharing != Default::default()).then_some(sharing);
    file.era = (era != Default::default()).then_some(era);
    file
}

fn oauth_file(spec: ServerOauth) -> ServerOauthFile {
    let ServerOauth { client_id, auth, algorithm, key_id, issuer, resource, scopes } = spec;
    let by_key = auth == ClientAuth::PrivateKeyJwt;
    ServerOauthFile {
        client_id,
        auth,
        client_secret: (!by_key).then(|| SEALED.to_owned()),
        private_key: by_key.then(|| SEALED.to_owned()),
        algorithm: algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        key_id,
        issuer,
        resource,
        scopes: ScopeList(scopes),
    }
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
        groups: spec.rules.groups.clone(),
        write_groups: spec.rules.write_groups.clone(),
        scopes: scopes_file(&spec.rules.scopes),
        prefix: spec.prefix,
        tools: rules_file(&spec.tools),
        tools_max: spec.tools_max,
        overflow: spec.overflow,
        keep_first: spec.keep_first.clone(),
    }
}

fn scopes_file(rules: &ScopeRules) -> ScopesFile {
    let ScopeRules { enter, read, write, tools } = rules.clone();
    let tools = tools.into_iter().map(|(glob, list)| (glob, ScopeList(list)));
    ScopesFile { enter: ScopeList(enter), read: ScopeList(read), write: ScopeList(write), tools: tools.collect() }
}

fn rules_file(rules: &ToolRules) -> RulesFile {
    let ToolRules { allow, deny, rename, describe } = rules.clone();
    RulesFile { allow, deny, rename, describe }
}
