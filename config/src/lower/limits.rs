//! The bounds: numbers of the file in the types that the program counts with.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use patchbay_core::{
    limits::{GatewayLimits, LimitError, LimitPlan, LimitRule, Rate},
    model::TenantLimits,
};

use super::{Lower, seconds, size};
use crate::{
    gateway::LimitsConfig,
    path::FieldPath,
    rule::{self, RuleFiles},
    schema::LimitsFile,
};

impl Lower<'_, '_> {
    pub(super) fn limits(&mut self, file: LimitsFile) -> LimitsConfig {
        let mut at_most = |name: &str, value: u32, other: &str, most: u32| {
            if value > most {
                let field = FieldPath::of(["limits", name]);
                self.report.meaning(&field, format!("expected at most limits.{other}, which is {most}, found {value}"));
            }
        };
        at_most("call_timeout_s", file.call_timeout_s, "call_timeout_max_s", file.call_timeout_max_s);
        at_most("connections_per_ip_max", file.connections_per_ip_max, "connections_max", file.connections_max);
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut tenants = GatewayLimits {
            principal: Rate::per_second(file.principal_per_second, file.principal_burst),
            principal_concurrency: file.principal_concurrency,
            rules: Vec::new(),
        };
        tenants.rules = self.rules(&tenants, file.rules);
        LimitsConfig {
            body_bytes_max: size(file.body_bytes_max),
            header_bytes_max: size(file.header_bytes_max),
            header_read_timeout: seconds(file.header_read_timeout_s),
            body_read_timeout: seconds(file.body_read_timeout_s),
            connections_max: size(file.connections_max),
            connections_per_ip_max: size(file.connections_per_ip_max),
            response_bytes_max: size(file.response_bytes_max),
            depth_max: size(file.depth_max),
            call_timeout: seconds(file.call_timeout_s),
            call_timeout_max: seconds(file.call_timeout_max_s),
            answer: seconds(file.answer_s),
            streams_per_principal: size(file.streams_per_principal),
            stream_life: Duration::from_secs(u64::from(file.stream_minutes) * 60),
            sse_after: seconds(file.sse_after_s),
            keepalive: seconds(file.keepalive_s),
            drain: seconds(file.drain_s),
            drain_delay: seconds(file.drain_delay_s),
            concurrency_per_server: size(file.concurrency_per_server),
            queue_per_server: size(file.queue_per_server),
            page_size: size(file.page_size),
            catalog_items_max: size(file.catalog_items_max),
            catalog_pages_max: size(file.catalog_pages_max),
            catalog_refresh: seconds(file.catalog_refresh_s),
            session: Duration::from_secs(u64::from(file.session_hours) * 3600),
            tenants: Arc::new(tenants),
            address: rate(file.address_per_second, Duration::from_secs(1), file.address_burst),
            failed_sign_ins: rate(file.failed_sign_ins_per_minute, Duration::from_secs(60), file.failed_sign_ins_burst),
            headers: file.headers,
            workers: file.workers.and_then(|workers| NonZeroUsize::new(size(workers))).unwrap_or_else(cores),
        }
    }

    /// The operator's further limits. They have to leave a plan for a tenant that has none of its own.
    fn rules(&mut self, limits: &GatewayLimits, files: RuleFiles) -> Vec<LimitRule> {
        let field = FieldPath::of(["limits", "rules"]);
        let rules = rule::lower(&mut self.report, &field, files);
        let whole = GatewayLimits { rules: rules.clone(), ..limits.clone() };
        if let Err(error @ (LimitError::TooMany { .. } | LimitError::TooManyCaps { .. })) =
            LimitPlan::build(&whole, &TenantLimits::default())
        {
            self.report.meaning(&field, error.to_string());
        }
        rules
    }
}

/// A limit that a count of 0 switches off.
fn rate(count: u32, period: Duration, burst: u32) -> Option<Rate> {
    (count > 0).then_some(Rate { count, period, burst })
}
