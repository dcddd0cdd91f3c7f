//! What an explorer lists: its tools, prompts, resources and templates. They follow from what its sources are and never from
//! what is in them, so they are made once and are the same bytes each time.

use rmcp::model::{Prompt, Resource, ResourceTemplate, Tool};

use super::{prompts, resources, source::About, tools};

/// The lists of an explorer.
#[derive(Debug)]
pub(crate) struct Surface {
    /// By name.
    pub(crate) tools: Vec<Tool>,
    /// By name.
    pub(crate) prompts: Vec<Prompt>,
    /// By source.
    pub(crate) resources: Vec<Resource>,
    /// By source.
    pub(crate) templates: Vec<ResourceTemplate>,
    /// What a client may tell its model about all of it.
    pub(crate) instructions: String,
}

impl Surface {
    /// Of an explorer with these sources.
    pub(crate) fn of(sources: &[&About]) -> Self {
        Self {
            tools: tools::all(sources),
            prompts: prompts::all(sources),
            resources: resources::all(sources),
            templates: resources::templates(sources),
            instructions: instructions(sources),
        }
    }

    /// The tool of that name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The prompt of that name.
    pub(crate) fn prompt(&self, name: &str) -> Option<&Prompt> {
        self.prompts.iter().find(|prompt| prompt.name == name)
    }
}

fn instructions(sources: &[&About]) -> String {
    let what = match sources {
        [only] => format!("the {} database `{}`", only.dialect.name(), only.name),
        _ => {
            let names = sources.iter().map(|about| format!("`{}` ({})", about.name, about.dialect.name()));
            format!("these databases: {}; pass the name of one as `source`", names.collect::<Vec<_>>().join(", "))
        }
    };
    let adds = match sources.iter().any(|about| about.inserts) {
        true => " insert_record adds a row to a table that was opened for it.",
        false => "",
    };
    format!(
        "Read-only SQL over {what}. Begin with list_tables, look at describe_table where names are not enough, then use \
         query_database. analyze_table says what is in a table, explain_query what a query would cost.{adds}"
    )
}
