use super::request::{House, Wanted, start};
use super::sse::jitter;
use crate::auth::Caller;
use crate::clock::rfc3339;
use crate::db;
use crate::events::{Events, Reset, Room, Start, Step, Subscription};
use crate::http::{Params, Problem};
use actix_web::{HttpRequest, HttpResponse};
use std::fmt::Write;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The longest a request is held, in seconds: a mini-program, and nginx, give
/// up at 60.
const LONGEST_WAIT: i64 = 50;

/// How long it is held after the first event, for those that come with it.
const GATHER: Duration = Duration::from_millis(50);

/// The most bytes of events in an answer, of 48 KiB in all: a mini-program
/// likes no more.
const BYTES: usize = 48 * 1024 - 512;

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
    let user = caller.identity().map(|identity| identity.sub.clone());
    let _seat = house.limits.seat(house.address(&request), user.as_deref())?;

    let start = start(&request, cursor);
    // Without a cursor there is nothing to wait for: what is wanted is one.
    let wait = if start.is_none() { 0 } else { wait };
    let start = start.unwrap_or(Start::Now);
    let (mut subscription, reset) =
        Subscription::open(&house.hub, wanted.filter(), &start, caller, (None, false)).await?;
    let metrics = &house.hub.readers().metrics;
    metrics.polls.inc();
    let _waiting = Waiting(metrics.polls.clone());
    let stopping = *house.hub.readers().stopping.borrow();
    let wait = if reset.is_some() || stopping { 0 } else { wait };
    let retry_after_ms = if stopping { jitter(1_000, 5_000) } else { 0 };
    let mut answer = Answer { events: Events::new(), size: 0, reset, retry_after_ms, ended: false };
    answer.gather(&mut subscription, limit, Duration::from_secs(wait)).await?;

    let more = !answer.ended && subscription.has_more();
    let cursor = if more { subscription.cursor() } else { subscription.settle() };
    let mut body = String::with_capacity(answer.size + 200);
    body += "{\"events\":[";
    push_events(&mut body, &answer.events);
    let reset = match answer.reset {
        Some(reset) => format!("{{\"reason\":\"{}\"}}", reset.as_str()),
        None => "null".to_owned(),
    };
    let time = rfc3339(house.gate.now());
    let _ = writeln!(
        body,
        "],\"cursor\":\"{cursor}\",\"more\":{more},\"reset\":{reset},\"retry_after_ms\":{},\"server_time\":\"{time}\"}}",
        answer.retry_after_ms,
    );
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-store"))
        .body(body))
}

/// Writes envelopes as they are, separated by commas.
pub(super) fn push_events(body: &mut String, events: &Events) {
    for (i, event) in events.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        body.push_str(event.json());
    }
}

impl Answer {
    async fn gather(
        &mut self,
        subscription: &mut Subscription,
        limit: usize,
        wait: Duration,
    ) -> db::Result<()> {
        self.take_ready(subscription, limit).await?;
        if !self.events.is_empty() || self.ended || wait.is_zero() {
            return Ok(());
        }
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
            bytes: BYTES.saturating_sub(self.size),
            at_least_one: self.events.is_empty(),
        }
    }

    fn is_full(&self, limit: usize) -> bool {
        self.events.len() >= limit || self.size >= BYTES
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Events(events) => {
                self.size += events.iter().map(|event| event.json().len() + 1).sum::<usize>();
                self.events.extend(events);
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

struct Waiting(prometheus::IntGauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
