//! The inbox: what a user is told of their own.
//!
//! A notification is a row and an event on `user/{id}`, written in the
//! transaction of whatever it tells of: there is never one without the other,
//! and never one for something that did not happen. What is to leave the house
//! besides is put into the outbox in the same transaction and carried later.

mod fact;
mod routes;
mod store;

pub use routes::{Docs, routes};

use crate::clock::Millis;
use crate::events::{self, Tx};
use fact::NotificationCreated;
use serde_json::Value;
use store::Row;

/// Every type of notification there is.
pub const KINDS: [&str; 3] = ["price_alert", "stock_alert", "alert_notice"];

/// The well-known name of `kind`, if there is one.
pub fn known_kind(kind: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|known| *known == kind)
}

/// The same thing in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

impl Said {
    /// `zh` and `en` say the same.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Said {
        Said { zh: zh.into(), en: en.into() }
    }
}

/// A way out of the house. The inbox is not one: every notification is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// A subscribe message of WeChat.
    Wechat,
    /// A signed HTTP request to a URL of the user's.
    Webhook,
    /// Read aloud by whoever asks for it.
    Voice,
}

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 3] = [Channel::Wechat, Channel::Webhook, Channel::Voice];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Wechat => "wechat",
            Channel::Webhook => "webhook",
            Channel::Voice => "voice",
        }
    }

    /// The channel called `name`.
    pub fn find(name: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.as_str() == name)
    }
}

/// What a user is to be told.
#[derive(Clone, Debug)]
pub struct New {
    /// Whom.
    pub user: String,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// A line.
    pub title: Said,
    /// A sentence or two.
    pub body: Said,
    /// The body as it is read aloud: numbers in words that a voice can say.
    pub speech: Said,
    /// What programs read.
    pub data: Value,
    /// Where more is to be found: name and path.
    pub links: Vec<(&'static str, String)>,
    /// The product it is about.
    pub product: Option<String>,
    /// The rule that it came of.
    pub rule: Option<i64>,
    /// When what it tells of was seen.
    pub observed_at: Option<Millis>,
    /// Whether it comes so late that this has to be said.
    pub late: bool,
    /// How it leaves the house, besides being in the inbox.
    pub channels: Vec<Channel>,
}

/// Tells a user of `new`: a row in their inbox, an event on their topic, and
/// one in the outbox for each channel, all in the transaction of the caller.
/// Answers the id of the notification.
pub fn notify(tx: &mut Tx<'_>, new: &New) -> events::Result<i64> {
    let (id, now) = (tx.next_seq(), tx.now());
    let row = Row::new(id, new, now);
    tx.append(&NotificationCreated(&row))?;
    store::insert(tx.write(), &row)?;
    for channel in &new.channels {
        store::send_later(tx.write(), id, *channel, now)?;
    }
    Ok(id)
}
