use super::request::{House, Wanted};
use super::snapshot::{Asked, Page, Place, SnapshotError, Snapshots};
use crate::auth::Caller;
use crate::clock::rfc3339;
use crate::events::{Cursor, Filter, snapshot_frame};
use crate::http::{Params, Problem};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// How many bytes of products a page has at most, about.
const PAGE_BYTES: usize = 512 * 1024;

/// How many products a part has in a stream, and how many bytes of them.
const PART_PRODUCTS: usize = 200;
const PART_BYTES: usize = 160 * 1024;

/// `GET /v1/snapshot`: the present state, a page at a time. From the cursor of
/// the last page the log goes on.
#[utoipa::path(
    get, path = "/v1/snapshot", tag = "live", security((), ("bearer" = [])), summary = "The present state, with its cursor 当前状态",
    params(
        ("topic" = Vec<String>, Query, description = "Of what; repeat it or put commas between", example = "price/green"),
        ("limit" = Option<u32>, Query, description = "1 to 500 products"),
        ("ascii" = Option<bool>, Query, description = "JSON in ASCII: `\\u9f99` for 龙"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page; follow from the `cursor` of the last", body = Object, example = json!({
        "cursor": "5u8704-a", "products": [], "removed": [], "markets": [], "unread": null, "next": null, "server_time": "2026-12-01T00:47:28.000Z"
    })))
)]
pub(super) async fn get_snapshot(
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let mut params = Params::parse(request.query_string());
    let after = params.take("after")?;
    let limit = params.take_number("limit", 1, 500)?.unwrap_or(200) as usize;
    let mut wanted = Wanted::take(&mut params, None, &caller, &house.limits)?;
    params.finish()?;
    wanted.admit(&caller, &house).await?;
    let epoch = house.hub.readers().tail.epoch().clone();
    let from = after.map(|text| Place::read(&text, &epoch)).transpose()?;
    let filter = wanted.filter().of_state();
    let asked = Asked { filter, from, products: limit, bytes: PAGE_BYTES };
    let page = house.snapshots.page(asked).await?;
    let next = page.next.as_ref().map(|place| format!("\"{}\"", place.token(&epoch)));
    let next = next.unwrap_or_else(|| "null".to_owned());
    let cursor = Cursor { epoch, seq: page.position };
    let (fields, time) = (&page.fields, rfc3339(house.gate.now()));
    let body = format!(
        "{{\"cursor\":\"{cursor}\",{fields},\"next\":{next},\"server_time\":\"{time}\"}}\n"
    );
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(body))
}

type Reading = Pin<Box<dyn Future<Output = Result<Arc<Page>, SnapshotError>>>>;

/// The present state as a stream gives it: part after part, each read when the
/// one before is on its way.
pub(super) struct Parts {
    snapshots: Data<Snapshots>,
    filter: Filter,
    epoch: Arc<str>,
    from: Option<Place>,
    given: u32,
    reading: Option<Reading>,
}

/// A part of it.
pub(super) struct Part {
    /// As it is sent.
    pub frame: String,
    /// Where the log goes on; none while there are more parts.
    pub cursor: Option<Cursor>,
}

impl Parts {
    /// The state of what `filter` is about.
    pub fn of(filter: Filter, house: &House) -> Parts {
        let epoch = house.hub.readers().tail.epoch().clone();
        let snapshots = house.snapshots.clone();
        Parts { snapshots, filter, epoch, from: None, given: 0, reading: None }
    }

    /// The next part. After the last one it begins anew.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, SnapshotError>> {
        let reading = self.reading.get_or_insert_with(|| {
            let (filter, from) = (self.filter.clone(), self.from.take());
            let asked = Asked { filter, from, products: PART_PRODUCTS, bytes: PART_BYTES };
            let snapshots = self.snapshots.clone();
            Box::pin(async move { snapshots.page(asked).await })
        });
        let page = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        let page = page?;
        self.given += 1;
        self.from = page.next.clone();
        let whole = self.from.is_none();
        let cursor = whole.then(|| Cursor { epoch: self.epoch.clone(), seq: page.position });
        let frame = snapshot_frame(self.given, &page.fields, cursor.as_ref());
        if whole {
            self.given = 0;
        }
        Poll::Ready(Ok(Part { frame, cursor }))
    }
}
