//! One module for each target. Its `check` takes any bytes, hands them to a library of the gateway and to an oracle, and panics
//! where they do not agree.

pub mod canonical;
pub mod decode;
pub mod event_stream;
pub mod journal;
mod json;
pub mod json_extract;
pub mod located_yaml;
pub mod pieces;
pub mod url_path;
pub mod websocket;

/// Every target, by its name.
pub const TARGETS: [(&str, fn(&[u8])); 8] = [
    ("canonical", canonical::check),
    ("decode", decode::check),
    ("event_stream", event_stream::check),
    ("journal", journal::check),
    ("json_extract", json_extract::check),
    ("located_yaml", located_yaml::check),
    ("url_path", url_path::check),
    ("websocket", websocket::check),
];
