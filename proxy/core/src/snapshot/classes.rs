//! Which of a server's tools only read, by what the operator says of it. What a tool says of itself counts only where the
//! operator trusts the server; it is read when a catalog is, and never on the way of a call. Only [`super::offered`] asks.

use super::ServerKind;
use crate::{
    access::{ToolClass, ToolClasses},
    filter::{FilterError, Globs},
    item::Tool,
    json,
};

/// The operator's words on one server's tools.
pub(super) struct Classes {
    read: Globs,
    write: Globs,
    trusts_hints: bool,
}

impl Classes {
    pub(super) fn compile(spec: &ToolClasses, kind: ServerKind) -> Result<Self, FilterError> {
        Ok(Self {
            read: Globs::compile(&spec.read)?,
            write: Globs::compile(&spec.write)?,
            trusts_hints: spec.trust_hints.unwrap_or(kind == ServerKind::Builtin),
        })
    }

    /// What the tool is. Where words meet, the careful one counts.
    pub(super) fn of(&self, tool: &Tool<'_>) -> ToolClass {
        let reads = !self.write.matches(&tool.name)
            && (self.read.matches(&tool.name) || (self.trusts_hints && is_hinted(tool.raw)));
        if reads { ToolClass::Read } else { ToolClass::Write }
    }
}

/// Whether the tool says that it only reads, once and clearly.
fn is_hinted(raw: &str) -> bool {
    let annotations = json::unique(raw, "annotations").ok().flatten();
    annotations.is_some_and(|hints| json::unique(hints, "readOnlyHint") == Ok(Some("true")))
}
