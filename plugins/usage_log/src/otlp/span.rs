//! The spans of a row: the gateway's, and below it the plugins', the wait for a server, and the attempts. Holds no prompt, answer or
//! secret: a row's bodies are not looked at.

use std::net::SocketAddr;

use plugin_api::{OtlpSettings, SpanId, Trace};
use uuid::Uuid;

use super::attributes::Attributes;
use super::names::{Names, operation, provider};
use super::protobuf::Message;
use crate::Row;
use crate::row::{RowAttempt, RowSpans};

/// A wait for a server that is shorter is none: choosing one takes microseconds.
const SHORTEST_WAIT_US: i64 = 1000;

/// `SpanKind`.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `Status.StatusCode.STATUS_CODE_ERROR`.
const ERROR: u64 = 2;
/// `SpanFlags`: the parent is known to be in another process or not, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Numbers of the spans below the gateway's.
const HEAD: u64 = 0;
const CALL: u64 = 1;
/// From here on, the waits of the attempts, which may be as many as these.
const WAIT: u64 = 1 << 32;

/// An `ExportTraceServiceRequest` with the spans of these rows, and how many they are.
pub(super) fn request(rows: &[&Row], settings: &OtlpSettings) -> (Vec<u8>, u64) {
    let names = Names::of(settings.semconv);
    let (mut message, mut count) = (Message::default(), 0);
    for of_one in rows.chunk_by(|row, next| row.instance == next.instance) {
        message.message(1, |resource_spans| {
            resource_spans.message(1, |resource| describe_resource(resource, of_one[0].instance, settings));
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |scope| {
                    scope.bytes(1, b"tollgate");
                    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                for row in of_one {
                    count += write_row(scope_spans, row, names);
                }
                if !names.schema_url.is_empty() {
                    scope_spans.bytes(3, names.schema_url.as_bytes());
                }
            });
        });
    }
    (message.into_bytes(), count)
}

fn describe_resource(resource: &mut Message, instance: Uuid, settings: &OtlpSettings) {
    let mut attributes = Attributes::new(resource, 1);
    attributes.text("service.name", Some(&settings.service_name));
    attributes.text("service.version", Some(env!("CARGO_PKG_VERSION")));
    attributes.text("service.instance.id", Some(instance.hyphenated().encode_lower(&mut Uuid::encode_buffer())));
}

/// A row whose spans are written.
struct Spans<'a> {
    row: &'a Row,
    spans: &'a RowSpans,
    trace_id: [u8; 16],
    span: SpanId,
}

/// One span, without its attributes.
struct Span<'a> {
    id: SpanId,
    parent: Option<[u8; 8]>,
    is_parent_remote: bool,
    name: &'a str,
    kind: u64,
    /// When it began and ended, in microseconds from the head of the request on.
    times: (i64, i64),
}

/// Writes the spans of a row into a field of a message, and gives their number.
fn write_row(scope_spans: &mut Message, row: &Row, names: &Names) -> u64 {
    let Some(spans) = &row.spans else { return 0 };
    let trace_id = row.trace_id.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok());
    let (Some(trace_id), Some(span)) = (trace_id, SpanId::from_bytes(spans.span)) else { return 0 };
    let spans = Spans { row, spans, trace_id: trace_id.to_be_bytes(), span };
    spans.gateway(scope_spans, names);
    1 + spans.plugins(scope_spans) + spans.attempts(scope_spans)
}

