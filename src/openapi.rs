//! What the interface is, told by the code: `/openapi.json`, and at `/docs` a
//! page to read it and to try it, which needs nothing from elsewhere.
//!
//! Each module describes its own handlers beside them (`Docs` in its
//! `routes.rs`); here the pieces are put together and given what all of them
//! share. `tests/it/documented.rs` holds every route to being described.

use crate::http::{Params, Problem, resource};
use crate::prices::{history, similar};
use crate::{
    alerts, auth, cadence, catalogue, clearance, export, import, listings, markets, notifications,
    ops, prices, reservations, rooms, stock, transports,
};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What went wrong, and what to do (RFC 9457, `application/problem+json`).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "https://teawire.dev/problems/bad_price", "title": "Unprocessable Entity", "status": 422,
    "detail": "a price is more than zero and has at most two decimals, as 128.00",
    "code": "bad_price", "field": "price", "request_id": "0193a5c0-7e1e-7d43-9a61-2f0b6d2c8a11"
}))]
struct ProblemDetails {
    r#type: String,
    title: String,
    status: u16,
    /// In Chinese or English, by `Accept-Language`.
    detail: String,
    /// Stable: programs tell problems apart by it.
    code: String,
    /// The field, parameter or header that is at fault.
    field: Option<String>,
    /// To find it in the log.
    request_id: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "teawire",
        description = "Tells tea buyers and sellers what just changed. 茶价、库存一动就知道。\n\n\
            JSON is UTF-8 and snake_case; times are RFC 3339 in UTC; money is a string in yuan. \
            Unknown parameters and fields are refused (422)."
    ),
    components(schemas(ProblemDetails)),
    tags(
        (name = "live", description = "Reading live 实时：stream, poll, history"),
        (name = "catalogue", description = "What is sold, and where 商品与市场"),
        (name = "write", description = "What merchants write 商家"),
        (name = "user", description = "What a user keeps 用户"),
        (name = "service", description = "The service itself 服务"),
    )
)]
struct Whole;

/// The description, as it is answered.
static JSON: LazyLock<Bytes> = LazyLock::new(|| {
    let mut text = document().to_json().unwrap_or_default();
    text.push('\n');
    Bytes::from(text)
});

/// Everything that is answered under `/v1`, and `/readyz`.
fn document() -> utoipa::openapi::OpenApi {
    let mut whole = Whole::openapi();
    for part in [
        transports::Docs::openapi(),
        catalogue::Docs::openapi(),
        catalogue::MarketDocs::openapi(),
        markets::Docs::openapi(),
        history::Docs::openapi(),
        similar::Docs::openapi(),
        listings::Docs::openapi(),
        prices::Docs::openapi(),
        stock::Docs::openapi(),
        clearance::Docs::openapi(),
        import::Docs::openapi(),
        reservations::Docs::openapi(),
        cadence::Docs::openapi(),
        export::Docs::openapi(),
        rooms::Docs::openapi(),
        auth::Docs::openapi(),
        notifications::Docs::openapi(),
        ops::Docs::openapi(),
        alerts::Docs::openapi(),
    ] {
        whole.merge(part);
    }
    for (path, item) in &mut whole.paths.paths {
        let versioned = path.starts_with("/v1/products/{id}") && !path.contains("reservations");
        let each = [&mut item.put, &mut item.post, &mut item.delete];
        each.into_iter().flatten().for_each(|operation| may_be_repeated(operation, versioned));
    }
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    whole.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    for item in whole.paths.paths.values_mut() {
        let each = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        each.into_iter().flatten().for_each(may_fail);
    }
    whole
}

/// What every write takes.
fn may_be_repeated(operation: &mut Operation, versioned: bool) {
    if !operation.tags.iter().flatten().any(|tag| tag == "write") {
        return;
    }
    let parameters = operation.parameters.get_or_insert_default();
    for (name, place, what) in [
        ("dry_run", ParameterIn::Query, "Only say what would happen"),
        (
            "Idempotency-Key",
            ParameterIn::Header,
            "The same key and body again: the same answer, done once",
        ),
        (
            "If-Match",
            ParameterIn::Header,
            "The `ETag` of the product as it was read; 412 when it has changed",
        ),
    ]
    .into_iter()
    .take(if versioned { 3 } else { 2 })
    {
        parameters.push(RefOr::T(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(place)
                .description(Some(what))
                .schema(Some(String::schema()))
                .build(),
        ));
    }
}

/// Every call may be refused, always in the same shape.
fn may_fail(operation: &mut Operation) {
    let problem =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDetails"))).build();
    let refused = ResponseBuilder::new()
        .description("What went wrong, and what to do")
        .content("application/problem+json", problem)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(refused));
}

/// `/openapi.json`, `/docs`, `/docs/events`.
pub fn routes(service: &mut ServiceConfig) {
    let page = Config::from("/openapi.json").persist_authorization(false);
    service
        .service(resource("/openapi.json", [(Method::GET, || web::to(get_openapi))]))
        .service(resource("/docs", [(Method::GET, || web::to(get_docs))]))
        .service(resource("/docs/events", [(Method::GET, || web::to(get_events_page))]))
        .service(SwaggerUi::new("/docs/{_:.*}").config(page));
}

async fn get_openapi(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Params::parse(request.query_string()).finish()?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(JSON.clone()))
}

/// `GET /docs/events`: every event there is, with an example.
async fn get_events_page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(include_str!("../docs/events.md"))
}

async fn get_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}
