//! The Helm chart, without a cluster: rendered by the real helm for every set of values in `helm/ci`, held against the schemas of
//! Kubernetes and against our own rules, each of which is shown to notice when it is broken. What it renders as `patchbay.yaml`
//! is read by the real program. What a gateway does is the business of the stories in `tests/e2e`.

mod accepted;
mod golden;
mod helm;
mod program;
mod refused;
mod rendered;
mod rules;
mod values;
