use super::super::frames::{LAST_CHUNK, bye_frame, chunk, reset_frame};
use super::super::{Step, Subscription};
use super::line::Line;
use super::member::Outlet;
use super::{Asker, Hub, ROOM};
use crate::handover::Landed;
use bytes::{Buf, Bytes};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

impl Hub {
    /// Takes over the connection of a stream that is up to date.
    pub(in crate::events) fn adopt_stream(&self, key: u32, landed: Landed) {
        let mut state = self.state.borrow_mut();
        if !state.members.contains(key as usize) {
            return;
        }
        let token = state.token(key);
        match Line::open(landed.socket, &state.registry, token) {
            Ok(line) => {
                state.members[key as usize].outlet = Outlet::Stream(line);
                state.landed();
                if state.members[key as usize].person.untold
                    && !state.tell(&self.readers, self.position(), key)
                {
                    return;
                }
                // Something may have come while it was on its way.
                state.revive(key);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken over");
                state.drop_line(&self.readers, key);
            }
        }
    }

    /// Takes over the connection of a poll that waits; `landed.head` is the
    /// head of its answer.
    pub(in crate::events) fn adopt_poll(&self, key: u32, landed: Landed, asker: Asker) {
        let mut state = self.state.borrow_mut();
        if !state.members.contains(key as usize) {
            return;
        }
        let token = state.token(key);
        let line = Line::open(landed.socket, &state.registry, token);
        let adopted = match line {
            Ok(line) => state.adopt_poll(key, line, &landed.head, asker),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken over");
                false
            }
        };
        if adopted {
            self.readers.metrics.polls.inc();
            if state.members[key as usize].person.untold {
                state.tell(&self.readers, self.position(), key);
            }
            state.revive(key);
        } else {
            state.drop_line(&self.readers, key);
        }
    }

    /// Gives a stream what memory does not hold any more: on a task of its own
    /// that reads the log, however long that takes, and ends where the others
    /// are.
    pub(super) fn walk(self: &Rc<Hub>, key: u32) {
        let socket = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            let Some(member) = state.members.get_mut(key as usize) else { return };
            match std::mem::replace(&mut member.outlet, Outlet::Task(None)) {
                Outlet::Stream(line) => {
                    state.lines -= 1;
                    line.close(&state.registry)
                }
                other => {
                    member.outlet = other;
                    return;
                }
            }
        };
        let subscription = Subscription::resume(self, key);
        match socket {
            Ok(socket) => {
                let away = self.away();
                let hub = self.clone();
                tokio::task::spawn_local(async move {
                    let _away = away;
                    hub.catch_up(subscription, socket).await;
                });
            }
            Err(error) => tracing::warn!(%error, "a connection could not be read to"),
        }
    }

    /// Writes all of `bytes`, however long that takes, as long as it goes on.
    async fn write(&self, socket: &mut TcpStream, mut bytes: Bytes) -> io::Result<()> {
        while bytes.has_remaining() {
            let written = timeout(self.readers.write_time, socket.write_buf(&mut bytes)).await??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    async fn catch_up(&self, mut subscription: Subscription, mut socket: TcpStream) {
        loop {
            let now = self.readers.gate.now();
            let (bytes, last) = match subscription.ready(ROOM).await {
                Ok(Some(Step::Events(batch))) => (batch.chunks(), false),
                Ok(Some(Step::Reset(_))) if subscription.snapshots() => {
                    // When it comes back with the cursor it has, it is given the state.
                    (chunk(&bye_frame("reset", Some(Duration::ZERO), None)), true)
                }
                Ok(Some(Step::Reset(reset))) => {
                    (chunk(&reset_frame(reset, &subscription.cursor(), now)), false)
                }
                Ok(Some(Step::Topics(told))) => (chunk(&told.frame()), false),
                Ok(Some(Step::Heartbeat)) => continue,
                Ok(None) => break,
                Ok(Some(Step::End(code))) => {
                    (chunk(&bye_frame(code, None, Some(&subscription.settle()))), true)
                }
                Err(err) => {
                    tracing::warn!(error = crate::tasks::chain(&err), "a stream lost the log");
                    (chunk(&bye_frame("busy", None, Some(&subscription.settle()))), true)
                }
            };
            let bytes = if last { [&bytes, LAST_CHUNK].concat().into() } else { bytes };
            if self.write(&mut socket, bytes).await.is_err() || last {
                return;
            }
        }
        subscription.hand_over(Landed { socket, head: Vec::new() });
    }
}
