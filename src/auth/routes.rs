use super::{Caller, Gate};
use crate::clock::rfc3339;
use crate::http::{Params, Problem, resource};
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_me))]
pub struct Docs;

/// `/v1/me`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/v1/me", [(Method::GET, || web::to(get_me))]));
}

/// `GET /v1/me`: who the caller is taken for.
#[utoipa::path(
    get, path = "/v1/me", tag = "user", security((), ("bearer" = [])),
    responses((status = 200, description = "Who the caller is taken for", body = Object, example = json!({
        "sub": "u42", "role": "shopper", "merchant": null, "key_id": null,
        "expires_at": "2026-12-01T08:15:30.123Z", "topics": null, "server_time": "2026-12-01T07:15:30.123Z"
    })))
)]
async fn get_me(
    request: HttpRequest,
    caller: Caller,
    gate: Data<Gate>,
) -> Result<HttpResponse, Problem> {
    Params::parse(request.query_string()).finish()?;
    let body = match &caller {
        Caller::Anonymous => json!({ "role": "anonymous", "server_time": rfc3339(gate.now()) }),
        Caller::Known(identity) => json!({
            "sub": identity.sub,
            "role": identity.role,
            "merchant": identity.merchant,
            "key_id": identity.key_id,
            "expires_at": identity.expires.map(rfc3339),
            "topics": identity.topics,
            "server_time": rfc3339(gate.now()),
        }),
    };
    Ok(HttpResponse::Ok().content_type("application/json").body(format!("{body}\n")))
}
