//! Tollgate: an LLM edge gateway. It takes nginx's place in front of LLM upstreams, and it understands the call.
//!
//! # The map
//!
//! | file | what it is |
//! |---|---|
//! | [`cli`] | arguments → a command and its exit code; `main.rs` only calls it |
//! | [`config`] | the YAML file → [`config::Config`], read by `located_yaml`; checks of its parts against each other |
//! | [`settings`] | what the YAML says of the process, its listeners and its certificates |
//! | [`server`] | `Config` → a running gateway: listeners, signals, reload, upgrade, drain |
//! | [`engine`] | all that names Pingora: one line per hook, each phase in its own file; sockets, sessions, bodies, peers |
//! | [`exchange`] | the life of one request without Pingora: attempts, failures, deadlines, how it ends; pure |
//! | [`chain`] | runs the plugins: order, early answers, panics |
//! | [`routes`] | the head of a request → its route; the settings of routes: what they take, where they lead, how they change the path |
//! | [`attribution`] | what clients say of themselves → the session and the user of a call |
//! | [`balance`] | chooses a server, counts what is in flight on it, leaves out those that fail; does not connect |
//! | [`dns`] | servers' names → addresses, in the background |
//! | [`health`] | asks servers in the background whether they can take requests |
//! | [`dialect`] | reads the body of a call from a copy of its bytes, its encoding taken off |
//! | [`tls`] | certificates of listeners, chosen by name and read again when they change; what those of clients say |
//! | [`admin`] | the operator's listener: health, metrics, upstreams, reload, purges, the dashboard |
//! | [`memory`] | what requests of the process are charged to; how much that is, `config` says |
//! | [`metrics`] | what is counted, as Prometheus reads it |
//! | [`access_log`] | one line per request, off its way |
//! | [`logging`] | what the gateway says of itself |
//! | [`mod@plugins`] | the plugins this build has, without their types; the only file that names them |
//! | [`simulate`] | an upstream that answers as Anthropic and `OpenAI` do |
//! | [`explain`] | a request on standard input → what it would get, and why |
//! | [`import`] | the configuration of another gateway → one of this |
//! | [`demo`] | a gateway before three simulators |
//!
//! The map of the repository and the way of a request: `ARCHITECTURE.md`.
//!
//! # Who may import whom
//!
//! Arrows point one way, which a test holds: `cli → {server, explain, import, demo, simulate, config}`, `{server, explain} → {engine, admin, config}`,
//! `engine → {exchange, chain, attribution, routes, balance, health, dialect, config}`, `exchange → {balance, dns, dialect, memory}`,
//! `health → balance → dns`, `config → {settings, routes, plugins, balance, attribution}`, `plugins → {plugins/*, chain}`,
//! `{plugins/*, chain, dialect} → plugin-api`, all of them → libs/*. Anybody may use `metrics`, `memory` and the logs. Only `engine`
//! names Pingora; only `config` reads the environment.

pub mod access_log;
pub mod admin;
pub mod attribution;
pub mod balance;
pub mod chain;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod dns;
pub mod engine;
pub mod exchange;
pub mod explain;
pub mod health;
pub mod import;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod plugins;
pub mod routes;
pub mod server;
pub mod settings;
pub mod simulate;
pub mod tls;
