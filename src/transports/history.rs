use super::request::{House, Wanted};
use crate::auth::Caller;
use crate::events::{Cursor, Span, push_events};
use crate::http::{Params, Problem};
use crate::refusal::Refusal;
use actix_web::{HttpRequest, HttpResponse};
use std::fmt::Write;

/// `GET /v1/events`: the past, a page at a time. Going on from `next` gives
/// each event once, whatever is published meanwhile.
pub async fn get_events(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let mut params = Params::parse(request.query_string());
    let (after, before) = (params.take("after")?, params.take("before")?);
    let order = params.take_one_of("order", &["asc", "desc"])?;
    let limit = params.take_number("limit", 1, 200)?.unwrap_or(50) as usize;
    let wanted = Wanted::take(&mut params, None, &caller, &house.limits)?;
    params.finish()?;
    wanted.admit(&caller, &house).await?;

    let readers = house.hub.readers();
    let pruned_to = readers.tail.pruned_to();
    let epoch = readers.tail.epoch().clone();
    let newest_first = match order {
        Some(order) => order == "desc",
        None => after.is_none(),
    };
    let from = match after.as_deref() {
        None | Some("earliest") => None,
        Some(text) => Some(position("after", text, &epoch)?),
    };
    let before = before.map(|text| position("before", &text, &epoch)).transpose()?;
    let span = Span {
        after: from.unwrap_or(pruned_to).max(pruned_to),
        before: before.unwrap_or(i64::MAX),
        newest_first,
        limit,
    };
    let past = readers.past(wanted.filter(), span).await?;
    let expired = from.is_some_and(|from| from < past.pruned_to);

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
