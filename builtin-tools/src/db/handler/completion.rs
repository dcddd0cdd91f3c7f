//! Completion: names of tables for the templates and for a prompt, names of sources, and kinds of reports.

use rmcp::{
    ErrorData,
    model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference},
};

use super::failed;
use crate::db::{
    DbExplorer,
    prompts::{self, REPORTS},
    resources,
    source::Cx,
};

impl DbExplorer {
    /// What the argument may go on as.
    pub(super) async fn completed(&self, request: CompleteRequestParams, cx: &Cx) -> Result<CompleteResult, ErrorData> {
        let (argument, beginning) = (request.argument.name.as_str(), request.argument.value.as_str());
        let values = match &request.r#ref {
            Reference::Resource(to) => {
                let source = self.abouts().find(|about| resources::template(&about.name) == to.uri);
                let Some(source) = source else {
                    let uri: String = to.uri.chars().take(256).collect();
                    return Err(ErrorData::invalid_params(format!("There is no resource template {uri}."), None));
                };
                known(argument, &[resources::TABLE_ARGUMENT])?;
                self.tables(Some(&source.name), beginning, cx).await?
            }
            Reference::Prompt(to) => {
                let source = request.context.as_ref().and_then(|context| context.get_argument(prompts::SOURCE));
                self.of_prompt(&to.name, argument, beginning, source.map(String::as_str), cx).await?
            }
            _ => {
                return Err(ErrorData::invalid_params("Only resource templates and prompts are completed here.", None));
            }
        };
        answer(values)
    }

    async fn of_prompt(
        &self,
        prompt: &str,
        argument: &str,
        beginning: &str,
        source: Option<&str>,
        cx: &Cx,
    ) -> Result<Vec<String>, ErrorData> {
        let Some(prompt) = self.surface.prompt(prompt) else {
            let name: String = prompt.chars().take(64).collect();
            return Err(ErrorData::invalid_params(format!("Unknown prompt: {name}"), None));
        };
        let takes = prompt.arguments.as_deref().unwrap_or_default();
        known(argument, &takes.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>())?;
        Ok(match argument {
            prompts::TABLE if source.is_some() || self.sources.len() == 1 => self.tables(source, beginning, cx).await?,
            prompts::SOURCE => beginning_so(beginning, self.abouts().map(|about| about.name.as_str())),
            prompts::REPORT_TYPE => beginning_so(beginning, REPORTS.iter().map(|report| report.name)),
            // A question and a focus are anybody's own words, and a table without its source could be in any.
            _ => Vec::new(),
        })
    }

    async fn tables(&self, source: Option<&str>, beginning: &str, cx: &Cx) -> Result<Vec<String>, ErrorData> {
        let source = self.source(source).map_err(|error| failed(&error))?;
        source.table_names(beginning, cx).await.map_err(|error| failed(&error))
    }
}

fn known(argument: &str, known: &[&str]) -> Result<(), ErrorData> {
    if known.contains(&argument) {
        return Ok(());
    }
    let (name, known): (String, _) = (argument.chars().take(64).collect(), known.join(", "));
    Err(ErrorData::invalid_params(
        format!("There is no argument `{name}` to complete; expected one of: {known}."),
        None,
    ))
}

fn beginning_so<'a>(beginning: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let beginning = beginning.to_ascii_lowercase();
    names.filter(|name| name.starts_with(&beginning)).map(str::to_owned).collect()
}

fn answer(values: Vec<String>) -> Result<CompleteResult, ErrorData> {
    let total = u32::try_from(values.len()).ok();
    let has_more = values.len() > CompletionInfo::MAX_VALUES;
    let shown = values.into_iter().take(CompletionInfo::MAX_VALUES).collect();
    CompletionInfo::with_pagination(shown, total, has_more)
        .map(CompleteResult::new)
        .map_err(|error| ErrorData::internal_error(error, None))
}
