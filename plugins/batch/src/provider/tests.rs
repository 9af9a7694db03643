//! What is sent to providers, and how the lines of their results are understood.

use std::sync::Mutex;

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::*;

/// A provider that gives these answers in turn, and remembers what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<Vec<(u16, String)>>,
    asked: Mutex<Vec<Ask>>,
}

impl Script {
    fn of(answers: &[(u16, Value)]) -> Self {
        let answers = answers
            .iter()
            .rev()
            .map(|(status, body)| (*status, body.as_str().map_or_else(|| body.to_string(), str::to_owned)));
        Self { answers: Mutex::new(answers.collect()), asked: Mutex::default() }
    }
}

impl Link for Script {
    fn send(&self, ask: Ask) -> BoxFuture<'static, Result<Got, Unsent>> {
        let upstream = ask.upstream.clone();
        self.asked.lock().unwrap().push(ask);
        let (status, body) = self.answers.lock().unwrap().pop().unwrap();
        async move { Ok(Got { status, retry_after: None, body: body.into(), upstream }) }.boxed()
    }
}

fn handed(api: Api, path: &str) -> Handed {
    let group = Group {
        upstream: "up".into(),
        api,
        path: path.into(),
        query: "?beta=true".into(),
        model: "m".into(),
        headers: vec![("anthropic-version".into(), "2023-06-01".into())],
    };
    let at = crate::call::now();
    Handed { id: Uuid::now_v7(), group, calls: vec![Uuid::now_v7(), Uuid::now_v7()], at, in_doubt_since: at }
}

fn made(id: &str, status: &str) -> Value {
    let counts = json!({ "processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0 });
    let created = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    json!({ "id": id, "processing_status": status, "request_counts": counts, "created_at": created })
}

#[tokio::test]
async fn anthropics_batch_has_each_body_as_it_is_under_its_calls_id() {
    let handed = handed(Api::Messages, "/a/v1/messages");
    let script = Script::of(&[(200, made("msgbatch_1", "in_progress"))]);
    let bodies = vec![Bytes::from_static(b"{\"n\":1.50e2}"), Bytes::from_static(b"{}")];
    let submitted = submit(&script, &handed, bodies, &Uploads::default()).await;
    assert!(matches!(submitted, Submitted::Made { batch, upstream } if batch == "msgbatch_1" && upstream == "up"));
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].target, "/a/v1/messages/batches?beta=true");
    let [one, two] = [handed.calls[0], handed.calls[1]];
    let expected = format!(
        "{{\"requests\":[{{\"custom_id\":\"{one}\",\"params\":{{\"n\":1.50e2}}}},{{\"custom_id\":\"{two}\",\"params\":{{}}}}]}}"
    );
    assert_eq!(asked[0].body, expected);
}

#[tokio::test]
async fn openais_calls_go_up_as_lines_of_a_file() {
    let handed = handed(Api::Chat, "/v1/chat/completions");
    let batch = json!({ "id": "batch_1", "status": "validating", "created_at": 1, "errors": null, "metadata": null });
    let script = Script::of(&[(200, json!({ "id": "file-1" })), (200, batch)]);
    let bodies = vec![Bytes::from_static(b"{\n\"a\": 1\r\n}"), Bytes::from_static(b"{}")];
    assert!(
        matches!(submit(&script, &handed, bodies, &Uploads::default()).await, Submitted::Made { batch, .. } if batch == "batch_1")
    );
    let asked = script.asked.lock().unwrap();
    let form = std::str::from_utf8(&asked[0].body).unwrap();
    let lines: Vec<Value> =
        form.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["url"], &lines[0]["body"]["a"]), (&"/v1/chat/completions".into(), &1.into()));
    let body: Value = serde_json::from_slice(&asked[1].body).unwrap();
    assert_eq!((&body["input_file_id"], &body["endpoint"]), (&"file-1".into(), &"/v1/chat/completions".into()));
    assert_eq!(body["metadata"]["tollgate_submission"], handed.id.to_string());
}

#[tokio::test]
async fn what_a_status_means_for_a_submission() {
    for (status, expected) in [
        (400, "Invalid"),
        (401, "Refused"),
        (404, "Refused"),
        (413, "Invalid"),
        (429, "Wait"),
        (500, "Unclear"),
        (529, "Unclear"),
    ] {
        let script = Script::of(&[(status, json!({ "error": { "message": "why" } }))]);
        let submitted =
            submit(&script, &handed(Api::Messages, "/v1/messages"), vec![Bytes::new(); 2], &Uploads::default()).await;
        assert!(format!("{submitted:?}").starts_with(expected), "{status}: {submitted:?}");
    }
    // a file that is lost does no harm
    let submitted = submit(
        &Script::of(&[(500, json!({}))]),
        &handed(Api::Chat, "/v1/chat/completions"),
        vec![Bytes::new(); 2],
        &Uploads::default(),
    )
    .await;
    assert!(matches!(submitted, Submitted::NotSent(_)), "{submitted:?}");
}

