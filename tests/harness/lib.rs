//! What the end-to-end tests stand on: the real `patchbay` program as a child process, servers that misbehave on command, a
//! client that hides nothing of HTTP, wires that can be cut, and waits that look until they see.
//!
//! A test that is surprised panics, with the gateway's own log behind it. Nothing here sleeps and hopes: every wait looks for
//! a condition, and ends with a sentence when it does not come.

pub mod balancer;
pub mod canary;
pub mod client;
pub mod collector;
pub mod database;
pub mod fixture;
pub mod flood;
pub mod gateway;
pub mod http;
pub mod idp;
pub mod installed;
pub mod kept;
pub mod process;
pub mod programs;
pub mod redis;
pub mod setup;
pub mod talk;
pub mod wait;
pub mod wire;

pub use balancer::Balancer;
pub use client::{Client, Exchange};
pub use collector::Collector;
pub use fixture::Fixture;
pub use gateway::{Key, TestGateway};
pub use http::{Ask, Event, Events, Reply};
pub use idp::Idp;
pub use installed::Installed;
pub use process::Outcome;
pub use redis::Redis;
pub use setup::Setup;
pub use talk::Talk;
pub use wait::{PATIENCE, wait_until, within};
pub use wire::Wire;
