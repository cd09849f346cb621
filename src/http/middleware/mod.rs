//! What happens to every request on its way in and out.

pub mod root_span;

use super::{Address, Config, Problem, accepts};
use crate::telemetry::Metrics;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ALLOW, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use std::fmt;
use std::time::Instant;
use tracing_actix_web::RequestId;

/// The largest head of a request, in bytes. actix reads up to 128 KiB of one.
const HEAD_BYTES: usize = 16 * 1024;

/// The route of a request for what is not there.
const NOWHERE: &str = "none";

/// Gives every answer its request id, every error its shape, and every
/// request its line in the log and its count in the metrics.
pub async fn finish<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<BoxBody, B>>, Error> {
    let began = Instant::now();
    let metrics = request.app_data::<Data<Metrics>>().cloned();
    let config = request.app_data::<Data<Config>>().cloned();
    let id = request.extensions().get::<RequestId>().map(ToString::to_string).unwrap_or_default();
    let headers = asked(request.headers());
    let method = request.method().clone();
    let route = request.match_pattern().unwrap_or_else(|| NOWHERE.to_owned());
    let address =
        config.as_ref().map(|config| Address::of(request.head(), &config.trusted_proxies));

    let mut request = request;
    let refused = refuse_early(&request, &route);
    let refused = refused.map(|problem| problem.hang_up_on(&mut request.take_payload()));
    let mut code = String::new();
    let mut response = match refused {
        Some(problem) => {
            code = problem.code().to_owned();
            let answer = problem.answer(&headers, &id);
            request.into_response(answer).map_into_left_body()
        }
        None => {
            // A panic that was caught comes as an error without its request.
            let lost = |err: Error| {
                tracing::error!(%err, request_id = id, "request failed");
                let problem = Problem::new(
                    500,
                    "internal",
                    "an internal error; it was logged",
                    "内部错误，已记录",
                );
                Error::from(Lost { problem, headers: headers.clone(), id: id.clone() })
            };
            let response = next.call(request).await.map_err(lost)?;
            match told(&response) {
                Some(problem) => {
                    code = problem.code().to_owned();
                    let mut answer = problem.answer(&headers, &id);
                    for name in [ALLOW, HeaderName::from_static("vary")] {
                        if let Some(value) = response.headers().get(&name) {
                            answer.headers_mut().insert(name, value.clone());
                        }
                    }
                    let request = response.request().clone();
                    ServiceResponse::new(request, answer).map_into_left_body()
                }
                None => response.map_into_right_body(),
            }
        }
    };

    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    let security = [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")];
    for (name, value) in security {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }

    let status = response.status();
    if let Some(metrics) = metrics {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        metrics.requests.with_label_values(&[route.as_str(), class]).inc();
    }
    let ms = began.elapsed().as_millis() as u64;
    let client_address = address.map(tracing::field::display);
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(%method, route, status, ms, client_address, request_id = id, code, "answered");
    } else if status >= 400 {
        tracing::info!(%method, route, status, ms, client_address, request_id = id, code, "refused");
    } else {
        tracing::debug!(%method, route, status, ms, client_address, request_id = id, code, "answered");
    }
    Ok(response)
}

/// The headers that say in which language and form an answer is wanted.
fn asked(headers: &HeaderMap) -> HeaderMap {
    let names = [ACCEPT, ACCEPT_LANGUAGE];
    let told = |name: HeaderName| headers.get(&name).map(|value| (name, value.clone()));
    names.into_iter().filter_map(told).collect()
}

/// A problem that has to be told where the request is not known any more.
#[derive(Debug)]
struct Lost {
    problem: Problem,
    headers: HeaderMap,
    id: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Lost {
    fn error_response(&self) -> HttpResponse {
        self.problem.answer(&self.headers, &self.id)
    }
}

/// What no handler has to see.
fn refuse_early(request: &ServiceRequest, route: &str) -> Option<Problem> {
    let head = request.head();
    let size: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    // A target is seldom in absolute form, and then its host stands in the headers too.
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if size + target > HEAD_BYTES {
        return Some(
            Problem::new(
                431,
                "head_too_large",
                format!("the head of a request may have {HEAD_BYTES} bytes"),
                format!("请求头最多 {HEAD_BYTES} 字节"),
            )
            .hang_up(),
        );
    }
    let bare = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if bare && head.headers.contains_key(TRANSFER_ENCODING) {
        return Some(Problem::new(
            400,
            "body_not_allowed",
            "a request that reads has no body",
            "读取请求不应带请求体",
        ));
    }
    if route == NOWHERE {
        return Some(Problem::new(
            404,
            "no_such_path",
            "there is nothing at this path; the interface is under /v1",
            "该路径不存在；接口位于 /v1",
        ));
    }
    let json = route.starts_with("/v1/") && !route.starts_with("/v1/stream");
    if json
        && request.method() != Method::OPTIONS
        && !accepts(request.headers(), &["application/json", "application/problem+json"])
    {
        return Some(Problem::new(
            406,
            "not_acceptable",
            "only application/json can be had here",
            "此处只提供 application/json",
        ));
    }
    None
}

/// The problem behind an answer that is an error.
fn told<B: MessageBody>(response: &ServiceResponse<B>) -> Option<Problem> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    if let Some(error) = response.response().error() {
        if let Some(problem) = error.as_error::<Problem>() {
            return Some(problem.clone());
        }
        if status.is_server_error() {
            tracing::error!(%error, "request failed");
        }
    } else if !matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR
    ) {
        // An answer that a handler wrote as it should be.
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Problem::new(
            404,
            "no_such_path",
            "there is nothing at this path; the interface is under /v1",
            "该路径不存在；接口位于 /v1",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            405,
            "method_not_allowed",
            "this method is not for this path; Allow says which are",
            "该路径不支持此方法；请见 Allow",
        ),
        status if status.is_client_error() => Problem::new(
            status.as_u16(),
            "bad_request",
            "the request cannot be read",
            "请求无法读取",
        ),
        _ => Problem::new(500, "internal", "an internal error; it was logged", "内部错误，已记录"),
    })
}
