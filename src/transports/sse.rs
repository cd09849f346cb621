use super::request::{House, Wanted, by_ticket, start, waiting_room};
use crate::auth::Caller;
use crate::clock::rfc3339;
use crate::events::{
    Guest, Hub, ROOM, Start, Step, StreamsConfig, Subscription, bye_frame, heartbeat_frame, jitter,
    reset_frame,
};
use crate::handover::{Control, Landed, Landing};
use crate::http::{Params, Problem, accepts, wants_events};
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
            Ok(head().body(bye_frame(problem.code(), problem.wait(), None)))
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
    let until = max_age.map(|age| Instant::now() + Duration::from_secs(age.unsigned_abs()));
    let closes = request.head().connection_type() == ConnectionType::Close;
    let guest = Guest { caller, seat: Some(seat), until, streams: true, closes };
    let (subscription, reset) =
        Subscription::open(&house.hub, wanted.filter(), &start, guest).await?;
    let mut first = hello(&subscription, &names, config, house);
    if let Some(reset) = reset {
        first += &reset_frame(reset, &subscription.cursor(), house.gate.now());
    }
    let control = waiting_room(request, &house.hub);
    let subscription = RefCell::new(Some(subscription));
    let shared = Rc::new(Shared { hub: house.hub.clone(), subscription });
    let mut response =
        head().body(Stream { shared, first: Some(first.into()), ended: false, control });
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

/// The body of a stream, for as long as the dispatcher has its connection.
struct Stream {
    shared: Rc<Shared>,
    first: Option<Bytes>,
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
        if stream.ended {
            return Poll::Ready(None);
        }
        let mut subscription = stream.shared.subscription.borrow_mut();
        let Some(subscription) = &mut *subscription else { return Poll::Ready(None) };
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
        let now = stream.shared.hub.readers().gate.now();
        let code = match step {
            Ok(Step::Events(batch)) => return Poll::Ready(Some(Ok(batch.frames()))),
            Ok(Step::Heartbeat) => return Poll::Ready(Some(Ok(heartbeat_frame(now).into()))),
            Ok(Step::Reset(reset)) => {
                let frame = reset_frame(reset, &subscription.cursor(), now);
                return Poll::Ready(Some(Ok(frame.into())));
            }
            Ok(Step::End(code)) => code,
            Err(err) => {
                tracing::warn!(error = crate::tasks::chain(&err), "a stream lost the log; it ends");
                "busy"
            }
        };
        stream.ended = true;
        subscription.metrics().byes.with_label_values(&[code]).inc();
        Poll::Ready(Some(Ok(bye_frame(code, None, Some(&subscription.settle())).into())))
    }
}
