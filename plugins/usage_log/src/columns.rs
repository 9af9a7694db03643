//! The columns of the ledger, each declared once: its name, what it is in either engine, the field of the record that it shows, and
//! the number of that field in the journal. Knows no database.
//!
//! A new column is a field of [`Row`], a line here with the next free number, and a migration for either engine. Tests compare
//! the three. A number is never given to another field.

mod column;
mod shows;
mod value;

use crate::encoding::fields::fields;
use crate::{BatchRow, Body, Piece, Row, Timestamp};

use column::{FieldTests, plain};

pub(crate) use column::Column;
pub(crate) use shows::SqlType;
pub(crate) use value::Value;

/// A table whose rows are made from `R`.
pub(crate) struct Table<R: 'static> {
    pub(crate) name: &'static str,
    /// The columns of its key.
    key: &'static str,
    pub(crate) columns: &'static [Column<R>],
}

/// Declares a table, and the fields of its record in the journal: those of the columns, and others.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $table:ident: $row:ty = $name:literal by $key:literal {
            $($number:literal $column:literal: $shown:ident = $($part:ident).+;)*
        } besides {
            $($more:literal = $($other:ident).+;)*
        }
    ) => {
        $(#[$doc])*
        pub(crate) static $table: Table<$row> = Table {
            name: $name,
            key: $key,
            columns: &[$(shows::column::<$row, _, shows::$shown>(
                $column,
                |row| &row.$($part).+,
                |row| shows::value::<_, shows::$shown>(&row.$($part).+),
                FieldTests {
                    is_null: |row| shows::is_null::<_, shows::$shown>(&row.$($part).+),
                    is_same: |row, other| row.$($part).+ == other.$($part).+,
                },
            ),)*],
        };

        fields! { $row { $($number = $($part).+;)* $($more = $($other).+;)* } }
    };
}

table! {
    /// Requests.
    REQUESTS: Row = "api_requests" by "id, created_at" {
        1 "id": Id = id;
        2 "created_at": Time = created_at;
        3 "revision": Int4 = revision;
        4 "instance": Id = instance;
        5 "sequence": Int8 = sequence;
        6 "domain": Key = domain;
        7 "method": Text = method;
        8 "path": Text = path;
        9 "endpoint": Text = endpoint;
        10 "model": Text = model;
        11 "request_type": Text = request_type;
        12 "served_model": Text = served_model;
        13 "conversation_id": Id = conversation_id;
        14 "turn_hash": Bytes = turn_hash;
        15 "previous_turn_hash": Bytes = previous_turn_hash;
        16 "api_key_hash": Text = api_key_hash;
        17 "response_status": Int4 = response_status;
        18 "response_time_ms": Int8 = response_time_ms;
        19 "first_byte_ms": Int8 = first_byte_ms;
        20 "first_token_ms": Int8 = first_token_ms;
        21 "streaming": Bool = streaming;
        22 "input_tokens": Int8 = tokens.input;
        23 "output_tokens": Int8 = tokens.output;
        24 "cache_read_input_tokens": Int8 = tokens.cache_read;
        25 "cache_creation_input_tokens": Int8 = tokens.cache_creation;
        26 "cache_creation_1h_input_tokens": Int8 = tokens.cache_creation_1h;
        27 "reasoning_tokens": Int8 = tokens.reasoning;
        28 "usage_source": Text = usage_source;
        29 "usage_data": Json = usage_data;
        30 "billed": Json = billed;
        31 "cost_usd": Money = cost_usd;
        32 "cache_status": Text = cache_status;
        33 "saved_input_tokens": Int8 = saved.input;
        34 "saved_output_tokens": Int8 = saved.output;
        35 "saved_cache_read_input_tokens": Int8 = saved.cache_read;
        36 "saved_cache_creation_input_tokens": Int8 = saved.cache_creation;
        37 "saved_cost_usd": Money = saved_cost_usd;
        38 "upstream": Text = upstream;
        39 "server": Text = server;
        40 "attempts": Int4 = attempts;
        41 "outcome": Text = outcome;
        42 "error_type": Text = error_type;
        43 "stop_reason": Text = stop_reason;
        44 "request_bytes": Int8 = request_bytes;
        45 "response_bytes": Int8 = response_bytes;
        46 "client_ip": Address = client_ip;
        47 "upstream_request_id": Text = upstream_request_id;
        48 "answer_id": Text = answer_id;
        49 "service_tier": Text = service_tier;
        50 "inference_geo": Text = inference_geo;
        51 "speed": Text = speed;
        52 "web_search_requests": Int8 = web_search_requests;
        53 "web_fetch_requests": Int8 = web_fetch_requests;
        54 "provider_cost_usd": Money = provider_cost_usd;
        55 "plugin": Text = plugin;
        56 "reason": Text = reason;
        57 "route": Text = route;
        63 "tenant": Text = tenant;
        64 "key_name": Text = key_name;
        65 "session_id": Text = session_id;
        66 "user_id": Text = user_id;
        67 "requested_model": Text = requested_model;
        68 "protocol": Text = protocol;
        69 "limit_tokens": Int8 = limit_tokens;
        71 "assumed_cost_usd": Money = assumed_cost_usd;
        75 "trace_id": Text = trace_id;
        80 "rule": Text = rule;
        81 "parent_conversation_id": Id = parent_conversation_id;
        83 "attempt_details": Json = attempt_details;
        84 "batch_id": Text = batch_id;
        85 "batch_wait_ms": Int8 = batch_wait_ms;
    } besides {
        58 = request_body;
        59 = response_body;
        60 = chunks;
        61 = saved.cache_creation_1h;
        62 = saved.reasoning;
        70 = window_counts;
        72 = counted_before;
        73 = unpriced_before;
        // 74 was the previous turn in another format of its hash
        76 = spans;
        82 = place;
    }
}

