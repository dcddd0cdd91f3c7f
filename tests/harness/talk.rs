//! A client that answers: what a server asks within a call is answered and the call goes on, in a legacy session on the stream
//! of the call, in the modern era by asking again. All that was heard on the way is kept for tests to look at.

use serde_json::{Map, Value, json};

use crate::{
    client::{Client, Exchange, gather},
    http::{Ask, Event},
};

/// The most times that one call is asked again.
const ROUNDS_MAX: usize = 10;

/// What came of one call, with all that was asked meanwhile.
#[derive(Debug, Clone)]
pub struct Talk {
    /// What the server asked, each as `{method, params}`, and its `key` in the modern era or `id` in the legacy one.
    pub asked: Vec<Value>,
    /// The notifications, in their order.
    pub told: Vec<Value>,
    /// The answer.
    pub last: Exchange,
}

impl Client {
    /// Sends a request and answers what is asked meanwhile. Where `answer` gives nothing, nothing is said.
    pub async fn talk(&self, method: &str, params: Value, answer: impl Fn(&Value) -> Option<Value>) -> Talk {
        let mut talk = if self.is_modern() {
            self.talk_in_rounds(method, params, answer).await
        } else {
            self.talk_on_stream(&self.ask(method, params), answer).await
        };
        talk.last.before = talk.told.clone();
        talk
    }

    /// The same for a tool.
    pub async fn talk_tool(&self, tool: &str, arguments: Value, answer: impl Fn(&Value) -> Option<Value>) -> Talk {
        self.talk("tools/call", json!({ "name": tool, "arguments": arguments }), answer).await
    }

    /// The params of the round after this answer; nothing when it is the last.
    pub fn next_round(params: &Value, last: &Exchange, answers: Map<String, Value>) -> Option<Value> {
        let result = &last.response["result"];
        if result["resultType"] != "input_required" {
            return None;
        }
        let mut params = params.clone();
        let members = params.as_object_mut().expect("params are an object");
        members.insert("inputResponses".to_owned(), answers.into());
        match result.get("requestState") {
            Some(state) => members.insert("requestState".to_owned(), state.clone()),
            None => members.remove("requestState"),
        };
        Some(params)
    }

    async fn talk_in_rounds(&self, method: &str, params: Value, answer: impl Fn(&Value) -> Option<Value>) -> Talk {
        let (mut asked, mut told) = (Vec::new(), Vec::new());
        let mut params = params;
        for _ in 0..ROUNDS_MAX {
            let last = self.request(method, params.clone()).await;
            told.extend(last.before.iter().cloned());
            let mut answers = Map::new();
            for (key, request) in last.response["result"]["inputRequests"].as_object().into_iter().flatten() {
                let mut question = request.clone();
                question["key"] = json!(key);
                if let Some(answer) = answer(&question) {
                    answers.insert(key.clone(), answer);
                }
                asked.push(question);
            }
            match Self::next_round(&params, &last, answers) {
                Some(next) => params = next,
                None => return Talk { asked, told, last },
            }
        }
        panic!("{method} has no end: {asked:?}");
    }

    async fn talk_on_stream(&self, ask: &Ask, answer: impl Fn(&Value) -> Option<Value>) -> Talk {
        let reply = ask.send(self.address).await;
        if reply.kind() != "text/event-stream" {
            return Talk { asked: Vec::new(), told: Vec::new(), last: gather(reply).await };
        }
        let (status, mut events) = (reply.status, reply.events());
        let (mut asked, mut told, mut comments) = (Vec::new(), Vec::new(), 0);
        loop {
            let event = match events.next().await {
                Ok(Some(event)) => event,
                end => panic!("the stream ended without a response ({end:?}) after {told:?} and {asked:?}"),
            };
            let Event::Message(raw) = &event else {
                comments += 1;
                continue;
            };
            if raw.trim().is_empty() {
                continue;
            }
            let message = event.json();
            match (message.get("method"), message.get("id")) {
                (Some(_), Some(id)) => {
                    if let Some(result) = answer(&message) {
                        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                        let taken = self.post_in_era(reply.to_string()).send(self.address).await;
                        assert_eq!(taken.status, 202, "the answer to {message}");
                    }
                    asked.push(message);
                }
                (Some(_), None) => told.push(message),
                (None, _) => {
                    let last = Exchange { status, before: Vec::new(), raw: raw.clone(), response: message, comments };
                    return Talk { asked, told, last };
                }
            }
        }
    }
}

/// What a person says who fills in everything as it is proposed: the defaults of a form, a picture of a model, one root.
pub fn obliging(question: &Value) -> Option<Value> {
    Some(match question["method"].as_str()? {
        "elicitation/create" if question["params"]["mode"] == "url" => json!({ "action": "accept" }),
        "elicitation/create" => {
            let fields = question["params"]["requestedSchema"]["properties"].as_object().cloned().unwrap_or_default();
            let content: Map<String, Value> =
                fields.into_iter().map(|(name, field)| (name, filled_in(&field))).collect();
            json!({ "action": "accept", "content": content })
        }
        "sampling/createMessage" => json!({
            "role": "assistant", "content": { "type": "text", "text": "The model says so." }, "model": "test", "stopReason": "endTurn"
        }),
        "roots/list" => json!({ "roots": [{ "uri": "file:///home/ada", "name": "home" }] }),
        _ => return None,
    })
}

fn filled_in(field: &Value) -> Value {
    if let Some(default) = field.get("default") {
        return default.clone();
    }
    match field["type"].as_str() {
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        _ => json!("Ada"),
    }
}
