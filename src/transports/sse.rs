use super::form::Form;
use super::request::{House, Wanted, by_ticket, start, waiting_room, wants_snapshot};
use super::state::Parts;
use crate::auth::Caller;
use crate::clock::rfc3339;
use crate::events::{
    Cursor, Follows, Guest, Hub, ROOM, Start, Step, StreamId, StreamsConfig, Subscription,
    bye_frame, heartbeat_frame, jitter, reset_frame, reset_to_snapshot_frame, to_ascii,
};
use crate::handover::{Control, Landed, Landing};
use crate::http::{Params, Problem, wants_events};
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::ContentEncoding;
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde_json::json;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// `GET /v1/stream?topic=…`.
#[utoipa::path(
    get, path = "/v1/stream", tag = "live", security((), ("bearer" = [])), summary = "Follow topics, as server-sent events 实时流",
    params(("topic" = Vec<String>, Query, description = "What to follow; repeat it or put commas between", example = "price/green"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types"),
        ("product" = Option<Vec<String>>, Query, description = "Only about these products"),
        ("merchant" = Option<Vec<String>>, Query, description = "Only about products of these merchants"),
        ("min_change" = Option<String>, Query, description = "Only price changes by at least so many percent", example = "2.5"),
        ("ascii" = Option<bool>, Query, description = "JSON in ASCII: `\\u9f99` for 龙"),
        ("cursor" = Option<String>, Query, description = "The id of the last event seen, or `earliest`"),
        ("Last-Event-ID" = Option<String>, Header, description = "Wins over `cursor`"),
        ("snapshot" = Option<bool>, Query, description = "Give the present state first"),
        ("format" = Option<String>, Query, description = "`sse`, `ndjson` or `text`"),
        ("max_age" = Option<u32>, Query, description = "Seconds until the service says `bye`"),
        ("ticket" = Option<String>, Query, description = "Instead of a header; one use")),
    responses((status = 200, description = "A stream that does not end: `hello`, then events as they happen", content_type = "text/event-stream", body = String))
)]
pub(super) async fn get_stream(
    request: HttpRequest,
    caller: Result<Caller, Problem>,
    config: Data<StreamsConfig>,
) -> Result<HttpResponse, Problem> {
    serve(&request, None, caller, &config).await
}

/// `GET /v1/stream/{topic}`.
#[utoipa::path(
    get, path = "/v1/stream/{topic}", tag = "live", security((), ("bearer" = [])), summary = "Follow one topic 单主题实时流",
    params(("topic" = String, Path, description = "What to follow", example = "price/green")),
    responses((status = 200, description = "The same for one topic; it takes the same parameters", content_type = "text/event-stream", body = String))
)]
pub(super) async fn get_topic(
    request: HttpRequest,
    topic: Path<String>,
    caller: Result<Caller, Problem>,
    config: Data<StreamsConfig>,
) -> Result<HttpResponse, Problem> {
    serve(&request, Some(&topic), caller, &config).await
}

async fn serve(
    request: &HttpRequest,
    topic: Option<&str>,
    caller: Result<Caller, Problem>,
    config: &StreamsConfig,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::parse(request.query_string());
    let form = Form::take(&mut params, request.headers())?;
    let house = House::of(request)?;
    match open(request, topic, caller, &house, config, (params, form)).await {
        Ok(response) => Ok(response),
        Err(problem)
            if form == Form::Sse && wants_events(request.headers()) && is_passing(&problem) =>
        {
            // An EventSource takes any other status for the end of the world.
            house.hub.readers().metrics.byes.with_label_values(&[problem.code()]).inc();
            Ok(head(form).body(bye_frame(problem.code(), problem.wait(), None)))
        }
        Err(problem) => Err(problem),
    }
}

/// Load, expiry and shutdown pass; the request itself is sound.
fn is_passing(problem: &Problem) -> bool {
    let codes = ["token_expired", "rate_limited", "too_many_streams", "busy", "shutdown"];
    codes.contains(&problem.code())
}

