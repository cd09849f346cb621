use super::{
    CATEGORIES, Category, NewUpdate, merchant_id, parse_id, store, unknown_market, update_market,
};
use crate::auth::{Caller, Gate};
use crate::db::Db;
use crate::events;
use crate::feeds::Feeds;
use crate::http::{Params, Problem, resource};
use crate::writes::{Answer, Write, receipt};
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// `/v1/categories`, `/v1/markets…`, and the reading of `/v1/products…`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/categories", [(Method::GET, || web::to(get_categories))]))
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

/// `GET /v1/products`: by id, a page at a time.
pub async fn get_products(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    feeds: Data<Feeds>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    let mut params = Params::parse(request.query_string());
    let category = params.take("category")?;
    if let Some(category) = &category {
        Category::find(category)?;
    }
    let market = params.take("market")?;
    let limit = params.take_number("limit", 1, 500)?.unwrap_or(50);
    let after = params.take("after")?;
    if let Some(after) = &after {
        parse_id("after", after)?;
    }
    let wanted = store::Wanted {
        category,
        market: market.clone(),
        merchant: params.take("merchant")?.map(|id| merchant_id(&id)).transpose()?,
        status: params.take_one_of("status", &["listed", "withdrawn"])?,
        after,
        // One more than is answered shows whether there is a next page.
        limit: limit + 1,
    };
    params.finish()?;
    let found: Result<_, events::Error> = db
        .read(move |conn| {
            if let Some(market) = market
                && store::market(conn, &market)?.is_none()
            {
                return Err(unknown_market("market", &market, &store::markets(conn)?).into());
            }
            Ok(store::list(conn, &wanted)?)
        })
        .await;
    let mut found = found?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = if more { found.last().map(|(product, _)| product.id.clone()) } else { None };
    let mut products: Vec<Value> =
        found.iter().map(|(product, clearance)| product.json(clearance.as_ref())).collect();
    products.iter_mut().for_each(|product| feeds.mark(product));
    Ok(json_answer(&json!({ "products": products, "next": next })))
}
