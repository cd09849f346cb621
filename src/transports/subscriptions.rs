//! What a user follows on every device.

use super::request::{House, kind_of, merchant_id, percent};
use super::topics::{Wish, at_place, too_many};
use crate::auth::{Caller, Identity, unauthorized};
use crate::events::{Publisher, Saved, Topic, TopicChange, may_read};
use crate::http::{Params, Problem, read_body, read_form_or_json};
use crate::refusal::Refusal;
use actix_web::http::header::{ETAG, IF_MATCH};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

/// How many merchants one may name.
const MERCHANTS: usize = 100;

/// All of a set, or what is different about its topics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSet {
    topics: Option<Vec<String>>,
    add: Option<Vec<String>>,
    drop: Option<Vec<String>>,
    types: Option<Vec<String>>,
    merchants: Option<Vec<String>>,
    min_change: Option<String>,
}

/// A change of a set that may be made.
#[derive(Clone)]
struct Change {
    topics: TopicChange,
    /// What is to be kept besides, if all is said anew.
    rest: Option<Saved>,
}

impl Change {
    /// What comes of it; or how many topics that would be, if those are more
    /// than `most`.
    fn apply(&self, kept: &Saved, most: usize) -> Result<Saved, usize> {
        let now: Vec<Topic> = kept.topics.iter().filter_map(|name| name.parse().ok()).collect();
        let topics = self.topics.apply(&now);
        if topics.len() > most {
            return Err(topics.len());
        }
        let topics = topics.iter().map(Topic::to_string).collect();
        Ok(Saved { topics, ..self.rest.clone().unwrap_or_else(|| kept.clone()) })
    }
}

impl NewSet {
    fn change(self, caller: &Caller, most: usize) -> Result<Change, Refusal> {
        let rest = match &self.topics {
            Some(_) => Some(self.rest()?),
            None => {
                let given = [
                    ("types", self.types.is_some()),
                    ("merchants", self.merchants.is_some()),
                    ("min_change", self.min_change.is_some()),
                ];
                if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
                    return Err(Refusal::invalid(
                        field,
                        "bad_topics",
                        format!("`{field}` goes with `topics`, where all of the set is said anew"),
                        format!("“{field}”须与 topics 一起发送（整组替换）"),
                    ));
                }
                None
            }
        };
        let wish = Wish { topics: self.topics, add: self.add, drop: self.drop };
        Ok(Change { topics: wish.change(caller, most)?, rest })
    }

    /// The filters.
    fn rest(&self) -> Result<Saved, Refusal> {
        let (types, merchants) = (self.types.as_deref(), self.merchants.as_deref());
        let (types, merchants) = (types.unwrap_or_default(), merchants.unwrap_or_default());
        for (at, kind) in types.iter().enumerate() {
            kind_of(kind).map_err(|refusal| at_place(refusal, "types", at))?;
        }
        if merchants.len() > MERCHANTS {
            return Err(Refusal::invalid(
                "merchants",
                "too_many_merchants",
                format!("at most {MERCHANTS} merchants in one filter"),
                format!("最多可按 {MERCHANTS} 个商家过滤"),
            ));
        }
        for (at, name) in merchants.iter().enumerate() {
            merchant_id(name).map_err(|refusal| at_place(refusal, "merchants", at))?;
        }
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        Ok(Saved {
            types: sorted(types).into_iter().collect(),
            merchants: sorted(merchants).into_iter().collect(),
            min_change_bp: self.min_change.as_deref().map_or(Ok(0), percent)?,
            ..Saved::default()
        })
    }
}

/// `GET /v1/me/subscriptions`: what the caller has saved.
#[utoipa::path(
    get, path = "/v1/me/subscriptions", tag = "user", security(("bearer" = [])),
    responses((status = 200, description = "The set; its version is the `ETag`", body = Object))
)]
pub(super) async fn get_subscriptions(
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    Params::parse(request.query_string()).finish()?;
    let identity = caller.identity().ok_or_else(unauthorized)?;
    let saved = house.hub.readers().saved(&identity.sub).await?;
    Ok(answer(&saved, identity, &caller))
}

