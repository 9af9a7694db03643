//! Tollgate over real sockets. All tests are one binary, so that it is linked once; `harness` is what they share.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics is a test that fails")]

#[path = "../../examples/gateway.rs"]
#[expect(dead_code, reason = "its `main` is for users")]
mod example_gateway;
mod harness;

mod abuse; // malformed, slow and excessive input
mod access_log; // nginx's `combined`, and formats of one's own
mod admin; // health, metrics and reload on the operator's listener
mod agreement; // limits, budgets and the ledger have counted the same
mod batches; // calls that wait for a provider's batch
mod blocked_log; // logs whose reader is stuck
mod bodies; // any length, any framing, any server, byte for byte
mod browser; // the real Chromium, beside nginx
mod budget; // memory that all requests together may hold
mod cache; // identical calls get one answer, and never another tenant's
mod commands; // their output and exit codes
mod config; // the files of `conf/` load; errors have a place and a message
mod conversations; // which calls are turns of one
mod credentials; // upstreams' keys go to their servers, and nowhere else
mod dashboard; // its pages in a real browser, and who may see them
mod dependencies; // their licences, sources and versions
mod documents; // links, tests and metrics that documents name exist
mod edge; // headers, addresses, pages and passwords as nginx's place needs them
mod errors; // answers made here: status, dialect, headers
mod exactly_once_rows; // one row for every request, whatever its outcome
mod explained; // what `tollgate explain` says of a request is what a gateway does with it
mod export; // rows in Parquet files and CloudEvents, read by others
mod faults; // refusals of every kind, and panics in every hook
mod grafana; // what its panels ask and what alerts look at, in a real Prometheus
mod health; // servers that fail and recover, and what `/upstreams` shows
mod import_nginx; // answers as nginx gives with the configuration that was imported
mod keys; // who may call, and what of a key appears nowhere
mod labels; // names that clients and upstreams make up add no series
mod ledger; // the ledger with its databases up, down and wrong
mod like_nginx; // the same requests go to the same servers as with nginx
mod limits; // what callers may have, and the refusals beyond it
mod max_tokens; // the limit holds wherever the number hides
mod merged_embeddings; // embedding calls that are one upstream
mod models; // the `models` of routes: names, upstreams, and the model that an answer gives
mod modules; // which module of the gateway may import which
mod paths; // every spelling of a path matches the same route
mod proxy_protocol; // connections that a load balancer introduces, and both families of addresses
mod proxying; // what passes unchanged, and the headers that change
mod refusals; // the plugin and the reason of a refusal
mod reload; // another configuration without a failed request
mod retries; // other servers, while nothing has reached the client
mod routes; // what a route asks of a request, where it leads, and what it changes
mod rules; // the balancing rules least_tokens, peak_ewma and hash
mod same_sums; // what SQL, the command, the dashboard and the metrics say of the same calls
mod sdk; // real SDKs see the same with and without the gateway
mod secrets; // secrets of the YAML appear nowhere
mod spending; // budgets, and what of them outlives kills and outages
mod stop; // how a gateway stops, and when it does not start
mod streams; // events pass at once, and a broken stream breaks
mod supervised; // by systemd: what it is told, its sockets, its files
mod texts; // texts of clients are bounded
mod timeouts; // each timeout, and its name in the log
mod tls; // certificates of listeners, of clients, and of servers that are their own authority
mod tracing; // `traceparent`, and the spans that a collector gets
mod transforms; // answers that a plugin changes
mod upgrade; // another process in the place of this one, without a refused connection
mod usage; // token usage, read from answers
mod websocket; // calls in messages: decided on, counted, and no byte changed

mod failing; // failures that count against servers, and failover
mod waiting; // all servers full: refused or queued

mod memory; // the peak memory of a gateway
mod payloads; // bodies in which a changed byte shows
