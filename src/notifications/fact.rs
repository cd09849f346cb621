use super::store::Row;
use crate::clock::rfc3339;
use crate::events::{Fact, Topic};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

impl Row {
    /// As it is answered and told.
    pub(super) fn json(&self) -> Value {
        // What we wrote we can read; a row that somebody else spoilt is shown without.
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        json!({
            "id": self.id,
            "type": self.kind,
            "title": self.title,
            "body": self.body,
            "speech_text": self.speech_text,
            "data": parsed(&self.data),
            "links": parsed(&self.links),
            "product": self.product,
            "rule": self.rule_id,
            "observed_at": self.observed_at.map(rfc3339),
            "created_at": rfc3339(self.created),
            "late": self.late,
            "read_at": self.read_at.map(rfc3339),
        })
    }
}

/// A user has something new in their inbox.
pub(super) struct NotificationCreated<'a>(pub &'a Row);

impl Serialize for NotificationCreated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json().serialize(serializer)
    }
}

impl Fact for NotificationCreated<'_> {
    fn kind(&self) -> &'static str {
        "notification.created"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::user(&self.0.user_id)]
    }
}
