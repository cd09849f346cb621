use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

thread_local! {
    static HERE: RefCell<Option<Relay>> = const { RefCell::new(None) };
}

/// The way back from the writer's thread to one of the server's.
///
/// To wake a task of another thread is a system call and often a change of
/// threads, and a transaction answers many tasks. They are noted instead, and
/// their thread is woken once for all of them.
#[derive(Clone, Default)]
pub struct Relay(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whom to wake.
    noted: Vec<Waker>,
    /// The task that wakes them, on their own thread.
    task: Option<Waker>,
    /// More will be noted before it is to be told.
    held: bool,
}

impl Relay {
    /// Starts the relay of this thread. It runs until the thread's runtime ends.
    pub fn start() {
        let relay = Relay::default();
        HERE.set(Some(relay.clone()));
        tokio::task::spawn_local(async move { relay.run().await });
    }

    /// The relay of this thread, if one was started.
    pub(super) fn here() -> Option<Relay> {
        HERE.with_borrow(Clone::clone)
    }

    async fn run(&self) {
        loop {
            let noted = poll_fn(|cx| {
                let mut state = self.lock();
                if state.noted.is_empty() {
                    state.task = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(std::mem::take(&mut state.noted))
            });
            noted.await.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits for `answer`, which another thread gives.
    pub(super) async fn wait<F: Future>(self, answer: F) -> F::Output {
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            let noted = Noted { relay: self.clone(), waker: cx.waker().clone() };
            answer.as_mut().poll(&mut std::task::Context::from_waker(&Arc::new(noted).into()))
        })
        .await
    }

    /// Notes without telling, until what this returns is dropped.
    pub(super) fn hold(&self) -> Held {
        self.lock().held = true;
        Held(self.clone())
    }

    pub(super) fn is(&self, other: &Relay) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn note(&self, waker: Waker) {
        let mut state = self.lock();
        state.noted.push(waker);
        if !state.held {
            tell(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(mut state: MutexGuard<'_, State>) {
    if state.noted.is_empty() {
        return;
    }
    let task = state.task.take();
    drop(state);
    if let Some(task) = task {
        task.wake();
    }
}

/// A relay that is held.
pub(super) struct Held(Relay);

impl Held {
    pub fn relay(&self) -> &Relay {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.held = false;
        tell(state);
    }
}

struct Noted {
    relay: Relay,
    waker: Waker,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.relay.note(self.waker.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_thread_is_woken_once_for_all_that_was_noted_meanwhile() {
        let (relay, count) = (Relay::default(), Arc::new(Count::default()));
        relay.lock().task = Some(count.clone().into());
        let held = relay.hold();
        for _ in 0..5 {
            relay.note(Waker::noop().clone());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        drop(held);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(relay.lock().noted.len(), 5);
    }

    #[tokio::test]
    async fn whoever_waits_hears_whether_or_not_the_relay_was_held() {
        let local = LocalSet::new();
        local
            .run_until(async {
                Relay::start();
                let relay = Relay::here().expect("it was started");
                for held in [false, true] {
                    let (answers, waiting): (Vec<_>, Vec<_>) =
                        (0..50).map(|_| oneshot::channel::<usize>()).unzip();
                    let there = relay.clone();
                    let writer = std::thread::spawn(move || {
                        let held = held.then(|| there.hold());
                        for (at, answer) in answers.into_iter().enumerate() {
                            // One is dropped without an answer.
                            if at != 7 {
                                answer.send(at).expect("somebody waits");
                            }
                        }
                        drop(held);
                    });
                    for (at, answer) in waiting.into_iter().enumerate() {
                        let answered = relay.clone().wait(answer).await;
                        assert_eq!(answered.ok(), (at != 7).then_some(at));
                    }
                    writer.join().expect("no panic");
                }
            })
            .await;
    }
}
