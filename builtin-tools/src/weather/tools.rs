//! The tools of the weather server as clients see them: names, descriptions, schemas, and the arguments they take.
//! What they do is in `weather`; `handler` connects the two.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    answer::{AlertsAnswer, CurrentAnswer, ForecastAnswer, Readable},
    error::WeatherError,
};

pub(crate) const ALERTS: &str = "get_alerts";
pub(crate) const CURRENT: &str = "get_current_weather";
pub(crate) const FORECAST: &str = "get_forecast";

/// Arguments of `get_alerts`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertsArguments {
    /// A US state, territory or marine area: its two-letter code such as CA, or its name such as California.
    #[schemars(length(min = 2, max = 64))]
    pub(crate) state: String,
}

/// Arguments of `get_forecast`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForecastArguments {
    /// Degrees north, such as 37.7749.
    #[schemars(range(min = -90, max = 90))]
    pub(crate) latitude: f64,
    /// Degrees east, such as -122.4194; negative in the Americas.
    #[schemars(range(min = -180, max = 180))]
    pub(crate) longitude: f64,
}

/// Arguments of `get_current_weather`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurrentArguments {
    /// The city, such as Paris; with its region where there are several, such as Paris, Texas.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) city: String,
    /// The country, by its name or two-letter code.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) country: Option<String>,
}

/// The tools, the same for every configuration.
pub(crate) static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        tool::<AlertsArguments, AlertsAnswer>(
            ALERTS,
            "Weather alerts",
            "Gives the active weather alerts (warnings, watches, advisories) of a US state, territory or marine area, the \
             most severe first.",
        ),
        tool::<CurrentArguments, CurrentAnswer>(
            CURRENT,
            "Weather now",
            "Gives the weather now in a city anywhere. Says which place was picked, and which others have that name.",
        ),
        tool::<ForecastArguments, ForecastAnswer>(
            FORECAST,
            "Weather forecast",
            "Gives the forecast by day and night for about seven days for a point in the US or its territories.",
        ),
    ]
});

fn tool<A: JsonSchema + 'static, R: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
) -> Tool {
    let mut tool = Tool::new(name, description, JsonObject::default()).with_input_schema::<A>();
    // Some clients refuse an object schema without this member, also when there is nothing to say in it.
    Arc::make_mut(&mut tool.input_schema).entry("properties").or_insert_with(|| JsonObject::default().into());
    let hints = ToolAnnotations::with_title(title).read_only(true).destructive(false).idempotent(true).open_world(true);
    tool.with_title(title).with_output_schema::<R>().with_annotations(hints)
}

/// The arguments of a call, or what is wrong with them in words for the model.
pub(crate) fn arguments<A: DeserializeOwned>(given: Option<JsonObject>) -> Result<A, WeatherError> {
    serde_json::from_value(Value::Object(given.unwrap_or_default()))
        .map_err(|error| WeatherError::Arguments(format!("The arguments cannot be read: {error}.")))
}

/// The result of a call: structured, and as a text that people can read.
pub(crate) fn result<T: Serialize + Readable>(answer: &Result<T, WeatherError>) -> CallToolResult {
    let written = answer.as_ref().map(|answer| (answer.text(), serde_json::to_value(answer)));
    match written {
        Ok((text, structured)) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            // Our own structs of texts and finite numbers always become JSON.
            result.structured_content = structured.ok();
            result
        }
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_text())]),
    }
}

/// The tool of that name.
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == Cow::Borrowed(name))
}
