//! The `mcpServers` and `servers` files of IDEs, read into servers of a tenant: `import`.
//!
//! What such a file cannot mean on a shared gateway is left out, or taken over switched off, and a note says so: an import
//! never fails because of one server, and never drops anything silently.

mod entry;
mod jsonc;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use patchbay_core::{Slug, ids::SLUG_BYTES_MAX, model::ServerDoc};
use serde_json::{Map, Value as Json};

use crate::{
    error::{ConfigErrors, Place},
    node::FILE_BYTES_MAX,
    path::FieldPath,
    secret::Resolve,
    tenant::{SERVERS_MAX, slugify},
};

/// What an IDE's file holds.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The servers, under names that a tenant may use.
    pub servers: BTreeMap<Slug, ServerDoc>,
    /// The commands that the local servers among them run, for the operator's list.
    pub commands: BTreeSet<String>,
    /// Everything that was dropped, changed, or needs a hand; whole sentences that begin with the server's name.
    pub notes: Vec<String>,
}

/// Reads the file of Claude, Cursor, Windsurf, Gemini CLI (`mcpServers`) or VS Code (`servers`); comments and trailing
/// commas are fine. `resolve` looks up the variables that header and environment values refer to; what it does not
/// find becomes a secret without a value, and a note.
pub fn import_mcp_servers(text: &str, file_name: &str, resolve: &Resolve<'_>) -> Result<Imported, ConfigErrors> {
    if text.len() > FILE_BYTES_MAX {
        return Err(ConfigErrors::file(file_name, format!("expected at most {FILE_BYTES_MAX} bytes")));
    }
    let top: Json = serde_json::from_str(&jsonc::plain(text)).map_err(|error| syntax_error(&error, file_name))?;
    let found = entries(&top);
    match found.len() {
        0 => {
            return Err(ConfigErrors::file(
                file_name,
                "expected servers under `mcpServers` (Claude, Cursor, Windsurf, Gemini CLI) or `servers` (VS Code), found \
                 none",
            ));
        }
        count if count > SERVERS_MAX => {
            return Err(ConfigErrors::file(
                file_name,
                format!("expected at most {SERVERS_MAX} servers, found {count}"),
            ));
        }
        _ => {}
    }
    let mut imported = Imported::default();
    for (name, entry) in found {
        imported.take(name, entry, resolve);
    }
    imported.note_inputs(&top);
    Ok(imported)
}

/// The servers, wherever the product at hand keeps them.
fn entries(top: &Json) -> Vec<(&String, &Json)> {
    let places = [&top["mcpServers"], &top["servers"], &top["mcp"]["servers"], &top["mcp"]["mcpServers"]];
    places.into_iter().filter_map(Json::as_object).flat_map(Map::iter).collect()
}

fn syntax_error(error: &serde_json::Error, file: &str) -> ConfigErrors {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let at = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let place = Place::Line(file.into(), at(error.line()), at(error.column()).max(1));
    ConfigErrors::one(place, FieldPath::default(), format!("this is no valid JSON: {said}"))
}

impl Imported {
    fn take(&mut self, name: &str, entry: &Json, resolve: &Resolve<'_>) {
        let slug = self.free_name(name);
        let shown = name.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
        let mut reader = entry::Reader::new(resolve);
        let taken = reader.server(entry);
        self.notes.extend(reader.notes.iter().map(|note| format!("{shown}: {note}")));
        match taken {
            Ok(doc) => {
                if slug.as_str() != name {
                    self.notes.push(format!("{shown}: its name here is `{slug}`."));
                }
                self.commands.extend(reader.command);
                self.servers.insert(slug, doc);
            }
            Err(why) => self.notes.push(format!("{shown}: left out: {why}")),
        }
    }

    /// A name that a tenant may use and that no other server of the file has.
    fn free_name(&self, name: &str) -> Slug {
        let slug = slugify(name);
        let numbered = (2..=SERVERS_MAX + 1).map(|number| {
            let suffix = format!("-{number}");
            let stem: String = slug.as_str().chars().take(SLUG_BYTES_MAX - suffix.len()).collect();
            slugify(&format!("{}{suffix}", stem.trim_end_matches('-')))
        });
        let mut candidates = [slug.clone()].into_iter().chain(numbered);
        candidates.find(|slug| !self.servers.contains_key(slug)).unwrap_or(slug)
    }

    fn note_inputs(&mut self, top: &Json) {
        let places = [&top["inputs"], &top["mcp"]["inputs"]];
        for input in places.into_iter().filter_map(Json::as_array).flatten() {
            let id = input["id"].as_str().unwrap_or("?");
            let about = input["description"].as_str().map_or_else(String::new, |text| format!(" ({text})"));
            self.notes.push(format!(
                "input `{id}`{about}: VS Code asks for this value; here, put it into the tenant file of the servers that use it."
            ));
        }
    }
}

#[cfg(test)]
mod tests;
