//! The way of progress from the thread of a job to the caller: bounded, and never waited for. Where the caller is slow to
//! listen, steps are left out.

use std::{convert::Infallible, future};

use tokio::sync::mpsc;

use crate::db::source::Cx;

/// Steps that wait to be told.
const WAITING_MAX: usize = 16;

/// One step of the work.
#[derive(Debug)]
struct Step {
    done: u32,
    total: u32,
    message: String,
}

/// The end of the job.
#[derive(Debug, Clone)]
pub(crate) struct Teller(mpsc::Sender<Step>);

/// The end of the call.
#[derive(Debug)]
pub(crate) struct Listener(mpsc::Receiver<Step>);

pub(crate) fn channel() -> (Teller, Listener) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Teller(sender), Listener(receiver))
}

impl Teller {
    /// Tells a step, if there is room for it.
    pub(crate) fn tell(&self, done: u32, total: u32, message: String) {
        let _ = self.0.try_send(Step { done, total, message });
    }
}

impl Listener {
    /// Passes the steps on while `work` runs, and gives its result the moment it is there.
    pub(crate) async fn during<T>(mut self, cx: &Cx, work: impl Future<Output = T>) -> T {
        let forward = async {
            while let Some(step) = self.0.recv().await {
                cx.progress(step.done, step.total, step.message).await;
            }
            future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            result = work => result,
            never = forward => match never {},
        }
    }
}
