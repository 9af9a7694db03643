//! Bodies that pass through chains of plugins, some of which change them.

use std::sync::{Arc, Mutex};

use plugin_api::http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::testing::{TestRequest, context};
use plugin_api::{BuildContext, ConfigProblem, Needs, Plugin};

use super::*;
use crate::chain::{Chain, PluginFactory};

/// Changes parts, of responses that are a success.
struct Changer(fn(&mut usize, &mut Part<'_>));

impl Plugin for Changer {
    const NAME: &'static str = "changer";
    const NEEDS: Needs = Needs { transform: true, ..Needs::NOTHING };
    type Config = ();
    type Shared = ();
    type State = usize;

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Err("made by tests alone".into())
    }

    fn on_part(&self, parts: &mut usize, part: &mut Part<'_>) {
        *parts += 1;
        (self.0)(parts, part);
    }

    fn on_chunk(&self, _: &mut usize, _: &mut Chunk<'_>) {
        panic!("it sees parts");
    }
}

/// Writes down what passes it.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<(String, bool, bool)>>>);

impl Watcher {
    fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|(text, ..)| &**text).collect()
    }
}

impl Plugin for Watcher {
    const NAME: &'static str = "watcher";
    type Config = ();
    type Shared = ();
    type State = ();

    fn build((): &(), _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Err("made by tests alone".into())
    }

    fn on_chunk(&self, (): &mut (), chunk: &mut Chunk<'_>) {
        let text = String::from_utf8(chunk.bytes.to_vec()).unwrap();
        self.0.lock().unwrap().push((text, chunk.last, chunk.complete));
    }
}

fn headers(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("content-type".parse().unwrap(), HeaderValue::from_static(kind))])
}

/// A response on its way through `above`, the changer and `below`.
struct Way {
    above: Watcher,
    below: Watcher,
    instances: Instances,
    transform: Option<Transform>,
}