#[tokio::test]
async fn an_error_that_the_call_is_to_blame_for_is_its_answer() {
    let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    let error = |kind: &str| json!({ "type": "errored", "error": { "type": "error", "error": { "type": kind, "message": "m" } } });
    let given = [
        json!({ "type": "succeeded", "message": { "id": "msg_1" } }),
        error("invalid_request_error"),
        error("overloaded_error"),
        json!({ "type": "expired" }),
        json!({ "type": "canceled" }),
    ];
    let mut lines: Vec<String> =
        ids.iter().zip(given).map(|(id, result)| json!({ "custom_id": id, "result": result }).to_string()).collect();
    lines.push(json!({ "custom_id": "of somebody else", "result": { "type": "expired" } }).to_string());
    let script = Script::of(&[(200, made("b", "ended")), (200, lines.join("\n").into())]);
    let group = handed(Api::Messages, "/v1/messages").group;
    let Progress::Over(files) = poll(&script, &group, "up", "b").await else { panic!("not over") };
    let read = results(&script, &group, "up", &files.results).await.unwrap();
    let outcomes: Vec<Outcome> = read.lines.iter().map(|line| line.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Given(200),
            Outcome::Given(400),
            Outcome::Failed(Failure::Errored),
            Outcome::Failed(Failure::Expired),
            Outcome::Failed(Failure::Canceled),
        ]
    );
    assert_eq!(read.lines[0].body, "{\"id\":\"msg_1\"}");
}

#[tokio::test]
async fn results_that_do_not_come_are_none_and_a_line_that_cannot_be_read_harms_no_other() {
    let group = handed(Api::Messages, "/v1/messages").group;
    let targets = ["/results".to_owned()];
    assert!(results(&Script::of(&[(500, json!({}))]), &group, "up", &targets).await.is_err());
    let line = |id: Uuid| json!({ "custom_id": id, "result": { "type": "expired" } }).to_string();
    let (first, last) = (Uuid::now_v7(), Uuid::now_v7());
    let text = format!("{}\n{{\"custom_id\":\"01\u{0},\n\n{}\n", line(first), line(last));
    let read = results(&Script::of(&[(200, text.into())]), &group, "up", &targets).await.unwrap();
    let calls: Vec<Uuid> = read.lines.iter().map(|line| line.call).collect();
    assert_eq!((calls, read.unreadable), (vec![first, last], 1));
}

#[tokio::test]
async fn a_file_of_openais_is_uploaded_once_and_no_file_is_left() {
    let handed = handed(Api::Chat, "/v1/chat/completions");
    let (bodies, uploads) = (vec![Bytes::from_static(b"{}"); 2], Uploads::default());
    let batch = |status: &str| {
        json!({ "id": "batch_1", "status": status, "created_at": 1, "errors": null, "metadata": null,
            "input_file_id": "file-1", "output_file_id": "out", "error_file_id": "err" })
    };
    let script = Script::of(&[
        (200, json!({ "id": "file-1" })),
        (429, json!({})),
        (200, batch("validating")),
        // other calls, and a file of their own
        (200, json!({ "id": "file-2" })),
        (400, json!({})),
        (200, json!({})),
        (200, batch("completed")),
        (200, json!({})),
        (404, json!({})),
        (200, json!({})),
    ]);
    assert!(matches!(submit(&script, &handed, bodies.clone(), &uploads).await, Submitted::Wait(..)));
    assert!(matches!(submit(&script, &handed, bodies.clone(), &uploads).await, Submitted::Made { .. }));
    let others = Handed { calls: vec![Uuid::now_v7(), Uuid::now_v7()], ..handed.clone() };
    assert!(matches!(submit(&script, &others, bodies, &uploads).await, Submitted::Invalid(_)));
    let Progress::Over(files) = poll(&script, &handed.group, "up", "batch_1").await else { panic!("not over") };
    assert_eq!(files.results, ["/v1/files/out/content?beta=true", "/v1/files/err/content?beta=true"]);
    delete(&script, &handed.group, "up", &files.waste).await;
    let asked = script.asked.lock().unwrap();
    let asked: Vec<String> = asked.iter().map(|ask| format!("{} {}", ask.method, ask.target)).collect();
    assert_eq!(
        asked,
        [
            "POST /v1/files?beta=true",
            "POST /v1/batches?beta=true",
            "POST /v1/batches?beta=true",
            "POST /v1/files?beta=true",
            "POST /v1/batches?beta=true",
            "DELETE /v1/files/file-2?beta=true",
            "GET /v1/batches/batch_1?beta=true",
            "DELETE /v1/files/out?beta=true",
            "DELETE /v1/files/err?beta=true",
            "DELETE /v1/files/file-1?beta=true",
        ]
    );
}
