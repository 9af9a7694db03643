//! The life of one request, without Pingora: what is decided about it, as pure code that reads no clock and touches no socket.

pub mod admission;
pub mod attempts;
pub mod authority;
pub mod buffered_body;
pub mod cookies;
pub mod deadlines;
pub mod delivery;
pub mod ending;
pub mod failure;
pub mod forwarded;
pub mod h2_allowance;
pub mod h2_frames;
pub mod h2_guard;
pub mod hash_key;
pub mod header_flags;
pub mod header_names;
pub mod hop_by_hop;
pub mod incoming_head;
pub mod incoming_line;
pub mod model_routes;
pub mod redirects;
pub mod request_line;
pub mod response_framing;
pub mod response_observer;
pub mod retry_hint;
pub mod upstream;
