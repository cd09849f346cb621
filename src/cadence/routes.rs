use crate::auth::Caller;
use crate::catalogue::{whose, within};
use crate::db::Db;
use crate::feeds::{self, Feed, Feeds, LONGEST};
use crate::http::{Params, Problem, resource};
use crate::writes::{Answer, Write};
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_feed, put_feed))]
pub struct Docs;

/// `/v1/me/feed`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource(
        "/v1/me/feed",
        [(Method::GET, || web::to(get_feed)), (Method::PUT, || web::to(put_feed))],
    ));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    cadence_minutes: Option<i64>,
}

/// `GET /v1/me/feed`: what a merchant declared.
#[utoipa::path(
    get, path = "/v1/me/feed", tag = "write", security(("bearer" = [])), summary = "How often a merchant said to be heard of 上报频率",
    params(("merchant" = Option<String>, Query, description = "For operators")),
    responses((status = 200, description = "Null where nothing was said", body = Object, example = json!({"merchant":"m-hu","cadence_minutes":60})))
)]
async fn get_feed(
    request: HttpRequest,
    caller: Caller,
    feeds: Data<Feeds>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let merchant = whose(&caller.writer()?, params.take("merchant")?)?;
    params.finish()?;
    let name = merchant.clone();
    let found: Option<Feed> = db.read(move |conn| feeds::find(conn, &name)).await?;
    let body = feeds.json(&merchant, found.as_ref());
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n")))
}

/// `PUT /v1/me/feed`: how often a merchant will be heard of; null for never mind.
#[utoipa::path(
    put, path = "/v1/me/feed", tag = "write", security(("bearer" = [])), summary = "Say how often you will be heard of 声明上报频率",
    params(("merchant" = Option<String>, Query, description = "For operators")),
    request_body(content = Object, example = json!({"cadence_minutes":60})),
    responses((status = 200, description = "As it is now", body = Object))
)]
async fn put_feed(feeds: Data<Feeds>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let Body { cadence_minutes } = write.body()?;
    let mut params = std::mem::take(&mut write.params);
    let merchant = whose(&writer, params.take("merchant")?)?;
    params.finish()?;
    within("cadence_minutes", cadence_minutes, 1, LONGEST)?;
    write
        .perform(1, move |tx| {
            let feed = feeds::declare(tx, &merchant, cadence_minutes)?;
            Ok(Answer::ok(&feeds.json(&merchant, feed.as_ref())))
        })
        .await
}
