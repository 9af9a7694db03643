//! Where rows go besides the database.

use std::path::PathBuf;

use plugin_api::{Count, Period, SecretHeaders, SecretUrl};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where rows go besides the database, without bodies. A sink that is down loses nothing: rows wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSettings {
    /// Parquet files by hour in a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parquet: Option<ParquetSettings>,
    /// `CloudEvents` by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloudevents: Option<CloudEventsSettings>,
}

impl ExportSettings {
    pub(super) fn is_empty(&self) -> bool {
        self.parquet.is_none() && self.cloudevents.is_none()
    }
}

/// Parquet files, `FOLDER/date=2026-11-29/hour=13/INSTANCE.parquet`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSettings {
    /// The folder; a relative path starts from that of the configuration.
    pub folder: PathBuf,
    /// How the files are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// How long a row may wait until the file of its hour has it, at least `1s`. The file is written anew as a whole each time.
    #[serde(default = "default_refresh")]
    pub refresh: Period,
}

/// Few files are written in an hour, and a reader does not wait long.
fn default_refresh() -> Period {
    Period::from_secs(600)
}

/// How the files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// By Zstandard.
    #[default]
    Zstd,
    /// Not at all.
    None,
}

/// Batches of `CloudEvents` 1.0, one event for each row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudEventsSettings {
    /// Where they are posted.
    pub url: SecretUrl,
    /// Headers of the requests; `authorization`, as a rule.
    #[serde(default, skip_serializing_if = "SecretHeaders::is_empty")]
    pub headers: SecretHeaders,
    /// The most events of a request. One takes about 2 KiB, and a request at most 1 MiB.
    #[serde(default = "default_batch")]
    pub max_batch: Count<1, 1000>,
    /// The `source` of the events, a URI reference: with `id` it tells an event from all others.
    #[serde(default = "default_source")]
    pub source: Source,
    /// How long a request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
}

fn default_batch() -> Count<1, 1000> {
    Count::clamped(100)
}

fn default_timeout() -> Period {
    Period::from_secs(30)
}

fn default_source() -> Source {
    Source("tollgate".into())
}

/// A URI reference that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Source(#[schemars(length(min = 1))] String);

impl Source {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_legal) {
            return Err("wanted a URI, or a part of one, like `tollgate` or `https://llm.example.com`");
        }
        Ok(Self(text))
    }
}

impl From<Source> for String {
    fn from(Source(text): Source) -> Self {
        text
    }
}
