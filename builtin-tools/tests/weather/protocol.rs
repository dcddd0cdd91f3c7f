//! The weather server over MCP, by rmcp's client, in both eras: lists, calls, resources, completion, prompt, cancellation.

use patchbay_builtin_tools::{Builtin, Given};
use rmcp::{
    ServiceExt,
    model::{
        ArgumentInfo, CallToolRequestParams, CompleteRequestParams, GetPromptRequestParams, ReadResourceRequestParams,
        Reference, ResourceContents,
    },
    service::serve_client,
};
use serde_json::{Value, json};

use crate::{
    Client, StandIn, alerts, answer, both_lifecycles, client, connect, current, documents, forecast, options, server,
    stand_in::Reply, until,
};

async fn providers() -> StandIn {
    let providers = StandIn::new().await;
    let features = [documents::alert("Flood Warning", "Severe")];
    providers.answers("/nws/alerts/", [Reply::json(&documents::alerts(&features))]);
    providers.answers("/nws/points/", [Reply::json(&documents::point())]);
    providers.answers("/nws/gridpoints/", [Reply::json(&documents::forecast())]);
    providers.answers("/geo/", [Reply::json(&documents::parises())]);
    providers.answers("/meteo/", [Reply::json(&documents::meteo())]);
    providers
}

async fn read(client: &Client, uri: &str) -> Result<Value, rmcp::ServiceError> {
    let result = client.read_resource(ReadResourceRequestParams::new(uri)).await?;
    match &result.contents[0] {
        ResourceContents::TextResourceContents { text, .. } => Ok(serde_json::from_str(text).unwrap()),
        other => panic!("not a text: {other:?}"),
    }
}

/// Whether the value has what the schema requires and nothing that it does not know, at its top.
fn fits(value: &Value, schema: &Value) -> bool {
    let members = value.as_object().unwrap();
    let required = schema["required"].as_array().unwrap();
    required.iter().all(|name| members.contains_key(name.as_str().unwrap()))
        && members.keys().all(|name| schema["properties"].get(name).is_some())
}

#[tokio::test]
async fn lists_and_calls_work_in_both_eras() {
    let providers = providers().await;
    for lifecycle in both_lifecycles() {
        let client = connect(server(&providers, &json!({})), lifecycle).await;
        let tools = client.list_all_tools().await.unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["get_alerts", "get_current_weather", "get_forecast"]);
        let answers =
            [alerts(&client, "CA").await, current(&client, "Paris").await, forecast(&client, 37.7749, -122.4194).await];
        for (tool, result) in tools.iter().zip(&answers) {
            let hints = tool.annotations.as_ref().unwrap();
            assert_eq!((hints.read_only_hint, hints.open_world_hint), (Some(true), Some(true)));
            assert_eq!(tool.input_schema["type"], "object");
            let schema = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
            assert_eq!(schema["type"], "object");
            assert!(fits(answer(result), &schema), "{}", tool.name);
        }
        let unknown = client.call_tool(CallToolRequestParams::new("make_rain")).await;
        assert!(unknown.unwrap_err().to_string().contains("Unknown tool: make_rain"));
    }
}

