//! An answer as a value in Redis. Any other value is recognized by its form, its version, the key that it names, and a checksum
//! over all of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use plugin_api::{Answer, run_blocking};
use serde::{Deserialize, Serialize};

use crate::cache_key::Key;
use crate::entry::{Entry, Epoch};
use crate::stored_head::StoredHead;

const MAGIC: &[u8; 4] = b"TGC1";
const CHECKSUM: usize = 32;
const KEY: usize = 32;
const LENGTH: usize = 4;
/// The level of zstd. Higher levels cost more time for little gain.
const LEVEL: i32 = 3;
/// The size in bytes from which packing would noticeably delay other requests of the same thread.
const LONG: usize = 64 << 10;
/// The largest difference between two gateways' clocks. An answer from further in the future has no known age, since a clock was
/// changed.
const SKEW: Duration = Duration::from_secs(5);

/// The largest metadata of an answer, in bytes.
const FACTS: usize = 1 << 20;

/// The length of the longest value for a body of at most `max` bytes. Compression may make a body slightly longer.
pub(crate) fn longest(max: usize) -> usize {
    max.saturating_add(max >> 7).saturating_add(1024 + FACTS)
}

/// The metadata of an answer: everything but its body.
#[derive(Deserialize, Serialize)]
struct Facts {
    status: u16,
    headers: Vec<(String, String)>,
    request_id: Option<String>,
    /// In milliseconds since 1970.
    at: u64,
    tenant: Box<str>,
    model: Box<str>,
    epoch: u64,
    answer: Option<Box<Answer>>,
    body: usize,
}

/// The value for an answer; `None` if it cannot be stored, for instance because a header is not text.
pub(crate) async fn packed(key: Key, entry: Arc<Entry>) -> Option<Vec<u8>> {
    aside(entry.body.len(), move || encode(key, &entry, SystemTime::now())).await
}

/// The answer in a value, if it is one for this key and its body has at most `max` bytes.
pub(crate) async fn unpacked(key: Key, value: Vec<u8>, max: usize) -> Option<Entry> {
    aside(value.len(), move || decode(key, &value, max, SystemTime::now())).await
}

/// Runs work on so many bytes on a blocking thread if it would take long.
async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    if bytes < LONG { work() } else { run_blocking(work).await.flatten() }
}

fn encode(key: Key, entry: &Entry, now: SystemTime) -> Option<Vec<u8>> {
    let at = now.checked_sub(entry.age())?.duration_since(UNIX_EPOCH).ok()?;
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = entry.head.headers.iter();
    let facts = Facts {
        status: entry.head.status.as_u16(),
        headers: headers.map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect::<Option<_>>()?,
        request_id: entry.head.request_id.as_ref().and_then(text),
        at: u64::try_from(at.as_millis()).ok()?,
        tenant: (*entry.tenant).into(),
        model: (*entry.model).into(),
        epoch: entry.epoch.shared,
        answer: entry.answer.clone(),
        body: entry.body.len(),
    };
    let facts = serde_json::to_vec(&facts).ok().filter(|facts| facts.len() <= FACTS)?;
    let body = zstd::bulk::compress(&entry.body, LEVEL).ok()?;
    let mut value = Vec::with_capacity(MAGIC.len() + CHECKSUM + KEY + LENGTH + facts.len() + body.len());
    value.extend_from_slice(MAGIC);
    value.extend_from_slice(&[0; CHECKSUM]);
    value.extend_from_slice(&key.0);
    value.extend_from_slice(&u32::try_from(facts.len()).ok()?.to_le_bytes());
    value.extend_from_slice(&facts);
    value.extend_from_slice(&body);
    let checksum = blake3::hash(&value[MAGIC.len() + CHECKSUM..]);
    value[MAGIC.len()..MAGIC.len() + CHECKSUM].copy_from_slice(checksum.as_bytes());
    Some(value)
}

fn decode(key: Key, value: &[u8], max: usize, now: SystemTime) -> Option<Entry> {
    let rest = value.strip_prefix(MAGIC)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM)?;
    if *blake3::hash(rest).as_bytes() != *checksum {
        return None;
    }
    let rest = rest.strip_prefix(&key.0)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= FACTS)?;
    let (facts, body) = rest.split_at_checked(length)?;
    let facts: Facts = serde_json::from_slice(facts).ok()?;
    if facts.body > max {
        return None;
    }
    let body = if facts.body == 0 { Vec::new() } else { zstd::bulk::decompress(body, facts.body).ok()? };
    if body.len() != facts.body {
        return None;
    }
    let header =
        |(name, value): (String, String)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
    Some(Entry {
        head: Arc::new(StoredHead {
            status: StatusCode::from_u16(facts.status).ok()?,
            headers: facts.headers.into_iter().map(header).collect::<Option<_>>()?,
            request_id: facts.request_id.and_then(|id| HeaderValue::try_from(id).ok()),
        }),
        body: Bytes::from(body),
        answer: facts.answer.map(|answer| Box::new(plugin_api::shortened_answer(*answer))),
        at: Instant::now().checked_sub(age(facts.at, now)?)?,
        tenant: facts.tenant.into(),
        model: facts.model.into(),
        epoch: Epoch { local: 0, shared: facts.epoch },
        in_redis: AtomicBool::new(true),
    })
}

