//! Ids of traces and spans: random enough that no two gateways make the same, without a system call for each. A keyed hash over a
//! count, with a key of its own for each thread. Called by [`super`].

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use patchbay_core::trace::{SpanId, TraceId};

thread_local! {
    static DRAWN: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

fn draw() -> [u8; 8] {
    DRAWN.with(|(key, count)| {
        count.set(count.get().wrapping_add(1));
        key.hash_one(count.get()).to_ne_bytes()
    })
}

/// A new trace.
pub(super) fn trace() -> TraceId {
    loop {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&draw());
        bytes[8..].copy_from_slice(&draw());
        if let Some(id) = TraceId::new(bytes) {
            return id;
        }
    }
}

/// A new span.
pub(super) fn span() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(draw()) {
            return id;
        }
    }
}
