//! The metrics as a scrape shows them.

use super::*;
use crate::worker::WorkerLoad;

#[test]
fn a_name_that_nobody_knows_is_no_label() {
    let metrics = Metrics::default();
    metrics.request(&Method::of("tools/call"), How::Answered, Duration::from_millis(3));
    metrics.request(&Method::of("attack/by_label_12345"), How::Refused, Duration::ZERO);
    let text = metrics.render();
    assert!(text.contains(r#"patchbay_requests_total{method="tools/call",outcome="answered"} 1"#), "{text}");
    assert!(text.contains(r#"patchbay_requests_total{method="other",outcome="refused"} 1"#), "{text}");
    assert!(text.contains(r#"patchbay_request_seconds_bucket{method="tools/call",le="0.005"} 1"#), "{text}");
    assert!(!text.contains("attack"));
}

#[test]
fn every_known_method_counts_under_its_own_name() {
    for (index, name) in METHODS.iter().enumerate() {
        let found = method_index(&Method::of(name));
        assert_eq!(METHODS[found], if *name == "notification" { "other" } else { METHODS[index] });
    }
}

#[test]
fn each_name_is_described_as_it_is_scraped() {
    let metrics = Metrics::default();
    assert!(metrics.described().is_sorted_by(|one, next| one.name < next.name));
    assert!(metrics.described().iter().all(|one| one.name.starts_with("patchbay_")));
    let text = metrics.render();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let described = metrics.described().iter().find(|one| one.name == name);
        assert_eq!(described.unwrap_or_else(|| panic!("{name} is not described")).kind.as_str(), kind);
    }
}

#[test]
fn what_a_gateway_counts_from_its_start_is_there_at_zero() {
    let metrics = Metrics::default();
    metrics.signed_in(Credential::Key);
    metrics.sign_in_refused(Credential::Token, "token_expired");
    metrics.sign_in_unavailable();
    metrics.error(Blame::Server);
    metrics.denied("address");
    metrics.tokens(3);
    metrics.population(2, 5);
    metrics.in_flight.inc();
    metrics.workers(&[WorkerLoad { waiting: 1, running: 4 }]);
    let text = metrics.render();
    for line in [
        r#"patchbay_errors_total{blame="server"} 1"#,
        r#"patchbay_errors_total{blame="gateway"} 0"#,
        r#"patchbay_sign_ins_total{credential="key",outcome="ok"} 1"#,
        r#"patchbay_sign_ins_total{credential="key",outcome="refused"} 0"#,
        r#"patchbay_sign_ins_total{credential="token",outcome="ok"} 0"#,
        r#"patchbay_sign_ins_total{credential="token",outcome="refused"} 1"#,
        r#"patchbay_sign_ins_total{credential="token",outcome="unavailable"} 1"#,
        r#"patchbay_sign_in_refusals_total{reason="token_expired"} 1"#,
        r#"patchbay_limit_denied_total{limit="address",tenant=""} 1"#,
        "patchbay_tokens_remembered 3",
        "patchbay_tenants 2",
        "patchbay_servers 5",
        "patchbay_in_flight 1",
        "patchbay_sessions_opened_total 0",
        "patchbay_streams 0",
        "patchbay_connections 0",
        r#"patchbay_worker_jobs_waiting{worker="0"} 1"#,
        r#"patchbay_worker_jobs_running{worker="0"} 4"#,
        concat!(r#"patchbay_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    for name in
        ["patchbay_resident_memory_bytes", "patchbay_open_fds", "patchbay_max_fds", "patchbay_start_time_seconds"]
    {
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        assert!(value.parse::<u64>().unwrap() > 0, "{name} {value}");
    }
}

#[test]
fn totals_of_others_are_taken_over_and_never_counted_twice() {
    let metrics = Metrics::default();
    let stats = LimiterStats {
        mode: patchbay_limit::Mode::Away,
        replicas: 3,
        round_trips: 7,
        refused_locally: 2,
        fallbacks: 1,
    };
    metrics.limiter(&stats);
    metrics.limiter(&LimiterStats { mode: patchbay_limit::Mode::Shared, round_trips: 9, ..stats });
    let audit = AuditStats {
        lag_records: 4,
        lag: Duration::from_millis(1500),
        spool_bytes: 1024,
        spool_ratio: 0.25,
        is_stunted: true,
        records: 20,
        gaps: 5,
        store_failures: 6,
        checkpoints: 8,
    };
    metrics.audit(&audit);
    metrics.audit(&audit);
    metrics.spans(&SpanStats { waiting: 1, sent: 2, failed: 3, dropped: 4 });
    metrics.audit_synced()(Duration::from_millis(2));
    let sink = SinkStats { lag_records: 11, lag: Duration::from_secs(12), sent: 13, failures: 14 };
    metrics.sink("siem", &sink);
    metrics.sink("siem", &SinkStats { sent: 15, ..sink });
    let text = metrics.render();
    for line in [
        r#"patchbay_limiter_mode{mode="away"} 0"#,
        r#"patchbay_limiter_mode{mode="memory"} 0"#,
        r#"patchbay_limiter_mode{mode="shared"} 1"#,
        "patchbay_limiter_replicas 3",
        "patchbay_limiter_round_trips_total 9",
        "patchbay_limiter_refused_locally_total 2",
        "patchbay_limiter_fallbacks_total 1",
        "patchbay_audit_lag_records 4",
        "patchbay_audit_lag_seconds 1.5",
        "patchbay_audit_spool_bytes 1024",
        "patchbay_audit_spool_ratio 0.25",
        "patchbay_audit_spool_stunted 1",
        "patchbay_audit_records_total 20",
        "patchbay_audit_gap_records_total 5",
        "patchbay_audit_store_failures_total 6",
        "patchbay_audit_checkpoints_total 8",
        "patchbay_audit_sync_seconds_count 1",
        r#"patchbay_audit_sink_lag_records{sink="siem"} 11"#,
        r#"patchbay_audit_sink_lag_seconds{sink="siem"} 12"#,
        r#"patchbay_audit_sink_records_total{sink="siem"} 15"#,
        r#"patchbay_audit_sink_failures_total{sink="siem"} 14"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
