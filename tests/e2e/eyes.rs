//! What an operator sees: a real Prometheus reads a real gateway under load, and every query of every dashboard and every rule
//! evaluates over what it found.

pub(crate) mod prometheus;

use std::fs;

use patchbay_e2e::{
    Client, Fixture, TestGateway,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

use self::prometheus::{Prometheus, check, installed, root};

/// Metrics that have samples only after something that does not happen to a gateway that is well: a query that names one of
/// them has to evaluate, and may find nothing.
const RARE: [&str; 5] = [
    "patchbay_limit_denied_total",
    "patchbay_limit_would_deny_total",
    "patchbay_audit_sink_",
    "patchbay_tool_calls_total",
    "patchbay_forwarded_total",
];
const JOB: &str = "patchbay";

/// A query with the panel that it stands on.
struct Query {
    place: String,
    text: String,
}

impl Query {
    /// With the variables of the dashboard set.
    fn for_server(&self, server: &str) -> String {
        let set =
            [("$job", JOB), ("$instance", ".*"), ("$tenant", "acme"), ("$server", server), ("$__rate_interval", "30s")];
        set.iter().fold(self.text.clone(), |text, (name, value)| text.replace(name, value))
    }

    fn is_rare(&self) -> bool {
        RARE.iter().any(|name| self.text.contains(name))
    }
}

fn dashboard_queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for entry in fs::read_dir(root().join("helm/dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let place = format!("{}: {}", dashboard["title"], panel["title"]);
                queries.push(Query { place, text: target["expr"].as_str().unwrap().to_owned() });
            }
        }
    }
    assert!(queries.len() > 90, "only {} queries were found", queries.len());
    queries
}

