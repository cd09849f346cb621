use super::{Done, NewReservation, Reservation, store};
use crate::auth::Caller;
use crate::catalogue::{self, MOST_STOCK, clean_opt, within};
use crate::clock::rfc3339;
use crate::db::Db;
use crate::events;
use crate::http::{Params, Problem, resource};
use crate::writes::{Answer, Write, receipt};
use actix_web::http::Method;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(post_reservation, delete_reservation, post_commit, get_reservations))]
pub struct Docs;

/// How long a reservation lasts unless it says otherwise, in seconds.
const LASTS: i64 = 900;

/// How long it may last: 30 days.
const LONGEST: i64 = 2_592_000;

/// `/v1/products/{id}/reservations` and below.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource(
            "/v1/products/{id}/reservations",
            [
                (Method::GET, || web::to(get_reservations)),
                (Method::POST, || web::to(post_reservation)),
            ],
        ))
        .service(resource(
            "/v1/products/{id}/reservations/{reservation}",
            [(Method::DELETE, || web::to(delete_reservation))],
        ))
        .service(resource(
            "/v1/products/{id}/reservations/{reservation}/commit",
            [(Method::POST, || web::to(post_commit))],
        ));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    quantity: i64,
    expires_in: Option<i64>,
    reference: Option<String>,
}

impl Reservation {
    /// As its merchant sees it.
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "product": self.product,
            "quantity": self.quantity,
            "reference": self.reference,
            "created_at": rfc3339(self.created),
            "expires_at": rfc3339(self.expires),
        })
    }
}

fn body_of(done: &Done, status: &str) -> Value {
    let product = &done.product;
    json!({
        "reservation": done.reservation.json(),
        "status": status,
        "stock": product.stock,
        "reserved": product.reserved,
        "available": product.available(),
        "stock_unit": product.stock_unit(),
        "version": product.version,
        "receipt": receipt(done.receipt.as_ref()),
    })
}

/// `POST /v1/products/{id}/reservations`.
#[utoipa::path(
    post, path = "/v1/products/{id}/reservations", tag = "write", security(("bearer" = [])), summary = "Reserve some of it 预留",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    request_body(content = Object, example = json!({"quantity":2,"expires_in":900,"reference":"order-981"})),
    responses((status = 201, description = "Reserved", body = Object))
)]
async fn post_reservation(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let body: Body = write.body()?;
    std::mem::take(&mut write.params).finish()?;
    within("quantity", Some(body.quantity), 1, MOST_STOCK)?;
    let lasts = within("expires_in", body.expires_in, 1, LONGEST)?.unwrap_or(LASTS);
    let new = NewReservation {
        quantity: body.quantity,
        lasts: lasts * 1_000,
        reference: clean_opt("reference", body.reference.as_deref(), 64)?,
    };
    let id = id.into_inner();
    let dry_run = write.dry_run;
    write
        .perform(1, move |tx| {
            let done = super::reserve(tx, &writer, &id, &new)?;
            let mut answer = body_of(&done, "reserved");
            if dry_run {
                // Nobody will find one of this id.
                answer["reservation"]["id"] = Value::Null;
            }
            Ok(Answer::created(&answer))
        })
        .await
}

/// `DELETE /v1/products/{id}/reservations/{reservation}`: gives it back.
#[utoipa::path(
    delete, path = "/v1/products/{id}/reservations/{reservation}", tag = "write", security(("bearer" = [])), summary = "Release what was reserved 释放预留",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("reservation" = String, Path, description = "The reservation")),
    responses((status = 200, description = "Released", body = Object))
)]
async fn delete_reservation(
    path: Path<(String, String)>,
    mut write: Write,
) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    std::mem::take(&mut write.params).finish()?;
    let (product, id) = path.into_inner();
    write
        .perform(1, move |tx| {
            Ok(Answer::ok(&body_of(&super::release(tx, &writer, &product, &id)?, "released")))
        })
        .await
}

/// `POST /v1/products/{id}/reservations/{reservation}/commit`: it is sold.
#[utoipa::path(
    post, path = "/v1/products/{id}/reservations/{reservation}/commit", tag = "write", security(("bearer" = [])), summary = "Sell what was reserved 预留成交",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("reservation" = String, Path, description = "The reservation")),
    responses((status = 200, description = "Sold", body = Object))
)]
async fn post_commit(
    path: Path<(String, String)>,
    mut write: Write,
) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    std::mem::take(&mut write.params).finish()?;
    let (product, id) = path.into_inner();
    write
        .perform(1, move |tx| {
            Ok(Answer::ok(&body_of(&super::sell(tx, &writer, &product, &id)?, "sold")))
        })
        .await
}

/// `GET /v1/products/{id}/reservations`: those of a merchant's own product.
#[utoipa::path(
    get, path = "/v1/products/{id}/reservations", tag = "write", security(("bearer" = [])), summary = "What is reserved 预留列表",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("limit" = Option<u32>, Query, description = "1 to 500"),
        ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Those that are open", body = Object))
)]
async fn get_reservations(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let writer = caller.writer()?;
    let mut params = Params::parse(request.query_string());
    let limit = params.take_number("limit", 1, 500)?.unwrap_or(50);
    let after = params.take("after")?.map(|id| catalogue::parse_id("after", &id)).transpose()?;
    params.finish()?;
    let id = id.into_inner();
    let found: events::Result<_> = db
        .read(move |conn| {
            let Some(product) = catalogue::store::find(conn, &id)? else {
                return Err(catalogue::unknown_product(conn, "product", &id)?.into());
            };
            catalogue::require_own(&writer, &product)?;
            let found = store::list(conn, &id, after.as_deref(), limit + 1)?;
            Ok((product, found))
        })
        .await;
    let (product, mut found) = found?;
    let more = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = if more { found.last().map(|last| last.id.clone()) } else { None };
    let body = json!({
        "reservations": found.iter().map(Reservation::json).collect::<Vec<_>>(),
        "stock": product.stock,
        "reserved": product.reserved,
        "available": product.available(),
        "next": next,
    });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n")))
}
