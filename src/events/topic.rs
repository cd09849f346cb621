use crate::names::{is_id, is_name};
use crate::refusal::{Class, Refusal, shorten};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What a reader follows: `product/7542-2003`, `price/dark.puer`, `arrivals`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// The kinds of topics that have names.
const KINDS: [&str; 6] = ["price", "market", "product", "room", "merchant", "user"];

/// The topics that are one of a kind.
const SINGLES: [&str; 3] = ["arrivals", "clearance", "announcements"];

/// Who may read a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Everybody.
    Public,
    /// One merchant.
    Merchant(&'a str),
    /// One user.
    User(&'a str),
}

impl Topic {
    /// Everything about one product.
    pub fn product(id: &str) -> Topic {
        Topic(format!("product/{id}").into())
    }

    /// The price changes of one category.
    pub fn price(category: &str) -> Topic {
        Topic(format!("price/{category}").into())
    }

    /// The news and price changes of one market.
    pub fn market(id: &str) -> Topic {
        Topic(format!("market/{id}").into())
    }

    /// A merchant's own.
    pub fn merchant(id: &str) -> Topic {
        Topic(format!("merchant/{id}").into())
    }

    /// A user's own.
    pub fn user(id: &str) -> Topic {
        Topic(format!("user/{id}").into())
    }

    /// New products.
    pub fn arrivals() -> Topic {
        Topic("arrivals".into())
    }

    /// Clearances that start and end.
    pub fn clearance() -> Topic {
        Topic("clearance".into())
    }

    /// What the operator tells everybody.
    pub fn announcements() -> Topic {
        Topic("announcements".into())
    }

    /// A topic that is known to be one.
    pub(super) fn known(text: &str) -> Topic {
        Topic(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `price` of `price/green`; the whole of `arrivals`.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(kind, _)| kind)
    }

    /// `green` of `price/green`.
    pub fn name(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, name)| name)
    }

    /// Who may read it.
    pub fn access(&self) -> Access<'_> {
        match self.0.split_once('/') {
            Some(("merchant", id)) => Access::Merchant(id),
            Some(("user", id)) => Access::User(id),
            _ => Access::Public,
        }
    }

    /// Whether it stands for all of its kind.
    pub fn is_wildcard(&self) -> bool {
        self.name() == Some("*")
    }

    /// The topic that stands for all of this one's kind, if there is one.
    pub fn wildcard(&self) -> Option<&'static str> {
        match self.kind() {
            "price" => Some("price/*"),
            "market" => Some("market/*"),
            _ => None,
        }
    }
}

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Topic, Refusal> {
        if SINGLES.contains(&text) {
            return Ok(Topic(text.into()));
        }
        let (kind, name) = text.split_once('/').unwrap_or((text, ""));
        if !KINDS.contains(&kind) || !text.contains('/') {
            let known = KINDS.iter().chain(&SINGLES).copied();
            return Err(Refusal::unknown(
                "topic",
                "unknown_topic",
                ("kind of topic", "主题类型"),
                kind,
                known,
            ));
        }
        let legal = match kind {
            "room" | "merchant" | "user" => is_name(name),
            _ => is_id(name),
        };
        let wildcard = name == "*" && ["price", "market"].contains(&kind);
        if wildcard || legal {
            return Ok(Topic(text.into()));
        }
        Err(Refusal {
            field: Some("topic".to_owned()),
            ..Refusal::new(
                Class::NotFound,
                "unknown_topic",
                format!("`{}` is not the name of a topic", shorten(text)),
                format!("“{}”不是有效的主题", shorten(text)),
            )
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_known_kind_and_a_plain_name() {
        for text in ["product/7542-2003", "price/dark.puer", "price/*", "arrivals", "room/A_b~1"] {
            assert_eq!(text.parse::<Topic>().map(|topic| topic.to_string()), Ok(text.to_owned()));
        }
        let bad = [
            "",
            "price",
            "price/",
            "Product/1",
            "product/1\n",
            "product/*",
            "a/b",
            "user/a/b",
            "price/gr een",
            "merchant/%6d",
        ];
        for text in bad {
            assert!(text.parse::<Topic>().is_err(), "{text:?}");
        }
        assert!(format!("room/{}", "x".repeat(65)).parse::<Topic>().is_err());
    }

    #[test]
    fn what_is_somebodys_own_is_not_public() {
        let topic = |text: &str| text.parse::<Topic>().expect("a topic");
        assert_eq!(topic("merchant/m1").access(), Access::Merchant("m1"));
        assert_eq!(topic("user/lin").access(), Access::User("lin"));
        assert_eq!(topic("price/*").access(), Access::Public);
    }
}
