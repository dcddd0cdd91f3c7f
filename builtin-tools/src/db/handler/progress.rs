//! Telling progress to a client that asked for it. A client that does not read holds up neither the work nor the database:
//! steps wait in a short queue, and one that finds it full is not told. No step is told after the answer.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use tokio::sync::mpsc;

use super::{Context, cx};
use crate::db::source::{Cx, Progress};

/// Steps that wait to be told.
const WAITING_MAX: usize = 16;

/// Runs `work` and tells its steps, if the client gave a token to know them by.
pub(super) async fn telling<F: Future>(context: &Context, work: impl FnOnce(Cx) -> F) -> F::Output {
    let Some(token) = context.meta.get_progress_token() else { return work(cx(context)).await };
    let (sender, steps) = mpsc::channel(WAITING_MAX);
    let told = Arc::new(Told(Mutex::new(Some(sender))));
    let work = work(Cx::new(context.ct.clone(), Some(Arc::<Told>::clone(&told))));
    let work = async {
        let answer = work.await;
        // Something left behind may still hold on to its Cx; it finds nobody here any more.
        told.close();
        answer
    };
    // Both at once: while a step is written to a slow client, the work and its deadline go on.
    tokio::join!(work, tell_all(context, &token, steps)).0
}

async fn tell_all(context: &Context, token: &ProgressToken, mut steps: mpsc::Receiver<Step>) {
    let mut last = None;
    while let Some(step) = steps.recv().await {
        // Progress has to grow, and a call that was cancelled is not spoken of any more.
        if last.is_some_and(|last| step.done <= last) || context.ct.is_cancelled() {
            continue;
        }
        last = Some(step.done);
        let said = ProgressNotificationParam::new(token.clone(), f64::from(step.done))
            .with_total(f64::from(step.total))
            .with_message(step.message);
        // It returns when the step is written, so that the answer comes after it.
        if context.peer.notify_progress(said).await.is_err() {
            return;
        }
    }
}

#[derive(Debug)]
struct Step {
    done: u32,
    total: u32,
    message: String,
}

/// Where the work puts its steps, until it has ended.
#[derive(Debug)]
struct Told(Mutex<Option<mpsc::Sender<Step>>>);

impl Told {
    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[async_trait]
impl Progress for Told {
    async fn tell(&self, done: u32, total: u32, message: String) {
        if let Some(steps) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // A step that finds no room is not told; the next one says more.
            let _ = steps.try_send(Step { done, total, message });
        }
    }
}
