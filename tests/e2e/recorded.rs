//! What real IDE clients were recorded to send (`tests/recorded`), sent again as it was: the key and the session are put in the
//! place of the invented ones, and nothing else is touched. The answers are held against what those clients go by.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use patchbay_e2e::{Ask, Reply, TestGateway, setup::tenant};
use serde_json::{Value, json};

/// One recorded request.
pub(crate) struct Recorded {
    method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    /// What the recording server answered, with which the client went on.
    pub(crate) status_given: u16,
}

impl Recorded {
    fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        let request = &line["request"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = request["headers"].as_object().unwrap();
        Self {
            method: text(&request["method"]),
            path: text(&request["path"]),
            headers: headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            body: Some(request["body"].clone()).filter(|body| !body.is_null()),
            status_given: line["status_given"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap(),
        }
    }

    /// The request with this key and this session in the place of those that it has; a client that was recorded without a key
    /// gets one as well, as its configuration for Patchbay gives it one.
    pub(crate) fn ask(&self, key: Option<&str>, session: Option<&str>) -> Ask {
        let mut ask = Ask::new(&self.method, self.path.clone());
        ask.headers.clone_from(&self.headers);
        let ask = match &self.body {
            Some(body) => ask.body(body.to_string()),
            None => ask,
        };
        let ask = match key {
            Some(key) => ask.bearer(key),
            None => ask.without("authorization"),
        };
        match (ask.given("mcp-session-id").is_some(), session) {
            (true, Some(session)) => ask.with("mcp-session-id", session),
            (false, _) => ask,
            (true, None) => panic!("{} comes before a session was opened", self.what()),
        }
    }

    fn what(&self) -> &str {
        self.body.as_ref().and_then(|body| body["method"].as_str()).unwrap_or(&self.method)
    }
}

pub(crate) fn recording(name: &str) -> Vec<Recorded> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(format!("{name}.jsonl"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().map(Recorded::parse).collect()
}

async fn gateway() -> TestGateway {
    let servers = [("conformance", json!({ "command": "conformance", "args": ["--era", "legacy"] }))];
    TestGateway::setup().tenant(tenant("demo", servers)).start().await
}

/// Sends a recording again, from its first to its last request, and gives the session that it opened.
async fn replay(gateway: &TestGateway, requests: &[Recorded]) -> String {
    let mut session = None;
    for request in requests {
        let reply = request.ask(Some(gateway.key("demo")), session.as_deref()).send(gateway.address).await;
        // The gateway that was recorded had no stream to offer.
        let expected = if request.method == "GET" { 200 } else { request.status_given };
        assert_eq!(reply.status, expected, "{}", request.what());
        session = reply.header("mcp-session-id").map(str::to_owned).or(session);
        expect_answer(request, reply).await;
    }
    session.expect("the client opened a session")
}

/// What the client reads out of the answer.
async fn expect_answer(request: &Recorded, reply: Reply) {
    let body = request.body.as_ref();
    match request.what() {
        "initialize" => {
            let session = reply.header("mcp-session-id").expect("a session id");
            assert!(session.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "visible ASCII: {session:?}");
            let result = result(body, reply).await;
            assert_eq!(result["protocolVersion"], body.unwrap()["params"]["protocolVersion"]);
            assert_eq!(result["serverInfo"]["name"], "patchbay");
            assert!(result["capabilities"]["tools"].is_object(), "{result}");
        }
        "notifications/initialized" => {
            let bytes = reply.bytes().await.unwrap();
            assert!(bytes.is_empty(), "a notification has no answer: {bytes:?}");
        }
        "tools/list" => {
            let result = result(body, reply).await;
            let tools = result["tools"].as_array().expect("tools");
            assert!(!tools.is_empty());
            for tool in tools {
                assert!(tool["name"].is_string() && tool["inputSchema"]["type"] == "object", "{tool}");
            }
            for member in ["resultType", "ttlMs", "cacheScope"] {
                assert!(result.get(member).is_none(), "no revision of this client has {member}");
            }
        }
        "ping" => assert_eq!(result(body, reply).await, json!({})),
        "GET" => assert_eq!(reply.header("content-type"), Some("text/event-stream")),
        "DELETE" => assert!(reply.bytes().await.unwrap().is_empty()),
        other => panic!("nobody has said yet what {other} is to be answered with"),
    }
}

async fn result(request: Option<&Value>, reply: Reply) -> Value {
    assert_eq!(reply.kind(), "application/json");
    let mut answer = reply.json().await;
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["id"], request.unwrap()["id"], "{answer}");
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].take()
}

