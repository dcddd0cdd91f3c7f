//! What is measured under load, and what the design aims at for each.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    databases::{self, Question},
    fleet::{Fleet, Target},
    patchbay::TOKENS,
};

/// One measurement.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// `legacy` with a session on each connection, or `modern` without.
    era: &'static str,
    /// Where it is on the origin.
    path: &'static str,
    /// The toolset of Patchbay that has the same.
    toolset: &'static str,
    act: Act,
    connections: usize,
    pub(super) aims: Aims,
}

enum Act {
    Call {
        tool: &'static str,
        bytes_min: usize,
    },
    /// A call with ten messages of progress before its answer.
    Progress,
    List {
        tools: usize,
    },
    Storm,
    /// A call whose server speaks over standard streams; nginx has nothing like it.
    StdioCall,
    /// A call with a key, with a token that is known, and with one that is not; the others have nothing like it.
    SignedCall,
    /// A call that meets three rates and a cap in Redis and is recorded, and the same call with as little of it as can be.
    GovernedCall,
    /// A call of the DB explorer; direct is a plain driver, and nginx has nothing like it.
    Database(&'static Question),
}

/// The promises of the design for a measurement.
#[derive(Clone, Copy)]
pub(super) struct Aims {
    /// At most so many times nginx's CPU time per request.
    pub(super) cpu_of_nginx_max: Option<f64>,
    /// At least this share of nginx's requests per second.
    pub(super) rate_of_nginx_min: Option<f64>,
    /// At most so many microseconds more than direct in the middle.
    pub(super) added_p50_us_max: Option<f64>,
    /// With a token that is known at most so many times the CPU time of a call with a key.
    pub(super) cpu_of_key_max: Option<f64>,
    /// Governed at most so many times the CPU time of bare.
    pub(super) governed_cpu_max: Option<f64>,
    /// Governed at most so many microseconds more than bare in the middle.
    pub(super) governed_p50_us_max: Option<f64>,
}

const NONE: Aims = Aims {
    cpu_of_nginx_max: None,
    rate_of_nginx_min: None,
    added_p50_us_max: None,
    cpu_of_key_max: None,
    governed_cpu_max: None,
    governed_p50_us_max: None,
};
const SMALL_ALONE: Aims = Aims { cpu_of_nginx_max: Some(2.0), added_p50_us_max: Some(100.0), ..NONE };
const SMALL_CROWD: Aims = Aims { cpu_of_nginx_max: Some(2.0), rate_of_nginx_min: Some(0.55), ..NONE };

/// Many at once wait for each other, so their middle says nothing of what one call costs.
const GOVERNED_CROWD: Aims = Aims { governed_cpu_max: Some(1.3), ..NONE };
const GOVERNED: Aims = Aims { governed_p50_us_max: Some(150.0), ..GOVERNED_CROWD };

const SMALL: Act = Act::Call { tool: "small", bytes_min: 200 };
const LEGACY: Scenario = Scenario {
    name: "small-legacy-1",
    era: "legacy",
    path: "/legacy/calls",
    toolset: "legacy",
    act: SMALL,
    connections: 1,
    aims: SMALL_ALONE,
};
const MODERN: Scenario =
    Scenario { name: "small-modern-1", era: "modern", path: "/modern/calls", toolset: "modern", ..LEGACY };

/// All of them, in order.
pub(super) const SCENARIOS: [Scenario; 20] = [
    LEGACY,
    Scenario { name: "small-legacy-64", connections: 64, aims: SMALL_CROWD, ..LEGACY },
    MODERN,
    Scenario { name: "small-modern-64", connections: 64, aims: SMALL_CROWD, ..MODERN },
    Scenario {
        name: "big-legacy-16",
        act: Act::Call { tool: "big", bytes_min: 64 * 1024 },
        connections: 16,
        aims: Aims { cpu_of_nginx_max: Some(1.5), ..NONE },
        ..LEGACY
    },
    Scenario {
        name: "big-modern-16",
        act: Act::Call { tool: "big", bytes_min: 64 * 1024 },
        connections: 16,
        aims: Aims { cpu_of_nginx_max: Some(1.5), ..NONE },
        ..MODERN
    },
    Scenario {
        name: "list-100-tools-16",
        path: "/legacy/hundred",
        toolset: "lists",
        act: Act::List { tools: 100 },
        connections: 16,
        aims: Aims { cpu_of_nginx_max: Some(0.8), ..NONE },
        ..LEGACY
    },
    Scenario {
        name: "session-storm-16",
        act: Act::Storm,
        connections: 16,
        aims: Aims { cpu_of_nginx_max: Some(2.0), ..NONE },
        ..LEGACY
    },
    Scenario { name: "progress-10-legacy-16", act: Act::Progress, connections: 16, aims: NONE, ..LEGACY },
    Scenario { name: "progress-10-modern-16", act: Act::Progress, connections: 16, aims: NONE, ..MODERN },
    Scenario { name: "stdio-1", toolset: "stdio", act: Act::StdioCall, aims: NONE, ..LEGACY },
    Scenario { name: "stdio-64", toolset: "stdio", act: Act::StdioCall, connections: 64, aims: NONE, ..LEGACY },
    Scenario {
        name: "signed-in-16",
        toolset: TOKENS,
        act: Act::SignedCall,
        connections: 16,
        aims: Aims { cpu_of_key_max: Some(1.05), ..NONE },
        ..LEGACY
    },
    Scenario { name: "governed-1", act: Act::GovernedCall, aims: GOVERNED, ..LEGACY },
    Scenario { name: "governed-64", act: Act::GovernedCall, aims: GOVERNED_CROWD, connections: 64, ..LEGACY },
    database("db-list-tables", &databases::LIST),
    database("db-describe-table", &databases::DESCRIBE),
    database("db-select", &databases::SELECT),
    database("db-join", &databases::JOIN),
    database("db-analyze-table", &databases::ANALYZE),
];

const fn database(name: &'static str, question: &'static Question) -> Scenario {
    let aims = Aims { added_p50_us_max: Some(1000.0), ..NONE };
    Scenario { name, toolset: databases::TOOLSET, act: Act::Database(question), aims, ..LEGACY }
}

impl Scenario {
    /// Whether it asks a database.
    pub(super) fn needs_database(&self) -> bool {
        matches!(self.act, Act::Database(_))
    }

