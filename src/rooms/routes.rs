use super::{Message, Most, NewEvent};
use crate::events::Receipt;
use crate::http::{Problem, resource};
use crate::refusal::Refusal;
use crate::transports::get_events;
use crate::writes::{Answer, Write};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(post_events))]
pub struct Docs;

/// The most events one request publishes.
const MOST: usize = 1_000;

/// `/v1/events`: reading is history's, publishing is ours.
pub fn routes(service: &mut ServiceConfig) {
    service.service(resource(
        "/v1/events",
        [(Method::GET, || web::to(get_events)), (Method::POST, || web::to(post_events))],
    ));
}

/// What may be sent; it is read in two steps, so that what is wrong is named.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes")]
enum Batch {
    One(NewEvent),
    Many(Vec<NewEvent>),
}

/// One event is answered with one receipt, a batch with one for each.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Published {
    One { receipt: Receipt },
    Many { receipts: Vec<Receipt> },
}

/// `POST /v1/events`: one event, or an array of them in one transaction.
#[utoipa::path(
    post, path = "/v1/events", tag = "write", security(("bearer" = [])),
    request_body(content = Batch, example = json!({
        "topics": ["room/hu-tea"], "type": "room.message", "data": {"text": "今晚八点开仓"}
    })),
    responses((status = 201, description = "Published", body = Published))
)]
async fn post_events(mut write: Write) -> Result<HttpResponse, Problem> {
    // Whoever may write products may speak.
    write.writer()?;
    std::mem::take(&mut write.params).finish()?;
    let caller = write.caller.clone();
    let many = write.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let messages: Vec<Message> = if many {
        let events: Vec<NewEvent> = write.body()?;
        if events.is_empty() || events.len() > MOST {
            return Err(Refusal::invalid(
                "",
                "bad_batch",
                format!("a batch has 1 to {MOST} events"),
                format!("一批应有 1 到 {MOST} 个事件"),
            )
            .into());
        }
        let checked = events.into_iter().enumerate();
        checked.map(|(at, event)| event.check(&caller, Some(at))).collect::<Result<_, _>>()?
    } else {
        vec![write.body::<NewEvent>()?.check(&caller, None)?]
    };
    let limits = &write.limits().config;
    let most = match limits.enabled {
        true => Most { rooms: limits.rooms, of_one: limits.rooms_a_merchant },
        false => Most { rooms: i64::MAX, of_one: i64::MAX },
    };
    let cost = (messages.len() as u32).div_ceil(10);
    write
        .perform(cost, move |tx| {
            let mut receipts = Vec::with_capacity(messages.len());
            for message in &messages {
                receipts.push(super::publish(tx, &caller, message, most)?);
            }
            Ok(match receipts.pop() {
                Some(receipt) if !many => Answer::created(&Published::One { receipt }),
                last => {
                    receipts.extend(last);
                    Answer::created(&Published::Many { receipts })
                }
            })
        })
        .await
}
