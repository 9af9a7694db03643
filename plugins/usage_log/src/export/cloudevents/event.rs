//! A row as a `CloudEvent` 1.0 in JSON. It says the same each time: nothing of it depends on when it is sent, or with which others.

use std::fmt::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::columns::{BATCHES, REQUESTS, Table, Value};
use crate::store::calendar;
use crate::{Record, RowText, Timestamp};

/// A call, as it was known when its answer ended.
const CALL: &str = "tollgate.usage.call.v1";
/// What became of such a call, where that is something else. Of another type, so that whoever adds up calls counts each once.
const CORRECTED: &str = "tollgate.usage.call.corrected.v1";
/// A result of a batch.
const BATCH_RESULT: &str = "tollgate.usage.batch_result.v1";
/// The subject of a call whose caller no plugin knows: receivers want one.
const ANONYMOUS: &str = "anonymous";
/// Columns that the database alone knows.
const NOT_HERE: [&str; 1] = ["conversation_id"];

/// The event of a record, as JSON.
///
/// # Errors
/// That it cannot be written, which does not happen.
pub(super) fn json(record: &Record, source: &str) -> serde_json::Result<Vec<u8>> {
    match record {
        Record::Request(row) => serde_json::to_vec(&Event {
            id: match row.revision {
                0 => row.id.to_string(),
                revision => format!("{}/{revision}", row.id),
            },
            source,
            kind: if row.revision == 0 { CALL } else { CORRECTED },
            subject: subject([&row.tenant, &row.key_name, &row.api_key_hash]),
            time: row.created_at,
            data: Data { table: &REQUESTS, row },
        }),
        Record::Batch(row) => serde_json::to_vec(&Event {
            id: format!("{}/{}", row.batch, row.custom_id),
            source,
            kind: BATCH_RESULT,
            subject: subject([&row.tenant, &row.key_name, &row.api_key_hash]),
            time: row.created_at,
            data: Data { table: &BATCHES, row },
        }),
    }
}

/// Who is billed: the caller's tenant, or else its key.
fn subject(names: [&Option<RowText>; 3]) -> &str {
    names.into_iter().flatten().map(RowText::as_str).find(|name| !name.is_empty()).unwrap_or(ANONYMOUS)
}

struct Event<'a, R: 'static> {
    id: String,
    source: &'a str,
    kind: &'static str,
    subject: &'a str,
    time: Timestamp,
    data: Data<'a, R>,
}

impl<R> Serialize for Event<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_map(Some(8))?;
        event.serialize_entry("specversion", "1.0")?;
        event.serialize_entry("id", &self.id)?;
        event.serialize_entry("source", self.source)?;
        event.serialize_entry("type", self.kind)?;
        event.serialize_entry("subject", self.subject)?;
        event.serialize_entry("time", &rfc3339(self.time))?;
        event.serialize_entry("datacontenttype", "application/json")?;
        event.serialize_entry("data", &self.data)?;
        event.end()
    }
}

/// The columns of a row, under their names. Money is text, for no JSON number is exact.
struct Data<'a, R: 'static> {
    table: &'static Table<R>,
    row: &'a R,
}

impl<R> Serialize for Data<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.table.columns.iter().filter(|column| !NOT_HERE.contains(&column.name));
        let mut data = serializer.serialize_map(None)?;
        for column in columns {
            data.serialize_key(column.name)?;
            match (column.value)(self.row) {
                Value::Null => data.serialize_value(&())?,
                Value::Text(text) => data.serialize_value(&text)?,
                Value::Json(text) => match serde_json::from_str::<&RawValue>(&text) {
                    Ok(json) => data.serialize_value(json)?,
                    Err(_) => data.serialize_value(&text)?,
                },
                Value::Bytes(bytes) => data.serialize_value(&hexadecimal(bytes))?,
                Value::Int4(number) => data.serialize_value(&number)?,
                Value::Int8(number) => data.serialize_value(&number)?,
                Value::Bool(value) => data.serialize_value(&value)?,
                Value::Uuid(id) => data.serialize_value(&id)?,
                Value::Time(time) => data.serialize_value(&rfc3339(time))?,
                Value::Money(cost) => data.serialize_value(&cost.to_string())?,
                Value::Address(address) => data.serialize_value(&address)?,
            }
        }
        data.end()
    }
}

