//! Tenants come and go, and their limits are bounded.

use super::*;
use crate::metrics::Metrics;

#[test]
fn a_tenant_that_is_gone_leaves_no_sample() {
    let metrics = Metrics::default();
    let meter = metrics.tenant("acme");
    meter.request(How::Answered);
    meter.denied("principal");
    meter.would_deny("trial");
    meter.published(7);
    let other = metrics.tenant("umbrella");
    other.build_failed();
    let text = metrics.render();
    for line in [
        r#"patchbay_tenant_requests_total{outcome="answered",tenant="acme"} 1"#,
        r#"patchbay_tenant_requests_total{outcome="refused",tenant="acme"} 0"#,
        r#"patchbay_limit_denied_total{limit="principal",tenant="acme"} 1"#,
        r#"patchbay_limit_would_deny_total{limit="trial",tenant="acme"} 1"#,
        r#"patchbay_snapshot_generation{tenant="acme"} 7"#,
        r#"patchbay_snapshot_build_errors{tenant="acme"} 0"#,
        r#"patchbay_snapshot_build_errors{tenant="umbrella"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let again = metrics.tenant("acme");
    drop(meter);
    assert!(metrics.render().contains("acme"), "somebody still holds it");
    drop(again);
    let text = metrics.render();
    assert!(!text.contains("acme") && text.contains("umbrella"), "{text}");
}

#[test]
fn limits_beyond_the_bound_are_counted_together() {
    let metrics = Metrics::default();
    let meter = metrics.tenant("acme");
    (0..LIMITS_MAX + 5).for_each(|number| meter.denied(&format!("limit-{number}")));
    meter.denied("limit-0");
    let text = metrics.render();
    assert!(text.contains(r#"patchbay_limit_denied_total{limit="limit-0",tenant="acme"} 2"#), "{text}");
    assert!(text.contains(r#"patchbay_limit_denied_total{limit="_other",tenant="acme"} 5"#), "{text}");
}

#[test]
fn tenants_beyond_the_bound_are_counted_together() {
    let metrics = Metrics::default();
    let meters: Vec<_> = (0..TENANTS_MAX + 2).map(|number| metrics.tenant(&format!("t{number}"))).collect();
    meters.iter().for_each(|meter| meter.request(How::Refused));
    meters[TENANTS_MAX].published(3);
    let text = metrics.render();
    assert!(text.contains(r#"patchbay_tenant_requests_total{outcome="refused",tenant="_other"} 2"#));
    assert!(!text.contains(r#"patchbay_snapshot_generation{tenant="_other"}"#));
}
