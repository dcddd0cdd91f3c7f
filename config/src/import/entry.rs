//! One server of an IDE's file, in any of their dialects, as a [`ServerDoc`].

use std::collections::BTreeMap;

use patchbay_core::model::{EraPin, ServerDoc, ServerSpec, Sharing, ToolRules, Transport};
use secrecy::SecretString;
use serde_json::{Map, Value as Json};

use super::reference;
use crate::{
    lower::{check_command_name, check_command_path},
    secret::Resolve,
    tenant::{check_env_name, check_header_name, check_secret_text, check_url},
};

/// Arguments, headers or variables of one server at the most.
const ITEMS_MAX: usize = 256;

/// Fields that this file reads; the others are named in a note.
const KNOWN: [&str; 17] = [
    "args",
    "command",
    "cwd",
    "disabled",
    "disabledTools",
    "enabled",
    "env",
    "excludeTools",
    "headers",
    "httpUrl",
    "includeTools",
    "name",
    "serverUrl",
    "transport",
    "transportType",
    "type",
    "url",
];

/// Reads one server and remembers what has to be said about it.
pub(super) struct Reader<'a> {
    resolve: &'a Resolve<'a>,
    enabled: bool,
    /// Sentences for people.
    pub(super) notes: Vec<String>,
    /// The command that has to be on the operator's list.
    pub(super) command: Option<String>,
}

/// The secrets of a server by their names, as [`ServerDoc`] has them.
type SecretDocs = BTreeMap<String, Option<SecretString>>;

impl<'a> Reader<'a> {
    pub(super) fn new(resolve: &'a Resolve<'a>) -> Self {
        Self { resolve, enabled: true, notes: Vec::new(), command: None }
    }

    /// The server, or why there is none.
    pub(super) fn server(&mut self, entry: &Json) -> Result<ServerDoc, String> {
        let entry = entry.as_object().ok_or("expected an object.")?;
        let text = |name: &str| entry.get(name).and_then(Json::as_str);
        let kind = text("type").or(text("transport")).or(text("transportType")).unwrap_or_default();
        let lower = kind.to_ascii_lowercase();
        if matches!(&*lower, "ws" | "websocket") {
            return Err(format!(
                "the transport `{kind}` is not supported; ask its maker for a Streamable HTTP address."
            ));
        }
        let era = if matches!(&*lower, "sse" | "http+sse" | "http-sse") { EraPin::Sse } else { EraPin::Auto };
        let url = text("httpUrl").or(text("serverUrl")).or(text("url"));
        let (transport, secrets) = match (url, text("command")) {
            (Some(url), _) if kind != "stdio" => self.http(url, era, entry)?,
            (_, Some(command)) => self.stdio(command, entry)?,
            _ => {
                return Err("it has neither `command` nor an address (`url`, `serverUrl`, `httpUrl`).".to_owned());
            }
        };
        if entry.get("disabled") == Some(&Json::Bool(true)) || entry.get("enabled") == Some(&Json::Bool(false)) {
            self.switch_off("it is switched off in the file");
        }
        self.note_unknown(entry);
        let spec = ServerSpec {
            classes: Default::default(),
            transport,
            enabled: self.enabled,
            prefix: None,
            tools: rules(entry),
            call_timeout_s: None,
            concurrency_max: None,
            idempotent_tools: Vec::new(),
            instructions: false,
            asks: Default::default(),
        };
        Ok(ServerDoc { spec, secrets })
    }

    fn switch_off(&mut self, why: &str) {
        self.enabled = false;
        self.notes.push(format!("taken over switched off: {why}."));
    }

    fn http(&mut self, url: &str, era: EraPin, entry: &Map<String, Json>) -> Result<(Transport, SecretDocs), String> {
        self.refuse_references("its address", url);
        check_url(url).map_err(|why| format!("{why}."))?;
        let looks_old = url.split(['?', '#']).next().is_some_and(|path| path.trim_end_matches('/').ends_with("/sse"));
        if looks_old && era != EraPin::Sse {
            self.notes.push(
                "its address looks like the older HTTP+SSE transport; if it is, write `era: sse` into the tenant file, or \
                 ask its maker for a Streamable HTTP address."
                    .to_owned(),
            );
        }
        let secrets = self.secrets("header", entry.get("headers"));
        let headers = names(&secrets);
        Ok((Transport::Http { url: url.to_owned(), headers, oauth: None, sharing: Sharing::Shared, era }, secrets))
    }