#[tokio::test]
async fn without_a_key_each_client_is_told_to_sign_in_and_with_a_made_up_one_as_well() {
    let gateway = gateway().await;
    for name in ["claude-code-2.1.197", "claude-code-2.1.197-oauth", "codex-cli-0.169.0", "gemini-cli-0.61.0"] {
        let first = &recording(name)[0];
        for key in [None, Some("pb_test")] {
            let reply = first.ask(key, None).send(gateway.address).await;
            assert_eq!(reply.status, 401, "{name} with {key:?}");
            let challenge = reply.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Bearer") && !challenge.contains("resource_metadata"), "{challenge}");
        }
    }
}

#[tokio::test]
async fn claude_code_that_looks_for_oauth_is_told_that_there_is_none() {
    let gateway = gateway().await;
    let requests = recording("claude-code-2.1.197-oauth");
    let (first, discovery) = requests.split_first().unwrap();
    assert_eq!(first.ask(None, None).send(gateway.address).await.status, first.status_given);
    assert_eq!(discovery.len(), 4, "metadata of the resource, of the authorization server twice, registration");
    for request in discovery {
        let reply = request.ask(None, None).send(gateway.address).await;
        assert_eq!(reply.status, 404, "{} {}", request.method, request.path);
    }
}

/// Clients that are told to sign in go on to look for metadata on the same connection. Whether the body of the refused request
/// comes with its head or a moment later is the network's affair.
#[tokio::test]
async fn the_connection_of_a_refused_request_carries_the_next_one_also_when_the_body_came_late() {
    let gateway = gateway().await;
    let requests = recording("claude-code-2.1.197-oauth");
    let body = requests[0].body.as_ref().unwrap().to_string();
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        requests[0].path,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Long enough for the gateway to have decided by the head alone; when it is too short, the test shows less, and passes.
    std::thread::sleep(Duration::from_millis(200));
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), 401);
    let next = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", requests[1].path);
    stream.write_all(next.as_bytes()).unwrap();
    assert_eq!(status(&mut stream), 404);
}

/// Reads one answer with a `Content-Length` and gives its status.
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the connection stays open");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn claude_code_is_answered_as_it_expects() {
    let gateway = gateway().await;
    replay(&gateway, &recording("claude-code-2.1.197")).await;
}

#[tokio::test]
async fn codex_is_answered_as_it_expects_and_the_session_that_it_ends_is_over() {
    let gateway = gateway().await;
    let requests = recording("codex-cli-0.169.0");
    let session = replay(&gateway, &requests).await;
    let list = requests.iter().find(|request| request.what() == "tools/list").unwrap();
    let reply = list.ask(Some(gateway.key("demo")), Some(&session)).send(gateway.address).await;
    assert_eq!(reply.status, 404, "a session that was ended is gone");
}

#[tokio::test]
async fn gemini_cli_is_answered_as_it_expects_although_it_never_names_the_version_again() {
    let gateway = gateway().await;
    let requests = recording("gemini-cli-0.61.0");
    let later = requests.iter().filter(|request| request.what() != "initialize");
    for request in later {
        assert!(request.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("mcp-protocol-version")));
    }
    replay(&gateway, &requests).await;
}
