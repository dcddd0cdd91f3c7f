//! The one thread that starts child processes. The kernel ties a child's parent-death signal to the *thread* that forked it, so
//! this thread lives as long as the gateway, whatever worker threads come and go. It does nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::oneshot;

/// Starts that may wait for their turn.
const JOBS_MAX: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// Runs this on the spawner; `None` when it cannot run now.
pub(super) async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static JOBS: OnceLock<Option<SyncSender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = sync_channel(JOBS_MAX);
        thread::Builder::new().name("spawner".to_owned()).spawn(move || work(&receiver)).ok().map(|_| sender)
    });
    let (done, outcome) = oneshot::channel();
    // When nobody waits any more, the outcome is dropped here, and a child with it.
    let job = Box::new(move || drop(done.send(job())));
    jobs.as_ref()?.try_send(job).ok()?;
    outcome.await.ok()
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        // A panic here would end the thread, and all children with it.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
