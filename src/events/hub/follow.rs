//! Readers who follow what a user has saved, whatever that is by now.

use super::super::Saved;
use super::member::Member;
use super::state::State;
use super::{Hub, Readers};
use std::rc::Rc;

impl State {
    /// `user` has saved something else: whoever follows that goes on with it
    /// from where they stand.
    pub fn saved_changed(&mut self, readers: &Readers, position: i64, user: &str, saved: &Saved) {
        let keys = self.followers.get(user).cloned().unwrap_or_default();
        for key in keys {
            let Some(member) = self.members.get_mut(key as usize) else { continue };
            let guest = &mut member.person.guest;
            let (filter, follows) = saved.readable(user, &guest.caller);
            let filter = filter.ascii(self.groups[member.group as usize].filter.is_ascii());
            match &mut guest.follows {
                // What comes late is known already.
                Some(known) if known.version < follows.version => *known = follows,
                _ => continue,
            }
            readers.metrics.topic_changes.inc();
            self.change_filter(readers, position, key, filter);
            self.tell(readers, position, key);
            self.revive(key);
        }
    }

    /// Forgets that `member` follows what somebody has saved.
    pub fn unfollow(&mut self, key: u32, member: &Member) {
        let Some(follows) = &member.person.guest.follows else { return };
        if let Some(keys) = self.followers.get_mut(&follows.user) {
            keys.retain(|known| *known != key);
            if keys.is_empty() {
                self.followers.remove(&follows.user);
            }
        }
    }

    /// Whose saved sets are followed.
    pub fn followed_users(&self) -> Vec<String> {
        self.followers.keys().cloned().collect()
    }
}

impl Hub {
    /// Looks up what these users have saved, and goes on with it.
    pub(super) fn ask_what_is_saved(self: &Rc<Hub>, users: Vec<String>) {
        if users.is_empty() {
            return;
        }
        let hub = self.clone();
        tokio::task::spawn_local(async move {
            for user in users {
                hub.follow_saved(&user).await.unwrap_or_else(|err| {
                    let error = crate::tasks::chain(&err);
                    tracing::warn!(error, "what a user has saved could not be read");
                });
            }
        });
    }

    /// Looks up what `user` has saved, and goes on with it wherever that is
    /// followed.
    pub(in crate::events) async fn follow_saved(&self, user: &str) -> crate::db::Result<()> {
        let saved = self.readers.saved(user).await?;
        let mut state = self.state.borrow_mut();
        state.saved_changed(&self.readers, self.position(), user, &saved);
        Ok(())
    }
}
