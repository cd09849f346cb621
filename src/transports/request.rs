//! What a reader asks for, whatever the transport.

use super::{Directory, DirectoryError};
use crate::auth::{Caller, Gate, Role, redeem_ticket, unauthorized};
use crate::events::{Access, Filter, Hub, KINDS, Start, Topic, known_kind};
use crate::handover::Control;
use crate::http::{Address, Config, Params, Problem};
use crate::limits::Limits;
use crate::money::yuan;
use crate::names::is_name;
use crate::refusal::{Class, Refusal, shorten};
use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::web::Data;
use std::rc::Rc;
use std::sync::Arc;

/// How many products, or merchants, one filter may name.
const MOST_NAMES: usize = 100;

impl From<DirectoryError> for Problem {
    fn from(err: DirectoryError) -> Problem {
        match err {
            DirectoryError::Refused(refusal) => refusal.into(),
            DirectoryError::Db(err) => err.into(),
        }
    }
}

/// What is put into the app for readers.
pub(super) struct House {
    pub hub: Rc<Hub>,
    pub gate: Data<Gate>,
    pub limits: Data<Limits>,
    pub directory: Data<Arc<dyn Directory>>,
    pub http: Data<Config>,
}

impl House {
    pub fn of(request: &HttpRequest) -> Result<House, Problem> {
        let missing = || Problem::internal(&std::io::Error::other("the app is not whole"));
        Ok(House {
            hub: request.app_data::<Rc<Hub>>().cloned().ok_or_else(missing)?,
            gate: request.app_data::<Data<Gate>>().cloned().ok_or_else(missing)?,
            limits: request.app_data::<Data<Limits>>().cloned().ok_or_else(missing)?,
            directory: request
                .app_data::<Data<Arc<dyn Directory>>>()
                .cloned()
                .ok_or_else(missing)?,
            http: request.app_data::<Data<Config>>().cloned().ok_or_else(missing)?,
        })
    }

    pub fn address(&self, request: &HttpRequest) -> Address {
        Address::of(request.head(), &self.http.trusted_proxies)
    }
}

/// Reads `topic`, `type`, `product`, `merchant` and `min_change`.
pub(super) struct Wanted {
    pub topics: Vec<Topic>,
    kinds: Vec<&'static str>,
    products: Vec<String>,
    merchants: Vec<String>,
    min_change: u32,
}

impl Wanted {
    /// From the parameters, and from the path if the topic stands there.
    pub fn take(
        params: &mut Params,
        in_path: Option<&str>,
        caller: &Caller,
        limits: &Limits,
    ) -> Result<Wanted, Refusal> {
        let mut names = params.take_list("topic");
        names.extend(in_path.map(str::to_owned));
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        if names.is_empty() {
            return Err(Refusal::invalid(
                "topic",
                "missing_parameter",
                "say what to follow: topic=price/green",
                "请指定要关注的主题：topic=price/green",
            ));
        }
        let most = limits.config.topics;
        if names.len() > most {
            return Err(Refusal::invalid(
                "topic",
                "too_many_topics",
                format!("{} topics; at most {most} in one subscription", names.len()),
                format!("主题数为 {}，一次订阅最多 {most} 个", names.len()),
            ));
        }
        let topics: Result<Vec<Topic>, Refusal> =
            names.iter().map(|name| own(name, caller)?.parse()).collect();
        let kinds: Result<Vec<&'static str>, Refusal> = params
            .take_list("type")
            .iter()
            .map(|kind| {
                known_kind(kind).ok_or_else(|| Refusal {
                    class: Class::Invalid,
                    ..Refusal::unknown(
                        "type",
                        "unknown_type",
                        ("type of event", "事件类型"),
                        kind,
                        KINDS,
                    )
                })
            })
            .collect();
        let products = params.take_list("product");
        if products.len() > MOST_NAMES {
            return Err(Refusal::invalid(
                "product",
                "too_many_products",
                format!("at most {MOST_NAMES} products in one filter"),
                format!("最多可按 {MOST_NAMES} 个商品过滤"),
            ));
        }
        let merchants = params.take_list("merchant");
        if merchants.len() > MOST_NAMES {
            return Err(Refusal::invalid(
                "merchant",
                "too_many_merchants",
                format!("at most {MOST_NAMES} merchants in one filter"),
                format!("最多可按 {MOST_NAMES} 个商家过滤"),
            ));
        }
        if let Some(bad) = merchants.iter().find(|name| !is_name(name)) {
            let bad = shorten(bad);
            return Err(Refusal::invalid(
                "merchant",
                "bad_id",
                format!("`{bad}` is not a merchant's id: 1 to 64 letters, digits and . _ ~ @ -"),
                format!("“{bad}”不是有效的商家编号：1 到 64 个字母、数字或 . _ ~ @ -"),
            ));
        }
        let min_change = min_change(params)?;
        Ok(Wanted { topics: topics?, kinds: kinds?, products, merchants, min_change })
    }

