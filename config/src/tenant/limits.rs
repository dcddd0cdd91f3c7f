//! From the limits and the audit of a tenant file to [`TenantLimits`] and [`TenantAudit`], and back. Limits of one tenant are
//! held against each other here; with the operator's they meet when the snapshot is built.

use std::collections::BTreeMap;

use patchbay_core::{
    Slug,
    audit::{AuditArguments, Keep, TenantAudit},
    limits::{GatewayLimits, LimitError, LimitPlan, Rate},
    model::{DEFAULT_TOOLSET, ServerDoc, TenantLimits, ToolsetSpec},
};
use serde_json::{Map, Value as Json};

use super::{
    lower::Lower,
    names::check_toolset_glob,
    schema::{AuditFile, KeepFile, LimitsFile},
};
use crate::{
    path::FieldPath,
    rule::{self, RuleFiles},
    suggest::nearest,
};

impl Lower<'_, '_> {
    pub(super) fn limits(
        &mut self,
        file: LimitsFile,
        servers: &BTreeMap<Slug, ServerDoc>,
        toolsets: &BTreeMap<Slug, ToolsetSpec>,
    ) -> TenantLimits {
        let field = FieldPath::of(["limits"]);
        self.known_names(&field.key("rules"), &file.rules, servers, toolsets);
        let limits = TenantLimits {
            principal_per_second: file.principal_per_second,
            principal_burst: file.principal_burst,
            principal_concurrency: file.principal_concurrency,
            rules: rule::lower(self.report, &field.key("rules"), file.rules),
            weights: self.weights(&field.key("weights"), file.weights),
        };
        self.plan(&field, &limits);
        limits
    }

    /// The servers and toolsets that limits name must be the tenant's.
    fn known_names(
        &mut self,
        field: &FieldPath,
        rules: &RuleFiles,
        servers: &BTreeMap<Slug, ServerDoc>,
        toolsets: &BTreeMap<Slug, ToolsetSpec>,
    ) {
        let well_formed = |names: &[String]| {
            let names = names.iter().enumerate().filter(|(_, name)| name.parse::<Slug>().is_ok());
            names.map(|(at, name)| (at, name.clone())).collect::<Vec<_>>()
        };
        for (name, rule) in rules {
            let field = field.key(name);
            for (at, server) in well_formed(&rule.servers) {
                self.known_server(&field.key("servers").index(at), &server, servers);
            }
            for (at, toolset) in well_formed(&rule.toolsets) {
                self.known_toolset(&field.key("toolsets").index(at), &toolset, toolsets);
            }
        }
    }

    fn known_toolset(&mut self, field: &FieldPath, name: &str, toolsets: &BTreeMap<Slug, ToolsetSpec>) {
        if name == DEFAULT_TOOLSET || toolsets.contains_key(name) || self.report.has(&FieldPath::of(["toolsets", name]))
        {
            return;
        }
        let near = nearest(name, toolsets.keys().map(Slug::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.report.meaning(field, format!("the tenant has no toolset {name:?}{hint}"));
    }

    /// In the order of the file: the first glob that matches counts.
    fn weights(&mut self, field: &FieldPath, file: Map<String, Json>) -> Vec<(String, u32)> {
        let mut weights = Vec::new();
        for (glob, weight) in file {
            self.held(&field.key(&glob), check_toolset_glob(&glob));
            let weight = weight.as_u64().and_then(|weight| u32::try_from(weight).ok());
            weights.extend(weight.map(|weight| (glob, weight)));
        }
        weights
    }

    /// Holds the tenant's limits against each other; the operator's numbers are not known here.
    fn plan(&mut self, field: &FieldPath, limits: &TenantLimits) {
        let boundless = GatewayLimits {
            principal: Rate::per_second(u32::MAX, u32::MAX),
            principal_concurrency: 1,
            rules: Vec::new(),
        };
        match LimitPlan::build(&boundless, limits) {
            Ok(_) => {}
            Err(error @ (LimitError::TooMany { .. } | LimitError::TooManyCaps { .. })) => {
                self.report.meaning(&field.key("rules"), error.to_string());
            }
            Err(LimitError::TooHeavy { tool, weight, limit, burst }) => {
                let message = format!(
                    "weighs {weight}, more than the burst of the limit `{limit}`, which is {burst}: it could never be called; \
                     expected a lighter weight or a larger burst"
                );
                self.report.meaning(&field.key("weights").key(tool), message);
            }
            // Said where the glob and the name stand.
            Err(LimitError::Glob { .. } | LimitError::NameTaken(_)) => {}
        }
    }

    pub(super) fn audit(&mut self, file: AuditFile) -> TenantAudit {
        let field = FieldPath::of(["audit"]);
        self.globs(&field.key("closed_tools"), &file.closed_tools, check_toolset_glob);
        let shows_none = file.arguments.is_some_and(|arguments| arguments != AuditArguments::Redacted);
        if shows_none && !file.keep.is_empty() {
            let message = "would do nothing: only `arguments: redacted` shows values of arguments";
            self.report.meaning(&field.key("keep"), message);
        }
        let keep = file.keep.into_iter().enumerate().map(|(at, keep)| {
            let field = field.key("keep").index(at);
            self.held(&field.key("tools"), check_toolset_glob(&keep.tools));
            if keep.arguments.is_empty() {
                self.report.meaning(&field.key("arguments"), "expected at least one name of an argument");
            }
            Keep { tools: keep.tools, arguments: keep.arguments }
        });
        let keep = keep.collect();
        TenantAudit {
            level: file.level,
            arguments: file.arguments,
            keep,
            when_full: file.when_full,
            closed_tools: file.closed_tools,
        }
    }
}

/// The limits as the tenant's file has them.
pub(super) fn limits_file(limits: &TenantLimits) -> LimitsFile {
    LimitsFile {
        principal_per_second: limits.principal_per_second,
        principal_burst: limits.principal_burst,
        principal_concurrency: limits.principal_concurrency,
        rules: rule::files(&limits.rules),
        weights: limits.weights.iter().map(|(glob, weight)| (glob.clone(), Json::from(*weight))).collect(),
    }
}

/// The audit as the tenant's file has it.
pub(super) fn audit_file(audit: &TenantAudit) -> AuditFile {
    let keep = |keep: &Keep| KeepFile { tools: keep.tools.clone(), arguments: keep.arguments.clone() };
    AuditFile {
        level: audit.level,
        arguments: audit.arguments,
        keep: audit.keep.iter().map(keep).collect(),
        when_full: audit.when_full,
        closed_tools: audit.closed_tools.clone(),
    }
}
