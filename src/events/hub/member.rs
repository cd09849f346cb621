use super::super::Filter;
use super::Readers;
use super::line::Line;
use super::polls::PollLine;
use crate::auth::Caller;
use crate::limits::Seat;
use std::task::Waker;
use std::time::Instant;

/// Who reads, apart from what and where.
pub struct Guest {
    /// Who it is.
    pub caller: Caller,
    /// The seat that is given back when they have left.
    pub seat: Option<Seat>,
    /// When it ends by itself.
    pub until: Option<Instant>,
    /// Whether it is a stream: it gets heartbeats, and a place among the streams.
    pub streams: bool,
    /// Whether its connection ends with it.
    pub closes: bool,
}

/// A reader as the hub sees it. There may be a hundred thousand of these:
/// what is seldom needed is in a box.
pub(super) struct Member {
    pub group: u32,
    /// Where it stands among the members of its group.
    pub place: u32,
    /// Tells it from another that had its number before.
    pub generation: u32,
    /// The second of its hub in which somebody has to look at it more closely.
    pub due: u32,
    /// Since which second it has not taken what there is; none: 0.
    pub stalled: u32,
    /// It has been given everything up to here.
    pub cursor: i64,
    pub outlet: Outlet,
    pub person: Box<Person>,
}

pub(super) struct Person {
    pub guest: Guest,
    pub opened: Instant,
    pub heartbeat: bool,
    pub ended: Option<&'static str>,
}

impl Member {
    /// Notes that it is gone, in the figures and among the followers of `filter`.
    pub fn count_out(&self, readers: &Readers, filter: &Filter) {
        match &self.outlet {
            Outlet::Poll(poll) => {
                if poll.counted {
                    readers.interest.remove(filter);
                }
                if poll.waiting {
                    readers.metrics.polls.dec();
                }
            }
            Outlet::Task(_) | Outlet::Stream(_) => readers.interest.remove(filter),
        }
        if self.person.guest.streams {
            readers.metrics.streams.dec();
            let seconds = self.person.opened.elapsed().as_secs();
            tracing::debug!(seconds, "stream closed");
        }
    }
}

/// How a reader is reached.
pub(super) enum Outlet {
    /// A future of this thread takes what is next when it is woken: the body of
    /// a response, or a handler that waits.
    Task(Option<Waker>),
    /// A stream whose connection has left the dispatcher.
    Stream(Line),
    /// A poll, or the time between two, on a connection that has left it.
    Poll(Box<PollLine>),
}
