//! Prometheus and its promtool: found or installed. A test starts its own, with the rules and the gateway that it is about.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{apt, workspace};

/// Where the programs are.
pub(super) struct Prometheus {
    pub(super) server: PathBuf,
    pub(super) promtool: PathBuf,
}

impl Prometheus {
    pub(super) fn find() -> Result<Self> {
        if let Some(found) = Self::in_path() {
            return Ok(found);
        }
        apt::install(&["prometheus"], "Prometheus (its programs prometheus and promtool)")?;
        Self::in_path().context("prometheus and promtool are still not in PATH after their package was installed")
    }

    fn in_path() -> Option<Self> {
        Some(Self { server: workspace::in_path("prometheus")?, promtool: workspace::in_path("promtool")? })
    }
}
