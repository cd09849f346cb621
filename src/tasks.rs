//! Work that nobody is waiting for.

use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Something to be done again and again.
///
/// A task is told *that* there may be work, never *what* it is: it reads what
/// is to be done from the database, and doing it twice does no harm. So it
/// needs no other path for the start of the process, for a wake that was
/// missed, or for work that another node left.
pub trait Task: Send + Sync + 'static {
    /// Its name in logs and metrics.
    const NAME: &'static str;

    /// Why a run failed.
    type Error: Error + Send;

    /// Does what there is to do, and returns. What fails is tried again when
    /// the task runs next; a task does not retry by itself.
    fn run(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The tasks of this process, and the way to stop them.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Runs `task` now, whenever `wake` changes, and at least once every
    /// `period`.
    pub fn spawn<T: Task>(&self, task: T, period: Duration, wake: watch::Receiver<i64>) {
        let shutdown = self.shutdown.clone();
        let task = std::sync::Arc::new(task);
        let mut wake = wake;
        self.tracker.spawn(async move {
            let mut failing = false;
            let mut deaf = false;
            loop {
                // Wakes that come while the task runs must count, so the mark
                // is set before, not after.
                wake.mark_unchanged();
                let run = task.clone();
                // A task of its own, so that a panic ends one run and not the task.
                match tokio::spawn(async move { run.run().await }).await {
                    Ok(Ok(())) => {
                        if std::mem::take(&mut failing) {
                            tracing::info!(task = T::NAME, "task works again");
                        }
                    }
                    Ok(Err(error)) => {
                        let error = chain(&error);
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(task = T::NAME, error, "task failed; it runs again");
                        }
                    }
                    Err(panic) => tracing::error!(task = T::NAME, %panic, "task panicked"),
                }
                tokio::select! {
                    _ = shutdown.cancelled() => break,
                    _ = tokio::time::sleep(period) => {}
                    changed = wake.changed(), if !deaf => deaf = changed.is_err(),
                }
                if shutdown.is_cancelled() {
                    break;
                }
            }
        });
    }

    /// Cancelled when the tasks are to stop.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Asks every task to stop after its present run, and waits.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// `err` and all its causes on one line.
pub fn chain(err: &dyn Error) -> String {
    let mut line = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        line += &format!(": {err}");
        cause = err.source();
    }
    line
}
