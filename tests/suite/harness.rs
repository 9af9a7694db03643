//! What the tests share: the gateway as a real process, providers that do exactly what a test says, and clients that
//! see every byte. Nothing here sleeps for a fixed time: all of it waits for a condition, up to a deadline.
//!
//! ```ignore
//! let origin = origin().await;
//! let gateway = gateway().upstream(&origin).start().await;
//! origin.answers(sse().event("one").wait(&gate).event("two").end());
//! let mut client = http1(gateway.address()).await;
//! let answer = client.get("/v1/models").await;
//! ```

mod authority;
mod chromium;
mod client;
mod collector;
mod draws;
mod folder;
mod frame_client;
mod gateway;
mod idle;
mod lines;
mod metrics;
mod nginx;
mod origin;
mod pgbouncer;
mod port;
mod postgres;
mod prometheus;
mod raw;
mod redis;
mod tests;
mod wait;

pub use authority::{Authority, Issued};
pub use chromium::{Chromium, Page};
pub use client::{Answer, Body, Client, Streaming, body, h2, h2c, http1, https1, upload};
pub use collector::Collector;
pub use draws::Draws;
pub use folder::Folder;
pub use frame_client::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameClient, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, Verdict, WINDOW_UPDATE, field, frame, request, setting,
};
pub use gateway::{Builder, Gateway, gateway};
pub use lines::Lines;
pub use nginx::{Nginx, nginx, nginx_of, nginx_with_files};
pub use origin::{
    Act, Alpn, CANCEL, Came, Closed, ENHANCE_YOUR_CALM, Feed, Frames, Framing, Gate, HTTP_1_1_REQUIRED, INTERNAL_ERROR,
    NO_ERROR, Origin, REFUSED_STREAM, Received, Script, answer, feed, frames, gate, origin, refusing, sse, tls_origin,
    tls_origin_as,
};
pub use pgbouncer::pgbouncer;
pub use port::free_port;
pub use postgres::{Postgres, postgres};
pub use prometheus::{Prometheus, prometheus};
pub use raw::{Raw, RawAnswer, connect, connect_tls, tls_over};
pub use redis::{Redis, redis, redis_cluster};
pub use wait::{DEADLINE, eventually, found, soon};
