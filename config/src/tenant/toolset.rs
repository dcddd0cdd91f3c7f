//! From one toolset of a tenant file to a [`ToolsetSpec`], and what has to hold between the servers in one view.

mod access;

use std::collections::BTreeMap;

use patchbay_core::{
    Slug,
    model::{PrefixMode, ServerDoc, ToolsetSpec},
};

use super::{lower::Lower, names::check_toolset_glob, schema::ToolsetFile};
use crate::path::FieldPath;

/// The tenant's servers.
type Servers = BTreeMap<Slug, ServerDoc>;

impl Lower<'_, '_> {
    pub(crate) fn toolset(&mut self, field: &FieldPath, file: ToolsetFile, servers: &Servers) -> ToolsetSpec {
        let names = file.servers.map(|names| self.server_names(&field.key("servers"), &names, servers));
        let tools =
            self.rules(&field.key("tools"), file.tools, check_toolset_glob, &mut |lower, field, name| match name
                .split_once('/')
            {
                Some((server, native)) if !native.is_empty() => lower.known_server(field, server, servers),
                _ => lower.report.meaning(field, format!("expected `server/name`, found {name:?}")),
            });
        self.globs(&field.key("keep_first"), &file.keep_first, check_toolset_glob);
        let spec = ToolsetSpec {
            servers: names,
            access: file.access,
            rules: self.access_rules(field, file.access, file.groups, file.write_groups, file.scopes),
            prefix: file.prefix,
            tools,
            tools_max: file.tools_max,
            overflow: file.overflow,
            keep_first: file.keep_first,
        };
        self.view(field, &spec, servers);
        spec
    }

    fn server_names(&mut self, field: &FieldPath, names: &[String], servers: &Servers) -> Vec<Slug> {
        let mut slugs: Vec<Slug> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let field = field.index(at);
            let Some(slug) = self.slug(&field, name) else {
                continue;
            };
            if slugs.contains(&slug) {
                self.report.meaning(&field, format!("`{name}` stands in this list twice; expected it once"));
                continue;
            }
            self.known_server(&field, name, servers);
            slugs.push(slug);
        }
        slugs
    }

    /// What has to hold between the servers that clients see side by side.
    pub(crate) fn view(&mut self, field: &FieldPath, spec: &ToolsetSpec, servers: &Servers) {
        let seen: Vec<(&Slug, &ServerDoc)> = match &spec.servers {
            None => servers.iter().collect(),
            Some(names) => names.iter().filter_map(|name| servers.get_key_value(name)).collect(),
        };
        let count = spec.servers.as_ref().map_or(servers.len(), Vec::len);
        match spec.prefix {
            PrefixMode::Never if count != 1 => {
                let message = format!("`never` needs a toolset of exactly one server; this one has {count}");
                self.report.meaning(&field.key("prefix"), message);
            }
            PrefixMode::Never => {}
            PrefixMode::Always => self.unique_prefixes(field, &seen),
        }
        self.unique_targets(field, spec, &seen);
    }

    fn unique_prefixes(&mut self, field: &FieldPath, seen: &[(&Slug, &ServerDoc)]) {
        let mut owners: BTreeMap<&str, &Slug> = BTreeMap::new();
        for (name, server) in seen {
            let prefix = server.spec.prefix.as_deref().unwrap_or(name.as_str());
            if let Some(other) = owners.insert(prefix, name) {
                let message = format!(
                    "the servers `{other}` and `{name}` have the same prefix `{prefix}`; give one of them another `prefix`"
                );
                self.report.meaning(field, message);
            }
        }
    }

    /// Two tools of one view must not be renamed to the same name. What a toolset says of a tool is stronger than what
    /// its server says.
    fn unique_targets(&mut self, field: &FieldPath, spec: &ToolsetSpec, seen: &[(&Slug, &ServerDoc)]) {
        let of_servers = seen.iter().flat_map(|(name, server)| {
            server.spec.tools.rename.iter().map(move |(native, exposed)| (format!("{name}/{native}"), exposed))
        });
        let mut renames: BTreeMap<String, &String> = of_servers.collect();
        renames.extend(spec.tools.rename.iter().map(|(tool, exposed)| (tool.clone(), exposed)));
        let mut owners: BTreeMap<&String, &String> = BTreeMap::new();
        for (tool, exposed) in &renames {
            let Some(other) = owners.insert(exposed, tool) else {
                continue;
            };
            let server = |tool: &str| tool.split_once('/').map(|(server, _)| server.to_owned());
            let within_one_map = spec.tools.rename.contains_key(tool) == spec.tools.rename.contains_key(other)
                && (spec.tools.rename.contains_key(tool) || server(tool) == server(other));
            // Within one mapping it has been said there.
            if !within_one_map {
                let message =
                    format!("`{other}` and `{tool}` are both renamed to `{exposed}`; expected different names");
                self.report.meaning(field, message);
            }
        }
    }
}
