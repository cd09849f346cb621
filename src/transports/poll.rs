use super::Asked;
use super::request::{House, Wanted, start, waiting_room, wants_snapshot};
use crate::auth::Caller;
use crate::db;
use crate::events::{
    Answered, Asker, Cursor, Events, Filter, GATHER, Guest, POLL_BYTES, Reset, Room, Start, Step,
    Subscription, Topics, jitter, push_answer, push_events,
};
use crate::handover::{Control, Landed, Landing};
use crate::http::{Params, Problem};
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::ConnectionType;
use actix_web::http::header::ContentEncoding;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The longest a request is held, in seconds: a mini-program, and nginx, give
/// up at 60.
const LONGEST_WAIT: i64 = 50;

/// How many products, and how many bytes of them, an answer has that begins
/// with the present state: like any other, it stays below 48 KiB.
const STATE_PRODUCTS: usize = 50;
const STATE_BYTES: usize = POLL_BYTES - 8 * 1024;

/// How many ticks `mode=compact` leaves out of one answer: it has to end some time.
const MOST_FOLDED: usize = 10_000;

/// What a poll came to.
struct Answer {
    events: Events,
    /// Of each product the newest price and the newest stock are enough.
    compact: bool,
    /// How many events were left out since there is a newer one.
    folded: usize,
    size: usize,
    reset: Option<Reset>,
    topics: Option<Topics>,
    retry_after_ms: u64,
    ended: bool,
}

