//! Merged calls that are refused, fail, or have answers that are of no use.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_merged_call_that_is_refused_is_sent_again_as_what_it_was_made_of() {
    for status in [400, 413, 422] {
        let world = world();
        let does = [None, Some(StatusCode::from_u16(status).unwrap())];
        let does = does.map(|status| Does::Answers(status.unwrap_or(StatusCode::OK), "{}"));
        *world.upstream.does.lock().unwrap() = does.into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        for (got, input) in got.iter().zip(["a", "b"]) {
            let body = alone(text(input).body.as_bytes());
            assert_eq!(*got, Got { status: 200, body, of_plugin: false });
        }
        assert_eq!(world.inputs(), [1, 2, 1, 1]);
        // for a while none is merged, as the same input may come again
        world.burst(vec![text("a"), text("b")]).await;
        assert_eq!(world.inputs()[4..], [1, 1, 1]);
        advance(Duration::from_secs(2)).await;
        assert_eq!(world.figure("tollgate_merge_calls_total", "again"), 2.0);
    }
}

#[tokio::test(start_paused = true)]
async fn other_errors_are_those_of_every_caller() {
    for status in [401, 403, 404, 429, 500, 503, 529] {
        let world = world();
        let status = StatusCode::from_u16(status).unwrap();
        *world.upstream.does.lock().unwrap() =
            [Does::Answers(StatusCode::OK, "{}"), Does::Answers(status, "{\"error\":1}")].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        let wanted = || Got { status: status.as_u16(), body: "{\"error\":1}".to_owned(), of_plugin: true };
        assert_eq!(got, [wanted(), wanted()]);
        assert_eq!(world.inputs(), [1, 2]);
    }
    // nor is one tried again that no server took
    let sent = Box::new(SentTo { error: Some("connect"), ..SentTo::nowhere("a".into()) });
    let (kind, status, message) = (ErrorKind::BadGateway, StatusCode::BAD_GATEWAY, "no");
    let failure = SendError::Failed(Box::new(SendFailure { kind, status, message, retry_after: None, sent }));
    let world = world();
    *world.upstream.does.lock().unwrap() = [Does::Answers(StatusCode::OK, "{}"), Does::Fails(failure)].into();
    let got = world.burst(vec![text("a"), text("b")]).await;
    assert!(got.iter().all(|got| got.status == 502 && got.body.contains("bad_gateway") && got.of_plugin), "{got:?}");
    // but where the gateway could not send or hold the merged one, each goes by itself
    for error in [SendError::NoMemory, SendError::TooLarge, SendError::Stopped, SendError::UnknownUpstream("a".into())]
    {
        let world = super::world();
        *world.upstream.does.lock().unwrap() = [Does::Answers(StatusCode::OK, "{}"), Does::Fails(error)].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        assert!(got.iter().all(|got| got.status == 200 && !got.of_plugin), "{got:?}");
        // and for a while none is tried again
        assert_eq!(world.inputs(), [1, 2, 1, 1]);
        world.burst(vec![text("a"), text("b")]).await;
        assert_eq!(world.inputs()[4..], [1, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_taken_apart_is_given_to_nobody() {
    for answer in [
        r#"{"data":[{"index":1},{"index":0}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        r#"{"data":[{"index":0}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        "no JSON",
    ] {
        let world = world();
        *world.upstream.does.lock().unwrap() =
            [Does::Answers(StatusCode::OK, "{}"), Does::Answers(StatusCode::OK, answer)].into();
        let got = world.burst(vec![text("a"), text("b")]).await;
        assert!(
            got.iter().zip(["a", "b"]).all(|(got, input)| got.body == alone(text(input).body.as_bytes())),
            "{got:?}"
        );
        assert_eq!(world.inputs(), [1, 2, 1, 1]);
        // what it used is shared out among its callers' rows
        let discarded = if answer.starts_with('{') { 7 } else { 0 };
        assert_eq!(*world.discarded.lock().unwrap(), discarded);
        // one that does not say what it used is estimated
        let metric = world.figure("tollgate_merge_discarded_tokens_total", "");
        assert!(if discarded > 0 { metric == discarded as f64 } else { metric > 0.0 }, "{answer}: {metric}");
    }
}
