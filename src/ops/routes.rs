use super::{Doctor, Unready};
use crate::alerts;
use crate::auth::{Caller, Gate};
use crate::clock::rfc3339;
use crate::events::{Cursor, StreamsConfig};
use crate::http::{Config, Params, Problem, resource};
use crate::limits::Limits;
use crate::telemetry::Metrics;
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_status, get_limits, get_ready))]
pub struct Docs;

/// What stands on the public listener: `/v1/status`, `/v1/limits`, `/readyz`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/status", [(Method::GET, || web::to(get_status))]))
        .service(resource("/v1/limits", [(Method::GET, || web::to(get_limits))]))
        .service(resource("/readyz", [(Method::GET, || web::to(get_ready))]));
}

/// What stands on the operator's listener.
pub fn ops_routes(service: &mut ServiceConfig) {
    service
        .service(resource("/healthz", [(Method::GET, || web::to(get_health))]))
        .service(resource("/readyz", [(Method::GET, || web::to(get_ready))]))
        .service(resource("/metrics", [(Method::GET, || web::to(get_metrics))]));
}

fn answer(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!("{body}\n"))
}

/// `GET /v1/status`.
#[utoipa::path(
    get, path = "/v1/status", tag = "service", security((), ("bearer" = [])), summary = "How the service is 运行状态",
    responses((status = 200, description = "What runs, and where its log ends", body = Object, example = json!({"name":"teawire","version":"0.1.0","time":"2026-12-01T00:47:26.902Z","epoch":"5u8704","head":"5u8704-a","oldest":"5u8704-0","streams":12,"polls":3,"products":200})))
)]
async fn get_status(
    request: HttpRequest,
    doctor: Data<Doctor>,
    metrics: Data<Metrics>,
    gate: Data<Gate>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let tail = &doctor.readers.tail;
    let cursor = |seq| Cursor { epoch: tail.epoch().clone(), seq }.to_string();
    Ok(answer(&json!({
        "name": "teawire",
        "version": env!("CARGO_PKG_VERSION"),
        "time": rfc3339(gate.now()),
        "epoch": &**tail.epoch(),
        "head": cursor(tail.head()),
        "oldest": cursor(tail.pruned_to()),
        "streams": metrics.streams.get(),
        "polls": metrics.polls.get(),
        "products": doctor.products().await?,
    })))
}

/// `GET /v1/limits`: what a caller may, before they find out.
#[utoipa::path(
    get, path = "/v1/limits", tag = "service", security((), ("bearer" = [])), summary = "What a caller may 限额",
    responses((status = 200, description = "Every limit, before you find out", body = Object, example = json!({"enabled":true,"reads_per_second":50,"body_bytes":262144,"poll_wait_seconds":50})))
)]
async fn get_limits(
    request: HttpRequest,
    limits: Data<Limits>,
    http: Data<Config>,
    streams: Data<StreamsConfig>,
    alerts: Data<alerts::Config>,
    _: Caller,
) -> Result<HttpResponse, Problem> {
    Params::parse(request.query_string()).finish()?;
    let mut body = json!(limits.config);
    if let Some(members) = body.as_object_mut() {
        for (name, value) in [
            ("body_bytes", json!(http.body_bytes)),
            ("import_bytes", json!(http.import_bytes)),
            ("head_seconds", json!(http.head_seconds)),
            ("body_seconds", json!(http.body_seconds)),
            ("heartbeat_seconds", json!(streams.heartbeat_seconds)),
            ("write_seconds", json!(streams.write_seconds)),
            ("buffer_bytes", json!(streams.buffer_bytes)),
            ("conflate_events", json!(streams.conflate_events)),
            ("poll_wait_seconds", json!(50)),
            ("poll_events", json!(100)),
            ("poll_bytes", json!(48 * 1024)),
            ("batch_events", json!(1000)),
            ("ticket_seconds", json!(30)),
            ("alert_rules", json!(alerts.rules_a_user)),
            ("alert_filter_products", json!(alerts.filter_series)),
        ] {
            members.insert(name.to_owned(), value);
        }
    }
    Ok(answer(&body))
}

/// `GET /healthz`: the process answers.
async fn get_health() -> HttpResponse {
    answer(&json!({ "status": "ok" }))
}

/// `GET /readyz`: it can read and write, and is not about to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "service", security(()), summary = "Whether it takes requests 是否就绪",
    responses((status = 200, description = "It can read and write, and is not about to stop; else 503", body = Object, example = json!({"status":"ready"})))
)]
async fn get_ready(doctor: Data<Doctor>) -> HttpResponse {
    match doctor.ready().await {
        Ok(()) => answer(&json!({ "status": "ready" })),
        Err(why) => {
            if why != Unready::Stopping {
                tracing::warn!(why = why.as_str(), "not ready");
            }
            HttpResponse::ServiceUnavailable()
                .content_type("application/json")
                .insert_header(("Cache-Control", "no-store"))
                .insert_header(("Retry-After", "1"))
                .body(format!("{}\n", json!({ "status": "unready", "reason": why.as_str() })))
        }
    }
}

/// `GET /metrics`: in the text format of Prometheus.
async fn get_metrics(
    metrics: Data<Metrics>,
    doctor: Data<Doctor>,
    gate: Data<Gate>,
) -> HttpResponse {
    metrics.followed_topics.set(doctor.readers.interest.topics() as i64);
    metrics.remembered_keys.set(gate.remembered_keys() as i64);
    metrics.db_reads.set(doctor.readers.db.in_use() as i64);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.text())
}
