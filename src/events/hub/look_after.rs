use super::super::Cursor;
use super::super::frames::{LAST_CHUNK, bye_frame, chunk, heartbeat_frame};
use super::line::Sent;
use super::member::{Guest, Member, Outlet};
use super::{Hub, wake};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Instant;

/// What is to be done about a reader.
enum Due {
    End(&'static str),
    /// The wait of a poll is over.
    Answer,
    /// A connection between two polls has been idle long enough.
    Close,
    /// A poll was answered, and has not come back.
    Uncount,
}

impl Member {
    /// Gives a stream its heartbeat; false if its connection is gone.
    fn beat(&mut self, frame: &Bytes, now: u32) -> bool {
        if !self.person.guest.streams {
            return true;
        }
        match &mut self.outlet {
            Outlet::Task(waker) => {
                self.person.heartbeat = true;
                wake(waker);
            }
            Outlet::Stream(line) if !line.is_blocked() => match line.send(frame) {
                Sent::All => {}
                Sent::Part => self.stalled = now,
                Sent::Gone => return false,
            },
            _ => {}
        }
        true
    }
}

impl Hub {
    /// Once a second: who has been allowed long enough, who does not read,
    /// whose wait is over, and whose heartbeat is due. Heartbeats are spread
    /// over the seconds by the readers' numbers, so that they never come all at
    /// once; at the others it is not looked but when it is time.
    pub(super) fn look_after(self: &Rc<Hub>) {
        let period = u32::try_from(self.readers.heartbeat.as_secs()).unwrap_or(u32::MAX).max(1);
        let write_time = u32::try_from(self.readers.write_time.as_secs()).unwrap_or(u32::MAX);
        let frame = chunk(&heartbeat_frame(self.readers.gate.now()));
        let mut due = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            state.second = self.second();
            let now = state.second;
            // A second may have been left out.
            let first = self.looked.replace(now) + 1;
            let beats = |key: u32| (key % period + period - first % period) % period <= now - first;
            if now < first {
                return;
            }
            for (key, member) in &mut state.members {
                let key = key as u32;
                let beats = beats(key);
                if !beats && member.due > now && member.stalled == 0 {
                    continue;
                }
                let slow = member.stalled != 0 && now - member.stalled > write_time;
                match self.due(member, now, slow) {
                    Some(what) => due.push((key, what)),
                    None if beats && !member.beat(&frame, now) => due.push((key, Due::Close)),
                    None => {}
                }
            }
            for (_, group) in &mut state.groups {
                group.rest();
            }
            state.scratch.shrink_to(64 * 1024);
            state.report(&self.readers);
        }
        for (key, what) in due {
            match what {
                Due::End(code) => self.end(key, code),
                Due::Answer => self.end_wait(key, None),
                Due::Close => self.state.borrow_mut().drop_line(&self.readers, key),
                Due::Uncount => {
                    if let Some(filter) = self.filter(key) {
                        self.readers.interest.remove(&filter);
                    }
                }
            }
        }
    }

    /// What is to be done about `member` in the second `now`, if anything;
    /// if not, notes when to ask again.
    fn due(&self, member: &mut Member, now: u32, slow: bool) -> Option<Due> {
        let until = match &mut member.outlet {
            Outlet::Poll(poll) if !poll.waiting => {
                if poll.until <= now || slow {
                    return Some(Due::Close);
                }
                if member.due > now {
                    return None;
                }
                member.due = poll.until;
                return std::mem::take(&mut poll.counted).then_some(Due::Uncount);
            }
            Outlet::Poll(poll) => poll.until,
            _ => u32::MAX,
        };
        let guest = &member.person.guest;
        let over = |until: Instant| until <= Instant::now();
        if let Some(code) = self.readers.gate.ended(&guest.caller) {
            return Some(Due::End(code));
        }
        if guest.until.is_some_and(over) {
            return Some(Due::End("max_age"));
        }
        if slow {
            return Some(Due::End("slow"));
        }
        if until <= now {
            return Some(Due::Answer);
        }
        member.due = until.min(now.saturating_add(self.good_for(guest)));
        None
    }

    /// For how many seconds nothing can end the stay of `guest`, as far as the
    /// clock goes on as it does.
    fn good_for(&self, guest: &Guest) -> u32 {
        let identity = guest.caller.identity();
        if identity.is_some_and(|identity| identity.key_id.is_some()) {
            // A key may be revoked at any time.
            return 1;
        }
        let until = guest.until.map(|until| until.saturating_duration_since(Instant::now()));
        let until = until.map_or(u64::MAX, |time| time.as_secs());
        let now = self.readers.gate.now();
        let expires = identity.and_then(|identity| identity.expires);
        let expires = expires.map_or(u64::MAX, |at| (at - now).max(0).unsigned_abs() / 1000);
        u32::try_from(until.min(expires)).unwrap_or(u32::MAX).max(1)
    }

    fn second(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX / 2) + 1
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
                if told && code != "shutdown" && !member.person.guest.closes {
                    drop(state);
                    self.let_rest(key);
                } else {
                    state.drop_line(&self.readers, key);
                }
            }
        }
    }
}
