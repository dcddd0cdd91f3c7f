//! The threads that serve: one single-threaded runtime for each, so that a request, its connection to a server and their
//! timers stay on one core. Connections are handed out by the acceptor; nothing here knows what is served on them.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime::{Builder, Handle, LocalOptions},
    sync::mpsc,
};

/// A piece of work for a worker's runtime. It is made on the worker itself.
type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Jobs that wait until a worker has begun them; it takes them as soon as it comes by.
const JOBS_WAITING_MAX: usize = 4096;

/// The serving threads.
pub struct Workers {
    workers: Vec<Worker>,
    next: AtomicUsize,
}

/// How busy one worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Jobs that it has not begun.
    pub waiting: usize,
    /// Jobs that it has, those that wait included.
    pub running: usize,
}

/// A look at the workers that does not keep them from ending.
#[derive(Clone)]
pub struct Gauges(Vec<(mpsc::WeakSender<Job>, Arc<AtomicUsize>)>);

impl Gauges {
    /// How busy each worker is; nothing once they have ended.
    pub fn loads(&self) -> Vec<WorkerLoad> {
        let load = |(jobs, busy): &(mpsc::WeakSender<Job>, Arc<AtomicUsize>)| {
            let jobs = jobs.upgrade()?;
            let waiting = jobs.max_capacity() - jobs.capacity();
            Some(WorkerLoad { waiting, running: busy.load(Ordering::Relaxed) })
        };
        self.0.iter().filter_map(load).collect()
    }
}

struct Worker {
    jobs: mpsc::Sender<Job>,
    handle: Handle,
    /// Jobs that run now.
    busy: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workers {
    /// Starts this many threads.
    ///
    /// # Errors
    /// When the operating system gives no thread or no event queue.
    pub fn start(count: usize) -> std::io::Result<Self> {
        let workers = (0..count.max(1)).map(Worker::start).collect::<std::io::Result<_>>()?;
        Ok(Self { workers, next: AtomicUsize::new(0) })
    }

    /// Runs a job on the least busy worker. What the job awaits need not be `Send`.
    pub fn run<F>(&self, job: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.busy.load(Ordering::Relaxed)) else { return };
        worker.busy.fetch_add(1, Ordering::Relaxed);
        let busy = Busy(worker.busy.clone());
        let job: Job = Box::new(move || {
            let work = job();
            Box::pin(async move {
                let _busy = busy;
                work.await;
            })
        });
        // A job that finds no room is dropped: the connection that it would have served is closed.
        let _ = worker.jobs.try_send(job);
    }

    /// One of the workers' runtimes after the other, for tasks that belong to no connection.
    pub fn handle(&self) -> Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.workers[turn % self.workers.len()].handle.clone()
    }

    /// For those who want to know how busy the workers are.
    pub fn gauges(&self) -> Gauges {
        Gauges(self.workers.iter().map(|worker| (worker.jobs.downgrade(), worker.busy.clone())).collect())
    }

    /// Runs a short piece of work on every worker.
    pub fn each(&self, work: fn()) {
        for worker in &self.workers {
            let _ = worker.jobs.try_send(Box::new(move || Box::pin(async move { work() })));
        }
    }

    /// Ends the threads. Jobs that still run are dropped.
    pub fn stop(mut self) {
        for worker in &mut self.workers {
            let (closed, _) = mpsc::channel(1);
            worker.jobs = closed;
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl Worker {
    fn start(index: usize) -> std::io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(JOBS_WAITING_MAX);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(runtime.handle().clone()));
            runtime.block_on(async move {
                while let Some(job) = inbox.recv().await {
                    tokio::task::spawn_local(job());
                }
            });
        })?;
        let handle = started.recv().map_err(std::io::Error::other)??;
        Ok(Self { jobs, handle, busy: Arc::default(), thread: Some(thread) })
    }
}

/// Counts a job out, however it ends.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_spread_over_the_workers_and_end_with_them() {
        let workers = Workers::start(2).expect("threads");
        let (names, seen) = std::sync::mpsc::sync_channel(2);
        for _ in 0..2 {
            let names = names.clone();
            workers.run(move || async move {
                let _ = names.send(thread::current().name().map(str::to_owned));
                std::future::pending::<()>().await;
            });
        }
        let mut threads: Vec<_> = seen.iter().take(2).collect();
        threads.sort();
        assert_eq!(threads, [Some("worker-0".to_owned()), Some("worker-1".to_owned())]);
        let gauges = workers.gauges();
        assert_eq!(gauges.loads(), [WorkerLoad { waiting: 0, running: 1 }; 2]);
        workers.stop();
        assert_eq!(gauges.loads(), []);
    }
}