/// `GET /v1/poll`: what came after the cursor or, when the wait is over,
/// nothing. 200 whenever the request was understood.
#[utoipa::path(
    get, path = "/v1/poll", tag = "live", security((), ("bearer" = [])), summary = "Wait for what comes next 长轮询",
    params(("topic" = Vec<String>, Query, description = "What to follow; repeat it or put commas between", example = "price/green"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types"),
        ("product" = Option<Vec<String>>, Query, description = "Only about these products"),
        ("merchant" = Option<Vec<String>>, Query, description = "Only about products of these merchants"),
        ("min_change" = Option<String>, Query, description = "Only price changes by at least so many percent", example = "2.5"),
        ("ascii" = Option<bool>, Query, description = "JSON in ASCII: `\\u9f99` for 龙"),
        ("cursor" = Option<String>, Query, description = "The id of the last event seen, or `earliest`"),
        ("Last-Event-ID" = Option<String>, Header, description = "Wins over `cursor`"),
        ("snapshot" = Option<bool>, Query, description = "Give the present state first"),
        ("wait" = Option<u32>, Query, description = "Seconds, 0 to 50; 25 unless given"),
        ("limit" = Option<u32>, Query, description = "1 to 100")),
    responses((status = 200, description = "What came after `cursor`; empty when nothing did", body = Object, example = json!({"events":[{"id":"5u8704-9","type":"announcement","topics":["announcements"],"time":"2026-12-01T00:47:27.003Z","data":{"text":"今晚十点维护五分钟"}}],"cursor":"5u8704-9","more":false,"reset":null,"retry_after_ms":0,"server_time":"2026-12-01T00:47:28.000Z"})))
)]
pub(super) async fn get_poll(
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let mut params = Params::parse(request.query_string());
    let cursor = params.take("cursor")?;
    let wait = params.take_number("wait", 0, LONGEST_WAIT)?.unwrap_or(25).unsigned_abs();
    let limit = params.take_number("limit", 1, 100)?.unwrap_or(100) as usize;
    let compact = params.take_one_of("mode", &["full", "compact"])? == Some("compact");
    let start = start(&request, cursor);
    let snapshots = wants_snapshot(&mut params, start.as_ref())?;
    let mut wanted = Wanted::take(&mut params, None, &caller, &house.limits)?;
    params.finish()?;
    wanted.admit(&caller, &house).await?;
    let address = house.address(&request);
    let user = caller.identity().map(|identity| &*identity.sub);
    let seat = house.limits.seat(address, user)?;

    // Without a cursor there is nothing to wait for: what is wanted is one.
    let wait = if start.is_none() { 0 } else { wait };
    let from_now = start.is_none();
    let start = start.unwrap_or(Start::Now);
    let guest = Guest {
        caller,
        seat: Some(seat),
        until: None,
        streams: false,
        folds: false,
        follows: wanted.follows(),
        closes: false,
        snapshots,
    };
    let filter = wanted.filter();
    let of_state = filter.of_state();
    let (mut subscription, reset) = Subscription::open(&house.hub, filter, &start, guest).await?;
    let readers = house.hub.readers();
    if snapshots && (from_now || reset.is_some()) {
        return with_state(&house, of_state, reset).await;
    }
    let stopping = *readers.stopping.borrow();
    let wait = if reset.is_some() || stopping { 0 } else { wait };
    let wait = Duration::from_secs(wait);
    let retry_after_ms = if stopping { jitter(1_000, 5_000) } else { 0 };
    let mut answer = Answer {
        events: Events::new(),
        compact,
        folded: 0,
        size: 0,
        reset,
        topics: None,
        retry_after_ms,
        ended: false,
    };
    answer.take_ready(&mut subscription, limit).await?;
    let keeps = request.head().connection_type() == ConnectionType::KeepAlive;
    if answer.is_empty()
        && !wait.is_zero()
        && keeps
        // What waits elsewhere is answered with every tick.
        && !compact
        && let Some(control) = waiting_room(&request, &house.hub)
    {
        let signature = control.signature();
        control.settled().await;
        answer.take_ready(&mut subscription, limit).await?;
        if answer.is_empty() && control.is_alone() {
            let asker = Asker { signature, limit, wait, address };
            let subscription = RefCell::new(Some(subscription));
            let waiting = Rc::new(Waiting { asker, subscription });
            return Ok(head().body(Withheld { waiting, control }));
        }
    }
    if answer.is_empty() && !wait.is_zero() {
        let metrics = &readers.metrics;
        metrics.polls.inc();
        let _counted = Counted(metrics.polls.clone());
        answer.wait(&mut subscription, limit, wait).await?;
    }

    let more = !answer.ended && subscription.has_more();
    let cursor = if more { subscription.cursor() } else { subscription.settle() };
    let mut events = String::with_capacity(answer.size);
    push_events(&mut events, &answer.events);
    let (reset, retry_after_ms) = (answer.reset, answer.retry_after_ms);
    let more_fields = match compact {
        true => format!(",\"folded\":{},\"unread\":null", answer.folded),
        false => String::new(),
    };
    let (topics, now, more_fields) = (answer.topics.as_ref(), house.gate.now(), &*more_fields);
    let told = Answered { cursor: &cursor, more, reset, topics, retry_after_ms, now, more_fields };
    let mut body = String::with_capacity(answer.size + 200);
    push_answer(&mut body, &events, &told);
    Ok(json_answer(body))
}

/// The present state, and from where the log goes on.
async fn with_state(
    house: &House,
    filter: Filter,
    reset: Option<Reset>,
) -> Result<HttpResponse, Problem> {
    let asked = Asked { filter, from: None, products: STATE_PRODUCTS, bytes: STATE_BYTES };
    let page = house.snapshots.page(asked).await?;
    let readers = house.hub.readers();
    let epoch = readers.tail.epoch().clone();
    let next = page.next.as_ref().map(|place| format!("\"{}\"", place.token(&epoch)));
    let next = next.unwrap_or_else(|| "null".to_owned());
    let more_fields = format!(",\"snapshot\":{{{},\"next\":{next}}}", page.fields);
    let retry_after_ms = if *readers.stopping.borrow() { jitter(1_000, 5_000) } else { 0 };
    let cursor = Cursor { epoch, seq: page.position };
    let (now, more, more_fields) = (house.gate.now(), false, &*more_fields);
    let topics = None;
    let told = Answered { cursor: &cursor, more, reset, topics, retry_after_ms, now, more_fields };
    let mut body = String::with_capacity(page.fields.len() + 300);
    push_answer(&mut body, "", &told);
    Ok(json_answer(body))
}

