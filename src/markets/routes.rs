use super::store;
use super::trend::{self, Width};
use crate::auth::{Caller, Gate};
use crate::catalogue::{self, unknown_market};
use crate::clock::{Clock, DAY, Millis, rfc3339};
use crate::db::Db;
use crate::events;
use crate::http::{Params, Problem, resource};
use crate::prices::history::{age, take_span};
use crate::refusal::Refusal;
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_trend))]
pub struct Docs;

/// The longest span that is asked for at once, in days.
const MOST_DAYS: i64 = 3_660;

/// What is read from before a span, to compare with.
const BEFORE: Millis = 400 * DAY;

/// The most records of a market that are read, and answered.
const RECORDS: i64 = 1_000;

/// `/v1/markets/{id}/trend`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/v1/markets/{id}/trend", [(Method::GET, || web::to(get_trend))]));
}

/// `GET /v1/markets/{id}/trend`: how a market went.
#[utoipa::path(
    get, path = "/v1/markets/{id}/trend", tag = "catalogue",
    params(
        ("id" = String, Path, description = "A market"),
        ("bucket" = Option<String>, Query, description = "1d (default), 1w or 1m"),
        ("from" = Option<String>, Query, description = "RFC 3339, or a business day; a year before `to`, if not given"),
        ("to" = Option<String>, Query, description = "RFC 3339, or a business day; now, if not given"),
        ("limit" = Option<u32>, Query, description = "Points a page, 1 to 1000; 200, if not given"),
        ("after" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses((status = 200, description = "The index of a market, and what it told of itself", body = serde_json::Value))
)]
async fn get_trend(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    let now = clock.now();
    let mut params = Params::parse(request.query_string());
    let (from, to) = take_span(&mut params, now)?;
    let width = match params.take_one_of("bucket", &["1d", "1w", "1m"])? {
        Some("1w") => Width::Week,
        Some("1m") => Width::Month,
        _ => Width::Day,
    };
    let limit = params.take_number("limit", 1, 1_000)?.unwrap_or(200) as usize;
    let after = params.take("after")?.map(|text| after(&text, width)).transpose()?;
    params.finish()?;
    let from = from.unwrap_or(to - 365 * DAY);
    if to - from > MOST_DAYS * DAY {
        return Err(Refusal::invalid(
            "from",
            "out_of_range",
            format!("`from` is more than {MOST_DAYS} days before `to`; ask for less at once"),
            format!("“from”早于“to”超过 {MOST_DAYS} 天；请分次查询"),
        )
        .into());
    }
    let id = id.into_inner();
    let market = id.clone();
    let found: Result<_, events::Error> = db
        .read(move |conn| {
            if catalogue::store::market(conn, &id)?.is_none() {
                let known = store::all(conn)?;
                return Err(unknown_market("market", &id, &known).into());
            }
            let span = (from - BEFORE, to);
            let days = store::days(conn, &id, span, MOST_DAYS + 400)?;
            let records = store::records(conn, &id, span, RECORDS)?;
            Ok((days, records))
        })
        .await;
    let (days, records) = found?;
    let as_of = days.last().map(|day| day.due).into_iter();
    let as_of = as_of.chain(records.iter().map(|record| record.told_at)).max();
    let mut points = trend::points(&days, width, from);
    points.retain(|(start, _)| after.is_none_or(|after| *start > after));
    let more = points.len() > limit;
    points.truncate(limit);
    let next = points.last().filter(|_| more).map(|(start, _)| rfc3339(*start));
    let points: Vec<Value> = points.into_iter().map(|(_, point)| point).collect();
    let body = json!({
        "market": market,
        "bucket": width.name(),
        "points": points,
        "records": trend::told(&records, from, now),
        "next": next,
        "as_of": as_of.map(rfc3339),
        "age_seconds": as_of.map(|at| age(at, now)),
    });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(format!("{body}\n")))
}

fn after(text: &str, width: Width) -> Result<Millis, Refusal> {
    crate::clock::parse(text).filter(|at| width.start(*at) == *at).ok_or_else(|| {
        Refusal::invalid(
            "after",
            "bad_value",
            "`after` is the `next` of a page with the same bucket, as in 2026-11-21T16:00:00.000Z",
            "“after”应为同一 bucket 上一页的 next，例如 2026-11-21T16:00:00.000Z",
        )
    })
}