/// One round of everything that a gateway meets on a good day.
async fn load(gateway: &TestGateway, clients: &[Client; 2]) {
    for client in clients {
        client.request("tools/list", json!({})).await;
        for server in ["near", "far"] {
            client.call(&format!("{server}_echo"), json!({ "text": "x" })).await;
            client.call(&format!("{server}_raw_result"), json!({ "result": { "content": [], "isError": true } })).await;
        }
        client.call("no_such_tool", json!({})).await;
    }
    clients[1].ask("tools/list", json!({})).bearer("pb_wrong").send(gateway.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_reads_the_gateway_and_every_query_of_ours_evaluates() {
    let Some(program) = installed("PATCHBAY_TEST_PROMETHEUS", "prometheus") else { return };
    let Some(promtool) = installed("PATCHBAY_TEST_PROMTOOL", "promtool") else { return };
    let far = Fixture::scripted(&["--no-odd"]);
    let servers = [
        ("near", scripted(&["--no-odd"])),
        ("far", far.server()),
        ("dead", json!({ "url": "http://127.0.0.1:9/mcp" })),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    let clients = gateway.both("acme").await;
    load(&gateway, &clients).await;
    let prometheus = Prometheus::start(&program, JOB, gateway.operations).await;
    wait_until("it has read the gateway some times under load", || async {
        load(&gateway, &clients).await;
        let reads = prometheus.query(&format!("count_over_time(patchbay_build_info{{job=\"{JOB}\"}}[1m]) >= 5")).await;
        !reads.is_empty()
    })
    .await;

    let targets = prometheus.api("targets").await;
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
    assert_eq!(check(&promtool, &gateway.metrics().await), "", "promtool finds fault with the metrics");
    expect_values(&prometheus).await;
    for query in dashboard_queries() {
        let mut found = 0;
        // What a server of one kind has, one of another has not.
        for server in ["near", "far"] {
            found += prometheus.query(&query.for_server(server)).await.len();
        }
        assert!(found > 0 || query.is_rare(), "{} finds nothing: {}", query.place, query.text);
    }
    expect_rules(&prometheus).await;
}

/// What was done is what is seen.
async fn expect_values(prometheus: &Prometheus) {
    for (query, expected) in [
        (r#"patchbay_server_up{tenant="acme",server="near"}"#, 1.0..=1.0),
        (r#"patchbay_server_up{tenant="acme",server="far"}"#, 1.0..=1.0),
        (r#"patchbay_server_up{tenant="acme",server="dead"}"#, 0.0..=0.0),
        (r#"patchbay_server_calls_total{server="near",outcome="answered"}"#, 10.0..=1e6),
        (r#"patchbay_server_calls_total{server="far",outcome="tool_error"}"#, 10.0..=1e6),
        (r#"sum(patchbay_server_calls_total{outcome=~"failed|broken|error"})"#, 0.0..=0.0),
        (r#"patchbay_tenant_requests_total{tenant="acme",outcome="refused"}"#, 2.0..=1e6),
        (r#"patchbay_requests_total{method="tools/list",outcome="answered"}"#, 10.0..=1e6),
        (r#"patchbay_sign_in_refusals_total{reason="key_unknown"}"#, 5.0..=1e6),
        (r#"patchbay_server_children{server="near"}"#, 1.0..=1.0),
        (r#"patchbay_server_catalog_age_seconds{server="far"}"#, 0.0..=600.0),
        ("patchbay_tenants", 1.0..=1.0),
        ("patchbay_servers", 3.0..=3.0),
        (r#"sum(patchbay_limiter_mode{mode!="away"})"#, 1.0..=1.0),
        ("patchbay_resident_memory_bytes", 1e6..=4e9),
        ("time() - patchbay_start_time_seconds", 0.0..=600.0),
        ("patchbay_open_fds / patchbay_max_fds", 1e-6..=0.9),
    ] {
        let found = prometheus.query(query).await;
        let value = found.first().map(|sample| sample["value"][1].as_str().unwrap().parse::<f64>().unwrap());
        assert!(value.is_some_and(|value| expected.contains(&value)), "{query}: {found:?}, expected {expected:?}");
    }
}

/// All rules evaluate, and the one that has a reason to is on its way.
async fn expect_rules(prometheus: &Prometheus) {
    let all = || async {
        let groups = prometheus.api("rules").await["groups"].as_array().unwrap().clone();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect::<Vec<_>>()
    };
    wait_until("every rule was evaluated", || async { all().await.iter().all(|rule| rule["health"] != "unknown") })
        .await;
    let rules = all().await;
    assert!(rules.len() > 20, "only {} rules were loaded", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let active = rules.iter().filter(|rule| rule["state"] != "inactive");
    let pending: Vec<_> = active.filter_map(|rule| rule["name"].as_str()).collect();
    let expected = ["PatchbayServerBreakerOpen", "PatchbayServerDown"];
    assert!(pending.contains(&expected[1]) && pending.iter().all(|name| expected.contains(name)), "{pending:?}");
}

#[tokio::test]
async fn a_tenant_or_server_that_is_deleted_takes_its_samples_along() {
    let servers = || [("stays", scripted(&["--no-odd"])), ("goes", scripted(&["--no-odd"]))];
    let gateway =
        TestGateway::setup().tenant(tenant("acme", servers())).tenant(tenant("globex", servers())).start().await;
    for name in ["acme", "globex"] {
        let client = gateway.modern(name);
        for server in ["stays", "goes"] {
            assert!(!client.call(&format!("{server}_echo"), json!({})).await.is_error());
        }
    }
    let text = gateway.metrics().await;
    for of in [r#"server="goes",tenant="acme""#, r#"server="goes",tenant="globex""#, r#"tenant="globex""#] {
        assert!(text.contains(of), "{of} is not in:\n{text}");
    }
    gateway.patchbay(&["tenant", "delete", "globex", "--yes"]).good();
    gateway.apply(&tenant("acme", [("stays", scripted(&["--no-odd"]))]));
    wait_until("only what is there has samples", || async {
        let text = gateway.metrics().await;
        !text.contains("globex") && !text.contains("goes") && text.contains(r#"server="stays",tenant="acme""#)
    })
    .await;
    // Who stays goes on where it was.
    let counted = r#"patchbay_server_calls_total{outcome="answered",server="stays",tenant="acme"} 1"#;
    assert!(gateway.metrics().await.contains(counted));
}

#[tokio::test]
async fn a_child_that_dies_and_a_call_that_is_taken_back_are_seen() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["call_timeout_s"] = json!(60);
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let client = gateway.modern("acme");
    let address = gateway.address;
    let hang = client.ask_tool("one_hang", json!({}));
    let (first, second) = (hang.clone(), hang);
    let taken_back = tokio::spawn(async move { first.try_send(address).await.map(drop) });
    let lost = tokio::spawn(async move { second.try_send(address).await.map(drop) });
    expect_line(&gateway, r#"patchbay_server_in_flight{server="one",tenant="acme"} 2"#).await;
    taken_back.abort();
    expect_line(&gateway, r#"patchbay_server_calls_total{outcome="cancelled",server="one",tenant="acme"} 1"#).await;
    expect_line(&gateway, r#"patchbay_server_in_flight{server="one",tenant="acme"} 1"#).await;
    let child = gateway.children().pop().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.pid.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    expect_line(&gateway, r#"patchbay_server_calls_total{outcome="failed",server="one",tenant="acme"} 1"#).await;
    expect_line(&gateway, r#"patchbay_server_child_failures_total{server="one",tenant="acme"} 1"#).await;
    let _ = lost.await;
    expect_line(&gateway, "patchbay_in_flight 0").await;
}

async fn expect_line(gateway: &TestGateway, line: &str) {
    wait_until(line, || async { gateway.metrics().await.lines().any(|found| found == line) }).await;
}