fn json_answer(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(body)
}

/// The head of an answer that is still to come.
fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        // What comes after it is written elsewhere, as it is.
        .insert_header(ContentEncoding::Identity);
    response
}

/// The body of an answer that is not sent from here: the head is kept back, and
/// goes to the hub with the connection.
struct Withheld {
    waiting: Rc<Waiting>,
    control: Rc<Control>,
}

struct Waiting {
    asker: Asker,
    subscription: RefCell<Option<Subscription>>,
}

impl Landing for Waiting {
    fn land(&self, landed: Landed) {
        if let Some(subscription) = self.subscription.take() {
            subscription.hand_over_poll(landed, self.asker);
        }
    }
}

impl MessageBody for Withheld {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        // Whatever came before is on its way, and the request came alone: the head of
        // its answer is all there is to write, and it leaves at once.
        self.control.leave(self.waiting.clone(), true);
        Poll::Pending
    }
}

impl Answer {
    async fn wait(
        &mut self,
        subscription: &mut Subscription,
        limit: usize,
        wait: Duration,
    ) -> db::Result<()> {
        let Ok(step) = timeout(wait, subscription.next(self.room(limit))).await else {
            return Ok(());
        };
        self.take(step?);
        if !self.ended && !self.is_full(limit) {
            sleep(GATHER).await;
            self.take_ready(subscription, limit).await?;
        }
        Ok(())
    }

    async fn take_ready(
        &mut self,
        subscription: &mut Subscription,
        limit: usize,
    ) -> db::Result<()> {
        while !self.is_full(limit) && !self.ended {
            match subscription.ready(self.room(limit)).await? {
                Some(step) => self.take(step),
                None => break,
            }
        }
        Ok(())
    }

    /// What fits in no more is left for the next answer.
    fn room(&self, limit: usize) -> Room {
        Room {
            events: limit - self.events.len(),
            bytes: POLL_BYTES.saturating_sub(self.size),
            at_least_one: self.events.is_empty(),
        }
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.ended && self.topics.is_none()
    }

    fn is_full(&self, limit: usize) -> bool {
        // The last tenth would be filled one by one, each with a look of its own.
        let spare = if self.compact { limit / 10 } else { 0 };
        self.events.len() + spare >= limit || self.size >= POLL_BYTES || self.folded >= MOST_FOLDED
    }

    /// Leaves out every price and stock of a product for which there is a newer
    /// one. Whatever else happened stays.
    fn fold(&mut self) {
        let before = self.events.len();
        let mut newer = HashSet::new();
        self.events.reverse();
        self.events.retain(|event| {
            let is_tick = ["price.changed", "stock.changed"].contains(&event.kind);
            let key = |product: &str| (event.kind, product.to_owned());
            !is_tick || event.product().is_none_or(|product| newer.insert(key(product)))
        });
        self.events.reverse();
        self.folded += before - self.events.len();
        self.size = self.events.iter().map(|event| event.json_bytes() + 1).sum();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Events(batch) => {
                let events = batch.events();
                self.size += events.iter().map(|event| event.json_bytes() + 1).sum::<usize>();
                self.events.extend(events.iter().cloned());
                if self.compact {
                    self.fold();
                }
            }
            Step::Heartbeat => {}
            Step::Topics(topics) => self.topics = Some(topics),
            Step::Reset(reset) => self.reset = Some(reset),
            Step::End(code) => {
                self.ended = true;
                if code == "shutdown" {
                    self.retry_after_ms = jitter(1_000, 5_000);
                }
            }
        }
    }
}

/// A waiting poll in the metrics.
struct Counted(prometheus::IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