table! {
    /// Results of batches.
    BATCHES: BatchRow = "batch_results" by "batch_id, custom_id" {
        1 "batch_id": Text = batch;
        2 "custom_id": Text = custom_id;
        3 "request_id": Id = request_id;
        4 "created_at": Time = created_at;
        5 "domain": Key = domain;
        6 "api_key_hash": Text = api_key_hash;
        7 "upstream": Text = upstream;
        8 "served_model": Text = served_model;
        9 "input_tokens": Int8 = tokens.input;
        10 "output_tokens": Int8 = tokens.output;
        11 "cache_read_input_tokens": Int8 = tokens.cache_read;
        12 "cache_creation_input_tokens": Int8 = tokens.cache_creation;
        13 "cache_creation_1h_input_tokens": Int8 = tokens.cache_creation_1h;
        14 "reasoning_tokens": Int8 = tokens.reasoning;
        15 "usage_data": Json = usage_data;
        16 "billed": Json = billed;
        17 "cost_usd": Money = cost_usd;
        18 "web_search_requests": Int8 = web_search_requests;
        19 "service_tier": Text = service_tier;
        20 "tenant": Text = tenant;
        21 "key_name": Text = key_name;
    } besides {}
}

/// Bodies of requests. The journal has them in the request's record.
pub(crate) static BODIES: Table<Row> = Table {
    name: "api_request_bodies",
    key: "id, created_at",
    columns: &[
        plain("id", SqlType::Uuid, |row| Value::Uuid(row.id)),
        plain("created_at", SqlType::Time, |row| Value::Time(row.created_at)),
        plain("revision", SqlType::Int4, |row| Value::Int4(row.revision.into())),
        body("request_body", SqlType::Bytes, |row| bytes(row.request_body.as_ref())),
        body("request_body_encoding", SqlType::Text, |row| encoding(row.request_body.as_ref())),
        body("request_body_truncated", SqlType::Bool, |row| truncated(row.request_body.as_ref())),
        body("response_body", SqlType::Bytes, |row| bytes(row.response_body.as_ref())),
        body("response_body_encoding", SqlType::Text, |row| encoding(row.response_body.as_ref())),
        body("response_body_truncated", SqlType::Bool, |row| truncated(row.response_body.as_ref())),
    ],
};

