//! Calls of tools: the arguments are read, the source is asked, and its answer or its error becomes the result.

use rmcp::{
    ErrorData,
    model::{CallToolRequestParams, CallToolResult, ContentBlock, JsonObject},
};
use serde::Serialize;
use serde_json::Value;

use super::{Context, progress};
use crate::db::{
    DbExplorer,
    error::QueryError,
    source::Cx,
    tools::{
        self,
        arguments::{OfInsert, OfList, OfQuery, OfTable, read},
    },
};

impl DbExplorer {
    /// The result of a call. Only a tool that there is not is an error of the protocol; all else is for the model.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        context: &Context,
    ) -> Result<CallToolResult, ErrorData> {
        let Some(tool) = self.surface.tool(&request.name) else {
            let name: String = request.name.chars().take(64).collect();
            return Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None));
        };
        let work = |cx| async move { self.work(&tool.name, &tool.input_schema, request.arguments, &cx).await };
        Ok(match progress::telling(context, work).await {
            // With the same JSON as text, for clients that show only text.
            Ok(value) => CallToolResult::structured(value),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_text())]),
        })
    }

    async fn work(
        &self,
        tool: &str,
        schema: &JsonObject,
        given: Option<JsonObject>,
        cx: &Cx,
    ) -> Result<Value, QueryError> {
        let of = |source: &Option<String>| self.source(source.as_deref());
        match tool {
            tools::ANALYZE => {
                let arguments: OfTable = read(schema, given)?;
                json(of(&arguments.source)?.analyze_table(&arguments.table, &arguments.columns, cx).await?)
            }
            tools::DESCRIBE => {
                let arguments: OfTable = read(schema, given)?;
                json(of(&arguments.source)?.describe_table(&arguments.table, cx).await?)
            }
            tools::EXPLAIN => {
                let arguments: OfQuery = read(schema, given)?;
                json(of(&arguments.source)?.explain_query(arguments.into_query(), cx).await?)
            }
            tools::INSERT => {
                let arguments: OfInsert = read(schema, given)?;
                json(of(&arguments.source)?.insert_record(&arguments.table, arguments.values, cx).await?)
            }
            tools::LIST => {
                let arguments: OfList = read(schema, given)?;
                json(of(&arguments.source)?.list_tables(arguments.into_filter(), cx).await?)
            }
            tools::QUERY => {
                let arguments: OfQuery = read(schema, given)?;
                json(of(&arguments.source)?.query(arguments.into_query(), cx).await?)
            }
            // The last tool that there is, `list_data_sources`.
            _ => {
                let _none: JsonObject = read(schema, given)?;
                json(tools::data_sources(self.abouts()))
            }
        }
    }
}

fn json(answer: impl Serialize) -> Result<Value, QueryError> {
    serde_json::to_value(answer).map_err(|_| QueryError::Unavailable)
}
