use super::Hub;
use super::member::Outlet;
use mio::event::Event;
use mio::{Events, Poll};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many things that happened to connections are taken at a time.
const EVENTS: usize = 256;

impl Hub {
    /// Watches the connections of this thread: for room to write, for the next
    /// request of a poll, and for their end. All of them are one file to the
    /// runtime.
    pub(super) async fn watch(self: &Rc<Hub>, poll: Poll) {
        let mut events = Events::with_capacity(EVENTS);
        let mut poll = match register(poll) {
            Ok(poll) => poll,
            Err(error) => return tracing::error!(%error, "connections cannot be watched"),
        };
        loop {
            let mut ready = match poll.readable_mut().await {
                Ok(ready) => ready,
                Err(error) => return tracing::error!(%error, "connections cannot be watched"),
            };
            let polled = ready.get_inner_mut().poll(&mut events, Some(Duration::ZERO));
            let full = events.iter().count() == EVENTS;
            if !full {
                // That was all. Whatever happens from here on makes it ready again.
                ready.clear_ready();
            }
            if let Err(error) = polled {
                tracing::warn!(%error, "connections could not be looked at");
            }
            for event in &events {
                self.happened(event);
            }
            if full {
                // Others have their turn, however much happens.
                tokio::task::yield_now().await;
            }
        }
    }

    fn happened(self: &Rc<Hub>, event: &Event) {
        let mut far = Vec::new();
        let asks = {
            let mut state = self.state.borrow_mut();
            let Some(key) = state.by_token(event.token()) else { return };
            if event.is_error() || event.is_read_closed() || event.is_write_closed() {
                return state.drop_line(&self.readers, key);
            }
            if event.is_writable() {
                state.flush(&self.readers, self.position(), key, &mut far);
            }
            let member = state.members.get(key as usize);
            // What a stream is sent besides waits in the kernel until it ends.
            let polls = member.is_some_and(|member| matches!(member.outlet, Outlet::Poll(_)));
            (event.is_readable() && polls).then_some(key)
        };
        for key in far {
            self.readers.metrics.fell_behind.inc();
            self.walk(key);
        }
        if let Some(key) = asks {
            self.read_poll(key);
        }
    }
}

#[allow(unsafe_code)]
fn register(poll: Poll) -> io::Result<AsyncFd<Poll>> {
    // SAFETY: a mio::Poll owns its descriptor, never changes it, and closes it
    // when it is dropped; AsyncFd deregisters it before that.
    let registered = unsafe { AsyncFd::register_with_interest(poll, Interest::READABLE) };
    registered.map_err(Into::into)
}
