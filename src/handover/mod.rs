//! Takes a connection out of the HTTP dispatcher once there is nothing left to
//! do for it but to wait.
//!
//! actix keeps two buffers of 8 KiB and a future for as long as a response
//! lasts, and a stream lasts for hours. So the dispatcher is given a [`Wire`]
//! instead of a socket. A body that has sent all there is says through the
//! [`Control`] of its connection that it would [`leave`](Control::leave); when
//! everything written has been accepted, the wire ends the dispatcher with an
//! error that nobody sees, and hands the socket to whoever asked. The way
//! back is a new wire with what was read already. See `docs/handover.md`.

mod request;
mod wire;

pub use request::{Asked, Signatures};
pub use wire::{Control, Landed, Landing, Wire};
