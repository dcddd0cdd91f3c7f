//! From one server of a tenant file to a [`ServerDoc`]: how it is reached, and its secrets taken out.

mod oauth;

use std::collections::BTreeSet;

use patchbay_core::{
    access::ToolClasses,
    model::{EraPin, ServerDoc, ServerSpec, Transport},
};
use serde_json::Value as Json;

use super::{
    lower::Lower,
    names::{check_env_name, check_glob, check_header_name, check_prefix, check_secret_name, check_url},
    schema::ServerFile,
    secrets::SecretDocs,
};
use crate::{lower::check_command_name, path::FieldPath};

/// The longest argument of a command.
const ARG_BYTES_MAX: usize = 32 << 10;

/// How a server is reached, by the one field that says so.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Url,
    Command,
    Builtin,
}

impl Kind {
    const fn field(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Command => "command",
            Self::Builtin => "builtin",
        }
    }
}

impl Lower<'_, '_> {
    pub(crate) fn server(&mut self, field: &FieldPath, mut file: ServerFile) -> Option<ServerDoc> {
        let transport_and_secrets = self.transport(field, &mut file);
        if let Some(Err(why)) = file.prefix.as_deref().map(check_prefix) {
            self.report.meaning(&field.key("prefix"), why);
        }
        let tools = self.rules(&field.key("tools"), file.tools, check_glob, &mut |lower, field, name| {
            if name.is_empty() {
                lower.report.meaning(field, "expected the name of a tool of this server");
            }
        });
        self.globs(&field.key("read_tools"), &file.read_tools, check_glob);
        self.globs(&field.key("write_tools"), &file.write_tools, check_glob);
        let classes =
            ToolClasses { read: file.read_tools, write: file.write_tools, trust_hints: file.trust_read_only_hint };
        let (transport, secrets) = transport_and_secrets?;
        let spec = ServerSpec {
            transport,
            enabled: file.enabled,
            prefix: file.prefix,
            tools,
            call_timeout_s: file.call_timeout_s,
            concurrency_max: file.concurrency_max,
            idempotent_tools: file.idempotent_tools,
            classes,
            instructions: file.instructions,
            asks: file.asks.lower(),
        };
        Some(ServerDoc { spec, secrets })
    }

    fn transport(&mut self, field: &FieldPath, file: &mut ServerFile) -> Option<(Transport, SecretDocs)> {
        let given = [
            (Kind::Url, file.url.is_some()),
            (Kind::Command, file.command.is_some()),
            (Kind::Builtin, file.builtin.is_some()),
        ];
        let mut given = given.into_iter().filter_map(|(kind, given)| given.then_some(kind));
        let (Some(kind), None) = (given.next(), given.next()) else {
            self.report.meaning(
                field,
                "expected exactly one of `url` (a remote server), `command` (a local one) and `builtin` (part of the \
                 gateway)",
            );
            return None;
        };
        self.refuse_foreign_fields(field, kind, file);
        match kind {
            Kind::Url => Some(self.http(field, file)),
            Kind::Command => Some(self.stdio(field, file)),
            Kind::Builtin => Some(self.builtin(field, file)),
        }
    }

