use super::Consent;
use crate::catalogue::{self, NewProduct, get_products};
use crate::http::{Problem, resource};
use crate::prices::history::get_product;
use crate::refusal::Refusal;
use crate::writes::{Answer, Write, receipt, stale};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, Path, ServiceConfig};
use serde_json::json;
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(post_product, put_product, delete_product))]
pub struct Docs;

/// `/v1/products` and `/v1/products/{id}`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource(
            "/v1/products",
            [(Method::GET, || web::to(get_products)), (Method::POST, || web::to(post_product))],
        ))
        .service(resource(
            "/v1/products/{id}",
            [
                (Method::GET, || web::to(get_product)),
                (Method::PUT, || web::to(put_product)),
                (Method::DELETE, || web::to(delete_product)),
            ],
        ));
}

/// `POST /v1/products`: a new product.
#[utoipa::path(
    post, path = "/v1/products", tag = "write", security(("bearer" = [])), summary = "List a product 上架",
    request_body(content = Object, example = json!({"id":"biluochun-2026","name":"洞庭碧螺春","category":"green","market":"fangcun","unit":"jin","price":"680.00","stock":25000})),
    responses((status = 201, description = "Listed", body = Object, example = json!({"product":{"id":"biluochun-2026","name":"洞庭碧螺春","price":"680.00","stock":25000,"version":1},"changed":true,"receipt":{"id":"5u8704-1","topics":["arrivals","product/biluochun-2026"],"subscribers":4}})))
)]
async fn post_product(mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let new: NewProduct = write.body()?;
    std::mem::take(&mut write.params).finish()?;
    let details = new.check(0)?;
    write
        .perform(1, move |tx| {
            let listed = super::create(tx, &writer, &details)?;
            let told = receipt(listed.receipt.as_ref());
            Ok(Answer::created(&json!({ "product": listed.product.json(None), "receipt": told })))
        })
        .await
}

/// `PUT /v1/products/{id}`: a product as it is to be.
#[utoipa::path(
    put, path = "/v1/products/{id}", tag = "write", security(("bearer" = [])), summary = "Say what a product is 改商品",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("confirm" = Option<bool>, Query, description = "A move of the price by more than half is meant")),
    request_body(content = Object, example = json!({"id":"biluochun-2026","name":"洞庭碧螺春","category":"green","market":"fangcun","unit":"jin","price":"680.00","stock":25000})),
    responses((status = 200, description = "As it is now; 201 if it is new", body = Object, example = json!({"product":{"id":"biluochun-2026","name":"洞庭碧螺春","price":"680.00","stock":25000,"version":1},"changed":true,"receipt":{"id":"5u8704-1","topics":["arrivals","product/biluochun-2026"],"subscribers":4}})))
)]
async fn put_product(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let mut new: NewProduct = write.body()?;
    let mut params = std::mem::take(&mut write.params);
    let confirmed = params.take_flag("confirm")?;
    let consent = Consent { confirmed, forced: params.take_flag("force")? };
    params.finish()?;
    let id = id.into_inner();
    if new.id.as_ref().is_some_and(|named| *named != id) {
        return Err(Refusal::invalid(
            "id",
            "bad_id",
            "the id in the body is not the one in the path",
            "请求体中的编号与路径不一致",
        )
        .into());
    }
    new.id = Some(id);
    let details = new.check(0)?;
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            let id = &details.product.id;
            if believed.is_some() && catalogue::store::offer(tx.read(), id)?.is_none() {
                return Err(stale(None).into());
            }
            catalogue::require_version(tx, &writer, id, believed.as_ref())?;
            let listed = super::replace(tx, &writer, &details, consent)?;
            let reduced = crate::catalogue::store::clearance(tx.read(), &listed.product.id)?;
            let body = json!({
                "product": listed.product.json(reduced.as_ref()),
                "changed": listed.receipt.is_some(),
                "receipt": receipt(listed.receipt.as_ref()),
            });
            Ok(Answer::new(if listed.created { 201 } else { 200 }, &body))
        })
        .await
}

/// `DELETE /v1/products/{id}`: out of the offer.
#[utoipa::path(
    delete, path = "/v1/products/{id}", tag = "write", security(("bearer" = [])), summary = "Withdraw a product 下架",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    responses((status = 200, description = "Withdrawn", body = Object, example = json!({"product":{"id":"biluochun-2026","name":"洞庭碧螺春","price":"680.00","stock":25000,"version":1},"changed":true,"receipt":{"id":"5u8704-1","topics":["arrivals","product/biluochun-2026"],"subscribers":4}})))
)]
async fn delete_product(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    std::mem::take(&mut write.params).finish()?;
    let id = id.into_inner();
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            catalogue::require_version(tx, &writer, &id, believed.as_ref())?;
            let listed = super::withdraw(tx, &writer, &id)?;
            Ok(Answer::ok(&json!({
                "product": listed.product.json(None),
                "changed": listed.receipt.is_some(),
                "receipt": receipt(listed.receipt.as_ref()),
            })))
        })
        .await
}
