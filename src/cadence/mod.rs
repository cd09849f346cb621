//! What a merchant says of how often they will be heard of. What comes of it
//! stands in [`feeds`](crate::feeds), below all writing.

mod routes;

pub use routes::{Docs, routes};