    /// A field that has no meaning for this kind of server was meant to have one.
    fn refuse_foreign_fields(&mut self, field: &FieldPath, kind: Kind, file: &ServerFile) {
        use Kind::{Builtin, Command, Url};
        let fields: [(&str, bool, &[Kind]); 9] = [
            ("headers", !file.headers.is_empty(), &[Url]),
            ("oauth", file.oauth.is_some(), &[Url]),
            ("args", !file.args.is_empty(), &[Command]),
            ("env", !file.env.is_empty(), &[Command]),
            ("cwd", file.cwd.is_some(), &[Command]),
            ("options", file.options.is_some(), &[Builtin]),
            ("secrets", !file.secrets.is_empty(), &[Builtin]),
            ("sharing", file.sharing.is_some(), &[Url, Command]),
            ("era", file.era.is_some(), &[Url, Command]),
        ];
        for (name, _, kinds) in fields.into_iter().filter(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
            let owners: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.field())).collect();
            let message = format!("belongs to a server with {}; this one has `{}`", owners.join(" or "), kind.field());
            self.report.meaning(&field.key(name), message);
        }
    }

    fn http(&mut self, field: &FieldPath, file: &mut ServerFile) -> (Transport, SecretDocs) {
        let url = file.url.take().unwrap_or_default();
        if let Err(why) = check_url(&url) {
            self.report.meaning(&field.key("url"), why);
        }
        let values = std::mem::take(&mut file.headers);
        let mut seen = BTreeSet::new();
        for name in values.keys() {
            let field = field.key("headers").key(name);
            if let Err(why) = check_header_name(name) {
                self.report.meaning(&field, why);
            } else if !seen.insert(name.to_ascii_lowercase()) {
                self.report.meaning(&field, "this header stands here twice, in different spelling; expected it once");
            }
        }
        let headers: Vec<String> = values.keys().cloned().collect();
        let mut secrets = self.secrets(&field.key("headers"), "header", values);
        let oauth = file.oauth.take().map(|oauth| {
            if headers.iter().any(|name| name.eq_ignore_ascii_case("authorization")) {
                self.report.meaning(
                    &field.key("oauth"),
                    "the header Authorization is given too, and a request can carry only one of them; expected either \
                     `oauth` or that header",
                );
            }
            self.oauth(&field.key("oauth"), oauth, &mut secrets)
        });
        let (sharing, era) = (file.sharing.unwrap_or_default(), file.era.unwrap_or_default());
        (Transport::Http { url, headers, oauth, sharing, era }, secrets)
    }

    fn stdio(&mut self, field: &FieldPath, file: &mut ServerFile) -> (Transport, SecretDocs) {
        let command = file.command.take().unwrap_or_default();
        if let Err(why) = check_command_name(&command) {
            self.report.meaning(&field.key("command"), why);
        }
        let args = std::mem::take(&mut file.args);
        for (at, arg) in args.iter().enumerate() {
            if arg.len() > ARG_BYTES_MAX || arg.contains('\0') {
                let expected = format!("expected at most {ARG_BYTES_MAX} bytes and no zero byte");
                self.report.meaning(&field.key("args").index(at), expected);
            }
        }
        let cwd = file.cwd.take();
        if cwd.as_deref().is_some_and(|cwd| !cwd.starts_with('/') || cwd.contains('\0')) {
            self.report.meaning(&field.key("cwd"), "expected an absolute path");
        }
        if file.era == Some(EraPin::Sse) {
            let message = "`sse` is the transport of servers with `url`; expected `auto`, `legacy` or `modern`";
            self.report.meaning(&field.key("era"), message);
        }
        let values = std::mem::take(&mut file.env);
        for name in values.keys() {
            if let Err(why) = check_env_name(name) {
                self.report.meaning(&field.key("env").key(name), why);
            }
        }
        let env = values.keys().cloned().collect();
        let secrets = self.secrets(&field.key("env"), "env", values);
        let (sharing, era) = (file.sharing.unwrap_or_default(), file.era.unwrap_or_default());
        (Transport::Stdio { command, args, env, cwd, sharing, era }, secrets)
    }

    fn builtin(&mut self, field: &FieldPath, file: &mut ServerFile) -> (Transport, SecretDocs) {
        let name = file.builtin.take().unwrap_or_default();
        self.slug(&field.key("builtin"), &name);
        let options = file.options.take().map_or(Json::Null, Json::Object);
        if has_password(&options) {
            self.report.meaning(
                &field.key("options"),
                "expected no URL with a password here, where anybody may read it: put the URL under `secrets`, and write \
                 `secret:NAME` in its place",
            );
        }
        let values = std::mem::take(&mut file.secrets);
        for name in values.keys() {
            if let Err(why) = check_secret_name(name) {
                self.report.meaning(&field.key("secrets").key(name), why);
            }
        }
        let names = values.keys().cloned().collect();
        let secrets = self.secrets(&field.key("secrets"), "secret", values);
        (Transport::Builtin { name, options, secrets: names }, secrets)
    }
}

/// Whether a text in there is a URL with a password. Options are stored, shown and exported as they are.
fn has_password(options: &Json) -> bool {
    match options {
        Json::String(text) => url::Url::parse(text).is_ok_and(|url| url.password().is_some()),
        Json::Array(items) => items.iter().any(has_password),
        Json::Object(members) => members.values().any(has_password),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}
