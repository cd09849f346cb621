use super::super::Cursor;
use super::super::frames::{LAST_CHUNK, bye_frame, chunk, heartbeat_frame};
use super::line::Sent;
use super::member::Outlet;
use super::{Hub, wake};
use bytes::Bytes;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How far from its time a wait may end: it is looked at once a second.
const ABOUT: Duration = Duration::from_millis(500);

/// What is to be done about a reader.
enum Due {
    End(&'static str),
    /// The wait of a poll is over.
    Answer,
    /// A connection between two polls has been idle long enough.
    Close,
}

impl Hub {
    /// Once a second: who has been allowed long enough, who does not read,
    /// whose wait is over, and whose heartbeat is due. Heartbeats are spread
    /// over the seconds by the readers' numbers, so that they never come all at
    /// once.
    pub(super) fn look_after(self: &Rc<Hub>) {
        let now = Instant::now();
        let period = self.readers.heartbeat.as_secs().max(1);
        let slot = self.seconds.replace(self.seconds.get() + 1) % period;
        let frame = chunk(&heartbeat_frame(self.readers.gate.now()));
        let mut due = Vec::new();
        let mut unread = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            for (key, member) in &mut state.members {
                let key = key as u32;
                let person = &mut member.person;
                let slow = person.stalled.is_some_and(|at| now - at > self.readers.write_time);
                let waits = match &member.outlet {
                    Outlet::Poll(poll) if !poll.waiting => {
                        if poll.until <= now || slow {
                            due.push((key, Due::Close));
                        }
                        continue;
                    }
                    Outlet::Poll(poll) => Some(poll.until),
                    _ => None,
                };
                if let Some(code) = self.readers.gate.ended(&person.guest.caller) {
                    due.push((key, Due::End(code)));
                } else if person.guest.until.is_some_and(|until| until <= now) {
                    due.push((key, Due::End("max_age")));
                } else if slow {
                    due.push((key, Due::End("slow")));
                } else if waits.is_some_and(|until| until <= now + ABOUT) {
                    due.push((key, Due::Answer));
                } else if person.guest.streams && u64::from(key) % period == slot {
                    match &mut member.outlet {
                        Outlet::Task(waker) => {
                            person.heartbeat = true;
                            wake(waker);
                        }
                        Outlet::Stream(line) if !line.is_blocked() => match line.send(&frame) {
                            Sent::All => {}
                            Sent::Part => person.stalled = Some(now),
                            Sent::Gone => due.push((key, Due::Close)),
                        },
                        _ => {}
                    }
                }
            }
            for (_, group) in &mut state.groups {
                group.rest();
            }
            state.scratch.shrink_to(64 * 1024);
            unread.append(&mut state.unread);
            state.report(&self.readers);
        }
        for (key, what) in due {
            match what {
                Due::End(code) => self.end(key, code),
                Due::Answer => self.end_wait(key, None),
                Due::Close => self.state.borrow_mut().drop_line(&self.readers, key),
            }
        }
        for key in unread {
            self.read_poll(key);
        }
    }

    /// Ends a reader and tells it why.
    pub(super) fn end(self: &Rc<Hub>, key: u32, code: &'static str) {
        let cursor = self.settle(key);
        let cursor = Cursor { epoch: self.readers.tail.epoch().clone(), seq: cursor };
        let mut state = self.state.borrow_mut();
        let Some(member) = state.members.get_mut(key as usize) else { return };
        match &mut member.outlet {
            Outlet::Task(waker) => {
                member.person.ended.get_or_insert(code);
                wake(waker);
            }
            Outlet::Poll(poll) if poll.waiting => {
                drop(state);
                self.end_wait(key, Some(code));
            }
            Outlet::Poll(_) => state.drop_line(&self.readers, key),
            Outlet::Stream(line) => {
                self.readers.metrics.byes.with_label_values(&[code]).inc();
                let bye = bye_frame(code, None, Some(&cursor));
                let last = [&chunk(&bye), LAST_CHUNK].concat();
                // Whoever is in the middle of a frame could not be told; it knows
                // where it was and comes back.
                let told = !line.is_blocked() && line.send_own(&last) == Sent::All;
                if told && code != "shutdown" {
                    drop(state);
                    self.give_back(key, Bytes::new());
                } else {
                    state.drop_line(&self.readers, key);
                }
            }
        }
    }
}