impl Way {
    async fn new(
        change: fn(&mut usize, &mut Part<'_>),
        status: u16,
        headers: &HeaderMap,
    ) -> Result<Self, TransformError> {
        let (above, below) = (Watcher::default(), Watcher::default());
        let factories = vec![
            PluginFactory::new(above.clone()),
            PluginFactory::new(Changer(change)),
            PluginFactory::new(below.clone()),
        ];
        let mut instances = Chain::new(factories).instances();
        let (request, mut context) = (TestRequest::to(Endpoint::MESSAGES), context());
        instances.on_request(&mut request.request(&mut context)).await.unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let mut response = request.response(&mut context, status, headers);
        let body = TransformBody { endpoint: Some(Endpoint::MESSAGES), limit: 1000 };
        let transform = Transform::begin(&mut instances, &mut response, body)?;
        Ok(Self { above, below, instances, transform })
    }

    /// What leaves of a piece, and whether the answer is complete with it.
    fn feed(&mut self, bytes: &[u8], last: bool, complete: bool) -> Result<(String, bool), TransformError> {
        let transform = self.transform.as_mut().unwrap();
        let bytes = Bytes::copy_from_slice(bytes);
        let passed = transform.feed(&mut self.instances, &context(), &bytes, last, complete)?;
        Ok((String::from_utf8(passed.bytes.to_vec()).unwrap(), passed.complete))
    }

    /// What leaves of a body that comes in pieces of this size.
    fn all(&mut self, body: &[u8], size: usize) -> String {
        let mut pieces = body.chunks(size).peekable();
        let mut out = String::new();
        while let Some(piece) = pieces.next() {
            out += &self.feed(piece, pieces.peek().is_none(), false).unwrap().0;
        }
        out
    }
}

fn louder(_: &mut usize, part: &mut Part<'_>) {
    if part.kind() == PartKind::End {
        part.replace("end");
    } else {
        part.set_data(part.data().to_ascii_uppercase());
    }
}

#[tokio::test]
async fn those_below_see_what_came_and_those_above_what_was_made_of_it() {
    for (kind, body, changed) in [
        ("text/event-stream", "event: a\ndata: x\n\ndata: y\n\n", "event: a\ndata: X\n\ndata: Y\n\nend"),
        ("application/x-ndjson", "{\"a\":1}\n{\"b\":2}\n", "{\"A\":1}\n{\"B\":2}\nend"),
        ("application/json; charset=utf-8", "{\"a\":1}", "{\"A\":1}"),
    ] {
        for size in 1..=body.len() {
            let mut way = Way::new(louder, 200, &headers(kind)).await.unwrap();
            assert_eq!(way.all(body.as_bytes(), size), changed, "{kind} {size}");
            assert_eq!((way.below.text(), way.above.text()), (body.to_owned(), changed.to_owned()), "{kind} {size}");
            let ends = |watcher: &Watcher| watcher.0.lock().unwrap().iter().filter(|(_, last, _)| *last).count();
            assert_eq!((ends(&way.below), ends(&way.above)), (1, 1));
        }
    }
}

#[tokio::test]
async fn a_response_that_no_plugin_wants_is_left_alone() {
    for (status, kind) in [(404, "application/json"), (200, "image/png")] {
        assert!(Way::new(louder, status, &headers(kind)).await.unwrap().transform.is_none(), "{status} {kind}");
    }
    assert!(Way::new(louder, 200, &HeaderMap::new()).await.unwrap().transform.is_some(), "it may be anything");
}

#[tokio::test]
async fn an_event_leaves_when_it_is_complete_and_an_answer_is_complete_when_nothing_is_held() {
    let mut way = Way::new(|_, _| {}, 200, &headers("text/event-stream")).await.unwrap();
    assert_eq!(way.feed(b"data: 1\n\ndata: 2", false, false).unwrap(), ("data: 1\n\n".into(), false));
    assert_eq!(way.feed(b"\n\nda", false, true).unwrap(), ("data: 2\n\n".into(), false));
    assert_eq!(way.feed(b"ta: 3\n\n", false, true).unwrap(), ("data: 3\n\n".into(), true));
    assert_eq!(way.above.0.lock().unwrap().last().unwrap(), &("data: 3\n\n".into(), false, true));
}

#[tokio::test]
async fn an_encoded_body_is_decoded_for_all() {
    let body = zstd::encode_all(&b"data: x\n\ndata: y\n\n"[..], 3).unwrap();
    for size in [1, 7, body.len()] {
        let mut encoded = headers("text/event-stream");
        encoded.insert("content-encoding", HeaderValue::from_static("zstd"));
        let mut way = Way::new(louder, 200, &encoded).await.unwrap();
        assert_eq!(way.all(&body, size), "data: X\n\ndata: Y\n\nend");
        assert_eq!(way.below.text(), "data: x\n\ndata: y\n\n");
    }
    let mut encoded = headers("text/event-stream");
    encoded.insert("content-encoding", HeaderValue::from_static("rot13"));
    assert!(matches!(Way::new(louder, 200, &encoded).await, Err(TransformError::Encoding)));
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_properly_and_nothing_follows() {
    let start = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"output_tokens\":1}}}\n\n";
    let block = "data: {\"type\":\"content_block_start\",\"index\":0}\n\n";
    let cut = |parts: &mut usize, part: &mut Part<'_>| {
        if *parts == 3 {
            part.cut("word");
        }
    };
    let mut way = Way::new(cut, 200, &headers("text/event-stream")).await.unwrap();
    let (out, complete) =
        way.feed(format!("{start}{block}data: bad\n\ndata: more\n\n").as_bytes(), false, false).unwrap();
    assert!(complete);
    let end = out.strip_prefix(&format!("{start}{block}")).unwrap();
    let names: Vec<_> = end.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(way.transform.as_ref().unwrap().cut(), Some(Cut { plugin: "changer", reason: "word" }));
    assert_eq!(way.feed(b"data: even more\n\n", true, false).unwrap().0, "");
    assert_eq!(way.above.text(), out);
    assert!(way.below.text().ends_with("data: even more\n\n"));
}

#[tokio::test]
async fn a_body_that_is_cut_says_that_it_was_refused_or_what_was_put_in_its_place() {
    let body = br#"{"id":"m","content":[{"text":"x"}],"stop_reason":"end_turn"}"#;
    let mut way = Way::new(|_, part| part.cut("word"), 200, &headers("application/json")).await.unwrap();
    assert_eq!(way.all(body, 9), r#"{"id":"m","content":[],"stop_reason":"refusal","stop_sequence":null}"#);
    let replace = |_: &mut usize, part: &mut Part<'_>| {
        part.replace("{}");
        part.cut("word");
    };
    let mut way = Way::new(replace, 200, &headers("application/json")).await.unwrap();
    assert_eq!(way.all(body, 9), "{}");
}

#[tokio::test]
async fn what_is_too_large_or_panics_does_not_pass() {
    let mut way = Way::new(louder, 200, &headers("application/json")).await.unwrap();
    assert_eq!(way.feed(&[b'x'; 1001], false, false).unwrap_err(), TransformError::TooLarge);
    let mut long = headers("application/json");
    long.insert("content-length", HeaderValue::from_static("1001"));
    assert!(matches!(Way::new(louder, 200, &long).await, Err(TransformError::TooLarge)));
    let mut way = Way::new(|_, _| panic!("told to"), 200, &headers("application/json")).await.unwrap();
    assert_eq!(way.feed(b"{}", true, false).unwrap_err(), TransformError::Panic("changer"));
}