/// Pieces of answers. The journal has them in the request's record.
pub(crate) static CHUNKS: Table<Chunk> = Table {
    name: "streaming_chunks",
    key: "request_id, chunk_index",
    columns: &[
        plain("request_id", SqlType::Uuid, |chunk| Value::Uuid(chunk.id)),
        plain("chunk_index", SqlType::Int4, |chunk| Value::Int4(chunk.index)),
        plain("created_at", SqlType::Time, |chunk| Value::Time(chunk.created_at)),
        plain("timestamp", SqlType::Time, |chunk| {
            let after = chunk.piece.after_ms.saturating_mul(1000);
            Value::Time(Timestamp::from_micros(chunk.created_at.micros().saturating_add(after)))
        }),
        plain("data", SqlType::Bytes, |chunk| Value::Bytes(&chunk.piece.bytes)),
    ],
};

/// A piece of an answer, and whose it is.
pub(crate) struct Chunk {
    id: uuid::Uuid,
    created_at: Timestamp,
    index: i32,
    piece: Piece,
}

impl Chunk {
    /// The pieces of a request's answer.
    pub(crate) fn of(row: &Row) -> impl Iterator<Item = Self> {
        let Row { id, created_at, .. } = *row;
        (0..).zip(row.chunks.iter().cloned()).map(move |(index, piece)| Self { id, created_at, index, piece })
    }
}

const fn body(name: &'static str, sql: SqlType, value: for<'a> fn(&'a Row) -> Value<'a>) -> Column<Row> {
    Column { is_nullable: true, ..plain(name, sql, value) }
}

fn bytes(body: Option<&Body>) -> Value<'_> {
    Value::some(body, |body| Value::Bytes(&body.bytes))
}

fn encoding(body: Option<&Body>) -> Value<'_> {
    body.and_then(|body| body.encoding.as_deref()).map_or(Value::Null, Value::text)
}

fn truncated(body: Option<&Body>) -> Value<'_> {
    Value::some(body, |body| Value::Bool(body.truncated))
}

/// A column as it is declared, for a comparison with a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredColumn {
    /// The table.
    pub table: &'static str,
    /// The name of the column that is written, in Postgres and in `SQLite`.
    pub name: [String; 2],
    /// Its type, in Postgres and in `SQLite`.
    pub sql_type: [&'static str; 2],
    /// Whether it may be NULL.
    pub is_nullable: bool,
}

/// The columns that the gateway writes, in every table.
#[must_use]
pub fn declared_columns() -> Vec<DeclaredColumn> {
    let mut columns = REQUESTS.declared();
    columns.extend(BODIES.declared());
    columns.extend(CHUNKS.declared());
    columns.extend(BATCHES.declared());
    columns
}

/// The name of a column in `SQLite`. Money is kept in picodollars, from which the column in dollars is made.
pub(crate) fn sqlite_name(column: &str) -> String {
    match column.strip_suffix("cost_usd") {
        Some(before) => format!("{before}cost_picos"),
        None => column.to_owned(),
    }
}

impl<R> Table<R> {
    fn declared(&self) -> Vec<DeclaredColumn> {
        let declared = |column: &Column<R>| DeclaredColumn {
            table: self.name,
            name: [column.name.to_owned(), sqlite_name(column.name)],
            sql_type: [column.sql.postgres(), column.sql.sqlite()],
            is_nullable: column.is_nullable,
        };
        self.columns.iter().map(declared).collect()
    }

    /// The names of its columns, with commas between, each as `name` has it.
    pub(crate) fn names(&self, name: impl Fn(&'static str) -> String) -> String {
        self.columns.iter().map(|column| name(column.name)).collect::<Vec<_>>().join(", ")
    }

    /// What becomes of a row that is there already: nothing. For rows that correct none, this is what [`on_conflict`](Self::on_conflict)
    /// does.
    pub(crate) fn on_conflict_keep(&self) -> String {
        format!("ON CONFLICT ({}) DO NOTHING", self.key)
    }

    /// What becomes of a row that is there already: a higher revision takes its place, anything else changes nothing. A row that
    /// only an operator's own constraint takes for another is refused.
    pub(crate) fn on_conflict(&self, name: impl Fn(&'static str) -> String) -> String {
        if !self.columns.iter().any(|column| column.name == "revision") {
            return format!("ON CONFLICT ({}) DO NOTHING", self.key);
        }
        let replaced = self.names(|column| format!("{0} = excluded.{0}", name(column)));
        format!("ON CONFLICT ({}) DO UPDATE SET {replaced} WHERE excluded.revision > {}.revision", self.key, self.name)
    }
}
