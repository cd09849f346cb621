//! The ways a reader is served: server-sent events, long polling, history.
//!
//! They read the same log through the same [`Subscription`](crate::events::Subscription)
//! and send the same bytes, so a client may change from one to the other at
//! any event.

mod form;
mod history;
mod poll;
mod request;
mod snapshot;
mod sse;
mod state;
mod subscriptions;
pub mod text;
mod tickets;
mod topics;

pub use snapshot::{Asked, Page, Paged, Place, Present, SnapshotError, Snapshots};

use crate::events::Topic;
use crate::http::resource;
use crate::refusal::Refusal;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use std::future::Future;
use std::pin::Pin;
use utoipa::OpenApi;

/// Knows whether what a topic names exists. The catalogue does; it is told
/// here what is asked of it, since it stands above.
pub trait Directory: Send + Sync {
    /// Refuses a topic about a category, market or product that is not there.
    fn check<'a>(&'a self, topic: &'a Topic) -> Found<'a>;
}

/// What a [`Directory`] answers.
pub type Found<'a> = Pin<Box<dyn Future<Output = Result<(), DirectoryError>> + Send + 'a>>;

/// Why a topic is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// What it names does not exist.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be looked up.
    #[error(transparent)]
    Db(#[from] crate::db::Error),
}

/// What is answered here, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(paths(
    sse::get_stream,
    sse::get_topic,
    poll::get_poll,
    history::get_events,
    state::get_snapshot,
    tickets::post_ticket,
    topics::put_topics,
    subscriptions::get_subscriptions,
    subscriptions::put_subscriptions
))]
pub struct Docs;

/// `/v1/stream`, `/v1/streams/{id}/topics`, `/v1/me/subscriptions`,
/// `/v1/poll`, `/v1/snapshot`, `/v1/events` (reading), `/v1/tickets`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/stream", [(Method::GET, || web::to(sse::get_stream))]))
        .service(resource("/v1/stream/{topic:.+}", [(Method::GET, || web::to(sse::get_topic))]))
        .service(resource("/v1/poll", [(Method::GET, || web::to(poll::get_poll))]))
        .service(resource("/v1/snapshot", [(Method::GET, || web::to(state::get_snapshot))]))
        .service(resource(
            "/v1/streams/{stream}/topics",
            [(Method::PUT, || web::to(topics::put_topics))],
        ))
        .service(resource(
            "/v1/me/subscriptions",
            [
                (Method::GET, || web::to(subscriptions::get_subscriptions)),
                (Method::PUT, || web::to(subscriptions::put_subscriptions)),
            ],
        ))
        .service(resource("/v1/tickets", [(Method::POST, || web::to(tickets::post_ticket))]));
}

pub use history::get_events;
