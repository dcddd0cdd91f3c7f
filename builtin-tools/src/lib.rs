//! The tool servers that are part of the program: each is an rmcp handler that the gateway calls in process and that
//! `patchbay-tools` can serve alone on stdio. Nothing here knows tenants, keys or HTTP.
//!
//! Begin with [`BUILTINS`] (which kinds there are), then [`mod@db`] (the DB explorer) and [`mod@weather`].

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod builtins;
pub mod db;
pub mod weather;

pub use builtins::{BUILTINS, Builtin, Given, OffLimits, OptionsError, Reach, SECRET_PREFIX, ToolServer};
pub use db::{DbExplorer, db};
pub use weather::{Weather, weather};
