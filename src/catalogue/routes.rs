use super::search::get_filters;
use super::{CATEGORIES, Category, NewUpdate, store, unknown_market, update_market};
use crate::auth::{Caller, Gate};
use crate::db::Db;
use crate::events;
use crate::http::{Params, Problem, resource};
use crate::writes::{Answer, Write, receipt};
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_categories, get_markets, get_market, post_update))]
pub struct Docs;

/// `/v1/categories`, `/v1/filters`, `/v1/markets…`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/categories", [(Method::GET, || web::to(get_categories))]))
        .service(resource("/v1/filters", [(Method::GET, || web::to(get_filters))]))
        .service(resource("/v1/markets", [(Method::GET, || web::to(get_markets))]))
        .service(resource("/v1/markets/{id}", [(Method::GET, || web::to(get_market))]))
        .service(resource("/v1/markets/{id}/updates", [(Method::POST, || web::to(post_update))]));
}

fn json_answer(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(format!("{body}\n"))
}

fn count(counts: &[(String, i64)], id: &str) -> i64 {
    counts.iter().find(|(name, _)| name == id).map_or(0, |(_, count)| *count)
}

/// `GET /v1/categories`.
#[utoipa::path(
    get, path = "/v1/categories", tag = "catalogue", security((), ("bearer" = [])), summary = "The classes of tea 茶类",
    responses((status = 200, description = "All of them, with how many listed products each has", body = Object, example = json!({"categories":[{"id":"green","name":"绿茶","name_en":"Green tea","parent":null,"products":25}]})))
)]
async fn get_categories(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let counts = db.read(store::counts).await?;
    let category = |category: &Category| {
        json!({
            "id": category.id,
            "name": category.name,
            "name_en": category.name_en,
            "parent": category.parent,
            "products": count(&counts.categories, category.id),
        })
    };
    let categories: Vec<Value> = CATEGORIES.iter().map(category).collect();
    Ok(json_answer(&json!({ "categories": categories })))
}

/// `GET /v1/markets`.
#[utoipa::path(
    get, path = "/v1/markets", tag = "catalogue", security((), ("bearer" = [])), summary = "The markets 市场",
    responses((status = 200, description = "All of them", body = Object, example = json!({"markets":[{"id":"fangcun","name":"广州芳村茶叶市场","name_en":"Fangcun, Guangzhou","city":"广州","province":"广东","kind":"sales","open_days":"1234567","products":40}]})))
)]
async fn get_markets(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let read =
        |conn: &mut _| Ok::<_, crate::db::Error>((store::markets(conn)?, store::counts(conn)?));
    let (markets, counts) = db.read(read).await?;
    let markets: Vec<Value> =
        markets.iter().map(|market| market.json(count(&counts.markets, &market.id))).collect();
    Ok(json_answer(&json!({ "markets": markets })))
}

/// `GET /v1/markets/{id}`.
#[utoipa::path(
    get, path = "/v1/markets/{id}", tag = "catalogue", security((), ("bearer" = [])), summary = "A market, with its newest figures 单个市场",
    params(("id" = String, Path, description = "The market", example = "fangcun")),
    responses((status = 200, description = "With the data of its newest `market.updated` and `market.summary`", body = Object))
)]
async fn get_market(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let id = id.into_inner();
    let answer: Result<Value, events::Error> = db
        .read(move |conn| {
            let Some(market) = store::market(conn, &id)? else {
                let known = store::markets(conn)?;
                return Err(unknown_market("market", &id, &known).into());
            };
            let counts = store::counts(conn)?;
            let mut answer = market.json(count(&counts.markets, &market.id));
            let told = |json: Option<String>| {
                json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or(Value::Null)
            };
            answer["latest"] = told(market.latest);
            answer["summary"] = told(market.summary);
            Ok(answer)
        })
        .await;
    Ok(json_answer(&answer?))
}

/// `POST /v1/markets/{id}/updates`.
#[utoipa::path(
    post, path = "/v1/markets/{id}/updates", tag = "write", security(("bearer" = [])), summary = "What a market tells of itself (operators) 市场资讯",
    params(("id" = String, Path, description = "The market", example = "fangcun")),
    request_body(content = Object, example = json!({"title":"今日均价","period":"2026-12-01","volume_kg":18200,"average":"172.82"})),
    responses((status = 201, description = "Told", body = Object, example = json!({"market":"fangcun","receipt":{"id":"5u8704-a","topics":["market/fangcun"],"subscribers":3}})))
)]
async fn post_update(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    write.caller.require_admin()?;
    std::mem::take(&mut write.params).finish()?;
    let update: NewUpdate = write.body()?;
    let id = id.into_inner();
    write
        .perform(1, move |tx| {
            let told = update_market(tx, &id, &update)?;
            Ok(Answer::created(&json!({ "market": id, "receipt": receipt(Some(&told)) })))
        })
        .await
}
