//! Routes that lead to no upstream: redirects and answers, each with its row and its plugins.

use http::StatusCode;

use super::named;
use crate::harness::{body, connect, eventually, h2c, http1};

const ROUTES: &str = "  - { paths: [\"= /health\"], answer: { status: 200, body: \"ok $host\\n\", headers: { x-a: \"$request_method\" } }, access_log: off }\n  \
     - { paths: [\"= /none\"], answer: { status: 204 } }\n  - { paths: [\"= /same\"], answer: { status: 304 } }\n  \
     - { paths: [/old/], redirect: \"https://new.test$request_uri\", status: 308 }\n  \
     - { paths: [\"~ (?s)^/img/(?<name>.*)$\"], redirect: \"/i/$name\" }\n  \
     - { paths: [/closed/, /v1/messages], answer: { status: 503 } }\n  \
     - { paths: [/empty/], answer: { status: 404, body: \"\" } }\n  - { upstream: one }\n";
const LEDGER: &str = "plugins:\n  - usage_log: { database: \"sqlite://ledger.db\", journal: { path: journal } }\n";

#[tokio::test]
async fn a_route_answers_or_redirects_by_itself_over_both_protocols() {
    let (origins, gateway) = named(&["one"], ROUTES, "").await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let health = client.get("/health").await;
        assert_eq!((health.status.as_u16(), health.text()), (200, "ok 127.0.0.1\n".to_owned()));
        assert_eq!((health.header("content-type"), health.header("x-a")), (Some("text/plain"), Some("GET")));
        let head = client.request("HEAD", "/health").body(body("")).unwrap();
        let head = client.call(head).await;
        assert_eq!((head.header("content-length"), head.text().len()), (Some("13"), 0));
        for (path, status) in [("/none", StatusCode::NO_CONTENT), ("/same", StatusCode::NOT_MODIFIED)] {
            let answer = client.post(path, "{}").await;
            assert_eq!(
                (answer.status, answer.header("content-length"), answer.header("content-type")),
                (status, None, None)
            );
        }
        for (target, status, location) in [
            ("/old/a%20b?x=%2F", 308, "https://new.test/old/a%20b?x=%2F"),
            ("/img/a%20b", 301, "/i/a%20b"),
            ("/img/%0d%0aset-cookie:%20a=b", 301, "/i/%0D%0Aset-cookie:%20a=b"),
            ("/img/a%3Fb%25", 301, "/i/a%3Fb%25"),
        ] {
            let answer = client.get(target).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (status, Some(location)), "{target}");
            assert_eq!((answer.text().len(), answer.header("set-cookie")), (0, None));
        }
        let closed = client.post("/v1/messages", "{}").await;
        assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((&closed.json()["type"], &closed.json()["error"]["type"]), (&"error".into(), &"api_error".into()));
        let empty = client.get("/empty/").await;
        assert_eq!((empty.status, empty.text().len()), (StatusCode::NOT_FOUND, 0));
        assert_eq!(client.get("/other").await.text(), "one");
    }
    assert_eq!(origins[0].count(), 2);
}

#[tokio::test]
async fn a_body_that_nobody_reads_leaves_the_connection_as_it_was() {
    let (_origins, gateway) = named(&["one"], ROUTES, "").await;
    let mut client = connect(gateway.address()).await;
    for (path, status) in [("/health", 200), ("/none", 204), ("/old/", 308), ("/v1/messages", 503), ("/x", 200)] {
        let length = 200_000;
        client.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")).await;
        client.send(vec![b'x'; length]).await;
        assert_eq!(client.answer().await.status, status, "{path}");
        client
            .send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status, status, "{path}, in chunks");
    }
}

#[tokio::test]
async fn every_request_of_such_a_route_has_a_row_and_passes_the_plugins() {
    let keys =
        "      keys: [{ name: alice, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90 }]\n";
    let plugins = format!("{LEDGER}  - api_keys:\n{keys}");
    let routes = ROUTES.replace("access_log: off", "access_log: off, plugins: [{ api_keys: off }]");
    let (_origins, gateway) = named(&["one"], &routes, &plugins).await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.get("/old/x").await.status, StatusCode::UNAUTHORIZED, "the plugin comes first");
    assert_eq!(client.get("/health").await.status, StatusCode::OK);
    for (path, status, outcome) in
        [("/old/x", 308, "completed"), ("/none", 204, "completed"), ("/closed/", 503, "refused")]
    {
        let request = client.request("GET", path).header("x-api-key", "alice").body(body("")).unwrap();
        assert_eq!(client.call(request).await.status.as_u16(), status, "{path}");
        let line = gateway.logged(|line| line["status"] == status).await;
        assert_eq!(
            (&line["path"], &line["outcome"], &line["key_name"]),
            (&path.into(), &outcome.into(), &"alice".into()),
            "{line}"
        );
        assert!(line["upstream"].is_null() && line["server"].is_null() && line["attempts"] == 0, "{line}");
    }
    // the metric counts a row again that was shipped twice
    let ledger = gateway.folder().join("ledger.db");
    let rows = || {
        let script = "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM api_requests').fetchone()[0])";
        let output = std::process::Command::new("python3").args(["-c", script]).arg(&ledger).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    eventually("a row for each", async || rows() == "5").await;
    let lines = gateway.access_log();
    assert_eq!(lines.len(), 4, "one request is not in the log: {lines:?}");
    drop(client);
    gateway.idle().await;
}
