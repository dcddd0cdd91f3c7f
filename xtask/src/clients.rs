//! The official MCP clients, servers and tools that the end-to-end tests run against, in exact versions, kept between runs.

mod node;
mod python;

use anyhow::Result;

use crate::services::Environment;

/// Installs what is not there yet, and tells the tests where everything lies.
pub(crate) fn prepare() -> Result<Environment> {
    let mut environment = node::prepare()?;
    environment.extend(python::prepare()?);
    Ok(environment)
}
