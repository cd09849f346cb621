//! The promises of the service, each in a file of its own, kept by the real program.
//!
//! `cargo test` runs them on SQLite, `TEST_DATABASE=postgres cargo test` on a
//! PostgreSQL of their own.

// What is wrong with a test should stop it where it stands.
#![allow(clippy::unwrap_used)]

mod alerts;
mod alerts_clock;
mod alerts_nodes;
mod bad_http;
mod bad_input;
mod concurrency;
mod corrections;
mod crash;
mod documented;
mod dry_run;
mod durable;
mod export;
mod feeds;
mod floors;
mod formats;
mod framing;
mod hand_over;
mod harness;
mod idempotency;
mod identity;
mod if_match;
mod import;
mod keys;
mod limits;
mod low_stock;
mod market;
mod market_days;
mod migrations;
mod notifications;
mod open_streams;
mod ops;
mod poll;
mod price_history;
mod price_update;
mod reconnect;
mod reservations;
mod retention;
mod same_bytes;
mod saved_topics;
mod search;
mod several_topics;
mod shutdown;
mod similar;
mod slow_peers;
mod snapshot;
mod spared;
mod transports;
mod writing;
