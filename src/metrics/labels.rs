//! What a request is called in metrics: each label is one of a bounded set, whatever clients and upstreams send.

use plugin_api::http::{Method, StatusCode};
use plugin_api::{Outcome, Record};

/// The label for a missing status or upstream.
pub(super) const NONE: &str = "none";

/// The label of an endpoint that is not one of a model.
const OTHER_ENDPOINT: &str = "other";

/// A method as a label. Unregistered methods share one, since clients can make up any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MethodLabel(pub &'static str);

/// A status as a label. Unregistered ones share a label for each first digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StatusLabel {
    None,
    /// A registered status, or one that proxies are known for.
    Known(u16),
    /// Any other, by its first digit.
    Class(u16),
}

/// An endpoint as a label: the word that the ledger has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EndpointLabel(pub &'static str);

/// Why a request came to nothing, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ErrorLabel {
    /// The reason of a refusal, or the word for a failure. Both are words of the code.
    Word(&'static str),
    /// The status of the answer, where nothing else says why.
    Status(StatusLabel),
}

impl MethodLabel {
    pub(super) fn of(record: &Record) -> Self {
        Self(match record.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            Method::PATCH => "PATCH",
            Method::CONNECT => "CONNECT",
            Method::TRACE => "TRACE",
            _ => "OTHER",
        })
    }
}

impl EndpointLabel {
    pub(super) fn of(record: &Record) -> Self {
        Self(record.endpoint.map_or(OTHER_ENDPOINT, |endpoint| endpoint.as_str()))
    }
}

impl StatusLabel {
    pub(super) fn of(record: &Record) -> Self {
        record.status.map_or(Self::None, Self::of_status)
    }

    fn of_status(status: StatusCode) -> Self {
        let code = status.as_u16();
        let is_of_proxies =
            matches!(code, 419 | 420 | 440 | 444 | 449 | 460 | 463 | 494..=499 | 509 | 520..=530 | 561 | 598 | 599);
        if status.canonical_reason().is_some() || is_of_proxies { Self::Known(code) } else { Self::Class(code / 100) }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::None => NONE.to_owned(),
            Self::Known(code) => code.to_string(),
            Self::Class(digit) => format!("{digit}xx"),
        }
    }
}

impl ErrorLabel {
    /// Why this request came to nothing; `None` where it did not.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let status = || record.status.filter(|status| status.as_u16() >= 400).map(StatusLabel::of_status);
        match record.outcome {
            // what ended an upgraded connection is no error of the request
            Outcome::Completed | Outcome::Cached => status().map(Self::Status),
            Outcome::Refused => {
                let word = record.reason.or(record.error).map(Self::Word);
                word.or_else(|| status().map(Self::Status))
            }
            Outcome::UpstreamFailed | Outcome::ClientGone | Outcome::Aborted => {
                Some(Self::Word(record.error.unwrap_or(record.outcome.as_str())))
            }
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Word(word) => word.to_owned(),
            Self::Status(status) => format!("http_{}", status.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use plugin_api::Uuid;

    use super::*;

    fn record(outcome: Outcome, status: Option<u16>) -> Record {
        let status = status.map(|status| StatusCode::from_u16(status).unwrap());
        Record { outcome, status, ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH) }
    }

    fn reason(record: &Record) -> Option<String> {
        ErrorLabel::of(record).map(ErrorLabel::text)
    }

    #[test]
    fn an_error_has_the_most_telling_reason_that_is_known() {
        for (record, wanted) in [
            (record(Outcome::Completed, Some(200)), None),
            (Record { error: Some("upgraded_timeout"), ..record(Outcome::Completed, Some(101)) }, None),
            (record(Outcome::Cached, Some(200)), None),
            (record(Outcome::Completed, Some(429)), Some("http_429")),
            (record(Outcome::Completed, Some(471)), Some("http_4xx")),
            (record(Outcome::Refused, Some(400)), Some("http_400")),
            (Record { error: Some("no_route"), ..record(Outcome::Refused, Some(404)) }, Some("no_route")),
            (Record { reason: Some("tokens"), ..record(Outcome::Refused, Some(429)) }, Some("tokens")),
            (Record { error: Some("connect"), ..record(Outcome::UpstreamFailed, Some(502)) }, Some("connect")),
            (record(Outcome::UpstreamFailed, Some(200)), Some("upstream_failed")),
            (record(Outcome::ClientGone, None), Some("client_gone")),
            (record(Outcome::Aborted, None), Some("aborted")),
        ] {
            assert_eq!(reason(&record).as_deref(), wanted, "{:?} {:?}", record.outcome, record.status);
        }
    }
}