/// `PUT /v1/me/subscriptions`: saves all of it anew, if it is still what the
/// caller has seen, or changes some of its topics, whatever it is.
#[utoipa::path(
    put, path = "/v1/me/subscriptions", tag = "user", security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of what was seen, or `*`; `topics` needs it")),
    request_body(content = Object, example = json!({"add": ["price/black"], "drop": ["price/green"]})),
    responses((status = 200, description = "The set as it is now", body = Object))
)]
pub(super) async fn put_subscriptions(
    request: HttpRequest,
    caller: Caller,
    publisher: Data<Publisher>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    Params::parse(request.query_string()).finish()?;
    let identity = caller.identity().ok_or_else(unauthorized)?;
    let mut payload = payload.into_inner();
    let body = read_body(request.headers(), &mut payload, house.http.body()).await?;
    let set: NewSet = read_form_or_json(request.headers(), &body)?;
    house.limits.writes.check(caller.actor(), 1)?;
    let seen = seen(&request)?;
    let most = house.limits.config.topics;
    let change = set.change(&caller, most)?;
    let (field, asked) = match &change.topics {
        TopicChange::Set(topics) => ("topics", topics),
        TopicChange::Edit { add, .. } => ("add", add),
    };
    if field == "topics" && seen == Seen::Unsaid {
        return Err(Problem::new(
            428,
            "if_match_required",
            "say which version you have seen (If-Match: the ETag of GET), or send `add` and `drop`; If-Match: * saves it whatever it is",
            "请用 If-Match 注明所见版本（GET 返回的 ETag），或改用 add 与 drop；If-Match: * 表示直接覆盖",
        ));
    }
    for (at, topic) in asked.iter().enumerate() {
        may_read(&caller, topic).map_err(|refusal| at_place(refusal, field, at))?;
        house.directory.check(topic).await?;
    }
    let user = identity.sub.clone();
    let work = move |tx: &mut crate::events::Tx<'_>| {
        let kept = tx.saved(&user)?;
        if let Seen::Version(version) = seen
            && version != kept.version
        {
            return Ok(Err(kept.version));
        }
        let saved = change.apply(&kept, most).map_err(|many| too_many("add", many, most))?;
        Ok(Ok(tx.save(&user, &kept, saved)?))
    };
    match publisher.commit(work).await? {
        Ok(saved) => Ok(answer(&saved, identity, &caller)),
        Err(version) => Err(Problem::new(
            412,
            "version_changed",
            format!("it was changed elsewhere: it is version {version} now; read it again"),
            format!("已在别处修改，现为版本 {version}；请重新读取"),
        )
        .header("ETag", format!("\"{version}\""))),
    }
}

/// What a request says of the version it knows.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Unsaid,
    Any,
    Version(i64),
}

fn seen(request: &HttpRequest) -> Result<Seen, Refusal> {
    let Some(value) = request.headers().get(IF_MATCH) else { return Ok(Seen::Unsaid) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Seen::Any);
    }
    let version = text.strip_prefix("W/").unwrap_or(text).trim_matches('"').parse();
    version.map(Seen::Version).map_err(|_| {
        Refusal::invalid(
            "If-Match",
            "bad_if_match",
            "If-Match is the ETag of an answer, as in \"3\", or *",
            "If-Match 应为响应中的 ETag（例如 \"3\"）或 *",
        )
    })
}

fn answer(saved: &Saved, identity: &Identity, caller: &Caller) -> HttpResponse {
    let (_, follows) = saved.readable(&identity.sub, caller);
    let percent = saved.min_change_bp;
    let min_change = (percent > 0).then(|| format!("{}.{:02}", percent / 100, percent % 100));
    let body = json!({
        "version": saved.version,
        "topics": saved.topics,
        "types": saved.types,
        "merchants": saved.merchants,
        "min_change": min_change,
        "refused": follows.refused,
    });
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header((ETAG, format!("\"{}\"", saved.version)))
        .body(format!("{body}\n"))
}
