use super::request::House;
use crate::auth::{Caller, issue_ticket, unauthorized};
use crate::clock::rfc3339;
use crate::events::{Topic, may_read};
use crate::http::{Params, Problem, read_body, read_form_or_json};
use crate::refusal::Refusal;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTicket {
    topics: Vec<String>,
}

/// `POST /v1/tickets`: a ticket for streams of `topics`, good once.
#[utoipa::path(
    post, path = "/v1/tickets", tag = "live", security(("bearer" = [])), summary = "A ticket for an EventSource that cannot send headers 一次性票据",
    request_body(content = Object, example = json!({"topics":["merchant/m-hu"]})),
    responses((status = 201, description = "One use, 30 seconds", body = Object, example = json!({"ticket":"…","expires_at":"2026-12-01T00:47:56.902Z"})))
)]
pub(super) async fn post_ticket(
    request: HttpRequest,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let Some(identity) = caller.identity().cloned() else {
        return Err(unauthorized().into());
    };
    Params::parse(request.query_string()).finish()?;
    let mut payload = payload.into_inner();
    let body = read_body(request.headers(), &mut payload, house.http.body()).await?;
    let NewTicket { topics } = read_form_or_json(request.headers(), &body)?;
    house.limits.writes.check(caller.actor(), 1)?;
    if topics.is_empty() || topics.len() > house.limits.config.topics {
        return Err(Refusal::invalid(
            "topics",
            "bad_topics",
            format!("a ticket is for 1 to {} topics", house.limits.config.topics),
            format!("票据应包含 1 到 {} 个主题", house.limits.config.topics),
        )
        .into());
    }
    let mut names = Vec::with_capacity(topics.len());
    for name in topics {
        let name = if name == "user/me" { format!("user/{}", identity.sub) } else { name };
        let topic: Topic = name.parse()?;
        may_read(&caller, &topic)?;
        house.directory.check(&topic).await?;
        names.push(topic.to_string());
    }
    let now = house.gate.now();
    let ticket =
        house.gate.db().write(move |conn| issue_ticket(conn, &identity, &names, now)).await?;
    let body = json!({ "ticket": ticket.ticket, "expires_at": rfc3339(ticket.expires) });
    Ok(HttpResponse::Created()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n")))
}
