//! Reports to a detached call how much its client has received, by the client's session.

use pingora_error::Error;
use pingora_proxy::Session;

use crate::exchange::delivery::Delivery;
use crate::exchange::ending::Sent;

use super::recording::{sent, written};

/// Reports how much has been written to the client so far.
pub fn report_written(delivery: &Delivery, session: &Session) {
    delivery.set_written(written(session), session.body_bytes_sent() as u64);
}

/// The client left, by this error of its connection.
pub fn client_left(delivery: &Delivery, session: &Session, error: &Error) {
    report_written(delivery, session);
    let Sent { bytes, length, may_be_unflushed } = sent(session, error);
    delivery.client_left(length == Some(bytes) && !may_be_unflushed);
}
