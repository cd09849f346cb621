use super::{Bucket, Folder, Series, Tick, Width, change, changes};
use crate::auth::{Caller, Gate};
use crate::catalogue::{self, Product, unknown_product};
use crate::clock::{Clock, Millis, rfc3339};
use crate::db::{Conn, Db};
use crate::events;
use crate::feeds::Feeds;
use crate::http::{Params, Problem, resource, time};
use crate::money::yuan_text;
use crate::refusal::{Refusal, shorten};
use actix_web::http::Method;
use actix_web::http::header::ETAG;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(get_prices, get_product))]
pub struct Docs;

/// The most points of a page.
const MOST: i64 = 1_000;

/// The most prices that one page goes through.
const MOST_TICKS: usize = 200_000;

/// `/v1/products/{id}/prices`.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource("/v1/products/{id}/prices", [(Method::GET, || web::to(get_prices))]));
}

fn answer(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(format!("{body}\n"))
}

/// A moment, or the beginning of a business day.
pub(crate) fn take_moment(
    params: &mut Params,
    name: &'static str,
) -> Result<Option<Millis>, Refusal> {
    let Some(text) = params.take(name)? else { return Ok(None) };
    let at = match crate::clock::parse_day(&text) {
        Some(at) => at,
        None => time(name, &text).map_err(|_| {
            let text = shorten(&text);
            Refusal::invalid(
                name,
                "bad_time",
                format!("`{text}` is no time: want RFC 3339, as in 2026-11-22T08:15:30Z, or a business day, as in 2026-11-22"),
                format!("“{text}”不是有效时间：应为 RFC 3339（2026-11-22T08:15:30Z）或营业日（2026-11-22）"),
            )
        })?,
    };
    Ok(Some(at))
}

/// `from` and `to`, which is now if it is not given.
pub(crate) fn take_span(
    params: &mut Params,
    now: Millis,
) -> Result<(Option<Millis>, Millis), Refusal> {
    let from = take_moment(params, "from")?;
    let to = take_moment(params, "to")?.unwrap_or(now + 1);
    if from.is_some_and(|from| from >= to) {
        return Err(Refusal::invalid(
            "from",
            "out_of_range",
            "`from` has to be before `to`, which is now if it is not given",
            "“from”必须早于“to”（未给出时为现在）",
        ));
    }
    Ok((from, to))
}

/// How prices are asked for.
struct Wanted {
    from: Option<Millis>,
    to: Millis,
    /// None for the prices themselves.
    width: Option<Width>,
    limit: usize,
    after: Option<String>,
    now: Millis,
}

impl Wanted {
    fn parse(query: &str, now: Millis) -> Result<Wanted, Refusal> {
        let mut params = Params::parse(query);
        let (from, to) = take_span(&mut params, now)?;
        let width = match params.take_one_of("bucket", &["raw", "1h", "1d", "1w"])? {
            Some("raw") => None,
            Some("1h") => Some(Width::Hour),
            Some("1w") => Some(Width::Week),
            _ => Some(Width::Day),
        };
        let limit = params.take_number("limit", 1, MOST)?.unwrap_or(200) as usize;
        let after = params.take("after")?;
        params.finish()?;
        Ok(Wanted { from, to, width, limit, after, now })
    }
}

/// `GET /v1/products/{id}/prices`: what it cost, a page at a time.
#[utoipa::path(
    get, path = "/v1/products/{id}/prices", tag = "catalogue",
    params(
        ("id" = String, Path, description = "A product"),
        ("bucket" = Option<String>, Query, description = "raw, 1h, 1d (default) or 1w"),
        ("from" = Option<String>, Query, description = "RFC 3339, or a business day"),
        ("to" = Option<String>, Query, description = "RFC 3339, or a business day; now, if not given"),
        ("limit" = Option<u32>, Query, description = "Points a page, 1 to 1000; 200, if not given"),
        ("after" = Option<String>, Query, description = "`next` of the page before")
    ),
    responses((status = 200, description = "Prices of a product, oldest first", body = serde_json::Value))
)]
async fn get_prices(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    let now = clock.now();
    let wanted = Wanted::parse(request.query_string(), now)?;
    let id = id.into_inner();
    let found: Result<Value, events::Error> = db
        .read(move |conn| {
            let Some(product) = catalogue::store::find(conn, &id)? else {
                return Err(unknown_product(conn, "product", &id)?.into());
            };
            page(conn, &product, &wanted)
        })
        .await;
    Ok(answer(&found?))
}

