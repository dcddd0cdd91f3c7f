//! Servers come and go, and there may be more of them than have samples.

use patchbay_downstream::Children;

use super::*;
use crate::metrics::Metrics;

fn has(metrics: &Metrics, line: &str) {
    let text = metrics.render();
    assert!(text.contains(line), "{line} is not in:\n{text}");
}

#[test]
fn a_server_that_is_gone_leaves_no_sample() {
    let metrics = Metrics::new(10);
    let meter = metrics.server("acme", "shop");
    let children = Some(Children { running: 1, starts: 2, failures: 1 });
    meter.heard(true, 1);
    meter.load(&Load { children, sessions: Some(1), ..Load::default() }, 2);
    let mut call = meter.begin(Some("look"), Instant::now());
    drop(meter);
    assert!(metrics.render().contains("acme"), "a call still runs");
    call.end(CallEnd::Answered);
    has(&metrics, r#"patchbay_tool_calls_total{outcome="answered",server="shop",tenant="acme",tool="look"} 1"#);
    drop(call);
    assert!(!metrics.render().contains("acme"));
    // Nothing is left of its counts for one that comes later, and its tool has given its place back.
    let again = metrics.server("acme", "shop");
    drop(again.begin(Some("look"), Instant::now()));
    has(&metrics, r#"patchbay_server_calls_total{outcome="answered",server="shop",tenant="acme"} 0"#);
    assert_eq!(again.all.tools_counted.load(Relaxed), 1);
}

#[test]
fn a_call_is_counted_once_and_as_cancelled_when_nobody_says_how_it_ended() {
    let metrics = Metrics::default();
    let meter = metrics.server("acme", "shop");
    let mut call = meter.begin(Some("look"), Instant::now());
    call.end(CallEnd::Broken);
    call.end(CallEnd::Answered);
    drop(call);
    drop(meter.begin(None, Instant::now()));
    for (end, count) in [("broken", 1), ("answered", 0), ("cancelled", 1)] {
        let of = r#"server="shop",tenant="acme""#;
        has(&metrics, &format!(r#"patchbay_server_calls_total{{outcome="{end}",{of}}} {count}"#));
    }
    has(&metrics, r#"patchbay_server_call_seconds_count{server="shop",tenant="acme"} 2"#);
    assert!(!metrics.render().contains("tool="), "tools are counted only where that is wanted");
}

#[test]
fn a_new_connection_of_the_same_server_goes_on_where_the_old_one_ended() {
    let metrics = Metrics::default();
    let old = metrics.server("acme", "shop");
    old.begin(None, Instant::now()).end(CallEnd::Answered);
    let loads = |starts| Load { children: Some(Children { running: 1, starts, failures: 0 }), ..Load::default() };
    old.load(&loads(5), 0);
    let new = metrics.server("acme", "shop");
    drop(old);
    new.begin(None, Instant::now()).end(CallEnd::Answered);
    new.load(&loads(2), 0);
    has(&metrics, r#"patchbay_server_calls_total{outcome="answered",server="shop",tenant="acme"} 2"#);
    has(&metrics, r#"patchbay_server_child_starts_total{server="shop",tenant="acme"} 7"#);
    assert!(!metrics.render().contains("sessions{"), "what a transport does not have is not shown as zero");
}

#[test]
fn tools_beyond_the_bound_are_counted_with_their_server_alone() {
    let metrics = Metrics::new(2);
    let (one, two) = (metrics.server("acme", "one"), metrics.server("acme", "two"));
    for (server, tool) in [(&one, "a"), (&one, "a"), (&two, "b"), (&two, "c"), (&one, "a")] {
        server.begin(Some(tool), Instant::now()).end(CallEnd::ToolError);
    }
    has(&metrics, r#"patchbay_tool_calls_total{outcome="tool_error",server="one",tenant="acme",tool="a"} 3"#);
    has(&metrics, r#"patchbay_tool_calls_total{outcome="tool_error",server="two",tenant="acme",tool="b"} 1"#);
    has(&metrics, r#"patchbay_server_calls_total{outcome="tool_error",server="two",tenant="acme"} 2"#);
    assert!(!metrics.render().contains(r#"tool="c""#));
    drop(two);
    metrics.render();
    one.begin(Some("d"), Instant::now()).end(CallEnd::Answered);
    has(&metrics, r#"tool="d"} 1"#);
}

#[test]
fn a_tool_with_a_long_or_odd_name_breaks_no_line() {
    let metrics = Metrics::new(2);
    let meter = metrics.server("acme", "shop");
    let name = format!("a\"b\\c\nd{}", "é".repeat(200));
    meter.begin(Some(&name), Instant::now()).end(CallEnd::Answered);
    let text = metrics.render();
    let line = text.lines().find(|line| line.contains("tool_calls") && line.ends_with(" 1")).unwrap();
    assert!(line.contains(r#"tool="a\"b\\c\ndé"#) && line.len() < 300, "{line}");
}

#[test]
fn servers_beyond_the_bound_are_counted_together() {
    let metrics = Metrics::new(1);
    let mut meters: Vec<_> = (0..SERVERS_MAX).map(|number| metrics.server("acme", &format!("s{number}"))).collect();
    let (one, two) = (metrics.server("acme", "beyond"), metrics.server("umbrella", "shop"));
    for meter in [&one, &two] {
        meter.heard(true, 1);
        meter.load(&Load { in_flight: 3, ..Load::default() }, 2);
        meter.begin(Some("tool"), Instant::now()).end(CallEnd::Failed);
    }
    has(&metrics, r#"patchbay_server_calls_total{outcome="failed",server="_other",tenant="_other"} 2"#);
    let text = metrics.render();
    assert!(
        !text.contains("beyond") && !text.contains("umbrella") && !text.contains(r#"up{server="_other""#),
        "{text}"
    );
    // When one goes, there is room for another.
    meters.pop();
    let next = metrics.server("acme", "next");
    next.heard(false, 3);
    has(&metrics, r#"patchbay_server_up{server="next",tenant="acme"} 0"#);
}

#[test]
fn the_age_of_a_catalog_is_that_of_the_last_good_reading() {
    let metrics = Metrics::default();
    let meter = metrics.server("acme", "shop");
    meter.load(&Load::default(), 10_000);
    assert!(!metrics.render().contains("catalog_age_seconds{"), "it was never read");
    meter.catalog_of(4_000);
    meter.heard(false, 9_000);
    meter.load(&Load { waiting: 2, breaker_open: true, ..Load::default() }, 10_000);
    has(&metrics, r#"patchbay_server_catalog_age_seconds{server="shop",tenant="acme"} 6"#);
    has(&metrics, r#"patchbay_server_up{server="shop",tenant="acme"} 0"#);
    has(&metrics, r#"patchbay_server_waiting{server="shop",tenant="acme"} 2"#);
    has(&metrics, r#"patchbay_server_breaker_open{server="shop",tenant="acme"} 1"#);
    // A clock that was put back makes nothing negative.
    meter.heard(true, 20_000);
    meter.load(&Load::default(), 10_000);
    has(&metrics, r#"patchbay_server_catalog_age_seconds{server="shop",tenant="acme"} 0"#);
}
