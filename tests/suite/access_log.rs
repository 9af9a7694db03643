//! The formats of the access log: `combined` as a real nginx writes it, and variables of both.

use std::fs;

use crate::harness::{Folder, answer, connect, eventually, found, gateway, nginx, origin};

/// Requests as they are sent, some of them with what a log must escape.
const REQUESTS: [&[u8]; 7] = [
    b"GET /a?b=c&d HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\nuser-agent: curl/8.0 (x; y)\r\nreferer: https://b.test/?q=1\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n",
    b"GET /quoted HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\nuser-agent: a\"b\\c\r\nreferer: \xe9~\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    b"GET /empty HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\nuser-agent:\r\n\r\n",
    b"HEAD /head HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n",
    b"GET /missing HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n",
];

/// A line without its time, which has to look like one.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.starts_with("00/") && shape[6..].starts_with("/0000:00:00:00 "), "{time}");
    assert!(matches!(&shape[21..], "+0000" | "-0000"), "{time}");
    format!("{before}[{}]{after}", &time[21..])
}

#[tokio::test]
async fn combined_is_byte_for_byte_that_of_nginx() {
    let (origin, folder) = (origin().await, Folder::new());
    origin.answers_with(|request| match request.target.as_str() {
        "/missing" => answer(404).body("not here"),
        "/v1/messages" => answer(200).body("an answer of some bytes"),
        _ => answer(200).body("hello"),
    });
    let log = folder.path().join("nginx.log");
    let server =
        format!("access_log {} combined; location / {{ proxy_pass http://{}; }}", log.display(), origin.address());
    let nginx = nginx("", &server).await;
    let gateway =
        gateway().upstream(&origin).settings("access_log: { path: access.log, format: combined }").start().await;
    for address in [nginx.address(), gateway.address()] {
        for request in REQUESTS {
            let mut client = connect(address).await;
            client.send(request).await;
            // the whole answer: a client that leaves early is another line
            client.to_end().await;
        }
    }
    let lines = async |path: std::path::PathBuf| {
        let text = found("all lines", async || {
            fs::read_to_string(&path).ok().filter(|text| text.lines().count() == REQUESTS.len())
        });
        text.await.lines().map(without_time).collect::<Vec<_>>()
    };
    let (theirs, ours) = (lines(log).await, lines(gateway.folder().join("access.log")).await);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn a_format_has_variables_of_nginx_and_of_the_call() {
    let origin = origin().await;
    let text = r#"{"type":"message","model":"claude-x","content":[],"usage":{"input_tokens":12,"output_tokens":34}}"#;
    origin.answers(answer(200).header("content-type", "application/json").header("x-of", "upstream").body(text));
    let format = "$remote_addr \\\"$request\\\" $status $body_bytes_sent $model $served_model $input_tokens/$output_tokens \
                  $http_x_trace $sent_http_x_of $sent_http_nothing $upstream_addr $arg_page $outcome $request_time $$1";
    let settings = format!(
        "access_log: {{ path: access.log, format: \"{format}\" }}\nplugins: [{{ max_tokens: {{ limit: 100 }} }}]"
    );
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    let mut client = connect(gateway.address()).await;
    let body = r#"{"model":"claude-fast","max_tokens":9,"messages":[]}"#;
    let length = body.len();
    client
        .send(format!(
            "POST /v1/messages?page=7 HTTP/1.1\r\nhost: a\r\nx-trace: t 1\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    assert_eq!(client.answer().await.status, 200);
    let log = gateway.folder().join("access.log");
    eventually("a line", async || fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))).await;
    let line = fs::read_to_string(&log).unwrap();
    let (line, time) = line.trim_end().strip_suffix(" $1").unwrap().rsplit_once(' ').unwrap();
    let bytes = text.len();
    let expected = format!(
        "127.0.0.1 \"POST /v1/messages?page=7 HTTP/1.1\" 200 {bytes} claude-fast claude-x 12/34 t 1 upstream - {} 7 completed",
        origin.address()
    );
    assert_eq!(line, expected);
    let (seconds, milliseconds) = time.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().is_ok() && milliseconds.len() == 3, "{time}");
}

#[tokio::test]
async fn a_format_that_would_log_a_secret_ends_the_start_with_its_place() {
    let settings = "access_log: { format: '$status $http_authorization' }";
    let exit = gateway().upstream(&origin().await).settings(settings).start_fails().await;
    assert_eq!(exit.status.code(), Some(1));
    let place = "access_log.format: `$http_authorization` may hold a secret";
    assert!(exit.stderr.contains("tollgate.yaml:") && exit.stderr.contains(place), "{}", exit.stderr);
}
