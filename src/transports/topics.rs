//! Topics of streams that are open already.

use super::request::{House, own};
use crate::auth::{Caller, Identity};
use crate::events::{StreamId, Topic, TopicChange, may_read};
use crate::http::{Params, Problem, read_body, read_form_or_json};
use crate::refusal::{Class, Refusal};
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

/// What somebody wants to follow from now on: all of it, or what is different.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    pub topics: Option<Vec<String>>,
    pub add: Option<Vec<String>>,
    pub drop: Option<Vec<String>>,
}

impl Wish {
    /// Takes it apart as `caller` means it.
    pub fn change(&self, caller: &Caller, most: usize) -> Result<TopicChange, Refusal> {
        let read = |field: &str, names: &Option<Vec<String>>| {
            let names = names.as_deref().unwrap_or_default();
            if names.len() > most {
                return Err(too_many(field, names.len(), most));
            }
            let parse = |(at, name): (usize, &String)| {
                let topic = own(name, caller).and_then(|name| name.parse::<Topic>());
                topic.map_err(|refusal| at_place(refusal, field, at))
            };
            names.iter().enumerate().map(parse).collect::<Result<Vec<Topic>, Refusal>>()
        };
        match (&self.topics, &self.add, &self.drop) {
            (Some(_), None, None) => Ok(TopicChange::Set(read("topics", &self.topics)?)),
            (None, None, None) | (Some(_), ..) => Err(Refusal::invalid(
                "topics",
                "bad_topics",
                "send either `topics`, for all of them, or `add` and `drop`, for what is different",
                "请发送 topics（全部主题），或 add 与 drop（增减的主题），二者取一",
            )),
            (None, ..) => {
                let (add, drop) = (read("add", &self.add)?, read("drop", &self.drop)?);
                if let Some(both) = add.iter().find(|topic| drop.contains(topic)) {
                    return Err(Refusal::invalid(
                        "drop",
                        "bad_topics",
                        format!("`{both}` is to be added and dropped"),
                        format!("“{both}”同时出现在 add 与 drop 中"),
                    ));
                }
                Ok(TopicChange::Edit { add, drop })
            }
        }
    }
}

/// The same refusal, of the topic that stands at `at` in `field`.
pub(super) fn at_place(refusal: Refusal, field: &str, at: usize) -> Refusal {
    Refusal { field: Some(format!("{field}[{at}]")), ..refusal }
}

pub(super) fn too_many(field: &str, many: usize, most: usize) -> Refusal {
    Refusal::invalid(
        field,
        "too_many_topics",
        format!("{many} topics; 1 to {most} in one subscription"),
        format!("主题数为 {many}，一次订阅应有 1 到 {most} 个"),
    )
}

