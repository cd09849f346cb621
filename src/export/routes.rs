use super::sheets::{self, Headers};
use super::store;
use crate::auth::Caller;
use crate::catalogue;
use crate::clock::Millis;
use crate::db::{self, Db};
use crate::http::{Params, Problem, resource, time};
use crate::refusal::Refusal;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_products, get_stock, get_prices))]
pub struct Docs;

/// `/v1/export/{products,stock,prices}.csv`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/export/products.csv", [(Method::GET, || web::to(get_products))]))
        .service(resource("/v1/export/stock.csv", [(Method::GET, || web::to(get_stock))]))
        .service(resource("/v1/export/prices.csv", [(Method::GET, || web::to(get_prices))]));
}

/// What is asked of every file.
struct Order {
    merchant: String,
    headers: Headers,
    bom: bool,
}

fn order(caller: &Caller, params: &mut Params) -> Result<Order, Refusal> {
    let merchant = catalogue::whose(&caller.writer()?, params.take("merchant")?)?;
    let chinese = params.take_one_of("headers", &["en", "zh"])? == Some("zh");
    let headers = if chinese { Headers::Chinese } else { Headers::English };
    Ok(Order { merchant, headers, bom: params.take_flag("bom")? })
}

/// From where a file goes on.
enum Place<P> {
    /// Before its first line.
    Start(P),
    After(P),
    End,
}

/// A file that is made as it is sent: `page` writes what comes after a place,
/// and says where that was.
fn file<P: Send + 'static>(
    name: &'static str,
    db: Data<Db>,
    order: Order,
    start: P,
    header: fn(&mut String, Headers),
    page: fn(&mut db::Conn, &str, P, &mut String) -> db::Result<Option<P>>,
) -> HttpResponse {
    let Order { merchant, headers, bom } = order;
    let body = stream::unfold(Place::Start(start), move |place| {
        let (db, merchant) = (db.clone(), merchant.clone());
        async move {
            let mut text = String::new();
            let place = match place {
                Place::End => return None,
                Place::After(place) => place,
                Place::Start(place) => {
                    if bom {
                        text.push('\u{feff}');
                    }
                    header(&mut text, headers);
                    place
                }
            };
            let read = db.read(move |conn| {
                let next = page(conn, &merchant, place, &mut text)?;
                Ok::<_, db::Error>((text, next))
            });
            match read.await {
                Ok((text, next)) => {
                    Some((Ok(Bytes::from(text)), next.map_or(Place::End, Place::After)))
                }
                // The file breaks off, which its reader sees: it has no last chunk.
                Err(err) => Some((Err(err), Place::End)),
            }
        }
    });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(body)
}

/// `GET /v1/export/products.csv`: what a merchant offers, as an import reads it.
#[utoipa::path(
    get, path = "/v1/export/products.csv", tag = "write", security(("bearer" = [])), summary = "Your products as a file 导出商品",
    params(("merchant" = Option<String>, Query, description = "For operators"),
        ("headers" = Option<String>, Query, description = "`en` (default) or `zh`"),
        ("bom" = Option<bool>, Query, description = "With a byte order mark, for Excel")),
    responses((status = 200, description = "As the import reads them", content_type = "text/csv", body = String))
)]
async fn get_products(
    request: HttpRequest,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let order = order(&caller, &mut params)?;
    params.finish()?;
    let page = |conn: &mut db::Conn, merchant: &str, after: String, text: &mut String| {
        let found = store::products(conn, merchant, &after)?;
        for (product, clearance) in &found {
            sheets::product(text, product, clearance.as_ref());
        }
        Ok(found.last().map(|(last, _)| last.id.clone()))
    };
    Ok(file("products.csv", db, order, String::new(), sheets::product_header, page))
}

/// `GET /v1/export/stock.csv`: how many there are of each.
#[utoipa::path(
    get, path = "/v1/export/stock.csv", tag = "write", security(("bearer" = [])), summary = "Your stock as a file 导出库存",
    params(("merchant" = Option<String>, Query, description = "For operators"),
        ("headers" = Option<String>, Query, description = "`en` (default) or `zh`"),
        ("bom" = Option<bool>, Query, description = "With a byte order mark, for Excel")),
    responses((status = 200, description = "How much there is of each, as the import reads it", content_type = "text/csv", body = String))
)]
async fn get_stock(
    request: HttpRequest,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let order = order(&caller, &mut params)?;
    params.finish()?;
    let page = |conn: &mut db::Conn, merchant: &str, after: String, text: &mut String| {
        let found = store::products(conn, merchant, &after)?;
        for (product, _) in &found {
            sheets::stock(text, product);
        }
        Ok(found.last().map(|(last, _)| last.id.clone()))
    };
    Ok(file("stock.csv", db, order, String::new(), sheets::stock_header, page))
}

/// From which position on, and what of it.
type Span = (Option<i64>, (Millis, Millis));

/// `GET /v1/export/prices.csv?from=&to=`: every price that was told in a time.
#[utoipa::path(
    get, path = "/v1/export/prices.csv", tag = "write", security(("bearer" = [])), summary = "Your prices as a file 导出价格流水",
    params(("from" = Option<String>, Query, description = "RFC 3339"),
        ("to" = Option<String>, Query, description = "RFC 3339"),
        ("merchant" = Option<String>, Query, description = "For operators"),
        ("headers" = Option<String>, Query, description = "`en` (default) or `zh`"),
        ("bom" = Option<bool>, Query, description = "With a byte order mark, for Excel")),
    responses((status = 200, description = "Oldest first", content_type = "text/csv", body = String))
)]
async fn get_prices(
    request: HttpRequest,
    caller: Caller,
    db: Data<Db>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let order = order(&caller, &mut params)?;
    let mut moment = |name: &'static str| -> Result<Option<Millis>, Refusal> {
        params.take(name)?.map(|text| time(name, &text)).transpose()
    };
    let span = (moment("from")?.unwrap_or(0), moment("to")?.unwrap_or(Millis::MAX));
    params.finish()?;
    if span.0 >= span.1 {
        return Err(Refusal::invalid(
            "to",
            "bad_time",
            "`to` comes after `from`",
            "to 必须晚于 from",
        )
        .into());
    }
    let page = |conn: &mut db::Conn, merchant: &str, (after, span): Span, text: &mut String| {
        let after = match after {
            Some(after) => after,
            None => store::begin(conn, span.0)?,
        };
        let (ticks, next) = store::ticks(conn, merchant, after, span)?;
        for tick in &ticks {
            sheets::price(text, tick);
        }
        Ok(next.map(|after| (Some(after), span)))
    };
    Ok(file("prices.csv", db, order, (None, span), sheets::price_header, page))
}
