//! What a protocol is: plain data, one value a file. Whoever wants to know something of a protocol asks a field of its value.

use std::fmt;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::batch_results::BatchResults;
use crate::{Endpoint, TokenField, anthropic, ollama, openai};

/// The protocols there are. The first endpoint that takes a path is the one that the path names.
static PROTOCOLS: [&Protocol; 3] = [Protocol::ANTHROPIC, Protocol::OPENAI, Protocol::OLLAMA];

/// The API that a caller speaks: its endpoints, and the shapes of what it sends and expects.
pub struct Protocol {
    /// Its name.
    pub name: &'static str,
    /// Its provider, as OpenTelemetry's conventions for generative AI name it.
    pub provider: &'static str,
    /// The endpoints that are calls to a model.
    pub endpoints: &'static [Endpoint],
    /// The endpoints whose calls are messages of a WebSocket. Their paths name them for a handshake alone.
    pub websockets: &'static [Endpoint],
    /// The header, in lower case, that its clients send with every request. It tells the protocol where the path does not.
    pub marker_header: Option<&'static str>,
    /// The names under which calls limit the tokens of their answer, at any of its endpoints.
    pub token_fields: &'static [TokenField],
    /// Whether `null` as a token limit means the same as none. Where not, it is an error of the caller's.
    pub null_limit_is_none: bool,
    /// The members of a call that say who calls and in which session. They mean nothing to the answer.
    pub session_fields: &'static [MemberPath],
    /// The members that change how the answer is padded on the wire, and nothing of what it says.
    pub padding_fields: &'static [MemberPath],
    /// Its error objects.
    pub errors: ErrorSchema,
    /// The headers in which it tells how much is left of a limit, where it has such headers.
    pub limit_headers: Option<&'static LimitHeaders>,
    /// The results of its batches, where it has batches.
    pub(crate) batch_results: Option<&'static BatchResults>,
}

/// A member of a call, or a member of an object that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberPath {
    /// The key at the top level.
    pub member: &'static str,
    /// The key in the object that stands there; none where the member itself is meant.
    pub inner: Option<&'static str>,
}

/// The error objects of a protocol.
pub struct ErrorSchema {
    /// The type for each range of statuses (first, last), the first that fits.
    pub types: &'static [(u16, u16, &'static str)],
    /// Types for the gateway's own codes of errors, which go before those for their status.
    pub types_of_codes: &'static [(&'static str, &'static str)],
    /// The type for a limit that is used up until a time that the object tells, where clients know such a type.
    pub used_up: Option<&'static str>,
    /// Makes the object.
    pub object: fn(&ApiError<'_>) -> Value,
    /// The header, beside `x-request-id`, in which its clients look for the id of a request.
    pub request_id_header: Option<&'static str>,
}

/// The headers in which a protocol tells how much is left of a limit, in lower case.
#[derive(Debug)]
pub struct LimitHeaders {
    /// For limits on requests: the limit, what remains, and when all of it is there again.
    pub requests: [&'static str; 3],
    /// For limits on tokens: the same.
    pub tokens: [&'static str; 3],
    /// How the third of them writes a time.
    pub reset: ResetFormat,
}

/// How a header writes when a limit is whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetFormat {
    /// The moment: `2026-11-28T12:00:00Z`.
    Timestamp,
    /// The time until then: `6m0s`.
    Duration,
}

/// What there is to say of an error.
#[derive(Clone, Copy, Debug)]
pub struct ApiError<'a> {
    /// Its type, in the protocol's words.
    pub kind: &'a str,
    /// What went wrong, in a word of the gateway's.
    pub code: Option<&'a str>,
    /// What went wrong, for people.
    pub message: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
    /// When a limit that is used up is whole again, in seconds since 1970.
    pub resets_at: Option<u64>,
}

impl Protocol {
    /// Anthropic's Messages API.
    pub const ANTHROPIC: &'static Self = &anthropic::PROTOCOL;
    /// `OpenAI`'s API, and the many that speak it.
    pub const OPENAI: &'static Self = &openai::PROTOCOL;
    /// Ollama's own API.
    pub const OLLAMA: &'static Self = &ollama::PROTOCOL;
    /// The protocol of a request that nothing else is known of.
    pub const DEFAULT: &'static Self = Self::OPENAI;

