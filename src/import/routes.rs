use super::{Format, Order, run};
use crate::http::{Problem, prefers_chinese, resource};
use crate::listings::Consent;
use crate::writes::{Write, respond};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Path, ServiceConfig};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(post_file, post_named))]
pub struct Docs;

/// `/v1/import` and `/v1/import/{file}`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource(
            "/v1/import",
            [(Method::POST, || web::to(post_file)), (Method::PUT, || web::to(post_file))],
        ))
        .service(resource(
            "/v1/import/{file}",
            [(Method::POST, || web::to(post_named)), (Method::PUT, || web::to(post_named))],
        ));
}

/// `POST /v1/import`: a file by its content type or its looks.
#[utoipa::path(
    method(post, put), path = "/v1/import", tag = "write", security(("bearer" = [])), summary = "Send a file 导入",
    params(("mode" = Option<String>, Query, description = "`partial` (good rows are applied) or `atomic` (all or none)"),
        ("confirm" = Option<bool>, Query, description = "Moves by more than half are meant")),
    request_body(content = String, content_type = "text/csv", description = "CSV or NDJSON; UTF-8, UTF-16 or GBK"),
    responses((status = 200, description = "All rows are good; 207 if some were refused", body = Object, example = json!({"rows":2,"applied":1,"unchanged":0,"failed":1,"mode":"partial","encoding":"utf-8","format":"csv","ignored_columns":[],"errors":[{"line":3,"field":"product","code":"unknown_product","value":null,"detail":"there is no product `biluochun-2020`"}],"errors_omitted":0})))
)]
async fn post_file(write: Write) -> Result<HttpResponse, Problem> {
    import(None, write).await
}

/// `POST /v1/import/prices.csv`: a file by its name.
#[utoipa::path(
    method(post, put), path = "/v1/import/{file}", tag = "write", security(("bearer" = [])), summary = "Send a file by its name 导入",
    params(("file" = String, Path, description = "Its name tells its format", example = "prices.csv"),
        ("mode" = Option<String>, Query, description = "`partial` (good rows are applied) or `atomic` (all or none)"),
        ("confirm" = Option<bool>, Query, description = "Moves by more than half are meant")),
    request_body(content = String, content_type = "text/csv", description = "CSV or NDJSON; UTF-8, UTF-16 or GBK"),
    responses((status = 200, description = "All rows are good; 207 if some were refused", body = Object, example = json!({"rows":2,"applied":1,"unchanged":0,"failed":1,"mode":"partial","encoding":"utf-8","format":"csv","ignored_columns":[],"errors":[{"line":3,"field":"product","code":"unknown_product","value":null,"detail":"there is no product `biluochun-2020`"}],"errors_omitted":0})))
)]
async fn post_named(file: Path<String>, write: Write) -> Result<HttpResponse, Problem> {
    import(Some(&file), write).await
}

async fn import(name: Option<&str>, mut write: Write) -> Result<HttpResponse, Problem> {
    let writer = write.writer()?;
    let mut params = std::mem::take(&mut write.params);
    let atomic = params.take_one_of("mode", &["partial", "atomic"])? == Some("atomic");
    let confirmed = params.take_flag("confirm")?;
    let consent = Consent { confirmed, forced: params.take_flag("force")? };
    params.finish()?;
    write.require_no_if_match()?;
    let kind = write.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let format = name
        .and_then(Format::from_file_name)
        .or_else(|| kind.and_then(Format::from_content_type))
        .unwrap_or_else(|| Format::sniff(&write.bytes));
    let rows = write.bytes.iter().filter(|byte| **byte == b'\n').count();
    let cost = u32::try_from(rows / 10).unwrap_or(u32::MAX).max(1);
    write.limits().writes.check(write.caller.actor(), cost)?;
    let order = Order {
        writer,
        bytes: write.bytes.clone(),
        format,
        atomic,
        consent,
        dry_run: write.dry_run,
        chinese: prefers_chinese(write.headers()),
        once: write.once.clone(),
    };
    let publisher = write.publisher().clone();
    // Reading a file of megabytes takes its time; other requests do not wait for it.
    // When they stop waiting, this future is dropped, and the work ends with it.
    let gone = CancellationToken::new();
    let _waiting = gone.clone().drop_guard();
    let (answer, replayed) = if write.is_small() {
        run(&order, &publisher, &gone).await?
    } else {
        let handle = Handle::current();
        let run = move || handle.block_on(run(&order, &publisher, &gone));
        let job = tokio::task::spawn_blocking(run);
        job.await.map_err(|err| Problem::internal(&err))??
    };
    if answer.status < 400 {
        write.heard().await?;
    }
    Ok(respond(&answer, replayed))
}
