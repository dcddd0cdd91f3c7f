//! Patchbay: one address for all the tools of a team.
//!
//! The life of a request, room by room: [`edge`] takes it from the wire; [`tenancy`] and [`auth`] decide whose it is and who
//! asks; [`dispatch`] finds what is meant; [`admission`] lets it through or not; [`audit`] writes it down before and after; a
//! server behind `patchbay-downstream` answers; [`bridge`] puts the answer in the client's words. Off that path, [`control`]
//! alone turns what the store says into the snapshots that requests read. [`app`] puts the parts together, [`cli`] is what
//! people type.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

pub mod admission;
pub mod app;
pub mod audit;
pub mod auth;
pub mod bridge;
pub mod caller;
pub mod cli;
pub mod control;
pub mod dispatch;
pub mod edge;
pub mod error;
pub mod files;
mod hub;
mod ledger;
pub mod metrics;
mod outbound;
mod replica;
pub mod run;
pub mod telemetry;
pub mod tenancy;
pub mod worker;