fn page(conn: &mut Conn, product: &Product, wanted: &Wanted) -> events::Result<Value> {
    let series = Series::open(conn, product)?;
    let (points, next) = match wanted.width {
        Some(width) => buckets(conn, &series, width, wanted)?,
        None => raw(conn, &series, wanted)?,
    };
    let newest = series.last_before(conn, wanted.to)?.map(|point| point.at);
    Ok(json!({
        "product": product.id,
        "price_type": product.price_type,
        "unit": product.unit,
        "grams_per_unit": product.grams_per_unit,
        "currency": "CNY",
        "bucket": match wanted.width {
            None => "raw",
            Some(Width::Hour) => "1h",
            Some(Width::Day) => "1d",
            Some(Width::Week) => "1w",
        },
        "points": points,
        "next": next,
        "as_of": newest.map(rfc3339),
        "age_seconds": newest.map(|at| age(at, wanted.now)),
    }))
}

/// How old what was seen at `at` is, in seconds.
pub(crate) fn age(at: Millis, now: Millis) -> i64 {
    (now - at).max(0) / 1_000
}

fn bad_after(width: Option<Width>) -> Refusal {
    let example = if width.is_some() { "2026-11-21T16:00:00.000Z" } else { "1763799330123-42" };
    Refusal::invalid(
        "after",
        "bad_value",
        format!("`after` is the `next` of a page with the same bucket, as in {example}"),
        format!("“after”应为同一 bucket 上一页的 next，例如 {example}"),
    )
}

fn buckets(
    conn: &mut Conn,
    series: &Series,
    width: Width,
    wanted: &Wanted,
) -> events::Result<(Vec<Value>, Option<String>)> {
    let after = match &wanted.after {
        None => None,
        Some(text) => match crate::clock::parse(text) {
            Some(at) if width.start(at) == at => Some(at + width.millis()),
            _ => return Err(bad_after(Some(width)).into()),
        },
    };
    // Buckets are whole: the first is the one that `from` is in, the last the
    // one that `to` is in.
    let begin = [wanted.from.map(|from| width.start(from)), after].into_iter().flatten().max();
    let begin = begin.unwrap_or(i64::MIN / 2);
    let end = width.start(wanted.to - 1) + width.millis();
    let held = series.last_before(conn, begin)?.map(|point| point.fen);
    let mut folder = Folder::new(width, wanted.now, held);
    let mut points = Vec::new();
    let (mut at, mut seen) = ((begin, i64::MIN), 0);
    loop {
        let ticks = series.points(conn, at, end)?;
        let Some(last) = ticks.last() else { break };
        at = (last.at, last.seq);
        seen += ticks.len();
        for tick in ticks {
            if let Some(bucket) = folder.push(tick) {
                points.push(bucket);
                if points.len() == wanted.limit {
                    // There is one more: the point that ended this one is in it.
                    return Ok(paged(points, true));
                }
            }
        }
        if seen >= MOST_TICKS {
            if points.is_empty() {
                return Err(too_dense(width).into());
            }
            return Ok(paged(points, true));
        }
    }
    points.extend(folder.finish());
    Ok(paged(points, false))
}

fn paged(buckets: Vec<Bucket>, more: bool) -> (Vec<Value>, Option<String>) {
    let next = buckets.last().filter(|_| more).map(|bucket| rfc3339(bucket.start));
    (buckets.iter().map(bucket_json).collect(), next)
}

fn too_dense(width: Width) -> Refusal {
    let (en, zh) = match width {
        Width::Week => ("1d, 1h or raw", "1d、1h 或 raw"),
        Width::Day => ("1h or raw", "1h 或 raw"),
        Width::Hour => ("raw", "raw"),
    };
    Refusal::invalid(
        "bucket",
        "too_dense",
        format!("one bucket has more than {MOST_TICKS} prices; ask for {en}"),
        format!("单个区间内价格超过 {MOST_TICKS} 条；请改用 {zh}"),
    )
}

