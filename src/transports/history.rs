use super::form::{for_eyes, no_ascii, parsed};
use super::request::{House, Wanted};
use crate::auth::Caller;
use crate::clock::{DAY, Millis};
use crate::events::{Cursor, Events, Span, push_events};
use crate::http::{Params, Problem};
use crate::refusal::{Refusal, shorten};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;
use std::fmt::Write;

/// `GET /v1/events`: the past, a page at a time. Going on from `next` gives
/// each event once, whatever is published meanwhile.
#[utoipa::path(
    get, path = "/v1/events", tag = "live", security((), ("bearer" = [])), summary = "What happened 历史",
    params(("topic" = Vec<String>, Query, description = "What to follow; repeat it or put commas between", example = "price/green"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types"),
        ("product" = Option<Vec<String>>, Query, description = "Only about these products"),
        ("merchant" = Option<Vec<String>>, Query, description = "Only about products of these merchants"),
        ("min_change" = Option<String>, Query, description = "Only price changes by at least so many percent", example = "2.5"),
        ("ascii" = Option<bool>, Query, description = "JSON in ASCII: `\\u9f99` for 龙"),
        ("after" = Option<String>, Query, description = "A cursor, or `earliest`"),
        ("since" = Option<String>, Query, description = "What happened in so many s, m, h or d; instead of `after`", example = "10m"),
        ("before" = Option<String>, Query, description = "A cursor"),
        ("format" = Option<String>, Query, description = "`json`, `ndjson`, `text` or `csv`"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`"),
        ("limit" = Option<u32>, Query, description = "1 to 200")),
    responses((status = 200, description = "A page of events", body = Object, example = json!({"events":[],"next":null,"reset":null})))
)]
pub async fn get_events(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let mut params = Params::parse(request.query_string());
    let (after, before) = (params.take("after")?, params.take("before")?);
    let since = params.take("since")?.map(|text| span_of(&text)).transpose()?;
    if since.is_some() && after.is_some() {
        return Err(Refusal::invalid(
            "since",
            "contradictory_parameters",
            "`since` and `after` both say where to begin: give one of them",
            "since 与 after 都表示起点：二者只能选一",
        )
        .into());
    }
    let format = params.take_one_of("format", &["json", "ndjson", "text", "csv"])?;
    let order = params.take_one_of("order", &["asc", "desc"])?;
    let limit = params.take_number("limit", 1, 200)?.unwrap_or(50) as usize;
    let mut wanted = Wanted::take(&mut params, None, &caller, &house.limits)?;
    params.finish()?;
    if let Some(format @ ("text" | "csv")) = format
        && wanted.ascii
    {
        return Err(no_ascii(format).into());
    }
    wanted.admit(&caller, &house).await?;

    let readers = house.hub.readers();
    let pruned_to = readers.tail.pruned_to();
    let epoch = readers.tail.epoch().clone();
    let newest_first = match order {
        Some(order) => order == "desc",
        None => after.is_none() && since.is_none(),
    };
    let now = house.gate.now();
    let begin = match since {
        Some(span) => readers.position_at(now - span).await?,
        None => pruned_to,
    };
    let from = match after.as_deref() {
        None | Some("earliest") => None,
        Some(text) => Some(position("after", text, &epoch)?),
    };
    let before = before.map(|text| position("before", &text, &epoch)).transpose()?;
    let span = Span {
        after: from.unwrap_or(begin).max(pruned_to),
        before: before.unwrap_or(i64::MAX),
        newest_first,
        limit,
    };
    let past = readers.past(wanted.filter(), span).await?;
    let expired = from.is_some_and(|from| from < past.pruned_to);

    if let Some(format @ ("ndjson" | "text" | "csv")) = format {
        let next = past.next.map(|seq| Cursor { epoch, seq });
        let mut response = HttpResponse::Ok();
        response.insert_header(("Cache-Control", "no-store"));
        // There is no place for these among lines.
        if let Some(next) = next {
            response.insert_header(("X-Next", next.to_string()));
        }
        if expired {
            response.insert_header(("X-Reset", "expired"));
        }
        let (kind, body) = lines(format, &past.events, now);
        return Ok(response.content_type(kind).body(body));
    }
    let mut body = String::from("{\"events\":[");
    push_events(&mut body, &past.events);
    let next = past.next.map(|seq| Cursor { epoch: epoch.clone(), seq });
    let next = next.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    let reset = if expired { "{\"reason\":\"expired\"}" } else { "null" };
    let _ = writeln!(body, "],\"next\":{next},\"reset\":{reset}}}");
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(body))
}

/// `events`, one a line, and what kind of lines these are.
fn lines(format: &str, events: &Events, now: Millis) -> (&'static str, String) {
    let mut body = String::new();
    match format {
        "ndjson" => {
            events.iter().for_each(|event| body.extend([event.json(), "\n"]));
            ("application/x-ndjson", body)
        }
        "text" => {
            for event in events {
                body.extend([&*for_eyes(event.kind, event.json(), now), "\n"]);
            }
            ("text/plain; charset=utf-8", body)
        }
        _ => {
            body += "time,type,product,price,stock\n";
            for event in events {
                let told = parsed(event.json());
                // Of what others publish the trade knows nothing, whatever it calls its fields.
                let data = event.product().map(|_| &told["data"]);
                let stock = data.map(|data| data.get("quantity").unwrap_or(&data["stock"]));
                let stock = stock.and_then(Value::as_i64).map(|stock| stock.to_string());
                let price = data.and_then(|data| data["price"].as_str()).unwrap_or_default();
                let time = told["time"].as_str().unwrap_or_default();
                // None of these has a comma or a quote in it.
                let (product, stock) =
                    (event.product().unwrap_or_default(), stock.unwrap_or_default());
                let _ = writeln!(body, "{time},{},{product},{price},{stock}", event.kind);
            }
            ("text/csv; charset=utf-8", body)
        }
    }
}

/// `10m` in milliseconds.
fn span_of(text: &str) -> Result<Millis, Refusal> {
    const MOST: Millis = 3_650 * DAY;
    let unit = match text.bytes().last() {
        Some(b's') => 1_000,
        Some(b'm') => 60_000,
        Some(b'h') => 3_600_000,
        Some(b'd') => DAY,
        _ => 0,
    };
    let digits = &text[..text.len().saturating_sub(usize::from(unit > 0))];
    let number = Some(digits).filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    let span = number.and_then(|it| it.parse::<Millis>().ok()?.checked_mul(unit));
    span.filter(|span| (1..=MOST).contains(span)).ok_or_else(|| {
        let text = shorten(text);
        Refusal::invalid(
            "since",
            "bad_value",
            format!("`since` is `{text}`; want a number with s, m, h or d behind it, up to 3650d, as in 10m"),
            format!("“since”为“{text}”；应为数字加 s、m、h 或 d，最多 3650d，例如 10m"),
        )
    })
}

fn position(name: &'static str, text: &str, epoch: &str) -> Result<i64, Refusal> {
    let cursor = text.parse::<Cursor>().ok().filter(|cursor| *cursor.epoch == *epoch);
    cursor.map(|cursor| cursor.seq).ok_or_else(|| {
        Refusal::invalid(
            name,
            "bad_cursor",
            format!("`{name}` is not a cursor of this log; leave it out to begin anew"),
            format!("“{name}”不是本日志的游标；请去掉后重新开始"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, span) in
            [("1s", 1_000), ("10m", 600_000), ("2h", 7_200_000), ("3650d", 3_650 * DAY)]
        {
            assert_eq!(span_of(text), Ok(span), "{text}");
        }
        for text in [
            "",
            "m",
            "0m",
            "10",
            "10 m",
            "-1m",
            "+1m",
            "1w",
            "3651d",
            "9999999999999999d",
            "1茶",
            "10M",
        ] {
            assert_eq!(span_of(text).expect_err(text).code, "bad_value", "{text}");
        }
    }
}