async fn open(
    request: &HttpRequest,
    topic: Option<&str>,
    caller: Result<Caller, Problem>,
    house: &House,
    config: &StreamsConfig,
    (mut params, form): (Params, Form),
) -> Result<HttpResponse, Problem> {
    // First of all: what comes after it asks the database.
    let address = house.address(request);
    house.limits.opens.check(address.key(), 1)?;
    let cursor = params.take("cursor")?;
    let folds = params.take_one_of("conflate", &["true", "false"])? != Some("false");
    let max_age = params.take_number("max_age", 1, 86_400)?;
    let caller = match params.take("ticket")? {
        Some(ticket) => by_ticket(&house.gate, &ticket).await?,
        None => caller?,
    };
    let start = start(request, cursor);
    let snapshots = wants_snapshot(&mut params, start.as_ref())?;
    let mut wanted = Wanted::take(&mut params, topic, &caller, &house.limits)?;
    params.finish()?;
    form.allows(wanted.ascii)?;
    wanted.admit(&caller, house).await?;
    if request.method() == Method::HEAD {
        return Ok(head(form).finish());
    }
    if *house.hub.readers().stopping.borrow() {
        let wait = Duration::from_millis(jitter(1_000, 5_000));
        return Err(
            Problem::new(503, "shutdown", "the node is stopping", "服务正在重启").retry_after(wait)
        );
    }
    let seat = house.limits.seat(address, caller.identity().map(|identity| &*identity.sub))?;

    let from_now = start.is_none();
    let start = start.unwrap_or(Start::Now);
    let (names, ascii) = (wanted.names(), wanted.ascii);
    let until = max_age.map(|age| Instant::now() + Duration::from_secs(age.unsigned_abs()));
    let closes = request.head().connection_type() == ConnectionType::Close;
    let follows = wanted.follows();
    let guest = Guest {
        caller,
        seat: Some(seat),
        until,
        streams: true,
        folds,
        follows: follows.clone(),
        closes,
        snapshots,
    };
    let filter = wanted.filter();
    let state = snapshots.then(|| Parts::of(filter.of_state(), house));
    let (mut subscription, reset) = Subscription::open(&house.hub, filter, &start, guest).await?;
    let begins = snapshots && (from_now || reset.is_some());
    let cursor = (!begins).then(|| subscription.cursor());
    let mut first =
        hello(cursor.as_ref(), subscription.id(), (&names, follows.as_ref()), config, house);
    if let Some(reset) = reset {
        first += &match &cursor {
            Some(cursor) => reset_frame(reset, cursor, house.gate.now()),
            None => reset_to_snapshot_frame(reset, house.gate.now()),
        };
    }
    if begins {
        subscription.displace();
    }
    if ascii {
        first = to_ascii(&first);
    }
    // Only frames can be written by the hub: it knows no other form.
    let control = if form == Form::Sse { waiting_room(request, &house.hub) } else { None };
    let subscription = RefCell::new(Some(subscription));
    let shared = Rc::new(Shared { hub: house.hub.clone(), subscription });
    let first = Some(form.control(first, house.gate.now()));
    let stream = Stream { shared, form, first, state, begins, ended: false, control };
    let mut response = head(form).body(stream);
    if request.version() < Version::HTTP_11 {
        // An old proxy knows no chunks: the end of the body is the end of the connection.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

fn head(form: Form) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(form.content_type())
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        // Else it would be compressed, and a compressor holds back what is small.
        .insert_header(ContentEncoding::Identity);
    response
}

/// The greeting. Before the present state it has no id: who is cut off before
/// they have all of it begins anew.
fn hello(
    cursor: Option<&Cursor>,
    stream: StreamId,
    (topics, follows): (&[String], Option<&Follows>),
    config: &StreamsConfig,
    house: &House,
) -> String {
    let cursor = cursor.map(ToString::to_string);
    let mut data = json!({
        "cursor": cursor,
        "stream": stream.to_string(),
        "server_time": rfc3339(house.gate.now()),
        "heartbeat_ms": config.heartbeat_seconds * 1000,
        "topics": topics,
    });
    if let (Some(data), Some(follows)) = (data.as_object_mut(), follows) {
        data.extend(follows.json());
    }
    let id = cursor.map_or(String::new(), |cursor| format!("id: {cursor}\n"));
    format!("retry: {}\n\n{id}event: hello\ndata: {data}\n\n", config.retry_ms)
}

/// The body of a stream, for as long as the dispatcher has its connection.
struct Stream {
    shared: Rc<Shared>,
    form: Form,
    first: Option<Bytes>,
    /// The present state, for who wants it where their cursor is of no use.
    state: Option<Parts>,
    /// It is being given.
    begins: bool,
    ended: bool,
    /// Its connection, if it may leave the dispatcher.
    control: Option<Rc<Control>>,
}

/// What the body and whoever takes the connection have in common.
struct Shared {
    hub: Rc<Hub>,
    subscription: RefCell<Option<Subscription>>,
}

impl Landing for Shared {
    fn land(&self, landed: Landed) {
        if let Some(subscription) = self.subscription.take() {
            subscription.hand_over(landed);
        }
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let stream = self.get_mut();
        if let Some(first) = stream.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(control) = &stream.control {
            control.stay();
        }
        let form = stream.form;
        let now = stream.shared.hub.readers().gate.now();
        if stream.ended {
            return Poll::Ready(None);
        }
        let mut subscription = stream.shared.subscription.borrow_mut();
        let Some(subscription) = &mut *subscription else { return Poll::Ready(None) };
        if let Some(state) = stream.state.as_mut().filter(|_| stream.begins) {
            let code = match subscription.ended(cx) {
                Some(code) => code,
                None => match std::task::ready!(state.poll(cx)) {
                    Ok(part) => {
                        if let Some(cursor) = part.cursor {
                            subscription.place(cursor.seq);
                            stream.begins = false;
                        }
                        return Poll::Ready(Some(Ok(form.control(part.frame, now))));
                    }
                    Err(err) => {
                        let error = crate::tasks::chain(&err);
                        tracing::warn!(error, "a stream could not be given the state; it ends");
                        "busy"
                    }
                },
            };
            stream.ended = true;
            subscription.metrics().byes.with_label_values(&[code]).inc();
            return Poll::Ready(Some(Ok(form.control(bye_frame(code, None, None), now))));
        }
        let Poll::Ready(step) = subscription.poll_next(cx, ROOM) else {
            if let Some(control) = &stream.control
                && control.is_alone()
                && subscription.is_at_rest()
            {
                // All is said: what is left is to wait, and that the hub can do.
                control.leave(stream.shared.clone(), false);
            }
            return Poll::Pending;
        };
        let code = match step {
            Ok(Step::Events(batch)) => return Poll::Ready(Some(Ok(form.batch(&batch, now)))),
            Ok(Step::Heartbeat) => {
                return Poll::Ready(Some(Ok(form.control(heartbeat_frame(now), now))));
            }
            Ok(Step::Reset(reset)) if stream.state.is_some() => {
                subscription.displace();
                stream.begins = true;
                let frame = reset_to_snapshot_frame(reset, now);
                return Poll::Ready(Some(Ok(form.control(frame, now))));
            }
            Ok(Step::Topics(told)) => {
                return Poll::Ready(Some(Ok(form.control(told.frame(), now))));
            }
            Ok(Step::Reset(reset)) => {
                let frame = reset_frame(reset, &subscription.cursor(), now);
                return Poll::Ready(Some(Ok(form.control(frame, now))));
            }
            Ok(Step::End(code)) => code,
            Err(err) => {
                tracing::warn!(error = crate::tasks::chain(&err), "a stream lost the log; it ends");
                "busy"
            }
        };
        stream.ended = true;
        subscription.metrics().byes.with_label_values(&[code]).inc();
        let bye = bye_frame(code, None, Some(&subscription.settle()));
        Poll::Ready(Some(Ok(form.control(bye, now))))
    }
}
