use super::find::find;
use super::index::{Facet, Index};
use super::place::{Place, another_query, bad_after};
use super::query::{Order, Query, not_one_of};
use super::{Past, Search, facets};
use crate::auth::{Caller, Gate};
use crate::catalogue::{Market, store};
use crate::db::{Conn, Db};
use crate::events;
use crate::feeds::Feeds;
use crate::http::{Params, Problem};
use crate::refusal::Refusal;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_products, get_filters))]
pub struct Docs;

/// `GET /v1/products`: the products that fit, a page at a time. All pages are of
/// the moment of the first, however prices move meanwhile.
#[utoipa::path(
    get, path = "/v1/products", tag = "catalogue",
    params(
        ("q" = Option<String>, Query, description = "Words, all of which must be found: 大红袍, dahongpao, dhp, 7542; at most 60 characters and 6 words"),
        ("category" = Option<String>, Query, description = "Repeat or separate by commas, as the next seven; a class includes its sub-classes"),
        ("market" = Option<String>, Query, description = "Ids of markets"),
        ("origin" = Option<String>, Query, description = "As a merchant wrote it, as the next two"),
        ("grade" = Option<String>, Query, description = "特级, 一级, …"),
        ("form" = Option<String>, Query, description = "饼, 砖, …"),
        ("vintage" = Option<i64>, Query, description = "Years from 1800 to 2200"),
        ("merchant" = Option<String>, Query, description = "Ids of merchants"),
        ("price_type" = Option<String>, Query, description = "wholesale, retail, buy_in"),
        ("status" = Option<String>, Query, description = "listed or withdrawn; both without"),
        ("in_stock" = Option<bool>, Query, description = "false: none left, or unknown"),
        ("on_clearance" = Option<bool>, Query, description = "Whether it is on clearance now"),
        ("price_min" = Option<String>, Query, description = "Yuan, included"),
        ("price_max" = Option<String>, Query, description = "Yuan, included"),
        ("basis" = Option<String>, Query, description = "What prices are compared by: listing (a unit, default) or per_500g"),
        ("sort" = Option<String>, Query, description = "id (default), relevance (default with q), price, change (since yesterday's close), newest, stock"),
        ("order" = Option<String>, Query, description = "asc or desc; price and id go up by default, the others down"),
        ("limit" = Option<i64>, Query, description = "1 to 500, default 50"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "products, next, total, total_is, stable", body = Object))
)]
pub async fn get_products(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    search: Data<Search>,
    feeds: Data<Feeds>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    let mut params = Params::parse(request.query_string());
    let query = Query::take(&mut params)?;
    let order = Order::take(&mut params, &query)?;
    let limit = params.take_number("limit", 1, 500)?.unwrap_or(50);
    let after = params.take("after")?;
    params.finish()?;
    let after = after.map(|text| begin(&search, &query, order, &text)).transpose()?;
    let limit = usize::try_from(limit).unwrap_or(1);
    let search = search.into_inner();
    let asked = Asked { query, order, after, limit };
    let body: Result<Value, events::Error> =
        db.read(move |conn| products(&search, conn, &asked, &feeds)).await;
    Ok(json_answer(&body?))
}

