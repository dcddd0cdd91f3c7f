//! The DB explorer as an MCP server: which method leads to which work. rmcp does the protocol, in both eras.

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, CompletionInfo,
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, Prompt,
        PromptArgument, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Reference,
        Resource, ResourceContents, ResourceTemplate, Role, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{
    DbExplorer,
    error::QueryError,
    resources,
    resources::Place,
    source::{Cx, ListFilter},
    tools::{self, DescribeArguments, ListArguments, QueryArguments},
};

/// Lists change only with the program.
const LISTS_TTL_MS: u64 = 300_000;
const PROMPT: &str = "data_analyst";
const TABLE_ARGUMENT: &str = "table";

type Context = RequestContext<RoleServer>;

impl DbExplorer {
    async fn overview(&self, context: &Context) -> Result<String, QueryError> {
        let source = self.source(None)?;
        let list = source.list_tables(ListFilter::default(), &cx(context)).await?;
        Ok(resources::overview(&source.about().name, &list))
    }

    fn first(&self) -> &str {
        &self.sources[0].about().name
    }

    fn template(&self) -> String {
        resources::template(self.first())
    }
}

fn cx(context: &Context) -> Cx {
    Cx::new(context.ct.clone(), None)
}

impl ServerHandler for DbExplorer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("patchbay-db", env!("CARGO_PKG_VERSION")).with_title("Patchbay DB explorer"),
            )
            .with_instructions(format!(
                "Read-only SQL over the database `{}`. Begin with list_tables, look at describe_table where names \
                 are not enough, then use query_database.",
                self.first()
            ))
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(tools::TOOLS.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::find(name).cloned()
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let result = match request.name.as_ref() {
            tools::QUERY => match tools::arguments::<QueryArguments>(request.arguments) {
                Ok(arguments) => match self.source(None) {
                    Ok(source) => tools::result(source.query(arguments.into(), &cx(&context)).await),
                    Err(error) => tools::result::<()>(Err(error)),
                },
                Err(error) => tools::result::<()>(Err(error)),
            },
            tools::LIST => match tools::arguments::<ListArguments>(request.arguments) {
                Ok(ListArguments {}) => match self.source(None) {
                    Ok(source) => tools::result(source.list_tables(ListFilter::default(), &cx(&context)).await),
                    Err(error) => tools::result::<()>(Err(error)),
                },
                Err(error) => tools::result::<()>(Err(error)),
            },
            tools::DESCRIBE => match tools::arguments::<DescribeArguments>(request.arguments) {
                Ok(DescribeArguments { table }) => match self.source(None) {
                    Ok(source) => tools::result(source.describe_table(&table, &cx(&context)).await),
                    Err(error) => tools::result::<()>(Err(error)),
                },
                Err(error) => tools::result::<()>(Err(error)),
            },
            name => {
                return Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None));
            }
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let overview = Resource::new(resources::overview_uri(self.first()), "overview")
            .with_title("Overview of the database")
            .with_description("All tables and views with their columns and row counts.")
            .with_mime_type(resources::OVERVIEW_TYPE);
        let list = ListResourcesResult::with_all_items(vec![overview]);
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(self.template(), "table-schema")
            .with_title("Schema of a table")
            .with_description("The columns, keys and indexes of one table or view.")
            .with_mime_type(resources::SCHEMA_TYPE);
        let list = ListResourceTemplatesResult::with_all_items(vec![template]);
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let unknown = || ErrorData::resource_not_found(format!("There is no resource {uri}."), None);
        let (text, kind) = match resources::place(self.first(), &uri).ok_or_else(unknown)? {
            Place::Overview => (self.overview(&context).await, resources::OVERVIEW_TYPE),
            Place::Table(table) => {
                let source = self.source(None).map_err(|_| unknown())?;
                let detail = source.describe_table(&table, &cx(&context)).await;
                (detail.and_then(|detail| resources::schema(&detail)), resources::SCHEMA_TYPE)
            }
        };
        let text = text.map_err(|error| match error {
            QueryError::NoSuchTable => unknown(),
            error => ErrorData::internal_error(error.to_text(), None),
        })?;
        let contents = ResourceContents::text(text, uri).with_mime_type(kind);
        Ok(ReadResourceResult::new(vec![contents]).with_ttl_ms(0).with_cache_scope(CacheScope::Private).into())
    }

    async fn complete(&self, request: CompleteRequestParams, context: Context) -> Result<CompleteResult, ErrorData> {
        let is_table = matches!(&request.r#ref, Reference::Resource(to) if to.uri == self.template())
            && request.argument.name == TABLE_ARGUMENT;
        if !is_table {
            return Ok(CompleteResult::default());
        }
        let beginning = request.argument.value;
        let internal = |error: QueryError| ErrorData::internal_error(error.to_text(), None);
        let source = self.source(None).map_err(internal)?;
        let names = source.table_names(&beginning, &cx(&context)).await.map_err(internal)?;
        let total = u32::try_from(names.len()).ok();
        let has_more = names.len() > CompletionInfo::MAX_VALUES;
        let shown = names.into_iter().take(CompletionInfo::MAX_VALUES).collect();
        CompletionInfo::with_pagination(shown, total, has_more)
            .map(CompleteResult::new)
            .map_err(|error| ErrorData::internal_error(error, None))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let question = PromptArgument::new("question")
            .with_title("Question")
            .with_description("What to find out, in plain words.")
            .with_required(true);
        let prompt = Prompt::new(
            PROMPT,
            Some("Answers a question about the database with queries, and says how it was found."),
            Some(vec![question]),
        )
        .with_title("Data analyst");
        let list = ListPromptsResult::with_all_items(vec![prompt]);
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name != PROMPT {
            return Err(ErrorData::invalid_params(format!("Unknown prompt: {}", request.name), None));
        }
        let arguments = request.arguments.unwrap_or_default();
        let question =
            arguments.get("question").and_then(|value| value.as_str()).filter(|text| !text.trim().is_empty());
        let Some(question) = question else {
            return Err(ErrorData::invalid_params("The prompt needs the argument `question`, a text.", None));
        };
        let overview =
            self.overview(&context).await.map_err(|error| ErrorData::internal_error(error.to_text(), None))?;
        let message = PromptMessage::new_text(Role::User, resources::analyst(question, &overview));
        Ok(GetPromptResult::new(vec![message]).with_description("A question to the database").into())
    }
}
