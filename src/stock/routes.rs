use super::{Config, Move, Shelf, Terms, store};
use crate::auth::Caller;
use crate::catalogue::{self, MOST_STOCK, clean_opt, within};
use crate::clock::{Clock, business_day_number};
use crate::db::{self, Db};
use crate::http::{Params, Problem, resource};
use crate::writes::{Answer, Write, receipt};
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use utoipa::{OpenApi, ToSchema};

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(put_stock, post_stock, put_low, get_shelves))]
pub struct Docs;

/// `/v1/products/{id}/stock`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource(
        "/v1/products/{id}/stock",
        [(Method::PUT, || web::to(put_stock)), (Method::POST, || web::to(post_stock))],
    ));
    service
        .service(resource("/v1/me/stock", [(Method::GET, || web::to(get_shelves))]))
        .service(resource("/v1/me/stock/{id}", [(Method::PUT, || web::to(put_low))]));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Low {
    low_stock: Option<i64>,
}

/// `PUT /v1/me/stock/{id}`: from where on the stock of a product is low; null
/// for the default. Nobody else is told.
#[utoipa::path(
    put, path = "/v1/me/stock/{id}", tag = "write", security(("bearer" = [])), summary = "From where on stock is low 低库存线",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    request_body(content = Object, example = json!({"low_stock":10})),
    responses((status = 200, description = "Nobody else is told", body = Object, example = json!({"product":"7542-2003","low_stock":10})))
)]
async fn put_low(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let Low { low_stock } = write.body()?;
    std::mem::take(&mut write.params).finish()?;
    within("low_stock", low_stock, 1, MOST_STOCK)?;
    let id = id.into_inner();
    write
        .perform(1, move |tx| {
            catalogue::owned(tx, &writer, &id, true)?;
            store::set_low(tx.write(), &id, low_stock)?;
            Ok(Answer::ok(&json!({ "product": id, "low_stock": low_stock })))
        })
        .await
}

/// `GET /v1/me/stock`: a merchant's products, the shortest first.
#[utoipa::path(
    get, path = "/v1/me/stock", tag = "write", security(("bearer" = [])), summary = "What is short 我的库存",
    params(("low" = Option<bool>, Query, description = "Only what is low"),
        ("days" = Option<u32>, Query, description = "Sold in how many days, 1 to 90; 30 unless given"),
        ("merchant" = Option<String>, Query, description = "For operators"),
        ("limit" = Option<u32>, Query, description = "1 to 200"),
        ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "The shortest first", body = Object))
)]
async fn get_shelves(
    request: HttpRequest,
    caller: Caller,
    config: Data<Config>,
    clock: Data<Clock>,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let merchant = catalogue::whose(&caller.writer()?, params.take("merchant")?)?;
    let low = params.take_flag("low")?;
    let days = params.take_number("days", 1, 90)?.unwrap_or(30);
    let limit = params.take_number("limit", 1, 200)?.unwrap_or(50);
    let after = params.take("after")?.map(|text| Shelf::parse_place(&text)).transpose()?;
    params.finish()?;
    let low_units = config.low_units;
    let wanted = store::Wanted { merchant, low, low_units, after, limit: limit + 1 };
    // Today counts, and is not over yet.
    let since = business_day_number(clock.now()) - days;
    let read = move |conn: &mut db::Conn| {
        let mut shelves = store::shelves(conn, &wanted)?;
        let more = shelves.len() as i64 > limit;
        shelves.truncate(limit as usize);
        let ids = shelves.iter().map(|shelf| shelf.id.clone()).collect();
        let mut out = HashMap::<String, i64>::new();
        for (product, quantity) in store::outflow(conn, ids, since)? {
            *out.entry(product).or_default() += quantity;
        }
        Ok::<_, db::Error>((shelves, more, out))
    };
    let (shelves, more, out) = db.read(read).await?;
    let next = if more { shelves.last().map(Shelf::place) } else { None };
    let products: Vec<Value> = shelves
        .iter()
        .map(|shelf| shelf.json(out.get(&shelf.id).copied().unwrap_or(0), days))
        .collect();
    let body = json!({ "products": products, "days": days, "next": next });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n")))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Quantity {
    quantity: i64,
    note: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Delta {
    delta: i64,
    note: Option<String>,
}

/// `PUT /v1/products/{id}/stock`: so many there are.
#[utoipa::path(
    put, path = "/v1/products/{id}/stock", tag = "write", security(("bearer" = [])), summary = "Say how much there is 盘点",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("force" = Option<bool>, Query, description = "Even if it is less than what is reserved")),
    request_body(content = Quantity),
    responses((status = 200, description = "How much there is now", body = Object, example = json!({"product":"7542-2003","quantity":38,"stock_unit":"piece","changed":true,"version":3,"receipt":{"id":"5u8704-3","topics":["product/7542-2003","merchant/m-lin"],"subscribers":2}})))
)]
async fn put_stock(id: Path<String>, write: Write) -> Result<HttpResponse, Problem> {
    let Quantity { quantity, note } = write.body()?;
    change(id.into_inner(), write, Move::To(quantity), note).await
}

/// `POST /v1/products/{id}/stock`: so many came or went.
#[utoipa::path(
    post, path = "/v1/products/{id}/stock", tag = "write", security(("bearer" = [])), summary = "Say how much came or went 出入库",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("force" = Option<bool>, Query, description = "Even if it is less than what is reserved")),
    request_body(content = Delta),
    responses((status = 200, description = "How much there is now", body = Object, example = json!({"product":"7542-2003","quantity":38,"stock_unit":"piece","changed":true,"version":3,"receipt":{"id":"5u8704-3","topics":["product/7542-2003","merchant/m-lin"],"subscribers":2}})))
)]
async fn post_stock(id: Path<String>, write: Write) -> Result<HttpResponse, Problem> {
    let Delta { delta, note } = write.body()?;
    change(id.into_inner(), write, Move::By(delta), note).await
}

async fn change(
    id: String,
    mut write: Write,
    change: Move,
    note: Option<String>,
) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let mut params = std::mem::take(&mut write.params);
    let forced = params.take_flag("force")?;
    params.finish()?;
    let terms = Terms { note: clean_opt("note", note.as_deref(), 200)?, forced };
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            catalogue::require_version(tx, &writer, &id, believed.as_ref())?;
            let product = catalogue::owned(tx, &writer, &id, false)?;
            let from = product.stock;
            let set = super::set_on(tx, &writer, product, change, &terms)?;
            Ok(Answer::ok(&json!({
                "product": set.product.id,
                "quantity": set.product.stock,
                "from": from,
                "reserved": set.product.reserved,
                "available": set.product.available(),
                "stock_unit": set.product.stock_unit(),
                "changed": set.receipt.is_some(),
                "version": set.product.version,
                "receipt": receipt(set.receipt.as_ref()),
            })))
        })
        .await
}
