//! What a toolset asks of tokens: from its groups and scopes in the file to [`AccessRules`].

use std::collections::BTreeMap;

use patchbay_core::{
    access::{AccessRules, ScopeRules},
    model::Access,
};

use crate::{
    path::FieldPath,
    tenant::{
        lower::Lower,
        names::check_toolset_glob,
        schema::{ScopeList, ScopesFile},
    },
};

impl Lower<'_, '_> {
    pub(super) fn access_rules(
        &mut self,
        field: &FieldPath,
        access: Access,
        groups: Vec<String>,
        write_groups: Vec<String>,
        scopes: ScopesFile,
    ) -> AccessRules {
        let given = [
            ("groups", !groups.is_empty()),
            ("write_groups", !write_groups.is_empty()),
            ("scopes", scopes != ScopesFile::default()),
        ];
        for (name, _) in given.into_iter().filter(|(_, given)| *given && !access.takes_tokens()) {
            let message = "would do nothing: only tokens have groups and scopes, and this toolset takes none; expected \
                           `access: oauth` or `access: both` beside it";
            self.report.meaning(&field.key(name), message);
        }
        let field = field.key("scopes");
        let scopes = ScopeRules {
            enter: self.scopes(&field.key("enter"), scopes.enter),
            read: self.scopes(&field.key("read"), scopes.read),
            write: self.scopes(&field.key("write"), scopes.write),
            tools: self.tool_scopes(&field.key("tools"), scopes.tools),
        };
        AccessRules { groups, write_groups, scopes }
    }

    fn tool_scopes(&mut self, field: &FieldPath, files: BTreeMap<String, ScopeList>) -> BTreeMap<String, Vec<String>> {
        let mut tools = BTreeMap::new();
        for (glob, list) in files {
            let field = field.key(&glob);
            self.held(&field, check_toolset_glob(&glob));
            if list.0.is_empty() {
                self.report.meaning(&field, "expected at least one scope");
            }
            let list = self.scopes(&field, list);
            tools.insert(glob, list);
        }
        tools
    }

    /// A toolset of a tenant without issuers takes tokens that nobody can have.
    pub(in crate::tenant) fn refuse_tokens_of_nobody(&mut self, field: &FieldPath, access: Access) {
        if access.takes_tokens() {
            self.report.meaning(
                &field.key("access"),
                "takes tokens of the tenant's issuers, and the tenant has none; say who signs its people in, as in \
                 `issuers: { corp: { issuer: https://login.example.org/realms/acme } }`",
            );
        }
    }
}
