use super::request::{House, Wanted, start, waiting_room};
use crate::auth::Caller;
use crate::db;
use crate::events::{
    Asker, Events, GATHER, Guest, POLL_BYTES, Reset, Room, Start, Step, Subscription, Told, jitter,
    push_answer, push_events,
};
use crate::handover::{Control, Landed, Landing};
use crate::http::{Params, Problem};
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::ConnectionType;
use actix_web::http::header::ContentEncoding;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The longest a request is held, in seconds: a mini-program, and nginx, give
/// up at 60.
const LONGEST_WAIT: i64 = 50;

/// What a poll came to.
struct Answer {
    events: Events,
    size: usize,
    reset: Option<Reset>,
    retry_after_ms: u64,
    ended: bool,
}

/// `GET /v1/poll`: what came after the cursor or, when the wait is over,
/// nothing. 200 whenever the request was understood.
pub(super) async fn get_poll(
    request: HttpRequest,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let house = House::of(&request)?;
    let mut params = Params::parse(request.query_string());
    let cursor = params.take("cursor")?;
    let wait = params.take_number("wait", 0, LONGEST_WAIT)?.unwrap_or(25).unsigned_abs();
    let limit = params.take_number("limit", 1, 100)?.unwrap_or(100) as usize;
    let wanted = Wanted::take(&mut params, None, &caller, &house.limits)?;
    params.finish()?;
    wanted.admit(&caller, &house).await?;
    let address = house.address(&request);
    let user = caller.identity().map(|identity| &*identity.sub);
    let seat = house.limits.seat(address, user)?;

    let start = start(&request, cursor);
    // Without a cursor there is nothing to wait for: what is wanted is one.
    let wait = if start.is_none() { 0 } else { wait };
    let start = start.unwrap_or(Start::Now);
    let guest = Guest { caller, seat: Some(seat), until: None, streams: false, closes: false };
    let (mut subscription, reset) =
        Subscription::open(&house.hub, wanted.filter(), &start, guest).await?;
    let readers = house.hub.readers();
    let stopping = *readers.stopping.borrow();
    let wait = if reset.is_some() || stopping { 0 } else { wait };
    let wait = Duration::from_secs(wait);
    let retry_after_ms = if stopping { jitter(1_000, 5_000) } else { 0 };
    let mut answer = Answer { events: Events::new(), size: 0, reset, retry_after_ms, ended: false };
    answer.take_ready(&mut subscription, limit).await?;
    let keeps = request.head().connection_type() == ConnectionType::KeepAlive;
    if answer.is_empty()
        && !wait.is_zero()
        && keeps
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
    let told = Told { cursor: &cursor, more, reset, retry_after_ms, now: house.gate.now() };
    let mut body = String::with_capacity(answer.size + 200);
    push_answer(&mut body, &events, &told);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(body))
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
        self.events.is_empty() && !self.ended
    }

    fn is_full(&self, limit: usize) -> bool {
        self.events.len() >= limit || self.size >= POLL_BYTES
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Events(batch) => {
                let events = batch.events();
                self.size += events.iter().map(|event| event.json_bytes() + 1).sum::<usize>();
                self.events.extend(events.iter().cloned());
            }
            Step::Heartbeat => {}
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
