//! The ways a reader is served: server-sent events, long polling, history.
//!
//! They read the same log through the same [`Subscription`](crate::events::Subscription)
//! and send the same bytes, so a client may change from one to the other at
//! any event.

mod history;
mod poll;
mod request;
mod sse;
mod tickets;

use crate::events::Topic;
use crate::http::resource;
use crate::refusal::Refusal;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use std::future::Future;
use std::pin::Pin;

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

/// `/v1/stream`, `/v1/poll`, `/v1/events` (reading), `/v1/tickets`.
pub fn routes(service: &mut ServiceConfig) {
    service
        .service(resource("/v1/stream", [(Method::GET, || web::to(sse::get_stream))]))
        .service(resource("/v1/stream/{topic:.+}", [(Method::GET, || web::to(sse::get_topic))]))
        .service(resource("/v1/poll", [(Method::GET, || web::to(poll::get_poll))]))
        .service(resource("/v1/tickets", [(Method::POST, || web::to(tickets::post_ticket))]));
}

pub use history::get_events;
