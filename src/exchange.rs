//! The life of one request, without Pingora: what is decided about it, as pure code that reads no clock and touches no socket.

pub mod deadlines;
pub mod response_observer;
pub mod retry_hint;
