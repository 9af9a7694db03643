//! Answers that come, are too long, break off, or never come.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What is got from a server that answers with these bytes; none: it says nothing.
async fn got(answer: Option<&'static str>) -> Result<Bytes, HttpError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys?a=b", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 1000];
        let read = stream.read(&mut head).await.unwrap();
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            None => std::future::pending().await,
        }
        String::from_utf8(head[..read].to_vec()).unwrap()
    });
    let limit = Duration::from_millis(if answer.is_some() { 20_000 } else { 50 });
    let got = HttpClient::new().get(&url, 10, limit).await;
    if answer.is_some() {
        assert!(server.await.unwrap().starts_with("GET /keys?a=b HTTP/1.1\r\n"));
    }
    got
}

#[tokio::test]
async fn a_document_comes_whole_or_not_at_all() {
    assert_eq!(got(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await.unwrap(), "{}");
    assert_eq!(got(Some("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}")).await.unwrap(), "{}");
    for (answer, error) in [
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901"), HttpError::Body),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), HttpError::Body),
        (
            Some("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n"),
            HttpError::Status(StatusCode::FOUND),
        ),
        (None, HttpError::Timeout),
    ] {
        assert_eq!(got(answer).await, Err(error));
    }
    for url in ["ftp://host/", "/path", "host"] {
        let url = url.parse().unwrap();
        assert_eq!(HttpClient::new().get(&url, 10, Duration::from_secs(9)).await, Err(HttpError::Url));
    }
}

#[tokio::test]
async fn the_json_is_posted_to_the_path_and_the_status_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut received, mut bytes) = (Vec::new(), [0; 1024]);
        while !received.ends_with(b"{\"a\":1}") {
            let length = socket.read(&mut bytes).await.unwrap();
            received.extend_from_slice(&bytes[..length]);
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(received).unwrap()
    });
    let url = format!("http://{address}/hooks/secret?key=1").parse().unwrap();
    let status = HttpClient::new().post(&url, Bytes::from_static(b"{\"a\":1}"), Duration::from_secs(10)).await.unwrap();
    let received = server.await.unwrap();
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(received.starts_with("POST /hooks/secret?key=1 HTTP/1.1\r\n"), "{received}");
    assert!(received.contains(&format!("host: {address}\r\n")), "{received}");
}

#[tokio::test]
async fn no_error_has_the_url() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}/secret").parse().unwrap();
    let error = HttpClient::new().post(&url, Bytes::new(), Duration::from_secs(10)).await.unwrap_err().to_string();
    assert!(error.starts_with("the server cannot be reached") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn an_answer_of_any_status_comes_back_with_the_beginning_of_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut received, mut bytes) = (Vec::new(), [0; 1024]);
        while !received.ends_with(b"[1]") {
            let length = socket.read(&mut bytes).await.unwrap();
            received.extend_from_slice(&bytes[..length]);
        }
        let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 100000\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        // the client takes the beginning, and is gone then
        let _ = socket.write_all(&[b'x'; 100_000]).await;
        String::from_utf8(received).unwrap()
    });
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer s".parse().unwrap());
    headers.insert("user-agent", "own".parse().unwrap());
    let limit = Duration::from_secs(10);
    let answer =
        HttpClient::new().request(Method::PUT, &url, &headers, Bytes::from_static(b"[1]"), limit).await.unwrap();
    let received = server.await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(7))));
    assert_eq!(answer.body.len(), 64 << 10);
    assert!(
        received.starts_with("PUT /events HTTP/1.1\r\n") && received.contains("authorization: Bearer s\r\n"),
        "{received}"
    );
    assert!(received.contains("user-agent: own\r\n") && !received.contains("tollgate"), "{received}");
}