#[tokio::test]
async fn resources_are_listed_read_and_completed() {
    let providers = providers().await;
    for lifecycle in both_lifecycles() {
        let client = connect(server(&providers, &json!({})), lifecycle).await;
        assert_eq!(client.list_all_resources().await.unwrap()[0].uri, "config://app");
        let templates = client.list_all_resource_templates().await.unwrap();
        assert_eq!(templates[0].uri_template, "alerts://{state}/active");
        assert_eq!(read(&client, "alerts://CA/active").await.unwrap()["alerts"][0]["event"], "Flood Warning");
        let config = read(&client, "config://app").await.unwrap();
        assert_eq!(config["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(config["providers"][0]["url"], providers.url("/nws"));
        assert_eq!((config["cache"]["entries"].as_u64(), config["cache"]["misses"].as_u64()), (Some(1), Some(1)));
        for uri in ["alerts://XX/active", "alerts://CA/all", "config://other"] {
            assert!(read(&client, uri).await.is_err(), "{uri}");
        }
        for reference in
            [Reference::for_resource("alerts://{state}/active"), Reference::for_prompt("emergency_summary")]
        {
            let request = CompleteRequestParams::new(reference, ArgumentInfo::new("state", "new"));
            let values = client.complete(request).await.unwrap().completion.values;
            assert_eq!(values, ["NH", "NJ", "NM", "NY"]);
        }
        let other = CompleteRequestParams::new(Reference::for_prompt("other"), ArgumentInfo::new("state", "new"));
        assert!(client.complete(other).await.unwrap().completion.values.is_empty());
    }
}

#[tokio::test]
async fn resource_of_a_failing_provider_is_an_error_that_says_so() {
    let providers = StandIn::new().await;
    providers.answers("/nws/", [Reply::status(500)]);
    let client = client(&providers, &json!({ "retries_max": 0 })).await;
    let error = read(&client, "alerts://CA/active").await.unwrap_err();
    assert!(error.to_string().contains("answered with the status 500"), "{error}");
}

async fn prompt(client: &Client, arguments: Value) -> Result<String, rmcp::ServiceError> {
    let arguments = arguments.as_object().unwrap().clone();
    let request = GetPromptRequestParams::new("emergency_summary").with_arguments(arguments);
    let prompt = client.get_prompt(request).await?;
    Ok(prompt.messages[0].content.as_text().unwrap().text.clone())
}

#[tokio::test]
async fn prompt_carries_the_alerts_or_says_that_they_are_not_known() {
    let providers = providers().await;
    let client = client(&providers, &json!({ "retries_max": 0 })).await;
    assert_eq!(client.list_all_prompts().await.unwrap()[0].name, "emergency_summary");
    let said = prompt(&client, json!({ "state": "california" })).await.unwrap();
    assert!(said.contains("in California (CA)") && said.contains("1. Flood Warning"), "{said}");
    for arguments in [json!({}), json!({ "state": "XX" }), json!({ "state": 7 })] {
        assert!(prompt(&client, arguments).await.is_err());
    }
    providers.answers("/nws/alerts/", [Reply::status(500)]);
    let said = prompt(&client, json!({ "state": "NY" })).await.unwrap();
    assert!(
        said.contains("could not be had just now") && said.contains("do not say that there is no danger"),
        "{said}"
    );
}

#[tokio::test]
async fn cancelled_call_ends_its_request_at_once() {
    let providers = StandIn::new().await;
    providers.answers("/nws/", [Reply::silence()]);
    let client = client(&providers, &json!({ "read_timeout_ms": 60_000, "deadline_ms": 120_000 })).await;
    let arguments = json!({ "state": "CA" }).as_object().unwrap().clone();
    let peer = client.peer().clone();
    let call = tokio::spawn(async move {
        peer.call_tool_once(CallToolRequestParams::new("get_alerts").with_arguments(arguments)).await
    });
    until(|| providers.count() == 1).await;
    assert_eq!(providers.deserted(), 0);
    // The client tells the server that a call is not wanted any more when it is dropped.
    call.abort();
    until(|| providers.deserted() == 1).await;
}

#[tokio::test]
async fn served_from_the_table_of_built_in_kinds_with_one_cache() {
    let providers = providers().await;
    let server = Builtin::find("weather").unwrap().build(&Given::of(options(&providers, &json!({})))).unwrap();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let handler = server.handler();
        tokio::spawn(async move { handler.serve(far).await.unwrap().waiting().await });
        let client = serve_client((), near).await.unwrap();
        assert_eq!(answer(&alerts(&client, "CA").await)["count"], 1);
    }
    assert_eq!(providers.count(), 1);
}