impl Spans<'_> {
    fn gateway(&self, out: &mut Message, names: &Names) {
        let (row, spans) = (self.row, self.spans);
        // a path that is no endpoint's may be anything
        let name = if row.endpoint.is_some() { &format!("{} {}", row.method, row.path) } else { &*row.method };
        let span = Span {
            id: self.span,
            parent: spans.parent,
            is_parent_remote: true,
            name,
            kind: SERVER,
            times: (0, spans.total_us),
        };
        self.write(out, &span, |out| {
            let mut attributes = Attributes::new(out, 9);
            self.describe_request(&mut attributes);
            self.describe_call(&mut attributes, names);
            if let Some(first_token) = row.first_token_ms {
                out.message(11, |event| {
                    event.fixed64(1, self.nanos(first_token.saturating_mul(1000)));
                    event.bytes(2, b"first_token");
                });
            }
            if self.is_error() {
                out.message(15, |status| {
                    if let Some(why) = &row.error_type {
                        status.bytes(2, why.as_bytes());
                    }
                    status.varint(3, ERROR);
                });
            }
        });
    }

    fn describe_request(&self, attributes: &mut Attributes<'_>) {
        let row = self.row;
        attributes.text("http.request.method", Some(&row.method));
        attributes.text("url.path", Some(&row.path));
        attributes.text("server.address", Some(&row.domain));
        attributes.int("http.response.status_code", row.response_status.map(i64::from));
        attributes.int("http.request.body.size", Some(row.request_bytes));
        attributes.int("http.response.body.size", Some(row.response_bytes));
        let protocol = row.protocol.as_deref();
        attributes.text("network.protocol.name", protocol.map(|name| if name == "websocket" { name } else { "http" }));
        attributes.text(
            "network.protocol.version",
            match protocol {
                Some("http/1.1") => Some("1.1"),
                Some("h2") => Some("2"),
                _ => None,
            },
        );
        attributes.text("client.address", row.client_ip.map(|ip| ip.to_string()).as_deref());
        attributes.text("error.type", row.error_type.as_deref());
        attributes.text("user.id", row.user_id.as_deref());
        attributes.text("session.id", row.session_id.as_deref());
        attributes.text("tollgate.request_id", Some(row.id.hyphenated().encode_lower(&mut Uuid::encode_buffer())));
        attributes.text("tollgate.outcome", Some(&row.outcome));
        attributes.text("tollgate.route", row.route.as_deref());
        attributes.text("tollgate.upstream", row.upstream.as_deref());
        attributes.text("tollgate.tenant", row.tenant.as_deref());
        attributes.text("tollgate.key_name", row.key_name.as_deref());
        attributes.text("tollgate.plugin", row.plugin.as_deref());
        attributes.text("tollgate.reason", row.reason.as_deref());
        attributes.text("tollgate.cache_status", row.cache_status.as_deref());
        attributes.int("tollgate.attempts", Some(row.attempts.into()));
        attributes.int("tollgate.revision", Some(i64::from(row.revision)).filter(|revision| *revision > 0));
    }

    fn describe_call(&self, attributes: &mut Attributes<'_>, names: &Names) {
        let row = self.row;
        let Some(endpoint) = &row.endpoint else { return };
        let model = row.served_model.as_deref().or(row.model.as_deref());
        attributes.text("gen_ai.operation.name", Some(operation(endpoint)));
        attributes.text("gen_ai.provider.name", model.and_then(provider));
        attributes.text("gen_ai.request.model", row.model.as_deref());
        attributes.text("gen_ai.response.model", row.served_model.as_deref());
        attributes.text("gen_ai.response.id", row.answer_id.as_deref());
        attributes.list("gen_ai.response.finish_reasons", row.stop_reason.as_deref());
        let tokens = row.tokens;
        // the conventions count what comes from a cache, or goes there, as input
        let cached = [tokens.cache_read, tokens.cache_creation].into_iter().flatten().fold(0_i64, i64::saturating_add);
        attributes.int("gen_ai.usage.input_tokens", tokens.input.map(|input| input.saturating_add(cached)));
        attributes.int("gen_ai.usage.output_tokens", tokens.output);
        attributes.int("gen_ai.usage.cache_read.input_tokens", tokens.cache_read);
        attributes.int(names.cache_write, tokens.cache_creation);
        if let Some(reasoning) = names.reasoning {
            attributes.int(reasoning, tokens.reasoning);
        }
        if let Some(stream) = names.stream {
            attributes.bool(stream, row.streaming);
        }
        if let Some(first_chunk) = names.first_chunk {
            attributes.double(first_chunk, row.first_token_ms.map(|after| after as f64 / 1000.0));
        }
        // exact to the last digit: no number of a span is
        attributes.text("tollgate.cost_usd", row.cost_usd.map(|cost| cost.to_string()).as_deref());
    }

    /// Whether the gateway failed, or its upstream. A client's mistake is no failure of the server, by the conventions.
    fn is_error(&self) -> bool {
        let row = self.row;
        matches!(&*row.outcome, "upstream_failed" | "aborted")
            || row.response_status.is_some_and(|status| status >= 500)
    }

    fn plugins(&self, out: &mut Message) -> u64 {
        let spans = self.spans;
        let hooks = [
            (HEAD, "plugins on_request", spans.head_began_us, spans.head_ended_us),
            (CALL, "plugins on_call", spans.call_began_us, spans.call_ended_us),
        ];
        let ran = hooks.into_iter().filter(|(.., ended)| *ended > 0);
        ran.map(|(number, name, began, ended)| self.child(out, number, name, INTERNAL, (began, ended), |_| {})).sum()
    }

    fn attempts(&self, out: &mut Message) -> u64 {
        let mut count = 0;
        for (index, attempt) in self.spans.attempts.iter().enumerate() {
            let times = (attempt.began_us, attempt.ended_us.unwrap_or(self.spans.total_us));
            if attempt.began_us - attempt.wanted_us >= SHORTEST_WAIT_US {
                let wait = (attempt.wanted_us, attempt.began_us);
                count += self.child(out, WAIT + index as u64, "queue", INTERNAL, wait, |_| {});
            }
            let id = Trace::attempt_span(self.span, index);
            let parent = Some(self.span.bytes());
            let name = &*self.row.method;
            let span = Span { id, parent, is_parent_remote: false, name, kind: CLIENT, times };
            self.write(out, &span, |out| self.describe_attempt(out, index, attempt));
            count += 1;
        }
        count
    }

    fn describe_attempt(&self, out: &mut Message, index: usize, attempt: &RowAttempt) {
        let is_last = index + 1 == self.spans.attempts.len();
        let error = attempt.error.as_deref().or_else(|| {
            // what broke a response that was passing is known of the exchange alone
            self.row.error_type.as_deref().filter(|_| is_last && &*self.row.outcome == "upstream_failed")
        });
        let error = error
            .map(str::to_owned)
            .or_else(|| attempt.status.filter(|status| *status >= 400).map(|status| status.to_string()));
        let mut attributes = Attributes::new(out, 9);
        attributes.text("http.request.method", Some(&self.row.method));
        let (host, port) = host_and_port(&attempt.server);
        attributes.text("server.address", Some(host));
        let peer = attempt.address.parse::<SocketAddr>().ok();
        attributes.int("server.port", port.or_else(|| peer.map(|peer| peer.port())).map(i64::from));
        attributes.text("network.peer.address", peer.map(|peer| peer.ip().to_string()).as_deref());
        attributes.int("network.peer.port", peer.map(|peer| peer.port().into()));
        attributes.int("http.response.status_code", attempt.status.map(i64::from));
        attributes.int("http.request.resend_count", i64::try_from(index).ok().filter(|index| *index > 0));
        attributes.text("error.type", error.as_deref());
        attributes.text("tollgate.upstream", Some(&attempt.upstream));
        attributes.text("tollgate.server", Some(&attempt.server));
        if error.is_some() {
            out.message(15, |status| status.varint(3, ERROR));
        }
    }

    /// Writes a span below the gateway's.
    fn child(
        &self,
        out: &mut Message,
        number: u64,
        name: &str,
        kind: u64,
        times: (i64, i64),
        more: impl FnOnce(&mut Message),
    ) -> u64 {
        let (id, parent) = (self.span.child(number), Some(self.span.bytes()));
        self.write(out, &Span { id, parent, is_parent_remote: false, name, kind, times }, more);
        1
    }

    /// Writes a span. What is noted of its times is never outside of the exchange's.
    fn write(&self, out: &mut Message, span: &Span<'_>, more: impl FnOnce(&mut Message)) {
        let total = self.spans.total_us.max(0);
        let began = span.times.0.clamp(0, total);
        let ended = span.times.1.clamp(began, total);
        out.message(2, |message| {
            message.bytes(1, &self.trace_id);
            message.bytes(2, &span.id.bytes());
            if let Some(parent) = span.parent {
                message.bytes(4, &parent);
            }
            message.bytes(5, span.name.as_bytes());
            message.varint(6, span.kind);
            message.fixed64(7, self.nanos(began));
            message.fixed64(8, self.nanos(ended));
            more(message);
            let remote = if span.parent.is_some() && span.is_parent_remote { IS_REMOTE } else { 0 };
            let flags = u32::from(u8::try_from(self.spans.flags).unwrap_or(0));
            message.fixed32(16, flags | HAS_IS_REMOTE | remote);
        });
    }

    /// A time of the exchange in nanoseconds since 1970.
    fn nanos(&self, after_us: i64) -> u64 {
        let micros = self.row.created_at.micros().saturating_add(after_us);
        u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
    }
}

/// The host and the port of a server as the YAML writes it: `https://host:443/`, `host:80`, `[::1]:80`.
fn host_and_port(server: &str) -> (&str, Option<u16>) {
    let authority = server.split_once("://").map_or(server, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
}