    /// All protocols.
    #[must_use]
    pub fn all() -> &'static [&'static Self] {
        &PROTOCOLS
    }

    /// The protocol of a request: by its endpoint, else by a header that marks one, else [`DEFAULT`](Self::DEFAULT).
    #[must_use]
    pub fn of(path: &str, headers: &HeaderMap) -> &'static Self {
        let marked = || Self::all().iter().find(|one| one.marker_header.is_some_and(|name| headers.contains_key(name)));
        Endpoint::of(path).map(|endpoint| endpoint.protocol).or_else(|| marked().copied()).unwrap_or(Self::DEFAULT)
    }

    /// The protocol that a header of this name (in lower case) marks.
    #[must_use]
    pub fn marked_by(header: &str) -> Option<&'static Self> {
        Self::all().iter().find(|one| one.marker_header == Some(header)).copied()
    }

    /// The type that its error objects give to a status.
    #[must_use]
    pub fn error_type(&self, status: StatusCode) -> &'static str {
        let status = status.as_u16();
        let fits = |(first, last, _): &&(u16, u16, &'static str)| (*first..=*last).contains(&status);
        self.errors.types.iter().find(fits).map_or("invalid_request_error", |(.., kind)| kind)
    }

    /// The type that its error objects give to one of the gateway's own errors, by its code or else by its status.
    #[must_use]
    pub fn error_type_of(&self, code: Option<&str>, status: StatusCode) -> &'static str {
        let by_code = self.errors.types_of_codes.iter().find(|(own, _)| Some(*own) == code);
        by_code.map_or_else(|| self.error_type(status), |(_, kind)| kind)
    }

    /// The members of a call that mean nothing to its answer.
    pub fn members_without_effect(&self) -> impl Iterator<Item = &'static MemberPath> + use<> {
        self.session_fields.iter().chain(self.padding_fields)
    }
}

impl MemberPath {
    /// The member of this key, whatever it holds.
    pub(crate) const fn member(member: &'static str) -> Self {
        Self { member, inner: None }
    }

    /// A member of the object under this key.
    pub(crate) const fn inner(member: &'static str, inner: &'static str) -> Self {
        Self { member, inner: Some(inner) }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Each protocol is one value, so two are the same where their places are.
impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Protocol {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_type_in_every_protocol() {
        for (status, anthropic, openai) in [
            (400, "invalid_request_error", "invalid_request_error"),
            (401, "authentication_error", "invalid_request_error"),
            (403, "permission_error", "invalid_request_error"),
            (404, "not_found_error", "invalid_request_error"),
            (408, "timeout_error", "invalid_request_error"),
            (413, "request_too_large", "invalid_request_error"),
            (429, "rate_limit_error", "requests"),
            (431, "invalid_request_error", "invalid_request_error"),
            (500, "api_error", "server_error"),
            (503, "api_error", "server_error"),
            (504, "timeout_error", "server_error"),
            (529, "overloaded_error", "server_error"),
            (599, "api_error", "server_error"),
        ] {
            let code = StatusCode::from_u16(status).unwrap();
            assert_eq!(Protocol::ANTHROPIC.error_type(code), anthropic, "{status}");
            assert_eq!(Protocol::OPENAI.error_type(code), openai, "{status}");
            assert_eq!(Protocol::OLLAMA.error_type(code), openai, "{status}");
        }
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(Protocol::ANTHROPIC.error_type_of(Some("overloaded"), busy), "overloaded_error");
        assert_eq!(Protocol::OPENAI.error_type_of(Some("overloaded"), busy), "server_error");
    }

    #[test]
    fn a_protocol_is_known_by_its_endpoint_then_by_its_header() {
        let none = HeaderMap::new();
        let marked = HeaderMap::from_iter([("anthropic-version".parse().unwrap(), "2023-06-01".parse().unwrap())]);
        assert_eq!(Protocol::of("/v1/messages", &none), Protocol::ANTHROPIC);
        assert_eq!(Protocol::of("/v1/responses", &marked), Protocol::OPENAI);
        assert_eq!(Protocol::of("/v1/models", &marked), Protocol::ANTHROPIC);
        assert_eq!(Protocol::of("/v1/models", &none), Protocol::OPENAI);
        assert_eq!(Protocol::marked_by("anthropic-version"), Some(Protocol::ANTHROPIC));
        assert_eq!(Protocol::marked_by("accept"), None);
    }

    #[test]
    fn every_endpoint_belongs_to_the_protocol_that_lists_it_and_has_a_name_of_its_own() {
        let mut names = Vec::new();
        for protocol in Protocol::all() {
            assert!(
                protocol
                    .websockets
                    .iter()
                    .all(|endpoint| endpoint.websocket.is_some() && endpoint.protocol == *protocol)
            );
            for endpoint in protocol.endpoints {
                assert_eq!(endpoint.protocol, *protocol, "{endpoint:?}");
                assert!(
                    endpoint.token_fields.iter().all(|field| protocol.token_fields.contains(field)),
                    "{endpoint:?}"
                );
                names.push(endpoint.name);
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
