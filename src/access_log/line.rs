//! Formats a request as one line of JSON. Does not know the output.

mod answer;

use std::time::Duration;

use plugin_api::{Principal, Record};

use crate::logging::field;

/// Appends the request as a JSON object. The keys and their order are fixed; those of an answer or a refusal are present only where there
/// was one. Unknown values are null.
pub(super) fn json(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&field::rfc3339(record.started));
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(record.context.id.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.push(b'"');
    word(out, b",\"method\":", Some(record.method.as_str()));
    text(out, b",\"host\":", Some(&*record.host).filter(|host| !host.is_empty()));
    text(out, b",\"path\":", Some(&*record.path).filter(|path| !path.is_empty()));
    word(out, b",\"protocol\":", Some(record.transport.as_str()));
    number(out, b",\"status\":", record.status.map(|status| status.as_u16().into()));
    word(out, b",\"outcome\":", Some(record.outcome.as_str()));
    word(out, b",\"error\":", record.error);
    word(out, b",\"endpoint\":", record.endpoint.map(|endpoint| endpoint.as_str()));
    text(out, b",\"model\":", record.model.as_deref());
    out.extend_from_slice(match record.streaming {
        Some(true) => b",\"streaming\":true",
        Some(false) => b",\"streaming\":false",
        None => b",\"streaming\":null",
    });
    text(out, b",\"upstream\":", record.upstream.as_deref());
    text(out, b",\"server\":", record.server.as_deref());
    number(out, b",\"attempts\":", Some(record.attempts.into()));
    number(out, b",\"request_bytes\":", Some(record.request_bytes));
    number(out, b",\"response_bytes\":", Some(record.response_bytes));
    milliseconds(out, b",\"first_byte_ms\":", record.first_byte);
    milliseconds(out, b",\"duration_ms\":", Some(record.total));
    refusal(out, record);
    caller(out, record.context.principal());
    if let Some(trace) = &record.context.trace {
        text(out, b",\"trace_id\":", Some(&*trace.id.to_string()));
    }
    answer::json(out, record);
    out.extend_from_slice(b",\"client\":");
    match record.context.client {
        Some(address) => field::address(out, address),
        None => out.extend_from_slice(NULL),
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the plugin that refused the request, or whose panic ended it, and the reason of a refusal; neither key if there is none.
fn refusal(out: &mut Vec<u8>, record: &Record) {
    if record.plugin.is_some() {
        text(out, b",\"plugin\":", record.plugin);
        text(out, b",\"reason\":", record.reason);
    }
}

/// Appends what is known of the caller. What is not known has no key.
fn caller(out: &mut Vec<u8>, principal: &Principal) {
    let Principal { key_name, tenant, session, user, .. } = principal;
    let known: [(&[u8], _); 4] = [
        (b",\"tenant\":", tenant),
        (b",\"key_name\":", key_name),
        (b",\"session_id\":", session),
        (b",\"user_id\":", user),
    ];
    for (key, value) in known {
        if value.is_some() {
            text(out, key, value.as_deref());
        }
    }
}

const NULL: &[u8] = b"null";

fn text(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => field::string(out, value),
        None => out.extend_from_slice(NULL),
    }
}

/// Appends a word that has nothing to escape: one of the gateway's own, or a method, which is a token (RFC 9110, section 5.6.2).
fn word(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => {
            out.push(b'"');
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(NULL),
    }
}

fn number(out: &mut Vec<u8>, key: &[u8], value: Option<u64>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => field::number(out, value),
        None => out.extend_from_slice(NULL),
    }
}

/// In microseconds, since the gateway itself takes less than a millisecond.
fn milliseconds(out: &mut Vec<u8>, key: &[u8], value: Option<Duration>) {
    number(out, key, value.map(|value| u64::try_from(value.as_millis()).unwrap_or(u64::MAX)));
    if let Some(value) = value {
        let micros = value.subsec_micros() % 1000;
        let digit = |unit: u32| b'0' + (micros / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use plugin_api::http::{Method, StatusCode};
    use plugin_api::{Context, Endpoint, Outcome, Uuid};

    use super::*;

    fn record() -> Record {
        let mut context = Context::new(Uuid::nil());
        context.client = Some([127, 0, 0, 1].into());
        Record {
            context,
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007),
            method: Method::POST,
            path: "/v1/messages".into(),
            host: "api.example.com".into(),
            endpoint: Some(Endpoint::MESSAGES),
            model: Some("claude-x".into()),
            streaming: Some(true),
            upstream: Some("claude".into()),
            server: Some("proxy1:3000".into()),
            attempts: 2,
            status: Some(StatusCode::OK),
            outcome: Outcome::Completed,
            error: None,
            request_bytes: 12,
            response_bytes: 3456,
            first_byte: Some(Duration::from_micros(1_000_020)),
            total: Duration::from_micros(2_000_500),
            ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
        }
    }

    fn written(write: fn(&mut Vec<u8>, &Record), record: &Record) -> String {
        let mut out = Vec::new();
        write(&mut out, record);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_one_json_line_with_its_keys_in_a_fixed_order() {
        assert_eq!(
            written(json, &record()),
            concat!(
                r#"{"time":"2023-11-14T22:13:20.007Z","id":"00000000-0000-0000-0000-000000000000","method":"POST","#,
                r#""host":"api.example.com","path":"/v1/messages","protocol":"http/1.1","status":200,"#,
                r#""outcome":"completed","error":null,"#,
                r#""endpoint":"messages","model":"claude-x","streaming":true,"upstream":"claude","#,
                r#""server":"proxy1:3000","attempts":2,"request_bytes":12,"response_bytes":3456,"#,
                r#""first_byte_ms":1000.020,"duration_ms":2000.500,"client":"127.0.0.1"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_refusal_says_which_plugin_refused_and_why() {
        let (plugin, reason) = (Some("max_tokens"), Some("too_high"));
        let refused = Record { plugin, reason, outcome: Outcome::Refused, ..record() };
        let line = written(json, &refused);
        assert!(line.contains(r#","plugin":"max_tokens","reason":"too_high","client":"#), "{line}");
        assert!(!written(json, &record()).contains("reason"));
    }

    #[test]
    fn a_line_says_who_called_as_far_as_that_is_known() {
        let mut record = record();
        let principal = record.context.principal_mut();
        (principal.tenant, principal.session) = (Some("team \"a\"".into()), Some("s1".into()));
        let line = written(json, &record);
        assert!(line.contains(r#","tenant":"team \"a\"","session_id":"s1","client":"#), "{line}");
        assert!(!line.contains("key_name") && !line.contains("user_id"), "{line}");
    }

    #[test]
    fn what_is_not_known_is_null() {
        let blank = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
        let read: serde_json::Value = serde_json::from_str(&written(json, &blank)).unwrap();
        let nulls = read.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.as_str());
        let mut nulls: Vec<_> = nulls.collect();
        nulls.sort_unstable();
        assert_eq!(
            nulls,
            [
                "client",
                "endpoint",
                "error",
                "first_byte_ms",
                "host",
                "model",
                "path",
                "server",
                "status",
                "streaming",
                "upstream"
            ]
        );
    }

    #[test]
    fn a_client_cannot_write_lines_of_its_own() {
        let mean = "x\",\"status\":200}\n{\"a\\\u{0}\u{1b}[2J\u{7f}é";
        let record = Record { path: mean.into(), host: mean.into(), model: Some(mean.into()), ..record() };
        let line = written(json, &record);
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        for key in ["path", "host", "model"] {
            assert_eq!(read[key], mean);
        }
    }
}
