use super::request::{House, Wanted, by_ticket, start};
use crate::auth::{Caller, Gate};
use crate::clock::rfc3339;
use crate::events::{Events, Reset, Room, Start, Step, StreamsConfig, Subscription};
use crate::http::{Params, Problem, accepts, wants_events};
use crate::limits::Seat;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::ContentEncoding;
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How many events, and about how many bytes, go into one write.
const ROOM: Room = Room { events: 256, bytes: 64 * 1024, at_least_one: true };

/// `GET /v1/stream?topic=…`.
pub(super) async fn get_stream(
    request: HttpRequest,
    caller: Result<Caller, Problem>,
    config: Data<StreamsConfig>,
) -> Result<HttpResponse, Problem> {
    serve(&request, None, caller, &config).await
}

/// `GET /v1/stream/{topic}`.
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
    if !accepts(request.headers(), &["text/event-stream"]) {
        return Err(Problem::new(
            406,
            "not_acceptable",
            "a stream is text/event-stream; /v1/poll answers JSON",
            "流式接口只提供 text/event-stream；JSON 请用 /v1/poll",
        ));
    }
    let house = House::of(request)?;
    match open(request, topic, caller, &house, config).await {
        Ok(response) => Ok(response),
        Err(problem) if wants_events(request.headers()) && is_passing(&problem) => {
            // An EventSource takes any other status for the end of the world.
            house.hub.readers().metrics.byes.with_label_values(&[problem.code()]).inc();
            Ok(head().body(bye(problem.code(), problem.wait(), None)))
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
) -> Result<HttpResponse, Problem> {
    // First of all: what comes after it asks the database.
    let address = house.address(request);
    house.limits.opens.check(address.key(), 1)?;
    let mut params = Params::parse(request.query_string());
    let cursor = params.take("cursor")?;
    let max_age = params.take_number("max_age", 1, 86_400)?;
    let caller = match params.take("ticket")? {
        Some(ticket) => by_ticket(&house.gate, &ticket).await?,
        None => caller?,
    };
    let wanted = Wanted::take(&mut params, topic, &caller, &house.limits)?;
    params.finish()?;
    wanted.admit(&caller, house).await?;
    if request.method() == Method::HEAD {
        return Ok(head().finish());
    }
    if *house.hub.readers().stopping.borrow() {
        let wait = Duration::from_millis(jitter(1_000, 5_000));
        return Err(
            Problem::new(503, "shutdown", "the node is stopping", "服务正在重启").retry_after(wait)
        );
    }
    let seat = house.limits.seat(address, caller.identity().map(|identity| &*identity.sub))?;

    let start = start(request, cursor).unwrap_or(Start::Now);
    let names = wanted.names();
    let age = max_age.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
    let (subscription, reset) =
        Subscription::open(&house.hub, wanted.filter(), &start, caller, (age, true)).await?;
    let mut first = hello(&subscription, &names, config, house);
    if let Some(reset) = reset {
        first += &reset_frame(reset, &subscription, house);
    }
    house.hub.readers().metrics.streams.inc();
    let stream = Stream {
        first: Some(first.into()),
        subscription,
        gate: house.gate.clone(),
        ended: false,
        opened: Instant::now(),
        _seat: seat,
    };
    let mut response = head().body(stream);
    if request.version() < Version::HTTP_11 {
        // An old proxy knows no chunks: the end of the body is the end of the connection.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        // Else it would be compressed, and a compressor holds back what is small.
        .insert_header(ContentEncoding::Identity);
    response
}

fn hello(
    subscription: &Subscription,
    topics: &[String],
    config: &StreamsConfig,
    house: &House,
) -> String {
    let cursor = subscription.cursor();
    let data = json!({
        "cursor": cursor.to_string(),
        "stream": format!("{:016x}", rand::random::<u64>()),
        "server_time": rfc3339(house.gate.now()),
        "heartbeat_ms": config.heartbeat_seconds * 1000,
        "topics": topics,
    });
    format!("retry: {}\n\nid: {cursor}\nevent: hello\ndata: {data}\n\n", config.retry_ms)
}

fn reset_frame(reset: Reset, subscription: &Subscription, house: &House) -> String {
    reset_text(reset, subscription, &rfc3339(house.gate.now()))
}

fn reset_text(reset: Reset, subscription: &Subscription, time: &str) -> String {
    let cursor = subscription.cursor();
    let data =
        json!({ "reason": reset.as_str(), "cursor": cursor.to_string(), "server_time": time });
    format!("id: {cursor}\nevent: reset\ndata: {data}\n\n")
}

/// The last frame of a stream. Each client is told another time to come back,
/// so that they do not all come at once.
fn bye(code: &str, wait: Option<Duration>, cursor: Option<String>) -> String {
    let wait = match wait {
        Some(wait) => wait.as_millis() as u64 + jitter(0, 1_000),
        None => jitter(1_000, 5_000),
    };
    let data = json!({ "code": code, "retry_after_ms": wait, "cursor": cursor });
    format!("retry: {wait}\nevent: bye\ndata: {data}\n\n")
}

pub(super) fn jitter(from: u64, to: u64) -> u64 {
    from + rand::random::<u64>() % (to - from).max(1)
}

/// The body of a stream: frames that were encoded once, joined into as few
/// writes as there can be.
struct Stream {
    first: Option<Bytes>,
    subscription: Subscription,
    gate: Data<Gate>,
    ended: bool,
    opened: Instant,
    _seat: Seat,
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
        if stream.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(step) = stream.subscription.poll_next(cx, ROOM) else {
            return Poll::Pending;
        };
        let now = || rfc3339(stream.gate.now());
        let bytes = match step {
            Ok(Step::Events(events)) => join(&events),
            Ok(Step::Heartbeat) => {
                format!("event: heartbeat\ndata: {{\"server_time\":\"{}\"}}\n\n", now()).into()
            }
            Ok(Step::Reset(reset)) => reset_text(reset, &stream.subscription, &now()).into(),
            Ok(Step::End(code)) => stream.end(code),
            Err(err) => {
                tracing::warn!(error = crate::tasks::chain(&err), "a stream lost the log; it ends");
                stream.end("busy")
            }
        };
        Poll::Ready(Some(Ok(bytes)))
    }
}

impl Stream {
    fn end(&mut self, code: &'static str) -> Bytes {
        self.ended = true;
        self.subscription.metrics().byes.with_label_values(&[code]).inc();
        bye(code, None, Some(self.subscription.settle().to_string())).into()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.subscription.metrics().streams.dec();
        tracing::debug!(seconds = self.opened.elapsed().as_secs(), "stream closed");
    }
}

/// The frames of `events` in one piece; of one event, without a copy.
fn join(events: &Events) -> Bytes {
    match &events[..] {
        [event] => event.frame(),
        events => {
            let frames: Vec<Bytes> = events.iter().map(|event| event.frame()).collect();
            let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
            frames.iter().for_each(|frame| joined.extend_from_slice(frame));
            joined.freeze()
        }
    }
}
