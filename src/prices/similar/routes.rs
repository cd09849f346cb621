use super::{FEWEST, Similar, Statistics, Tier, similar};
use crate::auth::{Caller, Gate};
use crate::catalogue::{self, Product, unknown_product};
use crate::clock::{Clock, Millis, rfc3339};
use crate::db::Db;
use crate::events;
use crate::http::{Params, Problem, resource};
use crate::money::{per_500g, yuan_text};
use crate::prices::history::age;
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_similar))]
pub struct Docs;

/// `/v1/products/{id}/similar`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/products/{id}/similar", [(Method::GET, || web::to(get_similar))]));
}

/// `GET /v1/products/{id}/similar`: what others ask for such a tea.
#[utoipa::path(
    get, path = "/v1/products/{id}/similar", tag = "catalogue",
    params(("id" = String, Path, description = "A product")),
    responses((status = 200, description = "What other merchants ask for such a tea", body = serde_json::Value))
)]
async fn get_similar(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let (id, now) = (id.into_inner(), clock.now());
    let found: Result<_, events::Error> = db
        .read(move |conn| {
            let Some(product) = catalogue::store::find(conn, &id)? else {
                return Err(unknown_product(conn, "product", &id)?.into());
            };
            let found = similar(conn, &product, now)?;
            Ok((product, found))
        })
        .await;
    let (product, found) = found?;
    let body = json(&product, &found, now);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(format!("{body}\n")))
}

fn json(product: &Product, found: &Similar, now: Millis) -> Value {
    let own = product.price.map(|fen| per_500g(fen, product.grams_per_unit));
    let (tier, statistics, reason) = match found {
        Similar::Of(tier, statistics) => (Some(*tier), Some(statistics), None),
        Similar::TooFew => (None, None, Some("too_few")),
        Similar::Unnamed => (None, None, Some("no_variety")),
    };
    json!({
        "product": product.id,
        "price_type": product.price_type,
        "currency": "CNY",
        "own_per_500g": own.map(yuan_text),
        "own_per_500g_fen": own,
        "own_at": product.price_at.map(rfc3339),
        "tier": tier.map(Tier::number),
        "statistics": statistics.map(|it| statistics_json(it, now)),
        "reason": reason,
        "needed": FEWEST,
    })
}

fn statistics_json(it: &Statistics, now: Millis) -> Value {
    let mut all = json!({ "n": it.n });
    for (name, fen) in
        [("min", it.min), ("q1", it.q1), ("median", it.median), ("q3", it.q3), ("max", it.max)]
    {
        all[name] = json!(yuan_text(fen));
        all[format!("{name}_fen")] = json!(fen);
    }
    all["percentile_bp"] = json!(it.percentile_bp);
    all["outliers_fen"] = json!(it.outliers);
    all["as_of"] = json!(rfc3339(it.newest));
    all["age_seconds"] = json!(age(it.newest, now));
    all["oldest_at"] = json!(rfc3339(it.oldest));
    all
}
