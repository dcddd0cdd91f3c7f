//! The DB explorer as an MCP server: which method leads to which work. rmcp does the protocol, in both eras; the lists are in
//! `surface`, and the rooms here do what takes a source: `calls`, `reading` (resources), `prompting`, `completion`.

mod calls;
mod completion;
mod progress;
mod prompting;
mod reading;
#[cfg(test)]
mod tests;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
        GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{DbExplorer, error::QueryError, source::Cx};

/// Lists change only with the program.
const LISTS_TTL_MS: u64 = 300_000;

type Context = RequestContext<RoleServer>;

/// For work that tells no progress.
fn cx(context: &Context) -> Cx {
    Cx::new(context.ct.clone(), None)
}

/// An error of a source where there is no result to put it into.
fn failed(error: &QueryError) -> ErrorData {
    match error {
        QueryError::NoSuchSource(..)
        | QueryError::WhichSource(_)
        | QueryError::NoSuchTable
        | QueryError::Arguments(_) => ErrorData::invalid_params(error.to_text(), None),
        error => ErrorData::internal_error(error.to_text(), None),
    }
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
            .with_instructions(self.surface.instructions.clone())
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(self.surface.tools.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.surface.tool(name).cloned()
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &context).await.map(Into::into)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let list = ListResourcesResult::with_all_items(self.surface.resources.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let list = ListResourceTemplatesResult::with_all_items(self.surface.templates.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.read(request.uri, &cx(&context)).await.map(Into::into)
    }

    async fn complete(&self, request: CompleteRequestParams, context: Context) -> Result<CompleteResult, ErrorData> {
        self.completed(request, &cx(&context)).await
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let list = ListPromptsResult::with_all_items(self.surface.prompts.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.prompt(request, &cx(&context)).await.map(Into::into)
    }
}
