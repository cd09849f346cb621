//! A merchant's own things as files that a spreadsheet opens and an import
//! reads back.
//!
//! A file is made a page at a time while it is sent, so its size costs no
//! memory; what is written meanwhile may be in it or not.

mod csv;
mod routes;
mod sheets;
mod store;

pub use routes::{Docs, routes};