    fn stdio(&mut self, command: &str, entry: &Map<String, Json>) -> Result<(Transport, SecretDocs), String> {
        check_command_name(command).map_err(|why| format!("{why}."))?;
        if reference::first(command).is_some() {
            self.refuse_references("its command", command);
        } else if let Err(why) = check_command_path(command) {
            self.switch_off(&format!("its command `{command}` depends on a folder of the IDE: {why}"));
        } else {
            self.command = Some(command.to_owned());
        }
        let args: Vec<String> =
            entry.get("args").and_then(Json::as_array).into_iter().flatten().filter_map(scalar).collect();
        if args.len() > ITEMS_MAX {
            return Err(format!("expected at most {ITEMS_MAX} arguments, found {}.", args.len()));
        }
        for arg in &args {
            self.refuse_references("an argument", arg);
        }
        if args.iter().any(|arg| arg == "mcp-remote" || arg.starts_with("mcp-remote@")) {
            self.notes.push("it goes through mcp-remote; here, give its address as `url` instead.".to_owned());
        }
        if entry.get("cwd").is_some_and(|cwd| !cwd.is_null()) {
            self.notes.push("its working directory (`cwd`) is of the IDE's machine and was dropped.".to_owned());
        }
        let secrets = self.secrets("env", entry.get("env"));
        let env = names(&secrets);
        let command = command.to_owned();
        let (sharing, era) = (Sharing::Shared, EraPin::Auto);
        Ok((Transport::Stdio { command, args, env, cwd: None, sharing, era }, secrets))
    }

    /// What is shown in lists and exports cannot hold a value from the environment.
    fn refuse_references(&mut self, what: &str, text: &str) {
        if let Some(reference) = reference::first(text) {
            self.switch_off(&format!("{what} refers to {reference}; write the value itself into the tenant file"));
        }
    }

    /// Headers or variables, each checked; a value that cannot be found is left for the tenant file to give.
    fn secrets(&mut self, family: &str, values: Option<&Json>) -> SecretDocs {
        let mut secrets = SecretDocs::new();
        let is_header = family == "header";
        let what = if is_header { "the header" } else { "the variable" };
        let entries = values.and_then(Json::as_object).into_iter().flatten();
        for (name, value) in entries.take(ITEMS_MAX) {
            let checked = if is_header { check_header_name(name) } else { check_env_name(name) };
            let twice = is_header && secrets.keys().any(|key| key.eq_ignore_ascii_case(&format!("header:{name}")));
            if let Err(why) = checked {
                self.notes.push(format!("{what} {name:?} was dropped: {why}."));
                continue;
            }
            let Some(text) = scalar(value).filter(|_| !twice) else {
                self.notes.push(format!("{what} `{name}` was dropped: expected one text."));
                continue;
            };
            let filled = reference::fill(&text, self.resolve)
                .map_err(|reference| format!("{reference} has no value here; give it in the tenant file"))
                .and_then(|value| check_secret_text(&value, is_header).map(|()| value));
            if let Err(why) = &filled {
                self.notes.push(format!("{what} `{name}` has no value yet: {why}."));
            }
            secrets.insert(format!("{family}:{name}"), filled.ok().map(SecretString::from));
        }
        secrets
    }

    fn note_unknown(&mut self, entry: &Map<String, Json>) {
        let unknown: Vec<String> =
            entry.keys().filter(|key| !KNOWN.contains(&key.as_str())).map(|key| format!("`{key}`")).collect();
        if !unknown.is_empty() {
            self.notes.push(format!("not taken over: {}.", unknown.join(", ")));
        }
    }
}

/// The names of headers or variables, without their family.
fn names(secrets: &SecretDocs) -> Vec<String> {
    secrets.keys().filter_map(|key| key.split_once(':').map(|(_, name)| name.to_owned())).collect()
}

/// A text, or what some people write without quotes.
fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Gemini CLI's and Windsurf's filters; their names are names, not globs.
fn rules(entry: &Map<String, Json>) -> ToolRules {
    let globs = |name: &str| {
        let names = entry.get(name).and_then(Json::as_array).into_iter().flatten();
        names.filter_map(Json::as_str).filter(|name| !name.is_empty()).map(globset::escape).collect::<Vec<_>>()
    };
    let deny = [globs("excludeTools"), globs("disabledTools")].concat();
    ToolRules { allow: globs("includeTools"), deny, ..ToolRules::default() }
}