    /// Passes who may read all of it; says no in the same words to what is
    /// somebody else's and what does not exist.
    pub async fn admit(&self, caller: &Caller, house: &House) -> Result<(), Problem> {
        house.gate.admit_reader(caller)?;
        for topic in &self.topics {
            may_read(caller, topic)?;
        }
        for topic in &self.topics {
            house.directory.check(topic).await?;
        }
        Ok(())
    }

    pub fn filter(self) -> Filter {
        Filter::topics(self.topics)
            .kinds(self.kinds)
            .products(self.products)
            .merchants(self.merchants)
            .min_change(self.min_change)
    }

    pub fn names(&self) -> Vec<String> {
        self.topics.iter().map(Topic::to_string).collect()
    }
}

/// `min_change`, a percentage with at most two decimals, in hundredths of a
/// percent; 0 if it is not given.
fn min_change(params: &mut Params) -> Result<u32, Refusal> {
    const MOST: i64 = 1_000_000;
    let Some(text) = params.take("min_change")? else { return Ok(0) };
    // A percentage is written as yuan are, and a hundredth of it is its fen.
    let points = yuan(&text).filter(|points| (1..=MOST).contains(points));
    points.and_then(|points| u32::try_from(points).ok()).ok_or_else(|| {
        let text = shorten(&text);
        Refusal::invalid(
            "min_change",
            "out_of_range",
            format!(
                "`min_change` is `{text}`; want percent from 0.01 to 10000 with at most two decimals, as in 2.5"
            ),
            format!("“min_change”为“{text}”；应为 0.01 到 10000 的百分数，最多两位小数，例如 2.5"),
        )
    })
}

/// `user/me` is the caller's own.
fn own(name: &str, caller: &Caller) -> Result<String, Refusal> {
    match (name, caller.identity()) {
        ("user/me", Some(identity)) => Ok(format!("user/{}", identity.sub)),
        ("user/me", None) => Err(unauthorized()),
        _ => Ok(name.to_owned()),
    }
}

/// Whether `caller` may read `topic`.
pub(super) fn may_read(caller: &Caller, topic: &Topic) -> Result<(), Refusal> {
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

/// Where to begin: `Last-Event-ID` wins over `cursor`, since a browser that
/// comes back sends the address it was given first and knows better by now.
pub(super) fn start(request: &HttpRequest, cursor: Option<String>) -> Option<Start> {
    // Hostile bytes are a cursor of nobody's.
    let header = request.headers().get("last-event-id");
    let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let text = header.filter(|id| !id.is_empty()).or(cursor)?;
    Some(if text == "earliest" { Start::Earliest } else { Start::After(text) })
}

/// The connection of `request`, if it may be taken from the dispatcher while
/// its answer waits.
pub(super) fn waiting_room(request: &HttpRequest, hub: &Hub) -> Option<Rc<Control>> {
    let control = request.conn_data::<Rc<Control>>().filter(|control| control.is_alone())?;
    (hub.takes_over() && request.version() == Version::HTTP_11).then(|| control.clone())
}

/// The caller behind a ticket.
pub(super) async fn by_ticket(gate: &Gate, ticket: &str) -> Result<Caller, Problem> {
    let caller = redeem_ticket(gate.db(), ticket, gate.now()).await?;
    caller.filter(|caller| gate.ended(caller).is_none()).ok_or_else(|| {
        Refusal::new(
            Class::Unauthorized,
            "bad_ticket",
            "there is no such ticket, or it was used, or it is older than 30 s",
            "票据不存在、已使用或已超过 30 秒",
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identity;

    fn caller(role: Role, merchant: Option<&str>, topics: Option<Vec<String>>) -> Caller {
        Caller::Known(Identity {
            sub: "lin".into(),
            role,
            merchant: merchant.map(str::to_owned),
            expires: None,
            key_id: None,
            topics,
        })
    }

    #[test]
    fn nobody_reads_what_is_anothers() {
        let topic = |text: &str| text.parse::<Topic>().expect("a topic");
        let allowed = |caller: &Caller, name: &str| may_read(caller, &topic(name)).is_ok();
        let lin = caller(Role::Shopper, None, None);
        let m1 = caller(Role::Merchant, Some("m1"), None);
        let admin = caller(Role::Admin, None, None);
        assert!(allowed(&lin, "user/lin") && !allowed(&lin, "user/wang"));
        assert!(!allowed(&lin, "merchant/m1") && !allowed(&Caller::Anonymous, "merchant/m1"));
        assert!(allowed(&m1, "merchant/m1") && !allowed(&m1, "merchant/m2"));
        assert!(allowed(&admin, "merchant/m2") && !allowed(&admin, "user/wang"));
        let bound = caller(Role::Shopper, None, Some(vec!["user/lin".into()]));
        assert!(allowed(&bound, "user/lin") && !allowed(&bound, "price/green"));
        assert!(allowed(&Caller::Anonymous, "price/*"));
    }
}