/// The age of an answer of this time; `None` if it is unknown.
fn age(at: u64, now: SystemTime) -> Option<Duration> {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(at))?;
    match now.duration_since(at) {
        Ok(age) => Some(age),
        Err(ahead) => (ahead.duration() <= SKEW).then_some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{AnswerState, Tokens, Usage};
    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry {
        let raw = serde_json::value::RawValue::from_string(r#"{"input_tokens":3}"#.into()).unwrap();
        let tokens = Tokens { input: Some(3), ..Tokens::default() };
        let usage = Usage { tokens, raw: Some(raw), ..Usage::default() };
        let answer = Answer { state: AnswerState::Complete, usage: Some(usage), ..Answer::default() };
        Entry {
            head: Arc::new(StoredHead {
                status: StatusCode::OK,
                headers: vec![(HeaderName::from_static("content-type"), HeaderValue::from_static("text/event-stream"))],
                request_id: Some(HeaderValue::from_static("req_1")),
            }),
            body: "data: {}\n\n".repeat(1000).into(),
            answer: Some(Box::new(answer)),
            at: Instant::now(),
            tenant: "t".into(),
            model: "m".into(),
            epoch: Epoch { local: 7, shared: 5 },
            in_redis: AtomicBool::new(false),
        }
    }

    #[test]
    fn a_clock_that_was_set_makes_no_answer_younger() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let (key, written) = (Key([7; 32]), SystemTime::now());
        let value = encode(key, &entry(), written).unwrap();
        let read = |now: SystemTime| decode(key, &value, usize::MAX, now).map(|entry| entry.age().as_secs());
        assert_eq!(read(written + Duration::from_secs(3)), Some(3));
        assert_eq!(read(written - Duration::from_secs(3)), Some(0), "clocks are never quite alike");
        assert_eq!(read(written - DAY), None);
        assert_eq!(read(written + Duration::from_secs(600)), Some(600));
    }

    #[test]
    fn an_answer_comes_back_as_it_went_and_smaller() {
        let (key, entry) = (Key([7; 32]), entry());
        let value = encode(key, &entry, SystemTime::now()).unwrap();
        assert!(value.len() < 1000, "{}", value.len());
        let back = decode(key, &value, 1 << 20, SystemTime::now()).unwrap();
        assert_eq!(back.body, entry.body);
        assert_eq!(back.head.headers, entry.head.headers);
        assert_eq!(back.head.request_id, entry.head.request_id);
        assert_eq!((&*back.tenant, &*back.model, back.epoch.shared), ("t", "m", 5));
        assert!(back.age() < Duration::from_secs(60));
        let usage = back.answer.unwrap().usage.unwrap();
        assert_eq!((usage.tokens.input, usage.raw.unwrap().get()), (Some(3), r#"{"input_tokens":3}"#));
    }

    #[tokio::test]
    async fn a_long_answer_comes_back_as_it_went_too() {
        let noise = (0..LONG as u32 * 2).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
        let entry = Arc::new(Entry { body: noise.collect(), ..entry() });
        let value = packed(Key([7; 32]), entry.clone()).await.unwrap();
        assert!(value.len() > LONG);
        let back = unpacked(Key([7; 32]), value.clone(), 1 << 20).await.unwrap();
        assert_eq!(back.body, entry.body);
        assert!(unpacked(Key([8; 32]), value, 1 << 20).await.is_none());
    }

    #[test]
    fn no_value_is_longer_than_the_longest() {
        let noise = (0..1_u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
        let mut entry = Entry { body: noise.collect(), ..entry() };
        let value = |entry: &Entry| encode(Key([7; 32]), entry, SystemTime::now());
        assert!(value(&entry).unwrap().len() <= longest(entry.body.len()));
        entry.tenant = "t".repeat(FACTS - 10_000).into();
        assert!(value(&entry).unwrap().len() <= longest(entry.body.len()));
        entry.tenant = "t".repeat(FACTS).into();
        assert!(value(&entry).is_none());
    }

    #[test]
    fn another_key_and_a_body_that_is_too_large_are_refused() {
        let value = encode(Key([7; 32]), &entry(), SystemTime::now()).unwrap();
        assert!(decode(Key([8; 32]), &value, 1 << 20, SystemTime::now()).is_none());
        assert!(decode(Key([7; 32]), &value, 9_999, SystemTime::now()).is_none());
        assert!(decode(Key([7; 32]), &value, 10_000, SystemTime::now()).is_some());
    }

    #[test]
    fn no_bit_of_it_can_be_wrong_and_no_end_missing() {
        let value = encode(Key([7; 32]), &entry(), SystemTime::now()).unwrap();
        for at in 0..value.len() {
            let mut wrong = value.clone();
            wrong[at] ^= 1 << (at % 8);
            assert!(decode(Key([7; 32]), &wrong, 1 << 20, SystemTime::now()).is_none(), "{at}");
            assert!(decode(Key([7; 32]), &value[..at], 1 << 20, SystemTime::now()).is_none(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn rubbish_is_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), sealed in any::<bool>()) {
            let mut value = bytes;
            if sealed {
                // well-formed outside, rubbish inside
                value.splice(0..0, [7; 32]);
                let checksum = *blake3::hash(&value).as_bytes();
                value.splice(0..0, checksum);
                value.splice(0..0, *MAGIC);
            }
            prop_assert!(decode(Key([7; 32]), &value, 1 << 20, SystemTime::now()).is_none());
        }
    }
}
