//! Any bytes whatsoever to the judge; what must hold is written in the crate, beside the replay of this corpus on stable.
//! Run it with `cargo +nightly fuzz run judge` in the folder above.

#![no_main]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use patchbay_sql_policy::invariants;

/// The judge needs more stack than the fuzzer's own thread has, and a thread for each input would be slow.
struct Judge {
    inputs: SyncSender<Vec<u8>>,
    done: Receiver<()>,
}

fn judge() -> Judge {
    let (inputs, given) = sync_channel::<Vec<u8>>(1);
    let (finished, done) = sync_channel(1);
    let work = move || {
        for input in given {
            invariants::check(&input);
            if finished.send(()).is_err() {
                return;
            }
        }
    };
    let stack = 4 * patchbay_sql_policy::STACK_BYTES;
    std::thread::Builder::new().stack_size(stack).spawn(work).expect("a thread can be started");
    Judge { inputs, done }
}

thread_local! {
    static JUDGE: Judge = judge();
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    JUDGE.with(|judge| {
        judge.inputs.send(input.to_vec()).expect("the judge takes inputs until it panics");
        judge.done.recv().expect("the judge answers every input");
    });
});
