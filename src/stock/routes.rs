use super::Move;
use crate::catalogue::clean_opt;
use crate::http::{Problem, resource};
use crate::writes::{Answer, Write, receipt};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, Path, ServiceConfig};
use serde::Deserialize;
use serde_json::json;

/// `/v1/products/{id}/stock`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource(
        "/v1/products/{id}/stock",
        [(Method::PUT, || web::to(put_stock)), (Method::POST, || web::to(post_stock))],
    ));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    quantity: i64,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta {
    delta: i64,
    note: Option<String>,
}

/// `PUT /v1/products/{id}/stock`: so many there are.
async fn put_stock(id: Path<String>, write: Write) -> Result<HttpResponse, Problem> {
    let Quantity { quantity, note } = write.body()?;
    change(id.into_inner(), write, Move::To(quantity), note).await
}

/// `POST /v1/products/{id}/stock`: so many came or went.
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
    std::mem::take(&mut write.params).finish()?;
    let note = clean_opt("note", note.as_deref(), 200)?;
    write
        .perform(1, move |tx| {
            let set = super::set(tx, &writer, &id, change, note.as_deref())?;
            Ok(Answer::ok(&json!({
                "product": set.product.id,
                "quantity": set.product.stock,
                "stock_unit": set.product.stock_unit(),
                "changed": set.receipt.is_some(),
                "version": set.product.version,
                "receipt": receipt(set.receipt.as_ref()),
            })))
        })
        .await
}
