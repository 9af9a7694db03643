//! The real Chromium sees through the gateway what it sees through nginx: cookies over HTTP/2, events that go on where they broke off, and a
//! WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::harness::{
    Authority, Chromium, Folder, Origin, Received, Script, answer, eventually, gateway, nginx_of, origin, sse,
};

/// What the page finds out, and sends to `/seen` in the end.
const PAGE: &str = r#"<!doctype html><title>seen</title><script>
(async () => {
    const seen = {};
    await fetch('/set-cookies');
    seen.cookies = await (await fetch('/cookies')).text();
    seen.script = document.cookie;
    seen.protocol = performance.getEntriesByName(location.origin + '/cookies')[0].nextHopProtocol;
    seen.redirected = (await fetch('/moved')).url.replace(location.origin, '');
    seen.events = await new Promise(resolve => {
        const source = new EventSource('/events'), events = [];
        source.onmessage = event => {
            events.push([event.lastEventId, event.data]);
            if (event.data === 'last') { source.close(); resolve(events); }
        };
    });
    seen.socket = await new Promise(resolve => {
        const socket = new WebSocket(`wss://${location.host}/socket`, ['chat', 'echo']), messages = [];
        socket.onopen = () => { socket.send('hello'); socket.send('x'.repeat(100000)); socket.send('bye'); };
        socket.onmessage = event => {
            messages.push(event.data.length);
            if (event.data === 'bye') socket.close(4001, 'done');
        };
        socket.onclose = event => resolve({ messages, code: event.code, reason: event.reason, clean: event.wasClean });
    });
    seen.gone = await fetch('/aborted', { signal: AbortSignal.timeout(200) }).catch(error => error.name);
    await fetch('/seen', { method: 'POST', body: JSON.stringify(seen) });
})().catch(error => fetch('/seen', { method: 'POST', body: JSON.stringify(String(error)) }));
</script>"#;

fn script(request: &Received) -> Script {
    match &*request.target {
        "/" => answer(200).header("content-type", "text/html; charset=utf-8").body(PAGE),
        "/set-cookies" => {
            let set =
                answer(200).header("set-cookie", "a=1; Path=/; Secure").header("set-cookie", "b=2; Path=/; HttpOnly");
            set.header("set-cookie", "c=\"3, 4\"; Path=/; SameSite=Strict").body("set")
        }
        // as one line, for whoever reads only the first
        "/cookies" => answer(200).header("cache-control", "no-store").body(request.all("cookie").join(&b" | "[..])),
        "/moved" => answer(302).header("location", "/cookies").body(""),
        "/events" => {
            let events = sse().data("retry: 1\n\n");
            match request.all("last-event-id")[..] {
                [] => events.data("id: 1\ndata: first\n\nid: 2\ndata: second\n\n").end(),
                [last] => {
                    events.data(format!("id: 3\ndata: after {}\n\ndata: last\n\n", String::from_utf8_lossy(last))).end()
                }
                _ => answer(400).body("several"),
            }
        }
        "/aborted" => Script::silent(),
        _ => answer(204).empty(),
    }
}

/// Takes the one subprotocol of two that it knows.
#[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.headers()["sec-websocket-protocol"], "chat, echo");
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("echo"));
    Ok(response)
}

/// A server that sends each message back, whose address this is.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = accept_hdr_async(stream, choose).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if !message.is_close() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    address
}

/// What the page has sent to its origin, and the requests that led there.
async fn seen_at(port: u16, origin: &Origin) -> Value {
    let _chromium = Chromium::at(&format!("https://localhost:{port}/"));
    let sent = || origin.requests().into_iter().find(|request| request.target == "/seen" && request.complete);
    eventually("what the page has seen", async || sent().is_some()).await;
    serde_json::from_slice(&sent().unwrap().body).unwrap()
}

async fn page() -> Origin {
    let origin = origin().await;
    origin.answers_with(script);
    origin
}

#[tokio::test]
async fn a_page_sees_through_the_gateway_what_it_sees_through_nginx() {
    let (identity, echo) = (Authority::new().issue(&["localhost"]), echo().await);

    let behind_nginx = page().await;
    let folder = Folder::new();
    std::fs::write(folder.path().join("a.pem"), &identity.certificate).unwrap();
    std::fs::write(folder.path().join("a.key"), &identity.key).unwrap();
    let nginx = nginx_of(folder, |port, at| {
        let (at, origin) = (at.display(), behind_nginx.address());
        format!(
            "http {{ server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {at}/a.pem; ssl_certificate_key {at}/a.key;
             location / {{ proxy_pass http://{origin}; proxy_set_header Host $host; proxy_buffering off; }}
             location /socket {{ proxy_pass http://{echo}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection upgrade; }} }} }}"
        )
    })
    .await;
    let nginx_saw = seen_at(nginx.address().port(), &behind_nginx).await;

    let behind_gateway = page().await;
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ certificate: a.pem, private_key: a.key }}] }} }}]\n\
         upstreams:\n  origin: {{ servers: [{{ address: \"{}\" }}] }}\n  echo: {{ servers: [{{ address: \"http://{echo}\" \
         }}] }}\nroutes:\n  - {{ paths: [/socket], upstream: echo }}\n  - {{ upstream: origin }}\n",
        behind_gateway.server()
    );
    let builder = gateway().yaml(yaml).file("a.pem", identity.certificate).file("a.key", identity.key);
    let gateway = builder.start().await;
    let gateway_saw = seen_at(gateway.address().port(), &behind_gateway).await;

    assert_eq!(gateway_saw, nginx_saw);
    assert_eq!(gateway_saw["protocol"], "h2", "{gateway_saw}");
    assert_eq!(gateway_saw["cookies"], "a=1; b=2; c=\"3, 4\"", "in one line: {gateway_saw}");
    assert_eq!(gateway_saw["events"][2], serde_json::json!(["3", "after 2"]), "{gateway_saw}");
    assert_eq!(gateway_saw["socket"]["code"], 4001, "{gateway_saw}");
    assert_eq!(gateway_saw["gone"], "TimeoutError", "{gateway_saw}");
    let line = gateway.logged(|line| line["path"] == "/aborted").await;
    assert_eq!(line["outcome"], "client_gone", "{line}");
}
