use super::{Access, Topic};
use crate::auth::{Caller, Role, unauthorized};
use crate::refusal::{Class, Refusal};

/// Whether `caller` may read `topic`.
///
/// # Errors
/// `unauthorized` or `topic_forbidden`.
pub fn may_read(caller: &Caller, topic: &Topic) -> Result<(), Refusal> {
    let forbidden = || Refusal {
        field: Some("topic".to_owned()),
        ..Refusal::new(
            Class::Forbidden,
            "topic_forbidden",
            "this topic is not yours to read",
            "您无权读取该主题",
        )
    };
    let Some(identity) = caller.identity() else {
        return match topic.access() {
            Access::Public => Ok(()),
            _ => Err(unauthorized()),
        };
    };
    if let Some(only) = &identity.topics
        && !only.iter().any(|allowed| {
            allowed == topic.as_str()
                || (allowed == "user/me" && topic.access() == Access::User(&identity.sub))
        })
    {
        return Err(forbidden());
    }
    let passes = match topic.access() {
        Access::Public => true,
        Access::Merchant(id) => {
            let own = identity.role == Role::Merchant && identity.merchant.as_deref() == Some(id);
            own || caller.is_admin()
        }
        Access::User(id) => identity.sub == id,
    };
    if passes { Ok(()) } else { Err(forbidden()) }
}
