//! The servers behind the gateway: one trait, three transports.
//!
//! [`contract`] says what the trunk asks of a server; `http`, `stdio` and `builtin` do it. `gate` bounds what runs at once
//! and opens the breaker; `catalog` reads a server's lists to the end; `watched` and `level` are what a server is told beside
//! calls. Names as clients see them, tenants and policy are
//! not known here.

mod because;
pub mod builtin;
pub mod catalog;
pub mod contract;
pub mod fetch;
pub mod gate;
pub mod http;
mod level;
pub mod mask;
mod pipe;
mod seat;
pub mod stdio;
mod watched;
pub mod wire;

pub use because::Because;
pub use contract::{
    Answer, AnswerSink, ByteStream, CallCx, Children, Delivery, Downstream, DownstreamError, Event, Extension, Fault,
    Health, HealthState, Hello, List, Load, Message, MessageStream, Outgoing, Question, Reply, ShareKey,
};
pub use mask::Mask;
