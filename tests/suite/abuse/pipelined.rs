//! Requests that are sent before the answer to the one before them: Pingora parses their heads from what it has read already.

use super::{SETTINGS, Target, statuses};
use crate::harness::{Script, connect};

/// Sends a request, then another in two pieces: the first while the first request waits for its answer, the second once it has that.
async fn told_of_two(target: &mut Target, begins: &[u8], ends: &[u8]) -> (usize, String) {
    let before = target.origin.count();
    let mut client = connect(target.gateway.address()).await;
    let first = b"POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    client.send([&first[..], begins].concat()).await;
    assert_eq!(client.answer().await.status, 200);
    // who is refused may find the connection closed while it still writes
    let _ = client.try_send(ends).await;
    let told = String::from_utf8_lossy(&client.to_end().await).into_owned();
    (target.origin.count() - before - 1, told)
}

#[tokio::test]
async fn the_rest_of_a_head_is_not_taken_for_its_first_line() {
    let mut target = Target::with(SETTINGS).await;
    let begins = b"GET /public HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-note: ";
    for line in [&b"GET /smuggled\xff HTTP/1.1"[..], b"GET /smuggled<> HTTP/1.1", b"GET http://a/smuggled HTTP/1.1"] {
        let (passed, told) = told_of_two(&mut target, begins, &[line, b"\r\n\r\n"].concat()).await;
        assert_eq!((passed, statuses(&told)), (0, vec![400]), "{}: {told}", line.escape_ascii());
        assert!(told.contains("has a target in origin form"), "{told}");
    }
    let (passed, told) = told_of_two(&mut target, begins, b"GET /plain HTTP/1.1\r\n\r\n").await;
    assert_eq!((passed, statuses(&told)), (1, vec![200]), "{told}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_target_that_has_to_be_looked_at_is_refused_and_not_cut_off() {
    let mut target = Target::with(SETTINGS).await;
    for line in ["GET /smuggled#x HTTP/1.1", "GET http://A/smuggled HTTP/1.1", "GET /smuggled<x HTTP/1.1"] {
        let request = format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n");
        // bytes of its body come with the rest of its head
        let with_body = request.replace("GET ", "POST ").replace("\r\n\r\n", "\r\ncontent-length: 300\r\n\r\n");
        let (begins, ends) = with_body.as_bytes().split_at(with_body.len() - 3);
        let (passed, told) = told_of_two(&mut target, begins, &[ends, &[b' '; 300]].concat()).await;
        assert_eq!((passed, statuses(&told)), (0, vec![400]), "{line} with a body: {told}");
        for at in [request.len(), 1, 10, request.len() - 3] {
            let (begins, ends) = request.as_bytes().split_at(at);
            let (passed, told) = told_of_two(&mut target, begins, ends).await;
            // where a head begins with one byte, its line is looked at as ever
            assert!(passed == 0 && statuses(&told) == [400] || at == 1, "{line} at {at}: {told}");
            assert!(!line.contains('#') || target.whole("/smuggled") == 0, "{line} at {at}");
        }
    }
}

#[tokio::test]
async fn a_head_may_be_split_before_its_last_line_ends() {
    let mut target = Target::with(SETTINGS).await;
    let begins = b"POST /split HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n";
    for at in [0, 1] {
        let (begins, ends) = ([&begins[..], &b"\r\n{}"[..at]].concat(), &b"\r\n{}"[at..]);
        let (passed, told) = told_of_two(&mut target, &begins, ends).await;
        assert_eq!((passed, statuses(&told)), (1, vec![200]), "{told}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_one_request_said_is_not_said_of_the_next() {
    let mut target = Target::with(SETTINGS).await;
    let odd = b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n";
    let plain = b"GET /%FF HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&target.told(&[&odd[..], plain].concat()).await), [200, 200]);
    let targets: Vec<_> = target.origin.requests().iter().map(|seen| seen.raw_head[5..8].to_vec()).collect();
    assert!(targets[0].starts_with(b"\xff ") && targets[1] == b"%FF", "{targets:?}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn an_upstreams_refusal_that_looks_like_pingoras_own_passes() {
    let mut target = Target::with(SETTINGS).await;
    let refusal = "HTTP/1.1 403 Forbidden\r\nServer: Pingora\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\
                   Cache-Control: private, no-store\r\n\r\n";
    target.origin.answers_next(Script::raw(refusal));
    let told = target.told(b"GET /refused HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(statuses(&told), [403]);
    assert!(told.contains("private, no-store"), "{told}");
    target.is_unharmed().await;
}
