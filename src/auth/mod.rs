//! Who is asking.
//!
//! A caller shows a JWT that the shop's own backend may mint, or an API key
//! of ours. What either says is believed after it was verified, never before.

mod extract;
mod gate;
mod key;
mod routes;
mod secret;
mod store;
mod ticket;
mod token;
mod tokens;

pub use gate::{Gate, GateError, KeyWatch};
pub use key::{ApiKey, KeyRow, NewKey, create_key, list_keys, revoke_key};
pub use routes::{Docs, routes};
pub use secret::Secret;
pub use ticket::{Ticket, issue_ticket, redeem_ticket};
pub use token::{Claims, mint};

use crate::clock::Millis;
use crate::refusal::{Class, Refusal};
use serde::Deserialize;
use std::path::PathBuf;

/// `[auth]` in the configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The shared secret of HS256 tokens; empty: from the file, or made.
    pub jwt_secret: String,
    /// A file that holds the secret; empty: none.
    pub jwt_secret_file: PathBuf,
    /// Whether public topics and the catalogue are open to everybody.
    pub anonymous_read: bool,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("anonymous_read", &self.anonymous_read)
            .finish_non_exhaustive()
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, and has what is a user's own.
    Shopper,
    /// Writes the products of one merchant.
    Merchant,
    /// Writes everything.
    Admin,
}

impl Role {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Shopper => "shopper",
            Role::Merchant => "merchant",
            Role::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Role, Refusal> {
        match text {
            "shopper" => Ok(Role::Shopper),
            "merchant" => Ok(Role::Merchant),
            "admin" => Ok(Role::Admin),
            _ => Err(Refusal::invalid(
                "role",
                "bad_role",
                "a role is shopper, merchant or admin",
                "角色应为 shopper、merchant 或 admin",
            )),
        }
    }
}

/// Whoever sent the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// Somebody who proved who they are.
    Known(Identity),
}

/// What a token or key says, verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The user: `user/{sub}` is theirs.
    pub sub: String,
    /// What they may do.
    pub role: Role,
    /// Whose products they may write.
    pub merchant: Option<String>,
    /// When what they showed ends.
    pub expires: Option<Millis>,
    /// The API key, if they showed one.
    pub key_id: Option<String>,
    /// The only topics they may read, if that is limited.
    pub topics: Option<Vec<String>>,
}

/// Somebody who may write products.
#[derive(Clone, Debug, PartialEq)]
pub struct Writer {
    /// The name that is kept with what they wrote.
    pub actor: String,
    /// Whose products they may write; `None` for everybody's.
    pub merchant: Option<String>,
}

impl Caller {
    /// The identity, if there is one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Caller::Anonymous => None,
            Caller::Known(identity) => Some(identity),
        }
    }

    /// Whether this is an admin.
    pub fn is_admin(&self) -> bool {
        self.identity().is_some_and(|identity| identity.role == Role::Admin)
    }

    /// The caller as somebody who writes products.
    ///
    /// # Errors
    /// `unauthorized` without a token, `not_a_merchant` for a shopper.
    pub fn writer(&self) -> Result<Writer, Refusal> {
        let merchant = match self {
            Caller::Anonymous => return Err(unauthorized()),
            Caller::Known(Identity { role: Role::Admin, .. }) => None,
            Caller::Known(Identity { role: Role::Merchant, merchant: Some(merchant), .. }) => {
                Some(merchant.clone())
            }
            Caller::Known(_) => {
                return Err(Refusal::new(
                    Class::Forbidden,
                    "not_a_merchant",
                    "only a merchant or an admin may write",
                    "只有商家或管理员可以写入",
                ));
            }
        };
        Ok(Writer { actor: self.actor(), merchant })
    }

    /// The user whose inbox and rules are the caller's.
    ///
    /// # Errors
    /// `unauthorized` without a token.
    pub fn user(&self) -> Result<&str, Refusal> {
        self.identity().map(|identity| &*identity.sub).ok_or_else(unauthorized)
    }

    /// Passes admins alone.
    pub fn require_admin(&self) -> Result<(), Refusal> {
        match self {
            Caller::Anonymous => Err(unauthorized()),
            caller if caller.is_admin() => Ok(()),
            Caller::Known(_) => Err(Refusal::new(
                Class::Forbidden,
                "not_an_admin",
                "only an admin may do this",
                "只有管理员可以执行此操作",
            )),
        }
    }

    /// The name under which the caller's writes are counted and remembered.
    pub fn actor(&self) -> String {
        match self {
            Caller::Anonymous => "anonymous".to_owned(),
            Caller::Known(identity) => match (&identity.merchant, identity.role) {
                (Some(merchant), Role::Merchant) => format!("merchant:{merchant}"),
                (_, role) => format!("{}:{}", role.as_str(), identity.sub),
            },
        }
    }
}

/// The answer to whoever has to say who they are.
pub fn unauthorized() -> Refusal {
    Refusal::new(
        Class::Unauthorized,
        "unauthorized",
        "a token or API key is needed: Authorization: Bearer …",
        "需要令牌或 API 密钥：Authorization: Bearer …",
    )
}
