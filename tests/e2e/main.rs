//! The gateway as its users meet it: the real program, real servers, real databases. One file per story; what they share is in
//! the harness, which is the library of this package.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod abuse;
mod admin_api;
mod admin_live;
mod admin_matrix;
mod catalog;
mod clients;
mod conformance;
mod databases;
mod drain;
mod entrance;
mod eras;
mod extensions;
mod eyes;
mod failure;
mod fidelity;
mod image;
mod isolation;
mod limits;
mod limits_audit;
mod listen;
mod newcomer;
mod oauth;
mod protocol;
mod recorded;
mod reload;
mod remote_cli;
mod replicas;
mod resume;
mod streaming;
mod traces;
mod trail;
mod walk;
mod weather;
mod without_store;
