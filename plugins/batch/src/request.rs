//! A call as it goes into a batch: its endpoint, its group, and its body without what asks for a stream.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{CallFacts, Endpoint, StreamOptions, query_secrets};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::call::{Api, Group};
use crate::provider;

/// Whose batch format the calls of an endpoint take, if they can be in a batch.
pub(crate) fn api_of(endpoint: Endpoint) -> Option<Api> {
    let apis = [
        (Endpoint::MESSAGES, Api::Messages),
        (Endpoint::CHAT_COMPLETIONS, Api::Chat),
        (Endpoint::RESPONSES, Api::Responses),
        (Endpoint::EMBEDDINGS, Api::Embeddings),
    ];
    apis.into_iter().find(|(of, _)| *of == endpoint).map(|(_, api)| api)
}

/// The group of a call that is sent to this target with these headers; `None` where it cannot be in a batch.
pub(crate) fn group_of(api: Api, upstream: &str, target: &str, model: &str, headers: &HeaderMap) -> Option<Group> {
    let (path, query) = target.split_once('?').map_or((target, ""), |(path, _)| (path, &target[path.len()..]));
    // who calls must not be stored
    let tells_who_calls = query_secrets(query.trim_start_matches('?')).next().is_some();
    if !provider::takes(api, path) || tells_who_calls {
        return None;
    }
    // those by which an answer may differ; none that tells who calls
    let is_of_api = |name: &str| name.starts_with("anthropic-") || name.starts_with("openai-");
    let named =
        headers.iter().filter(|(name, _)| is_of_api(name.as_str()) && !plugin_api::is_credential(name.as_str()));
    let mut headers: Vec<(String, String)> =
        named.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    headers.sort();
    let (upstream, path, query, model) = (upstream.into(), path.into(), query.into(), model.into());
    Some(Group { upstream, api, path, query, model, headers })
}

/// The body of a call without `stream` and `stream_options`, every other byte as it is; `None` where it is no JSON object.
pub(crate) fn without_stream(text: &[u8]) -> Option<Bytes> {
    let members: Members<'_> = serde_json::from_slice(text).ok()?;
    let mut body = Vec::with_capacity(text.len());
    body.push(b'{');
    for (name, value) in members.0.iter().filter(|(name, _)| !matches!(name.as_ref(), "stream" | "stream_options")) {
        if body.len() > 1 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, name).ok()?;
        body.push(b':');
        body.extend_from_slice(value.get().as_bytes());
    }
    body.push(b'}');
    Some(body.into())
}

/// JSON as one line, which has no line ends but between values.
pub(crate) fn one_line(json: &[u8]) -> impl Iterator<Item = u8> {
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })
}

/// Whether a stream is asked for its usage.
pub(crate) fn reports_usage(facts: &CallFacts) -> bool {
    matches!(facts.stream_options, StreamOptions::Usage)
}

/// The members of an object as they come, those that come twice too.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_for_a_stream_is_taken_out() {
        let strip = |text: &str| without_stream(text.as_bytes()).map(|body| String::from_utf8(body.to_vec()).unwrap());
        assert_eq!(
            strip(r#" { "model" : "m", "stream":true, "n": 1.50e2, "x": {"stream": true}, "stream_options":{} } "#)
                .as_deref(),
            Some(r#"{"model":"m","n":1.50e2,"x":{"stream": true}}"#)
        );
        assert_eq!(strip(r#"{"a":1,"a":2}"#).as_deref(), Some(r#"{"a":1,"a":2}"#));
        assert_eq!(strip("{}").as_deref(), Some("{}"));
        assert_eq!(strip("[]"), None);
        assert_eq!(strip(r#"{"a":1"#), None);
    }

    #[test]
    fn a_group_has_the_headers_of_the_api_and_no_credential() {
        let headers = [
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "b"),
            ("x-api-key", "secret"),
            ("openai-api-key", "secret"),
            ("authorization", "Bearer secret"),
            ("user-agent", "u"),
        ];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let group =
            group_of(Api::Messages, "up", "/a/v1/messages?beta=true", "m", &HeaderMap::from_iter(headers)).unwrap();
        assert_eq!((group.path.as_str(), group.query.as_str()), ("/a/v1/messages", "?beta=true"));
        let names: Vec<&str> = group.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["anthropic-beta", "anthropic-version"]);
        for query in ["?key=secret", "?beta=true&API_KEY=secret", "?access_token=secret"] {
            let target = format!("/v1/messages{query}");
            assert_eq!(group_of(Api::Messages, "up", &target, "m", &HeaderMap::new()), None, "{query}");
        }
        assert_eq!(group_of(Api::Chat, "up", "/v1/messages", "m", &HeaderMap::new()), None);
    }
}
