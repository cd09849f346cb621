//! What a reader asks for, whatever the transport.

use super::{Directory, DirectoryError, SnapshotError, Snapshots, snapshot};
use crate::auth::{Caller, Gate, redeem_ticket, unauthorized};
use crate::events::{Filter, Follows, Hub, KINDS, Start, Topic, known_kind, may_read};
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

/// What stands for all that the caller has saved.
const SAVED: &str = "subscribed";

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

impl From<SnapshotError> for Problem {
    fn from(err: SnapshotError) -> Problem {
        match err {
            SnapshotError::Expired => snapshot::expired().into(),
            SnapshotError::Db(err) => err.into(),
        }
    }
}

/// What is put into the app for readers.
pub(super) struct House {
    pub hub: Rc<Hub>,
    pub gate: Data<Gate>,
    pub limits: Data<Limits>,
    pub directory: Data<Arc<dyn Directory>>,
    pub snapshots: Data<Snapshots>,
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
            snapshots: request.app_data::<Data<Snapshots>>().cloned().ok_or_else(missing)?,
            http: request.app_data::<Data<Config>>().cloned().ok_or_else(missing)?,
        })
    }

    pub fn address(&self, request: &HttpRequest) -> Address {
        Address::of(request.head(), &self.http.trusted_proxies)
    }
}

/// Reads `topic`, `type`, `product`, `merchant`, `min_change` and `ascii`.
pub(super) struct Wanted {
    pub topics: Vec<Topic>,
    kinds: Vec<&'static str>,
    products: Vec<String>,
    merchants: Vec<String>,
    min_change: u32,
    /// It is what the caller has saved, which says all of this.
    saved: bool,
    /// What of that they may read, once it was read.
    ready: Option<Filter>,
    /// Whose set it is.
    follows: Option<Follows>,
    /// Told in ASCII.
    pub ascii: bool,
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
        let saved = names.iter().any(|name| name == SAVED);
        if saved {
            alone(&names, params)?;
            caller.identity().ok_or_else(unauthorized)?;
            names.clear();
        }
        let topics: Result<Vec<Topic>, Refusal> =
            names.iter().map(|name| own(name, caller)?.parse()).collect();
        let kinds =
            params.take_list("type").iter().map(|kind| kind_of(kind)).collect::<Result<_, _>>();
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
        merchants.iter().try_for_each(|name| merchant_id(name))?;
        let min_change = params.take("min_change")?;
        let min_change = min_change.map_or(Ok(0), |text| percent(&text))?;
        let ascii = params.take_flag("ascii")?;
        let (topics, kinds) = (topics?, kinds?);
        Ok(Wanted {
            topics,
            kinds,
            products,
            merchants,
            min_change,
            saved,
            ready: None,
            follows: None,
            ascii,
        })
    }

    /// Passes who may read all of it; says no in the same words to what is
    /// somebody else's and what does not exist.
    /// Of what the caller has saved, passes what they may read.
    pub async fn admit(&mut self, caller: &Caller, house: &House) -> Result<(), Problem> {
        house.gate.admit_reader(caller)?;
        if self.saved
            && let Some(identity) = caller.identity()
        {
            let saved = house.hub.readers().saved(&identity.sub).await?;
            let (filter, follows) = saved.readable(&identity.sub, caller);
            self.topics = filter.followed().to_vec();
            (self.ready, self.follows) = (Some(filter), Some(follows));
            return Ok(());
        }
        for topic in &self.topics {
            may_read(caller, topic)?;
        }
        for topic in &self.topics {
            house.directory.check(topic).await?;
        }
        Ok(())
    }

    /// Whose saved set it is, if it is one.
    pub fn follows(&self) -> Option<Follows> {
        self.follows.clone()
    }

    pub fn filter(self) -> Filter {
        if let Some(filter) = self.ready {
            return filter.ascii(self.ascii);
        }
        Filter::topics(self.topics)
            .kinds(self.kinds)
            .products(self.products)
            .merchants(self.merchants)
            .min_change(self.min_change)
            .ascii(self.ascii)
    }

    pub fn names(&self) -> Vec<String> {
        self.topics.iter().map(Topic::to_string).collect()
    }
}

/// What the caller has saved stands alone: it says itself what it is.
fn alone(names: &[String], params: &mut Params) -> Result<(), Refusal> {
    let mut others = names.len() > 1;
    let mut field = "topic";
    for name in ["type", "product", "merchant", "min_change"] {
        if !params.take_list(name).is_empty() && !others {
            (others, field) = (true, name);
        }
    }
    if !others {
        return Ok(());
    }
    Err(Refusal::invalid(
        field,
        "bad_topics",
        "`topic=subscribed` stands alone: its topics and filters are kept at /v1/me/subscriptions",
        "topic=subscribed 须单独使用：其主题和过滤条件保存在 /v1/me/subscriptions",
    ))
}

pub(super) fn kind_of(kind: &str) -> Result<&'static str, Refusal> {
    known_kind(kind).ok_or_else(|| Refusal {
        class: Class::Invalid,
        ..Refusal::unknown("type", "unknown_type", ("type of event", "事件类型"), kind, KINDS)
    })
}

pub(super) fn merchant_id(name: &str) -> Result<(), Refusal> {
    if is_name(name) {
        return Ok(());
    }
    let bad = shorten(name);
    Err(Refusal::invalid(
        "merchant",
        "bad_id",
        format!("`{bad}` is not a merchant's id: 1 to 64 letters, digits and . _ ~ @ -"),
        format!("“{bad}”不是有效的商家编号：1 到 64 个字母、数字或 . _ ~ @ -"),
    ))
}

/// `min_change`, a percentage with at most two decimals, in hundredths of a
/// percent.
pub(super) fn percent(text: &str) -> Result<u32, Refusal> {
    const MOST: i64 = 1_000_000;
    // A percentage is written as yuan are, and a hundredth of it is its fen.
    let points = yuan(text).filter(|points| (1..=MOST).contains(points));
    points.and_then(|points| u32::try_from(points).ok()).ok_or_else(|| {
        let text = shorten(text);
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
pub(super) fn own(name: &str, caller: &Caller) -> Result<String, Refusal> {
    match (name, caller.identity()) {
        ("user/me", Some(identity)) => Ok(format!("user/{}", identity.sub)),
        ("user/me", None) => Err(unauthorized()),
        _ => Ok(name.to_owned()),
    }
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

/// `snapshot=true`: who asks for the present state does not begin in the past.
pub(super) fn wants_snapshot(params: &mut Params, start: Option<&Start>) -> Result<bool, Refusal> {
    let wants = params.take_flag("snapshot")?;
    if wants && start == Some(&Start::Earliest) {
        return Err(Refusal::invalid(
            "snapshot",
            "contradictory_parameters",
            "`snapshot=true` is the present state, `cursor=earliest` the past: give one of them",
            "snapshot=true 表示当前状态，cursor=earliest 表示从头开始：二者只能选一",
        ));
    }
    Ok(wants)
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
    use crate::auth::{Identity, Role};

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
