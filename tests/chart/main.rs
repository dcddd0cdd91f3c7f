//! The Helm chart, in a program of its own, since it needs nothing of a gateway to be rendered and looked at.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod chart;
