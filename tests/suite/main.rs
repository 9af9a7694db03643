//! Tollgate over real sockets: one binary, so that it is linked once. `harness` is the story that all of it tells.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics is a test that fails")]

#[path = "../../examples/gateway.rs"]
#[expect(dead_code, reason = "its `main` is for users")]
mod example_gateway;
mod harness;

mod abuse; // raw bytes that no honest client sends
mod admin; // health, metrics and reload on the operator's listener
mod bodies; // any length, any framing, any server, byte for byte
mod budget; // what requests may hold in memory, all together
mod cache; // one answer for same calls, and never to another tenant
mod commands; // what they print, and how they end
mod config; // what is in `conf/` loads, and mistakes are told with their place
mod credentials; // upstreams' keys go to their servers, and nowhere else
mod dependencies; // their licences, sources and versions
mod documents; // what they say is true where it can be checked
mod errors; // answers made here: status, dialect, headers
mod health; // servers that turn sick and well, and what is seen of them
mod keys; // who may call, and what is never told of it
mod labels; // what is made up by clients and upstreams makes no metric
mod ledger; // its databases, alive and dead
mod like_nginx; // the same requests go to the same servers
mod limits; // what callers may have, and what they are told when they have had it
mod max_tokens; // the limit holds wherever the number hides
mod once; // one row for every request, whatever became of it
mod paths; // however a path is spelled, it is the same one
mod proxying; // what passes unchanged, and the few headers that change by rule
mod refusals; // what a plugin refuses: who did it, and why
mod reload; // another configuration, and nobody notices
mod retries; // another server, while nothing has reached the client
mod rules; // least_tokens, peak_ewma, hash
mod sdk; // the real SDKs see no gateway
mod secrets; // what the YAML holds in confidence is never told
mod stop; // how a gateway ends, and where it cannot begin
mod streams; // events leave when they come, and break when they break
mod texts; // what strangers say, in bounded length
mod timeouts; // each of the four, and what it is called
mod tls;
mod transforms; // answers that a plugin changes on their way
mod unread; // logs that nobody reads // certificates of listeners
mod usage; // what answers cost, read as they pass

mod failing; // what counts against servers, and who takes over
mod waiting; // every server full: refused, or in a queue

mod filler; // bodies that show what became of them
mod memory; // how much a gateway takes at its peak
