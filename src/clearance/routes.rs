use super::NewClearance;
use crate::catalogue;
use crate::http::{Problem, resource, time};
use crate::money::Price;
use crate::writes::{Answer, Write, receipt};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, Path, ServiceConfig};
use serde::Deserialize;
use serde_json::json;
use utoipa::{OpenApi, ToSchema};

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(put_clearance, delete_clearance))]
pub struct Docs;

/// `/v1/products/{id}/clearance`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource(
        "/v1/products/{id}/clearance",
        [(Method::PUT, || web::to(put_clearance)), (Method::DELETE, || web::to(delete_clearance))],
    ));
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewClearance)]
#[serde(deny_unknown_fields)]
struct Body {
    price: String,
    starts_at: Option<String>,
    ends_at: Option<String>,
}

/// `PUT /v1/products/{id}/clearance`.
#[utoipa::path(
    put, path = "/v1/products/{id}/clearance", tag = "write", security(("bearer" = [])), summary = "Sell it off 清仓",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    request_body(content = Body),
    responses((status = 200, description = "The clearance; no receipt for one that starts later", body = Object, example = json!({"product":"7542-2003","clearance":{"price":"11800.00","price_fen":1180000,"starts_at":"2026-12-01T00:47:26.931Z","ends_at":"2026-12-08T10:00:00.000Z","active":true},"changed":true,"receipt":null})))
)]
async fn put_clearance(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let body: Body = write.body()?;
    let mut params = std::mem::take(&mut write.params);
    let confirmed = params.take_flag("confirm")?;
    params.finish()?;
    let moment = |field, text: Option<String>| text.map(|text| time(field, &text)).transpose();
    let new = NewClearance {
        price: Price::parse("price", &body.price)?,
        starts_at: moment("starts_at", body.starts_at)?,
        ends_at: moment("ends_at", body.ends_at)?,
        confirmed,
    };
    let id = id.into_inner();
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            catalogue::require_version(tx, &writer, &id, believed.as_ref())?;
            let before = catalogue::store::clearance(tx.read(), &id)?;
            let put = super::put(tx, &writer, &id, &new)?;
            Ok(Answer::ok(&json!({
                "product": id,
                "clearance": put.clearance.json(),
                "from": before.map(|before| before.json()),
                "changed": put.changed,
                "version": put.version,
                "receipt": receipt(put.receipt.as_ref()),
            })))
        })
        .await
}

/// `DELETE /v1/products/{id}/clearance`.
#[utoipa::path(
    delete, path = "/v1/products/{id}/clearance", tag = "write", security(("bearer" = [])), summary = "End its clearance 结束清仓",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    responses((status = 200, description = "It costs what it usually does again", body = Object, example = json!({"product":"7542-2003","clearance":null,"receipt":null})))
)]
async fn delete_clearance(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    std::mem::take(&mut write.params).finish()?;
    let id = id.into_inner();
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            catalogue::require_version(tx, &writer, &id, believed.as_ref())?;
            let told = super::cancel(tx, &writer, &id)?;
            let answer = json!({
                "product": id,
                "clearance": null,
                "receipt": receipt(told.as_ref()),
            });
            Ok(Answer::ok(&answer))
        })
        .await
}
