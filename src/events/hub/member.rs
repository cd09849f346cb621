use super::super::{Filter, Follows};
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
    /// Whether prices and stock are folded for it if it does not keep up.
    pub folds: bool,
    /// Whose saved set it follows, if it is one.
    pub follows: Option<Follows>,
    /// Whether its connection ends with it.
    pub closes: bool,
    /// Whether it wants the present state where its cursor is of no use.
    pub snapshots: bool,
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
    /// Since which second it has not been given all there is; 0 if it has been,
    /// [`NEW`] if it never was.
    pub behind: u32,
    /// It has been given everything up to here.
    pub cursor: i64,
    pub outlet: Outlet,
    pub person: Box<Person>,
}

pub(super) struct Person {
    pub guest: Guest,
    pub opened: Instant,
    pub heartbeat: bool,
    /// Its topics were changed, and it was not told yet.
    pub untold: bool,
    /// The part of a stream's id that nobody can guess.
    pub secret: u64,
    pub ended: Option<&'static str>,
}

/// Somebody who came back, or asked for the past, and is given all of it.
pub(super) const NEW: u32 = u32::MAX;

/// For how many seconds one must have been behind to be taken for slow.
const SLOW: u32 = 2;

impl Member {
    /// Notes whether it was given all there is.
    pub fn note(&mut self, is_behind: bool, second: u32) {
        match (is_behind, self.behind) {
            (false, _) => self.behind = 0,
            (true, 0) => self.behind = second,
            (true, _) => {}
        }
    }

    /// Whether it kept up once and has not for so long that its prices and
    /// stock may be folded.
    pub fn folds(&self, second: u32) -> bool {
        let slow = self.behind != 0 && second.saturating_sub(self.behind) >= SLOW;
        slow && self.behind != NEW && self.person.guest.folds
    }

    /// Whether it is a poll that waits on its own connection.
    pub fn waits(&self) -> bool {
        matches!(&self.outlet, Outlet::Poll(poll) if poll.waiting)
    }

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
        if self.person.guest.follows.is_some() {
            readers.metrics.following.dec();
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
