//! The only room that knows HTTP. In the order of a request: [`serve`] takes connections, [`mcp`] runs the steps of the MCP
//! endpoint, [`hear`] reads what was said in which revision, [`reply`] writes the answer as JSON or as events, [`refusal`] an error;
//! [`replay`] gives clients the rest of a stream that broke.
//! How to sign in is public: [`challenge`] says it to those who were refused, [`metadata`] to everybody. Operators have a listener
//! of their own in [`operations`], admins in [`admin`]. [`trace`] begins the spans of a request,
//! [`forward`] hands one on to the replica that has what it is for.

pub(crate) mod admin;
pub(crate) mod body;
pub(crate) mod challenge;
pub(crate) mod forward;
pub(crate) mod forwarded;
pub(crate) mod hear;
pub(crate) mod mcp;
pub(crate) mod metadata;
pub(crate) mod operations;
pub mod origin;
pub(crate) mod rate_headers;
pub(crate) mod refusal;
pub(crate) mod replay;
pub(crate) mod reply;
pub mod routes;
pub(crate) mod serve;
pub mod session;
pub mod site;
pub(crate) mod sse;
mod stream;
pub(crate) mod trace;
pub(crate) mod watch;

#[cfg(test)]
mod tests;
