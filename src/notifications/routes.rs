use super::store::{self, Row, Wanted};
use super::{KINDS, known_kind};
use crate::auth::Caller;
use crate::db::Db;
use crate::http::{Params, Problem, resource};
use crate::refusal::{Refusal, shorten};
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_notifications))]
pub struct Docs;

/// `/v1/notifications`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/v1/notifications", [(Method::GET, || web::to(get_notifications))]));
}

/// `GET /v1/notifications`: the caller's inbox, newest first. Going on from
/// `next` gives each once, whatever comes in meanwhile.
#[utoipa::path(
    get, path = "/v1/notifications", tag = "user", security(("bearer" = [])),
    params(
        ("type" = Option<String>, Query, description = "Only these types; repeat or separate by commas"),
        ("unread" = Option<bool>, Query, description = "Only unread ones, or only read ones"),
        ("after" = Option<i64>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, description = "1 to 200, default 50"),
    ),
    responses((status = 200, description = "A page of the inbox", body = Object))
)]
async fn get_notifications(
    request: HttpRequest,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let user = caller.user()?.to_owned();
    let mut params = Params::parse(request.query_string());
    let kinds =
        params.take_list("type").iter().map(|kind| parse_kind(kind)).collect::<Result<_, _>>()?;
    let unread = params.take_one_of("unread", &["false", "true"])?.map(|unread| unread == "true");
    let after = params.take_number("after", 1, i64::MAX)?;
    let limit = params.take_number("limit", 1, 200)?.unwrap_or(50);
    params.finish()?;
    // One more tells whether there is a next page.
    let wanted = Wanted { user, kinds, unread, after, limit: limit + 1 };
    let mut found = db.read(move |conn| store::list(conn, &wanted)).await?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|row| row.id);
    let found: Vec<Value> = found.iter().map(Row::json).collect();
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{}\n", json!({ "notifications": found, "next": next }))))
}

fn parse_kind(kind: &str) -> Result<&'static str, Refusal> {
    known_kind(kind).ok_or_else(|| {
        let (kind, known) = (shorten(kind), KINDS.join(", "));
        Refusal::invalid(
            "type",
            "bad_value",
            format!("there is no type `{kind}` of notifications; known: {known}"),
            format!("没有通知类型“{kind}”；可用：{known}"),
        )
        .with("allowed", KINDS.to_vec())
    })
}
