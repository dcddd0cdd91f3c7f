//! A warm call asks the heap for nothing: finding a known token is a digest and a look-up.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tokens/mint.rs"]
mod mint;
#[path = "tokens/world.rs"]
#[expect(dead_code, reason = "one token is enough here")]
mod world;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    time::Instant,
};

use patchbay_token::TokenCache;
use serde_json::json;

use crate::world::{NOW, World, claims, wanted, with};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all work is the system allocator's; the count beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the system allocator.
        unsafe { System.dealloc(at, layout) }
    }
}

#[tokio::test]
async fn finding_a_known_token_allocates_nothing() {
    let (world, cache) = (World::new(), TokenCache::new(1000));
    let token = world.p256.token(&with(claims(), json!({ "padding": "x".repeat(350) })));
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW * 1000).await.unwrap();
    let find = || cache.find(world.tenant, &world.issuers, &token, wanted(), NOW * 1000);
    assert!(find().is_some());
    let (before, began) = (COUNT.get(), Instant::now());
    for _ in 0..10_000 {
        assert!(std::hint::black_box(find()).is_some());
    }
    let (took, allocated) = (began.elapsed() / 10_000, COUNT.get() - before);
    assert_eq!(allocated, 0);
    // What it takes is for whoever runs this with --nocapture; machines differ too much to be held to it.
    writeln!(std::io::stderr(), "finding a token of {} bytes took {took:?}", token.len()).unwrap();
}
