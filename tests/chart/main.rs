//! The Helm chart, without a cluster: rendered by the real helm for every set of values in `helm/ci`, held against the schemas of
//! Kubernetes and against our own rules, each of which is shown to notice when it is broken. What it renders as `patchbay.yaml`
//! is read by the real program. The gateway itself is the business of the other stories, in `tests/e2e`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accepted;
mod chart;
mod golden;
mod helm;
mod program;
mod refused;
mod rules;
mod values;