/// `2026-11-29T13:30:00.123456Z`.
fn rfc3339(time: Timestamp) -> String {
    let mut text = calendar::text(time).replace(' ', "T");
    text.push('Z');
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // a String takes all
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;
    use uuid::Uuid;

    use super::*;
    use crate::{BatchRow, Cost, Row, Tokens};

    fn row() -> Row {
        Row {
            id: Uuid::from_u128(7),
            created_at: calendar::parse("2026-11-29 13:30:00.123456").unwrap(),
            tenant: Some("team-a".into()),
            tokens: Tokens { input: Some(12), ..Tokens::default() },
            usage_data: Some(r#"{"input_tokens":12.0e0}"#.into()),
            turn_hash: Some([0xab; 32]),
            cost_usd: Some(Cost::from_picos(12_300_000_000)),
            ..Row::default()
        }
    }

    fn event(record: &Record) -> Json {
        let json = json(record, "tollgate").unwrap();
        assert_eq!(json, super::json(record, "tollgate").unwrap());
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn an_event_has_the_attributes_that_receivers_want_and_the_row() {
        let event = event(&Record::Request(Box::new(row())));
        let attributes = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype"]
            .map(|name| event[name].as_str().unwrap());
        let id = "00000000-0000-0000-0000-000000000007";
        let time = "2026-11-29T13:30:00.123456Z";
        assert_eq!(attributes, ["1.0", id, "tollgate", CALL, "team-a", time, "application/json"]);
        let data = &event["data"];
        assert_eq!((&data["id"], &data["created_at"]), (&id.into(), &time.into()));
        assert_eq!((&data["input_tokens"], &data["output_tokens"]), (&12.into(), &Json::Null));
        assert_eq!((data["cost_usd"].as_str(), &data["saved_cost_usd"]), (Some("0.0123"), &Json::Null));
        assert_eq!(data["usage_data"]["input_tokens"].as_f64(), Some(12.0));
        assert_eq!(data["turn_hash"].as_str().map(str::len), Some(64));
        assert_eq!(data.as_object().unwrap().len(), REQUESTS.columns.len() - NOT_HERE.len());
        for name in NOT_HERE {
            assert!(REQUESTS.columns.iter().any(|column| column.name == name) && data.get(name).is_none());
        }
    }

    #[test]
    fn a_correction_is_another_event_of_another_type() {
        let event = event(&Record::Request(Box::new(Row {
            revision: 1,
            tenant: None,
            key_name: Some("alice".into()),
            ..row()
        })));
        assert_eq!(event["id"].as_str(), Some("00000000-0000-0000-0000-000000000007/1"));
        assert_eq!((event["type"].as_str(), event["subject"].as_str()), (Some(CORRECTED), Some("alice")));
    }

    #[test]
    fn a_result_of_a_batch_is_an_event_of_its_own() {
        let row = BatchRow { batch: "b".into(), custom_id: "1".into(), ..BatchRow::default() };
        let event = event(&Record::Batch(Box::new(row)));
        let words = ["id", "type", "subject"].map(|name| event[name].as_str().unwrap());
        assert_eq!(words, ["b/1", BATCH_RESULT, ANONYMOUS]);
        assert!(event["data"]["cost_usd"].is_null());
    }

    #[test]
    fn what_is_no_json_is_text() {
        let event = event(&Record::Request(Box::new(Row { usage_data: Some("{broken".into()), ..row() })));
        assert_eq!(event["data"]["usage_data"].as_str(), Some("{broken"));
    }
}
