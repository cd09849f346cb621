//! Rooms that are made by speaking in them, and what an operator tells all.

mod json;
mod routes;
mod store;

pub use routes::{Docs, routes};

use crate::auth::Caller;
use crate::events::{self, Fact, Receipt, Topic, Tx};
use crate::refusal::{Class, Refusal, shorten};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The most bytes of what is said at once.
const MOST_DATA: usize = 32 * 1024;

/// The most topics one event is told on.
const MOST_TOPICS: usize = 10;

/// An event as somebody publishes it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// Rooms, or `announcements`.
    pub topics: Vec<String>,
    /// `room.message` or `announcement`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Any JSON.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// An event that may be published.
#[derive(Clone, Debug)]
pub struct Message {
    topics: Vec<Topic>,
    kind: &'static str,
    data: Box<RawValue>,
}

impl Serialize for Message {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.data.serialize(serializer)
    }
}

impl Fact for Message {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn topics(&self) -> Vec<Topic> {
        self.topics.clone()
    }
}

impl NewEvent {
    /// Looks at what `caller` wants to publish. `at` is its place in a batch.
    ///
    /// # Errors
    /// `reserved_type` for a type of the trade's own, `topic_forbidden` for a
    /// topic that nobody publishes on, `bad_data`, `too_large`.
    pub fn check(self, caller: &Caller, at: Option<usize>) -> Result<Message, Refusal> {
        let place = |refusal: Refusal| match (at, &refusal.field) {
            (Some(at), Some(field)) => {
                Refusal { field: Some(format!("[{at}].{field}")), ..refusal }
            }
            _ => refusal,
        };
        self.checked(caller).map_err(place)
    }

    fn checked(self, caller: &Caller) -> Result<Message, Refusal> {
        let kind = match &*self.kind {
            "room.message" => "room.message",
            "announcement" => "announcement",
            other => {
                let other = shorten(other);
                return Err(Refusal::invalid(
                    "type",
                    "reserved_type",
                    format!("`{other}` cannot be published; publish room.message or announcement"),
                    format!("不能发布“{other}”类型；可发布 room.message 或 announcement"),
                ));
            }
        };
        if self.topics.is_empty() || self.topics.len() > MOST_TOPICS {
            return Err(Refusal::invalid(
                "topics",
                "bad_topics",
                format!("an event has 1 to {MOST_TOPICS} topics"),
                format!("一个事件应有 1 到 {MOST_TOPICS} 个主题"),
            ));
        }
        let mut topics = Vec::with_capacity(self.topics.len());
        for name in &self.topics {
            let topic: Topic = name
                .parse()
                .map_err(|refusal| Refusal { field: Some("topics".to_owned()), ..refusal })?;
            let passes = match topic.kind() {
                "room" => true,
                "announcements" => caller.is_admin() && kind == "announcement",
                _ => false,
            };
            if !passes {
                return Err(Refusal {
                    field: Some("topics".to_owned()),
                    ..Refusal::new(
                        Class::Forbidden,
                        "topic_forbidden",
                        format!("nobody but the house publishes on `{topic}`; publish on room/…"),
                        format!("不能在“{topic}”上发布；请使用 room/…"),
                    )
                });
            }
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        if self.data.get().len() > MOST_DATA {
            return Err(Refusal::invalid(
                "data",
                "too_large",
                format!("data may have {MOST_DATA} bytes"),
                format!("data 最多 {MOST_DATA} 字节"),
            ));
        }
        json::check(self.data.get())?;
        Ok(Message { topics, kind, data: self.data })
    }
}

/// How many rooms there may be.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// In all.
    pub rooms: i64,
    /// Made by one merchant.
    pub of_one: i64,
}

/// Publishes `message`, making the rooms that are not there yet.
///
/// # Errors
/// `too_many_rooms` if there are as many as there may be.
pub fn publish(
    tx: &mut Tx<'_>,
    caller: &Caller,
    message: &Message,
    most: Most,
) -> events::Result<Receipt> {
    for room in message.topics.iter().filter(|topic| topic.kind() == "room") {
        // A room that is there stays there.
        if tx.knows(room) {
            continue;
        }
        let name = room.name().unwrap_or_default();
        if store::exists(tx.read(), name)? {
            tx.note(room);
            continue;
        }
        let maker = caller.actor();
        let full = store::count(tx.read())? >= most.rooms
            || (!caller.is_admin() && store::count_of(tx.read(), &maker)? >= most.of_one);
        if full {
            return Err(Refusal::invalid(
                "topics",
                "too_many_rooms",
                format!(
                    "there are as many rooms as there may be ({}, {} of one merchant); use one of them",
                    most.rooms, most.of_one
                ),
                format!("房间已达上限（共 {} 个，每个商家 {} 个）", most.rooms, most.of_one),
            )
            .into());
        }
        let now = tx.now();
        store::add(tx.write(), name, &maker, now)?;
        tx.note(room);
    }
    tx.append(message)
}

/// Tells everybody `text`, as the operator.
pub fn announce(tx: &mut Tx<'_>, text: &str) -> events::Result<Receipt> {
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "text": text }))
        .map_err(|err| crate::db::Error::Corrupt(err.to_string()))?;
    tx.append(&Message { topics: vec![Topic::announcements()], kind: "announcement", data })
}