/// `GET /v1/filters`: how many products each value of each filter would leave,
/// under the same others.
#[utoipa::path(
    get, path = "/v1/filters", tag = "catalogue",
    params(
        ("q" = Option<String>, Query, description = "Words, all of which must be found: 大红袍, dahongpao, dhp, 7542; at most 60 characters and 6 words"),
        ("category" = Option<String>, Query, description = "Repeat or separate by commas, as the next seven; a class includes its sub-classes"),
        ("market" = Option<String>, Query, description = "Ids of markets"),
        ("origin" = Option<String>, Query, description = "As a merchant wrote it, as the next two"),
        ("grade" = Option<String>, Query, description = "特级, 一级, …"),
        ("form" = Option<String>, Query, description = "饼, 砖, …"),
        ("vintage" = Option<i64>, Query, description = "Years from 1800 to 2200"),
        ("merchant" = Option<String>, Query, description = "Ids of merchants"),
        ("price_type" = Option<String>, Query, description = "wholesale, retail, buy_in"),
        ("status" = Option<String>, Query, description = "listed or withdrawn; both without"),
        ("in_stock" = Option<bool>, Query, description = "false: none left, or unknown"),
        ("on_clearance" = Option<bool>, Query, description = "Whether it is on clearance now"),
        ("price_min" = Option<String>, Query, description = "Yuan, included"),
        ("price_max" = Option<String>, Query, description = "Yuan, included"),
        ("basis" = Option<String>, Query, description = "What prices are compared by: listing (a unit, default) or per_500g"),
    ),
    responses((status = 200, description = "total, products, price, filters, left_out", body = Object))
)]
pub async fn get_filters(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    search: Data<Search>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    let mut params = Params::parse(request.query_string());
    let query = Query::take(&mut params)?;
    params.finish()?;
    let search = search.into_inner();
    let body: Result<Value, events::Error> = db
        .read(move |conn| {
            let markets = store::markets(conn)?;
            check_markets(&query, &markets)?;
            Ok(search.look(conn, 0, |index| {
                facets::count(index, &query).json(index, &query, &markets)
            })?)
        })
        .await;
    Ok(json_answer(&body?))
}

fn json_answer(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(format!("{body}\n"))
}

struct Asked {
    query: Query,
    order: Order,
    after: Option<Place>,
    limit: usize,
}

/// The place that `text` names in the answer to `query`.
fn begin(search: &Search, query: &Query, order: Order, text: &str) -> Result<Place, Refusal> {
    let place = Place::parse(text)?;
    if place.query != query.fingerprint(order, search.epoch()) {
        return Err(another_query());
    }
    Ok(place)
}

fn check_markets(query: &Query, markets: &[Market]) -> Result<(), Refusal> {
    let known: Vec<&str> = markets.iter().map(|market| &*market.id).collect();
    let asked = query.values_of(Facet::Market).unwrap_or_default();
    match asked.iter().find(|id| !known.contains(&id.as_str())) {
        Some(id) => Err(not_one_of("market", id, &known)),
        None => Ok(()),
    }
}

fn products(
    search: &Search,
    conn: &mut Conn,
    asked: &Asked,
    feeds: &Feeds,
) -> events::Result<Value> {
    let Asked { query, order, after, limit } = asked;
    if query.values_of(Facet::Market).is_some() {
        check_markets(query, &store::markets(conn)?)?;
    }
    let from = after.as_ref().map_or(0, |place| place.position);
    let today = after.as_ref().map_or_else(|| search.today(), |place| place.day);
    let found = search.look(conn, from, |index| {
        // Of a moment that has not been yet nobody was given a place.
        if from > index.position {
            return Err(bad_after());
        }
        let (past, stable) = past(index, after.as_ref());
        let page = find(index, &past, (query, *order), today, after.as_ref(), *limit);
        let position = after.as_ref().map_or(index.position, |place| place.position);
        Ok((page, position, stable))
    })?;
    let (page, position, stable) = found?;
    let ids: Vec<&str> = page.products.iter().map(|(id, _)| &**id).collect();
    let mut shown = store::many(conn, &ids)?;
    let products = page.products.iter().filter_map(|(id, change)| {
        let (product, clearance) = shown.remove(&**id)?;
        let mut answer = product.json(clearance.as_ref());
        answer["change_bp"] = json!(change);
        feeds.mark(&mut answer);
        Some(answer)
    });
    let products: Vec<Value> = products.collect();
    let next = page.next.zip(ids.last()).map(|(key, id)| {
        let query = query.fingerprint(*order, search.epoch());
        Place { query, position, day: today, key, id: (*id).to_owned() }.to_string()
    });
    Ok(json!({
        "products": products,
        "next": next,
        "total": page.total,
        "total_is": "exact",
        "stable": stable,
    }))
}

/// How the products were when the page before was made, and whether that could
/// be told.
fn past(index: &Index, after: Option<&Place>) -> (Past, bool) {
    let Some(place) = after else { return (Past::default(), true) };
    match index.past(place.position) {
        Some(past) => (past, true),
        None => (Past::default(), false),
    }
}
