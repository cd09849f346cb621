//! The page that the binary serves at `/`.

use crate::http::{accepts, resource};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, VARY};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "dashboard/"]
struct Files;

/// No script and no style but our own files, and nobody's frame around it.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// What `curl /` gets instead of a page.
const CHEAT_SHEET: &str = "\
teawire tells you when tea prices and stock change.

  curl -N 'BASE/v1/stream?topic=price/*'              watch all prices
  curl 'BASE/v1/poll?topic=price/*'                   a cursor to begin with
  curl 'BASE/v1/poll?topic=price/*&cursor=…&wait=25'  what came after it
  curl 'BASE/v1/events?topic=market/fangcun'          what happened
  curl 'BASE/v1/products?category=green&limit=5'      what is sold

  curl -X PUT BASE/v1/products/ID/price -H \"Authorization: Bearer $KEY\" -d price=128.00
  curl BASE/v1/products/ID/stock -H \"Authorization: Bearer $KEY\" -d delta=-3
";

/// `/` and the files of the page.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/", [(Method::GET, || web::to(get_root))])).service(resource(
        "/{file:[a-z-]+\\.(?:js|css|svg)}",
        [(Method::GET, || web::to(get_file))],
    ));
}

/// `GET /`: a page for a browser, a cheat sheet for curl.
async fn get_root(request: HttpRequest) -> HttpResponse {
    let browser = request
        .headers()
        .get("accept")
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    if browser && accepts(request.headers(), &["text/html"]) {
        return file(&request, "index.html");
    }
    let info = request.connection_info();
    let base = format!("{}://{}", info.scheme(), info.host());
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((VARY, "Accept"))
        .content_type("text/plain; charset=utf-8")
        .body(CHEAT_SHEET.replace("BASE", &base))
}

async fn get_file(request: HttpRequest, name: Path<String>) -> HttpResponse {
    file(&request, &name)
}

fn file(request: &HttpRequest, name: &str) -> HttpResponse {
    let Some(found) = Files::get(name) else { return HttpResponse::NotFound().finish() };
    let hash = found.metadata.sha256_hash();
    let tag: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = request.headers().get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let fresh = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut response = if fresh { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((VARY, "Accept"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY));
    if fresh {
        return response.finish();
    }
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    response.content_type(kind).body(found.data.into_owned())
}
