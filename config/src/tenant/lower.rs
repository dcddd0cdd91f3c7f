//! From a tenant file to a [`TenantDoc`]: the tenant itself; `issuer`, `server`, `toolset` and `limits` lower
//! its parts.

use std::collections::{BTreeMap, btree_map::Entry};

use patchbay_core::{
    Slug,
    model::{DEFAULT_TOOLSET, ServerDoc, TenantDoc, ToolRules, ToolsetSpec},
};

use super::{
    names::{check_exposed, slugify},
    schema::{RulesFile, TenantFile},
};
use crate::{error::Report, path::FieldPath, secret::Resolve, suggest::nearest};

/// The longest description of a tool.
const DESCRIPTION_CHARS_MAX: usize = 8000;

/// Where a tenant file's secrets are looked up and where its errors go.
pub(crate) struct Lower<'a, 'n> {
    pub(crate) report: &'a mut Report<'n>,
    pub(crate) resolve: &'a Resolve<'a>,
}

impl Lower<'_, '_> {
    /// The tenant; worth something only if the report stays clean.
    pub(crate) fn tenant(&mut self, file: TenantFile) -> Option<TenantDoc> {
        let slug = self.slug(&FieldPath::of(["tenant"]), &file.tenant);
        let lacks_issuers = file.issuers.is_empty() && !self.report.is_misshapen(&FieldPath::of(["issuers"]));
        let issuers = self.issuers(&FieldPath::of(["issuers"]), file.issuers);
        let mut servers = BTreeMap::new();
        for (name, server) in file.servers {
            let field = FieldPath::of(["servers"]).key(&name);
            let slug = self.slug(&field, &name);
            let server = self.server(&field, server);
            servers.extend(slug.zip(server));
        }
        let mut toolsets = BTreeMap::new();
        for (name, toolset) in file.toolsets {
            let field = FieldPath::of(["toolsets"]).key(&name);
            let slug = self.slug(&field, &name);
            if lacks_issuers {
                self.refuse_tokens_of_nobody(&field, toolset.access);
            }
            let toolset = self.toolset(&field, toolset, &servers);
            toolsets.extend(slug.map(|slug| (slug, toolset)));
        }
        let default = DEFAULT_TOOLSET.parse().expect("the default toolset's name is a slug");
        if let Entry::Vacant(place) = toolsets.entry(default) {
            // Its mistakes can only lie in the servers, so they are reported there.
            let everything = ToolsetSpec::default();
            self.view(&FieldPath::of(["servers"]), &everything, &servers);
            place.insert(everything);
        }
        let limits = self.limits(file.limits, &servers, &toolsets);
        let audit = self.audit(file.audit);
        Some(TenantDoc {
            slug: slug?,
            title: file.title,
            enabled: file.enabled,
            servers,
            toolsets,
            issuers,
            limits,
            audit,
        })
    }

    pub(crate) fn slug(&mut self, field: &FieldPath, text: &str) -> Option<Slug> {
        let why = match text.parse() {
            Ok(slug) => return Some(slug),
            Err(why) => why,
        };
        self.report.meaning(field, format!("{why}; `{}` would be one", slugify(text)));
        None
    }

    /// The server of that name, or a complaint.
    pub(crate) fn known_server(&mut self, field: &FieldPath, name: &str, servers: &BTreeMap<Slug, ServerDoc>) {
        if servers.contains_key(name) || self.is_misshapen_server(name) {
            return;
        }
        let near = nearest(name, servers.keys().map(Slug::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.report.meaning(field, format!("the tenant has no server {name:?}{hint}"));
    }

    /// Whether the file has the server, but wrong: that was said already.
    fn is_misshapen_server(&self, name: &str) -> bool {
        self.report.has(&FieldPath::of(["servers", name]))
    }

    /// The rules, with each glob held against `glob` and each name against `name`.
    pub(crate) fn rules(
        &mut self,
        field: &FieldPath,
        file: RulesFile,
        glob: fn(&str) -> Result<(), String>,
        name: &mut dyn FnMut(&mut Self, &FieldPath, &str),
    ) -> ToolRules {
        self.globs(&field.key("allow"), &file.allow, glob);
        self.globs(&field.key("deny"), &file.deny, glob);
        let mut targets = BTreeMap::new();
        for (native, exposed) in &file.rename {
            let field = field.key("rename").key(native);
            name(self, &field, native);
            if let Err(why) = check_exposed(exposed) {
                self.report.meaning(&field, why);
            } else if let Some(other) = targets.insert(exposed, native) {
                self.report
                    .meaning(&field, format!("`{other}` is renamed to `{exposed}` already; expected another name"));
            }
        }
        for (native, text) in &file.describe {
            let field = field.key("describe").key(native);
            name(self, &field, native);
            if text.chars().count() > DESCRIPTION_CHARS_MAX {
                self.report.meaning(&field, format!("expected at most {DESCRIPTION_CHARS_MAX} characters"));
            }
        }
        let RulesFile { allow, deny, rename, describe } = file;
        ToolRules { allow, deny, rename, describe }
    }

    pub(crate) fn globs(&mut self, field: &FieldPath, globs: &[String], check: fn(&str) -> Result<(), String>) {
        for (at, glob) in globs.iter().enumerate() {
            if let Err(why) = check(glob) {
                self.report.meaning(&field.index(at), why);
            }
        }
    }
}