    /// Whether it shows a fresh token with each request.
    pub(super) fn needs_fresh_tokens(&self) -> bool {
        matches!(self.act, Act::SignedCall)
    }

    /// Whether it is about limits.
    pub(super) fn needs_pair(&self) -> bool {
        matches!(self.act, Act::GovernedCall)
    }

    /// Whether there is something to measure for this target.
    pub(super) fn suits(&self, target: Target) -> bool {
        match (&self.act, target) {
            (Act::GovernedCall, Target::Bare | Target::Governed | Target::Patchbay) => true,
            (Act::GovernedCall, _) | (_, Target::Bare | Target::Governed) => false,
            (Act::SignedCall | Act::Database(_), Target::Before) => false,
            (Act::SignedCall, Target::Direct | Target::Nginx) => false,
            (Act::SignedCall, _) => true,
            (_, Target::Token | Target::FreshToken) => false,
            (Act::StdioCall | Act::Database(_), Target::Nginx) => false,
            _ => true,
        }
    }

    /// The job for the load client.
    pub(super) fn job(&self, fleet: &Fleet, target: Target, seconds: u64) -> Result<Value> {
        let (warmup_ms, window_ms) = (1000, seconds * 1000);
        let act = match self.act {
            Act::Call { tool, bytes_min } => {
                json!({"call": {"tool": tool, "bytes_min": bytes_min}})
            }
            Act::Progress => json!({"progress": {"tool": "progress", "messages": 10}}),
            Act::List { tools } => json!({"list": {"tools": tools}}),
            Act::Storm => json!({"storm": {"tool": "small"}}),
            Act::StdioCall | Act::SignedCall | Act::GovernedCall => {
                json!({"call": {"tool": "small", "bytes_min": 200}})
            }
            Act::Database(question) => question.act(),
        };
        if let (Act::Database(question), Target::Direct) = (&self.act, target) {
            return fleet.shop.as_ref().context("the database was left out")?.job(question, warmup_ms, window_ms);
        }
        if matches!((&self.act, target), (Act::StdioCall, Target::Direct)) {
            return Ok(json!({"mode": "stdio", "command": fleet.origin.stdio_command(), "act": act,
                "in_flight": self.connections, "warmup_ms": warmup_ms, "window_ms": window_ms}));
        }
        let place = fleet.place(target, self.era, self.path, self.toolset)?;
        Ok(json!({"mode": "http", "target": place, "act": act, "connections": self.connections,
            "warmup_ms": warmup_ms, "window_ms": window_ms, "pids": fleet.pids(target)?}))
    }
}