/// `PUT /v1/streams/{id}/topics`: other topics for a stream that is open.
#[utoipa::path(
    put, path = "/v1/streams/{stream}/topics", tag = "live",
    params(("stream" = String, Path, description = "`stream` of the greeting")),
    request_body(content = Object, example = json!({"add": ["price/black"], "drop": ["price/green"]})),
    responses((status = 200, description = "What it follows now, and from which cursor on", body = Object))
)]
pub(super) async fn put_topics(
    request: HttpRequest,
    stream: Path<String>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    // It costs what opening one costs.
    house.limits.opens.check(house.address(&request).key(), 1)?;
    Params::parse(request.query_string()).finish()?;
    let mut payload = payload.into_inner();
    let body = read_body(request.headers(), &mut payload, house.http.body()).await?;
    let wish: Wish = read_form_or_json(request.headers(), &body)?;
    let id: StreamId = stream.parse().map_err(|()| unknown_stream())?;
    let readers = house.hub.readers();
    let (owner, follows) = readers.owner(id).await?.ok_or_else(unknown_stream)?;
    if !is_same(&owner, &caller) {
        return Err(Refusal::new(
            Class::Forbidden,
            "stream_forbidden",
            "this stream was opened by somebody else",
            "该连接由他人打开",
        )
        .into());
    }
    if follows {
        return Err(Refusal::new(
            Class::Conflict,
            "stream_follows_saved",
            "this stream follows what is saved: change that, with PUT /v1/me/subscriptions",
            "该连接跟随已保存的订阅；请修改 /v1/me/subscriptions",
        )
        .into());
    }
    let most = house.limits.config.topics;
    let change = wish.change(&owner, most)?;
    let (field, asked) = match &change {
        TopicChange::Set(topics) => ("topics", topics),
        TopicChange::Edit { add, .. } => ("add", add),
    };
    // What whoever opened it may read, as at the opening.
    for (at, topic) in asked.iter().enumerate() {
        may_read(&owner, topic).map_err(|refusal| at_place(refusal, field, at))?;
        house.directory.check(topic).await?;
    }
    match readers.change_topics(id, change, most).await?.ok_or_else(unknown_stream)? {
        Ok(told) => {
            let topics: BTreeSet<&str> = told.filter.followed().iter().map(Topic::as_str).collect();
            let cursor = told.cursor.to_string();
            let body = json!({ "stream": id.to_string(), "cursor": cursor, "topics": topics });
            Ok(HttpResponse::Ok()
                .content_type("application/json")
                .insert_header(("Cache-Control", "no-store"))
                .body(format!("{body}\n")))
        }
        Err(0) if field == "add" => Err(too_many("drop", 0, most).into()),
        Err(many) => Err(too_many(field, many, most).into()),
    }
}

/// Whether `caller` is who opened it. Of what nobody in particular opened,
/// knowing its name is the proof.
fn is_same(owner: &Caller, caller: &Caller) -> bool {
    let who = |identity: &Identity| {
        (identity.sub.clone(), identity.role, identity.merchant.clone(), identity.key_id.clone())
    };
    let Some(owner) = owner.identity() else { return true };
    caller.identity().is_some_and(|caller| who(caller) == who(owner))
}

fn unknown_stream() -> Refusal {
    Refusal::new(
        Class::NotFound,
        "unknown_stream",
        "no such stream is open on this node: it has ended, or another node has it; open it anew with the topics you want and the last cursor",
        "本节点没有该连接：它已结束，或在另一节点上；请带上最后的游标和所需主题重新打开",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(wish: serde_json::Value) -> Result<TopicChange, Refusal> {
        let wish: Wish = serde_json::from_value(wish).expect("a wish");
        wish.change(&Caller::Anonymous, 3)
    }

    #[test]
    fn a_wish_is_for_all_or_for_what_is_different() {
        let now: Vec<Topic> = ["room/a", "room/b"].map(|name| name.parse().expect("one")).into();
        let names = |wish| {
            let topics = change(wish).expect("a change").apply(&now);
            topics.iter().map(Topic::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(json!({ "topics": ["room/c", "room/c"] })), ["room/c"]);
        assert_eq!(names(json!({ "add": ["room/c"] })), ["room/a", "room/b", "room/c"]);
        let both = json!({ "add": ["room/c"], "drop": ["room/a", "room/z"] });
        assert_eq!(names(both), ["room/b", "room/c"]);
    }

    #[test]
    fn what_is_wrong_with_it_is_named() {
        for (wish, field) in [
            (json!({}), "topics"),
            (json!({ "topics": ["room/a"], "add": [] }), "topics"),
            (json!({ "add": ["room/a"], "drop": ["room/a"] }), "drop"),
            (json!({ "add": ["room/a", "x"] }), "add[1]"),
            (json!({ "topics": ["room/a", "room/b", "room/c", "room/d"] }), "topics"),
            (json!({ "drop": ["user/me"] }), "drop[0]"),
        ] {
            let refusal = change(wish.clone()).expect_err("refused");
            assert_eq!(refusal.field.as_deref(), Some(field), "{wish}");
        }
    }
}
