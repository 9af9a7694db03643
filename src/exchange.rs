//! The life of one request, without Pingora: what is decided about it, as pure code that reads no clock and touches no socket.

pub mod attempts;
pub mod deadlines;
pub mod failure;
pub mod response_observer;
pub mod retry_hint;
pub mod upstream;
