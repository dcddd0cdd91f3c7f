//! The weather server as an MCP server: which method leads to which work. rmcp does the protocol, in both eras. Work stops
//! at once when its call is cancelled.

use std::future::Future;

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
    Weather,
    error::WeatherError,
    resources::{self, Place},
    states,
    tools::{self, AlertsArguments, CurrentArguments, ForecastArguments},
    wanted::Wanted,
};

/// Lists change only with the program.
const LISTS_TTL_MS: u64 = 300_000;
const PROMPT: &str = "emergency_summary";
const STATE_ARGUMENT: &str = "state";

type Context = RequestContext<RoleServer>;

/// What `work` comes to, unless the call is cancelled first; then the work is dropped, and its connection with it.
async fn cancellable<T>(
    context: &Context,
    work: impl Future<Output = Result<T, WeatherError>>,
) -> Result<T, WeatherError> {
    tokio::select! {
        biased;
        () = context.ct.cancelled() => Err(WeatherError::Cancelled),
        outcome = work => outcome,
    }
}

impl ServerHandler for Weather {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("patchbay-weather", env!("CARGO_PKG_VERSION")).with_title("Patchbay weather"),
            )
            .with_instructions(
                "The weather now in any city (get_current_weather), and for the US the forecast for a point \
                 (get_forecast) and the active alerts of a state (get_alerts). Answers say who gave them, and how old \
                 they are when they are not the newest.",
            )
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(tools::TOOLS.clone());
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::find(name).cloned()
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let given = request.arguments;
        let result = match request.name.as_ref() {
            tools::ALERTS => {
                let work = async {
                    let AlertsArguments { state } = tools::arguments(given)?;
                    self.alerts(states::find(&state)?).await
                };
                tools::result(&cancellable(&context, work).await)
            }
            tools::FORECAST => {
                let work = async {
                    let ForecastArguments { latitude, longitude } = tools::arguments(given)?;
                    self.forecast(latitude, longitude).await
                };
                tools::result(&cancellable(&context, work).await)
            }
            tools::CURRENT => {
                let work = async {
                    let CurrentArguments { city, country } = tools::arguments(given)?;
                    self.current(&Wanted::parse(&city, country.as_deref())?).await
                };
                tools::result(&cancellable(&context, work).await)
            }
            name => return Err(ErrorData::invalid_params(format!("Unknown tool: {name}"), None)),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let config = Resource::new(resources::CONFIG_URI, "config")
            .with_title("Configuration of the weather server")
            .with_description("Its version, providers and limits, and the numbers of its cache.")
            .with_mime_type(resources::JSON);
        let list = ListResourcesResult::with_all_items(vec![config]);
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(resources::ALERTS_TEMPLATE, "active-alerts")
            .with_title("Active alerts of a state")
            .with_description("The weather alerts that are active in a US state, territory or marine area.")
            .with_mime_type(resources::JSON);
        let list = ListResourceTemplatesResult::with_all_items(vec![template]);
        Ok(list.with_ttl_ms(LISTS_TTL_MS).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let text = match resources::place(&uri) {
            None => return Err(ErrorData::resource_not_found(format!("There is no resource {uri}."), None)),
            Some(Place::Config) => serde_json::to_string_pretty(&self.config()),
            Some(Place::Alerts(area)) => {
                let alerts = cancellable(&context, self.alerts(area)).await;
                serde_json::to_string_pretty(&alerts.map_err(|error| ErrorData::internal_error(error.to_text(), None))?)
            }
        };
        let text = text.map_err(|_| ErrorData::internal_error("The resource cannot be written as JSON.", None))?;
        let contents = ResourceContents::text(text, uri).with_mime_type(resources::JSON);
        Ok(ReadResourceResult::new(vec![contents]).with_ttl_ms(0).with_cache_scope(CacheScope::Private).into())
    }

    async fn complete(&self, request: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        let is_ours = match &request.r#ref {
            Reference::Resource(to) => to.uri == resources::ALERTS_TEMPLATE,
            Reference::Prompt(to) => to.name == PROMPT,
            _ => false,
        };
        if !is_ours || request.argument.name != STATE_ARGUMENT {
            return Ok(CompleteResult::default());
        }
        CompletionInfo::with_all_values(states::complete(&request.argument.value))
            .map(CompleteResult::new)
            .map_err(|error| ErrorData::internal_error(error, None))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let state = PromptArgument::new(STATE_ARGUMENT)
            .with_title("State")
            .with_description("A US state, territory or marine area, by its code or name.")
            .with_required(true);
        let prompt = Prompt::new(
            PROMPT,
            Some("Summarises the active weather alerts of a state for the people there."),
            Some(vec![state]),
        )
        .with_title("Emergency summary");
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
        let Some(state) = arguments.get(STATE_ARGUMENT).and_then(|value| value.as_str()) else {
            return Err(ErrorData::invalid_params("The prompt needs the argument `state`, a text.", None));
        };
        let area = states::find(state).map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        let alerts = cancellable(&context, self.alerts(area)).await;
        let message = PromptMessage::new_text(Role::User, resources::emergency(area, &alerts));
        let description = format!("The weather emergencies in {}", area.name);
        Ok(GetPromptResult::new(vec![message]).with_description(description).into())
    }
}
