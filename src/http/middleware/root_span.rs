//! The span of a request in the log.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};

/// Names a request by its route pattern and id: never by its path or query,
/// where tickets are, and never by what else a client may choose.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        use actix_web::HttpMessage;
        // To find the pattern takes time, and at most levels nobody asks.
        if !tracing::enabled!(tracing::Level::INFO) {
            return Span::none();
        }
        let pattern = request.match_pattern().unwrap_or_default();
        // A root span would stay open, and be entered at every poll of the
        // body, for as long as a stream is.
        if pattern.starts_with("/v1/stream") {
            return Span::none();
        }
        let id = request.extensions().get::<RequestId>().map(ToString::to_string);
        tracing::info_span!(
            "request",
            method = %request.method(),
            route = pattern,
            request_id = id.unwrap_or_default(),
        )
    }

    fn on_request_end<B: MessageBody>(_: Span, _: &Result<ServiceResponse<B>, Error>) {}
}
