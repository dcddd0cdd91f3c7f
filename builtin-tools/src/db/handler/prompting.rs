//! Prompts filled in: with the overview of a source, or the schema of a table, as the source gives it now.

use rmcp::{
    ErrorData,
    model::{GetPromptRequestParams, GetPromptResult, PromptMessage, Role},
};

use super::{failed, reading::overview};
use crate::db::{
    DbExplorer,
    prompts::{self, Arguments, REPORTS, Report},
    resources,
    source::Cx,
};

/// The most bytes of an overview or a schema inside a prompt; a model reads all of it each time.
const PLACE_BYTES_MAX: usize = 16 * 1024;

impl DbExplorer {
    /// The prompt of that name.
    pub(super) async fn prompt(&self, request: GetPromptRequestParams, cx: &Cx) -> Result<GetPromptResult, ErrorData> {
        let Some(prompt) = self.surface.prompt(&request.name) else {
            let name: String = request.name.chars().take(64).collect();
            let known = self.surface.prompts.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ErrorData::invalid_params(format!("Unknown prompt: {name}. There are: {known}."), None));
        };
        let invalid = |sentence| ErrorData::invalid_params(sentence, None);
        let arguments = Arguments::read(prompt, request.arguments).map_err(invalid)?;
        let text = match prompt.name.as_str() {
            prompts::ANALYST => self.analyst(&arguments, cx).await?,
            prompts::ANALYZE => self.study(&arguments, cx).await?,
            _ => self.report(&arguments, cx).await?,
        };
        let result = GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]);
        Ok(result.with_description(prompt.description.clone().unwrap_or_default()))
    }

    async fn analyst(&self, arguments: &Arguments, cx: &Cx) -> Result<String, ErrorData> {
        let question = arguments.get(prompts::QUESTION).unwrap_or_default();
        Ok(prompts::analyst(question, &self.place(arguments, cx).await?))
    }

    async fn study(&self, arguments: &Arguments, cx: &Cx) -> Result<String, ErrorData> {
        let table = arguments.get(prompts::TABLE).unwrap_or_default();
        let source = self.source(arguments.get(prompts::SOURCE)).map_err(|error| failed(&error))?;
        let detail = source.describe_table(table, cx).await.map_err(|error| failed(&error))?;
        let schema = cut(resources::schema(&detail).map_err(|error| failed(&error))?);
        Ok(prompts::study(&source.about().name, &detail.name, arguments.get(prompts::FOCUS), &schema))
    }

    async fn report(&self, arguments: &Arguments, cx: &Cx) -> Result<String, ErrorData> {
        let name = arguments.get(prompts::REPORT_TYPE).unwrap_or_default();
        let Some(report) = Report::find(name) else {
            let name: String = name.chars().take(64).collect();
            let known = REPORTS.map(|report| report.name).join(", ");
            return Err(ErrorData::invalid_params(format!("Unknown report type: {name}. There are: {known}."), None));
        };
        let asked = arguments.get(prompts::SOURCE);
        let mut dialects: Vec<_> = self
            .abouts()
            .filter(|about| asked.is_none_or(|name| about.name == name))
            .map(|about| about.dialect)
            .collect();
        dialects.sort_by_key(|dialect| dialect.name());
        dialects.dedup();
        Ok(prompts::report(report, &dialects, &self.place(arguments, cx).await?))
    }

    /// What there is to be asked: the source's overview, or the sources where there are several and none is named.
    async fn place(&self, arguments: &Arguments, cx: &Cx) -> Result<String, ErrorData> {
        let asked = arguments.get(prompts::SOURCE);
        if asked.is_none() && self.sources.len() > 1 {
            let sources = self.abouts().map(|about| format!("- `{}`: {}\n", about.name, about.dialect.name()));
            let said = "# Data sources\n\nPass the name of one as `source`, and begin with list_tables.\n\n";
            return Ok(said.to_owned() + &sources.collect::<String>());
        }
        let source = self.source(asked).map_err(|error| failed(&error))?;
        overview(source, PLACE_BYTES_MAX, cx).await.map_err(|error| failed(&error))
    }
}

fn cut(mut schema: String) -> String {
    if schema.len() > PLACE_BYTES_MAX {
        schema.truncate(schema.floor_char_boundary(PLACE_BYTES_MAX));
        schema.push_str("\n… (cut; describe_table shows the rest)");
    }
    schema
}
