//! What the YAML says of traces, and which of it is in force: the gateway gives it to the plugin that has the rows.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Period, SecretHeaders, SecretUrl, TraceId};

/// Where the gateway tells of requests besides its own logs and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Traces, by OTLP over HTTP. Needs `usage_log`, from whose rows the spans are made. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSettings>,
}

/// A collector of traces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// Its base URL, such as `http://127.0.0.1:4318`; spans are posted to `/v1/traces` below it.
    pub endpoint: SecretUrl,
    /// The share of traces that it gets, by their ids, as OpenTelemetry's `TraceIdRatioBased` has it. Failed requests are sent whatever it is.
    #[serde(default)]
    pub sample: Share,
    /// The names of attributes: the newest, or those of a release of the semantic conventions.
    #[serde(default)]
    pub semconv: SemConv,
    /// Headers for the collector, such as its token.
    #[serde(default)]
    pub headers: SecretHeaders,
    /// Whether requests to it are compressed.
    #[serde(default)]
    pub compression: OtlpCompression,
    /// How long it may take to answer.
    #[serde(default = "OtlpSettings::default_timeout")]
    pub timeout: Period,
    /// `service.name` of the spans.
    #[serde(default = "OtlpSettings::default_service_name")]
    pub service_name: String,
}

impl OtlpSettings {
    /// Where spans are posted to.
    #[must_use]
    pub fn traces(&self) -> Uri {
        let base = self.endpoint.uri();
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1/traces").unwrap_or(path);
        let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = base.clone().into_parts();
        parts.path_and_query = format!("{path}/v1/traces{query}").parse().ok();
        // it was one before
        Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
    }

    fn default_timeout() -> Period {
        Period::from_secs(10)
    }

    fn default_service_name() -> String {
        "tollgate".to_owned()
    }
}

/// How requests to a collector are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpCompression {
    /// Not at all.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

/// Which names spans have for what they tell of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SemConv {
    /// The newest ones.
    #[default]
    #[serde(rename = "latest")]
    Latest,
    /// Those of release 1.41 of the semantic conventions, the last one that had `gen_ai` in it.
    #[serde(rename = "1.41")]
    V1_41,
}

/// A share of all: `10%`, `0.5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    /// Parts of a million.
    millionths: u32,
}

impl Share {
    const ALL: u32 = 1_000_000;

    /// Whether a trace is one of this share: always the same for the same id, here and in every SDK with the same share.
    #[must_use]
    pub fn has(self, id: &TraceId) -> bool {
        // the arithmetic of OpenTelemetry's SDKs: the low 63 bits against a bound
        let bound = (u128::from(self.millionths) << 63) / u128::from(Self::ALL);
        u128::from(id.low() >> 1) < bound
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { millionths: Self::ALL }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a share; write it like `10%` or `0.5%`, up to `100%`");
        let number = text.strip_suffix('%').map(str::trim_end).ok_or_else(wrong)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || part.len() > 4 || !is_digits(whole) || !is_digits(part) {
            return Err(wrong());
        }
        let millionths = format!("{whole}{part:0<4}").parse().map_err(|_| wrong())?;
        (millionths <= Self::ALL).then_some(Self { millionths }).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.millionths / 10_000, self.millionths % 10_000);
        match part {
            0 => write!(f, "{whole}%"),
            part => write!(f, "{whole}.{}%", format!("{part:04}").trim_end_matches('0')),
        }
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10%", "0.5%"] })
    }
}

/// The telemetry of the configuration that is in force.
#[derive(Debug, Default)]
pub struct Telemetry(Mutex<TelemetrySettings>);

impl Telemetry {
    /// These are in force from now on; before the plugins of their configuration are.
    pub fn activate(&self, settings: &TelemetrySettings) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(settings);
    }

    /// Where spans go, if anywhere.
    #[must_use]
    pub fn otlp(&self) -> Option<OtlpSettings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).otlp.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_as_people_write_it_and_prints_again() {
        for (text, millionths) in [("10%", 100_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0%", 0), ("0.0001%", 1)] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.millionths, share.to_string().as_str()), (millionths, text));
        }
        for text in ["10", "", "%", "101%", "-1%", "0.00001%", "1000%", "x%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_trace_is_sampled_by_the_bits_that_every_sdk_takes() {
        let id = |low: u64| TraceId::from_bytes((u128::from(low) | 1 << 100).to_be_bytes()).unwrap();
        let half: Share = "50%".parse().unwrap();
        assert!(half.has(&id(0)) && half.has(&id(u64::MAX / 2)));
        assert!(!half.has(&id(u64::MAX / 2 + 1)) && !half.has(&id(u64::MAX)));
        assert!(Share::default().has(&id(u64::MAX)));
        assert!(!"0%".parse::<Share>().unwrap().has(&id(0)));
    }

    #[test]
    fn spans_go_to_the_path_of_the_protocol_below_the_base() {
        for (base, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://o.example/otlp/", "https://o.example/otlp/v1/traces"),
            ("https://o.example/x/v1/traces?a=b", "https://o.example/x/v1/traces?a=b"),
        ] {
            let settings: OtlpSettings = serde_json::from_value(serde_json::json!({ "endpoint": base })).unwrap();
            assert_eq!(settings.traces(), traces);
        }
    }
}
