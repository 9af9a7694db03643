//! One call: its row, what took how long, and its bodies where they are stored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use plugin_api::AdminAnswer;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::json::Columns;
use super::parameters::Parameters;
use super::reader::Reader;
use super::row::{CALL, DETAILS, columns, shown};
use super::{Failure, json_answer};

/// As many bytes of a body are shown.
const SHOWN: usize = 256 << 10;

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let id = parameters.id("id")?.ok_or_else(|| "`id` is missing".to_owned())?;
    parameters.finish()?;
    let fields = [&CALL[..], &DETAILS[..]].concat();
    let query = format!(
        "SELECT {} FROM api_requests WHERE id = '{id}'{} ORDER BY created_at DESC LIMIT 1",
        columns(reader, &fields),
        reader.words().uuid
    );
    let row = reader.rows(&query, fields.len()).await?.into_iter().next();
    let Some(row) = row else { return Err(Failure::NotFound(format!("there is no call {id}"))) };
    let mut call = shown(&fields, row);
    let each = call.remove("attempt_details").filter(|each| !each.is_null());
    let attempts = json!({
        "count": call.get("attempts"),
        "last_server": call.get("server"),
        "upstream": call.get("upstream"),
        "each": each.unwrap_or_else(|| json!([])),
    });
    let (phases, bodies) = (phases(&call), bodies(reader, id).await?);
    Ok(json_answer(json!({ "call": call, "phases": phases, "attempts": attempts, "bodies": bodies })))
}

/// What a call did when, as far as its row knows.
fn phases(call: &Map<String, Value>) -> Vec<Value> {
    let milliseconds = |name: &str| call.get(name).and_then(Value::as_i64);
    let all = milliseconds("response_time_ms").unwrap_or(0);
    let ends = [
        ("waiting", milliseconds("first_byte_ms")),
        ("first_token", milliseconds("first_token_ms")),
        ("answering", Some(all)),
    ];
    let mut from = 0;
    let mut phases = Vec::new();
    for (phase, end) in ends {
        // a correction may have been made with another clock's rounding
        if let Some(to) = end.map(|end| end.clamp(from, all.max(from))) {
            phases.push(json!({ "phase": phase, "from_ms": from, "to_ms": to }));
            from = to;
        }
    }
    phases
}

/// The bodies that are stored; none where there is neither.
async fn bodies(reader: &Reader, id: Uuid) -> Result<Value, Failure> {
    let hex = reader.dialect().hex;
    // bytes come as digits, and no more of them than are shown
    let body = |name: &str| {
        let (part, length) = (hex(&format!("substr({name}, 1, {SHOWN})")), format!("CAST(length({name}) AS text)"));
        format!("{part}, {length}, {name}_encoding, CAST({name}_truncated AS text)")
    };
    let query = format!(
        "SELECT {}, {} FROM api_request_bodies WHERE id = '{id}'{} ORDER BY created_at DESC LIMIT 1",
        body("request_body"),
        body("response_body"),
        reader.words().uuid
    );
    let Some(row) = reader.rows(&query, 8).await?.into_iter().next() else { return Ok(Value::Null) };
    let mut columns = Columns::of(row);
    let (request, response) = (shown_body(&mut columns), shown_body(&mut columns));
    if request.is_null() && response.is_null() {
        return Ok(Value::Null);
    }
    Ok(json!({ "request": request, "response": response }))
}

fn shown_body(columns: &mut Columns) -> Value {
    let (digits, length, encoding, truncated) = (columns.text(), columns.sum(), columns.text(), columns.flag());
    let Some(digits) = digits else { return Value::Null };
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    let pairs = digits.as_bytes().chunks_exact(2);
    let bytes: Vec<u8> = pairs.map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap_or(0)).collect();
    let is_cut = i128::try_from(bytes.len()).is_ok_and(|shown| shown < length);
    let mut body = json!({
        "encoding": encoding,
        "bytes": i64::try_from(length).unwrap_or(i64::MAX),
        "stored_truncated": truncated.unwrap_or(false),
        "shown_truncated": is_cut,
    });
    let is_plain = encoding.as_deref().is_none_or(|encoding| encoding.is_empty() || encoding == "identity");
    match text(&bytes, is_cut || truncated.unwrap_or(false)).filter(|_| is_plain) {
        Some(text) => body["text"] = json!(text),
        None => body["base64"] = json!(BASE64_STANDARD.encode(&bytes)),
    }
    body
}

/// The bytes as text. Where they are cut, the last character may be, too.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_where_it_is_one() {
        let shown = |hex: &str, length: &str, encoding: Option<&str>, cut: &str| {
            let text = |text: &str| Some(text.to_owned());
            shown_body(&mut Columns::of(vec![text(hex), text(length), encoding.map(str::to_owned), text(cut)]))
        };
        assert_eq!(shown("c3bc", "2", None, "0")["text"], "ü");
        assert_eq!(shown("c3bcc3", "4", None, "f")["text"], "ü");
        assert_eq!(shown("c3bcc3", "3", None, "f")["base64"], "w7zD");
        assert_eq!(shown("41", "1", Some("gzip"), "t")["base64"], "QQ==");
        assert_eq!(shown_body(&mut Columns::of(vec![None, None, None, None])), Value::Null);
    }

    #[test]
    fn phases_follow_each_other() {
        let call = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let ends =
            |text: &str| phases(&call(text)).iter().map(|phase| phase["to_ms"].as_i64().unwrap()).collect::<Vec<_>>();
        assert_eq!(ends(r#"{ "response_time_ms": 9, "first_byte_ms": 3, "first_token_ms": 4 }"#), [3, 4, 9]);
        assert_eq!(ends(r#"{ "response_time_ms": 9, "first_byte_ms": 12, "first_token_ms": null }"#), [9, 9]);
        assert_eq!(ends(r#"{ "response_time_ms": 9 }"#), [9]);
    }
}
