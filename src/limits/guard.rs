use super::Limits;
use crate::http::Address;
use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use actix_web::middleware::Next;
use actix_web::web::Data;

/// Counts the reads of an address, streams aside: they have a limit of their
/// own, by which they are opened.
pub async fn guard_reads<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    // By the path as it is routed: `/%761/…` is `/v1/…`.
    let counted = matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.match_info().as_str().starts_with("/v1/stream");
    let limits = request.app_data::<Data<Limits>>().cloned();
    let http = request.app_data::<Data<crate::http::Config>>().cloned();
    let (Some(limits), Some(http), true) = (limits, http, counted) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let address = Address::of(request.head(), &http.trusted_proxies);
    let standing = match limits.reads.check(address.key(), 1) {
        Ok(standing) => standing,
        Err(problem) => return Ok(request.error_response(problem).map_into_right_body()),
    };
    let mut response = next.call(request).await?.map_into_left_body();
    for (name, value) in standing.iter().flat_map(|standing| standing.headers()) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.to_ascii_lowercase()), value.parse())
        {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
