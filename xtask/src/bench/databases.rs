//! The DB explorer beside a plain driver: what is asked of both, and the PostgreSQL with the sample shop that answers.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{process, services::Postgres, workspace::target};

const LIMIT: Duration = Duration::from_secs(60);
/// The schema of the sample shop, and the role that may read it and nothing else.
const SCHEMA: &str = "shop";
const READER: &str = "bench_reader";
/// The toolset, and the server in it, that explores the shop.
pub(super) const TOOLSET: &str = "db";

/// Something that is asked through the gateway and, by the same statements, of a plain driver.
pub(super) struct Question {
    tool: &'static str,
    /// The tool's arguments, as JSON.
    arguments: &'static str,
    statements: Statements,
}

/// What the plain driver runs.
enum Statements {
    /// The SQL of the arguments.
    Given,
    /// What the explorer itself runs for this tool; the program tells.
    Explorer,
}

pub(super) const LIST: Question = Question { tool: "list_tables", arguments: "{}", statements: Statements::Explorer };
pub(super) const DESCRIBE: Question =
    Question { tool: "describe_table", arguments: r#"{"table":"orders"}"#, statements: Statements::Explorer };
pub(super) const ANALYZE: Question =
    Question { tool: "analyze_table", arguments: r#"{"table":"orders"}"#, statements: Statements::Explorer };
pub(super) const SELECT: Question = Question {
    tool: "query_database",
    arguments: r#"{"sql":"SELECT id, customer, status FROM shop.orders WHERE id = 7"}"#,
    statements: Statements::Given,
};
pub(super) const JOIN: Question = Question {
    tool: "query_database",
    arguments: r#"{"sql":"SELECT p.category, count(*) AS lines, sum(i.quantity * i.price_cents) AS cents FROM shop.order_items i JOIN shop.products p ON p.id = i.product_id JOIN shop.orders o ON o.id = i.order_id GROUP BY p.category ORDER BY cents DESC"}"#,
    statements: Statements::Given,
};

/// A PostgreSQL with the sample shop.
pub(super) struct Shop {
    postgres: Postgres,
    tools: PathBuf,
}

impl Shop {
    /// Starts it and fills it.
    pub(super) fn start(bins: &Path) -> Result<Self> {
        let postgres = Postgres::start(&target().join("bench-services"))?;
        let tools = bins.join("patchbay-tools");
        let mut sample = Command::new(&tools);
        sample.args(["sample", "--schema", SCHEMA, "--reader", READER]).env("PATCHBAY_TOOLS_DATABASE", postgres.url());
        process::output(&mut sample, "patchbay-tools sample", LIMIT)?;
        Ok(Self { postgres, tools })
    }

    /// The URL of the role that may only read.
    pub(super) fn reader_url(&self) -> String {
        self.postgres.url().replace("postgres://postgres@", &format!("postgres://{READER}@"))
    }

    /// The server of a tenant file that explores the shop, indented for its place.
    pub(super) fn server(&self) -> String {
        format!(
            "  {TOOLSET}:\n    builtin: db\n    options: {{ database: \"{}\", schemas: [{SCHEMA}] }}\n",
            self.reader_url()
        )
    }

    /// The job of a plain driver for a question.
    pub(super) fn job(&self, question: &Question, warmup_ms: u64, window_ms: u64) -> Result<Value> {
        let statements = match question.statements {
            Statements::Given => {
                let arguments = question.arguments();
                vec![arguments["sql"].as_str().context("the question has SQL")?.to_owned()]
            }
            Statements::Explorer => self.statements(question.tool)?,
        };
        Ok(json!({"mode": "sql", "url": self.reader_url(), "statements": statements,
            "warmup_ms": warmup_ms, "window_ms": window_ms}))
    }

    /// What the explorer runs for a tool on the table `orders`, with all values put in.
    fn statements(&self, tool: &str) -> Result<Vec<String>> {
        let mut command = Command::new(&self.tools);
        command.args(["statements", tool, "--schema", SCHEMA, "--table", "orders"]);
        let text = process::output(&mut command, "patchbay-tools statements", LIMIT)?;
        serde_json::from_str(&text).context("`patchbay-tools statements` did not tell a list of texts")
    }
}

impl Question {
    pub(super) fn act(&self) -> Value {
        json!({"call": {"tool": self.tool, "bytes_min": 100, "arguments": self.arguments()}})
    }

    fn arguments(&self) -> Value {
        serde_json::from_str(self.arguments).unwrap_or_default()
    }
}