fn bucket_json(bucket: &Bucket) -> Value {
    json!({
        "start": rfc3339(bucket.start),
        "end": rfc3339(bucket.end),
        "open": yuan_text(bucket.open),
        "high": yuan_text(bucket.high),
        "low": yuan_text(bucket.low),
        "close": yuan_text(bucket.close),
        "average": yuan_text(bucket.average),
        "open_fen": bucket.open,
        "high_fen": bucket.high,
        "low_fen": bucket.low,
        "close_fen": bucket.close,
        "average_fen": bucket.average,
        "carried_fen": bucket.carried,
        "n": bucket.n,
        "last_at": rfc3339(bucket.last_at),
    })
}

fn raw(
    conn: &mut Conn,
    series: &Series,
    wanted: &Wanted,
) -> events::Result<(Vec<Value>, Option<String>)> {
    let after = match &wanted.after {
        None => None,
        Some(text) => match text.rsplit_once('-').map(|(at, seq)| (at.parse(), seq.parse())) {
            Some((Ok(at), Ok(seq))) => Some((at, seq)),
            _ => return Err(bad_after(None).into()),
        },
    };
    let from = wanted.from.map(|from| (from, i64::MIN));
    let mut at = [from, after].into_iter().flatten().max().unwrap_or((i64::MIN / 2, i64::MIN));
    let mut found: Vec<Tick> = Vec::new();
    while found.len() <= wanted.limit {
        let some = series.ticks(conn, at, wanted.to)?;
        let Some(last) = some.last() else { break };
        at = last.key();
        found.extend(some);
    }
    let more = found.len() > wanted.limit;
    found.truncate(wanted.limit);
    let next = found.last().filter(|_| more).map(|it| format!("{}-{}", it.observed_at, it.seq));
    let point = |tick: &Tick| {
        json!({
            "at": rfc3339(tick.observed_at),
            "received_at": rfc3339(tick.received_at),
            "price": yuan_text(tick.price),
            "price_fen": tick.price,
            "unit": tick.unit,
            "grams_per_unit": tick.grams_per_unit,
            "source": tick.source,
            "n": tick.n,
        })
    };
    Ok((found.iter().map(point).collect(), next))
}

/// `GET /v1/products/{id}`: a product, and how its price moved.
#[utoipa::path(
    get, path = "/v1/products/{id}", tag = "catalogue", security((), ("bearer" = [])), summary = "A product 单个商品",
    params(("id" = String, Path, description = "The product", example = "7542-2003")),
    responses((status = 200, description = "As it is now, and how far its price is from what it was", body = Object, example = json!({
        "id": "7542-2003", "name": "大益 7542 青饼 2003", "category": "dark.puer", "market": "fangcun", "merchant": "m-lin",
        "price": "12800.00", "price_text": "¥12800.00/饼", "per_500g_fen": 1792717, "stock": 40, "available": 38,
        "change": {"yesterday": null, "days_7": null, "days_30": null, "year": null}, "version": 17
    })))
)]
pub async fn get_product(
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
    gate: Data<Gate>,
    db: Data<Db>,
    clock: Data<Clock>,
    feeds: Data<Feeds>,
) -> Result<HttpResponse, Problem> {
    gate.admit_reader(&caller)?;
    Params::parse(request.query_string()).finish()?;
    let (id, now) = (id.into_inner(), clock.now());
    let found: Result<_, events::Error> = db
        .read(move |conn| {
            let Some(product) = catalogue::store::find(conn, &id)? else {
                return Err(unknown_product(conn, "product", &id)?.into());
            };
            let clearance = catalogue::store::clearance(conn, &id)?;
            let changes = changes(conn, &product, now)?;
            Ok((product, clearance, changes))
        })
        .await;
    let (product, clearance, changes) = found?;
    let mut body = product.json(clearance.as_ref());
    feeds.mark(&mut body);
    body["change"] = change::json(&changes);
    body["as_of"] = json!(product.price_at.map(rfc3339));
    body["age_seconds"] = json!(product.price_at.map(|at| age(at, now)));
    let mut response = answer(&body);
    if let Ok(tag) = format!("\"{}\"", product.version).parse() {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}
