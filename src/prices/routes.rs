use super::{Correction, Set, Terms};
use crate::catalogue::{self, clean_opt};
use crate::events::Receipt;
use crate::http::{Problem, resource, time};
use crate::money::{Price, yuan_text};
use crate::refusal::Refusal;
use crate::writes::{Answer, Write};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, Path, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(put_price))]
pub struct Docs;

/// `/v1/products/{id}/price`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/v1/products/{id}/price", [(Method::PUT, || web::to(put_price))]));
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    price: String,
    observed_at: Option<String>,
    /// The price before was wrong and never held.
    correction: Option<bool>,
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Priced {
    product: String,
    price: String,
    price_fen: i64,
    price_text: String,
    from: Option<String>,
    kind: &'static str,
    changed: bool,
    version: i64,
    receipt: Option<Receipt>,
}

/// `PUT /v1/products/{id}/price`: sets the price and tells who follows it.
#[utoipa::path(
    put, path = "/v1/products/{id}/price", tag = "write", security(("bearer" = [])), summary = "Set a price 改价",
    params(("id" = String, Path, description = "The product", example = "7542-2003"),
        ("confirm" = Option<bool>, Query, description = "A move by more than half is meant")),
    request_body(content = NewPrice, example = json!({"price":"128.00"})),
    responses((status = 200, description = "The price it has now; `receipt` is null where it was no news", body = Priced))
)]
async fn put_price(id: Path<String>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let body: NewPrice = write.body()?;
    let mut params = std::mem::take(&mut write.params);
    let confirmed = params.take_flag("confirm")?;
    params.finish()?;
    let price = Price::parse("price", &body.price)?;
    let observed_at =
        body.observed_at.as_deref().map(|text| time("observed_at", text)).transpose()?;
    let terms = Terms { confirmed, observed_at, source: "merchant" };
    let note = clean_opt("note", body.note.as_deref(), 200)?;
    if note.is_some() && body.correction != Some(true) {
        return Err(Refusal::invalid(
            "note",
            "note_without_correction",
            "a note goes with a correction: \"correction\":true",
            "备注只能随更正一起提交：\"correction\":true",
        )
        .into());
    }
    let correction =
        (body.correction == Some(true)).then(|| Correction { terms: terms.clone(), note });
    let id = id.into_inner();
    let believed = write.take_if_match();
    write
        .perform(1, move |tx| {
            catalogue::require_version(tx, &writer, &id, believed.as_ref())?;
            let (from, set) = match &correction {
                Some(correction) => {
                    let product = catalogue::owned(tx, &writer, &id, false)?;
                    let from = product.price;
                    let set = super::correct(tx, &writer, product, price, correction)?;
                    (from, Set { product: set.product.offer(), receipt: set.receipt })
                }
                None => {
                    let offer = catalogue::offered(tx, &writer, &id)?;
                    let from = offer.price;
                    (from, super::set_on_offer(tx, &writer, offer, price, &terms)?)
                }
            };
            let fen = set.product.price.unwrap_or_default();
            Ok(Answer::ok(&Priced {
                price_text: set.product.price_text(&yuan_text(fen)),
                price: yuan_text(fen),
                price_fen: fen,
                from: from.map(yuan_text),
                kind: if correction.is_some() { "correction" } else { "tick" },
                changed: set.receipt.is_some(),
                version: set.product.version,
                product: set.product.id,
                receipt: set.receipt,
            }))
        })
        .await
}
