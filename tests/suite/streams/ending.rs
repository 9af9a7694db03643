//! Streams whose client leaves once it has the event that ends them, as many SDKs do, before the server ends its answer.

use std::time::Duration;

use serde_json::Value;

use super::origins;
use crate::harness::{
    Alpn, Authority, Client, Gateway, Origin, Script, Streaming, answer, body, eventually, feed, gate, gateway, h2,
    h2c, http1, https1, origin, sse, tls_origin,
};

/// A stream by one of the protocols: its path, what comes before its last event, and that.
struct Protocol {
    path: &'static str,
    before: &'static str,
    last: &'static str,
}

const MESSAGES: Protocol = Protocol {
    path: "/v1/messages",
    before: concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-opus-5\",",
        "\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":7}}\n\n"
    ),
    last: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
};
const CHAT: Protocol = Protocol {
    path: "/v1/chat/completions",
    before: concat!(
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n"
    ),
    last: "data: [DONE]\n\n",
};
const CHAT_OF_AZURE: Protocol = Protocol {
    path: "/openai/deployments/gpt/chat/completions",
    before: concat!(
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\r\n\r\n"
    ),
    last: "data: [DONE]\r\n\r\n",
};
const RESPONSES: Protocol = Protocol {
    path: "/v1/responses",
    before: "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
    last: concat!(
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",",
        "\"usage\":{\"input_tokens\":11,\"output_tokens\":7}}}\n\n"
    ),
};
const FAILING: Protocol = Protocol {
    path: "/v1/messages",
    before: "",
    last: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}\n\n",
};

/// What may make a call of a route run on its own.
const ROUTES: [(&str, &str); 3] = [
    ("access_log: { usage: true }", ""),
    ("plugins: [{ response_cache: {} }]", ""),
    ("access_log: { usage: true }", "on_client_disconnect: drain"),
];

/// A gateway before this origin that speaks plain text first and TLS second.
async fn before(origin: &Origin, authority: &Authority, (settings, route): (&str, &str)) -> Gateway {
    let issued = authority.issue(&["gateway.test"]);
    let trust = origin.authority().map_or("", |_| "tls: { ca: ca.pem }");
    let yaml = format!(
        "server: {{ threads: 1 }}\nlisteners:\n  - address: \"127.0.0.1:0\"\n  - address: \"127.0.0.1:0\"\n    tls: \
         {{ certificates: [{{ certificate: a.crt, private_key: a.key }}] }}\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams:\n  origin:\n    servers: [{{ address: \"{}\" }}]\n    {trust}\nroutes:\n  - upstream: origin\n    \
         {route}\n{settings}\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).file("a.crt", issued.certificate).file("a.key", issued.key);
    gateway.file("ca.pem", origin.authority().unwrap_or_default()).start().await
}

const CLIENTS: usize = 4;

async fn client(gateway: &Gateway, authority: &Authority, kind: usize) -> Client {
    let [plain, tls] = gateway.addresses() else { panic!("two listeners") };
    match kind {
        0 => http1(*plain).await,
        1 => h2c(*plain).await,
        2 => https1(*tls, authority, "gateway.test").await,
        _ => h2(*tls, authority, "gateway.test").await,
    }
}

/// Opens a stream with a prompt of its own.
async fn open(client: &mut Client, path: &str, prompt: &str) -> Streaming {
    let json = format!(
        r#"{{"model":"claude-opus-5","max_tokens":9,"stream":true,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let request = client.request("POST", path).header("content-type", "application/json").header("x-api-key", "a");
    client.send(request.body(body(json)).unwrap()).await.unwrap()
}

/// Waits for so many rows, and gives the last.
async fn rows(gateway: &Gateway, number: usize) -> Value {
    eventually("a row for each", async || gateway.access_log().len() >= number).await;
    let rows = gateway.access_log();
    assert_eq!(rows.len(), number, "{rows:?}");
    rows[number - 1].clone()
}

/// A whole stream whose end comes a little behind its last event.
fn ending_late(protocol: &Protocol) -> Script {
    sse().data(protocol.before).data(protocol.last).pause(Duration::from_millis(20)).end()
}

#[tokio::test]
async fn a_client_that_closes_at_the_last_event_has_its_answer_by_every_protocol_on_every_route() {
    let authority = Authority::new();
    for origin in origins().await {
        for route in ROUTES {
            let gateway = before(&origin, &authority, route).await;
            let mut asked = 0;
            for protocol in [&MESSAGES, &CHAT, &CHAT_OF_AZURE, &RESPONSES, &FAILING] {
                for kind in 0..CLIENTS {
                    origin.answers(ending_late(protocol));
                    let mut client = client(&gateway, &authority, kind).await;
                    let mut streaming = open(&mut client, protocol.path, &format!("{asked}")).await;
                    streaming.until(protocol.last).await;
                    drop((streaming, client));
                    asked += 1;
                    let row = rows(&gateway, asked).await;
                    let bytes = (protocol.before.len() + protocol.last.len()) as u64;
                    let context = format!("{route:?}, {}, client {kind}: {row}", protocol.last);
                    // an error is an end too, but no success
                    let outcome = if protocol.last == FAILING.last { "upstream_failed" } else { "completed" };
                    assert_eq!((row["outcome"].as_str(), row["error"].as_str()), (Some(outcome), None), "{context}");
                    assert_eq!(row["response_bytes"].as_u64(), Some(bytes), "{context}");
                    if protocol.last == FAILING.last {
                        assert_eq!(row["error_type"], "overloaded_error", "{context}");
                    } else {
                        assert_eq!(
                            (&row["output_tokens"], &row["usage_source"]),
                            (&7.into(), &"reported".into()),
                            "{context}"
                        );
                    }
                }
            }
            assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
            gateway.idle().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_on_has_a_short_while_and_then_the_row_comes_all_the_same() {
    let (authority, origin) = (Authority::new(), origin().await);
    for route in ROUTES {
        let gateway = before(&origin, &authority, route).await;
        origin.answers(sse().data(MESSAGES.before).data(MESSAGES.last).silence());
        for kind in 0..CLIENTS {
            let number = origin.count();
            let mut client = client(&gateway, &authority, kind).await;
            let mut streaming = open(&mut client, MESSAGES.path, &format!("{kind}")).await;
            streaming.until(MESSAGES.last).await;
            drop((streaming, client));
            origin.abandoned(number).await;
            let row = rows(&gateway, kind + 1).await;
            assert_eq!(row["outcome"], "completed", "{route:?}, client {kind}: {row}");
        }
        gateway.idle().await;
    }
}

#[tokio::test]
async fn the_connection_to_a_server_that_ends_a_little_later_is_used_again() {
    let (authority, origin) = (Authority::new(), origin().await);
    for route in ROUTES {
        let gateway = before(&origin, &authority, route).await;
        origin.answers(ending_late(&CHAT));
        let connections = origin.connections();
        // with HTTP/2 towards the client and without a call of its own, the server's connection is given up
        let kinds = if route == ROUTES[0] { &[0, 2][..] } else { &[0, 1, 2, 3] };
        for (number, kind) in kinds.iter().cycle().take(12).enumerate() {
            let mut client = client(&gateway, &authority, *kind).await;
            let mut streaming = open(&mut client, CHAT.path, &format!("{number}")).await;
            streaming.until(CHAT.last).await;
            drop((streaming, client));
            assert_eq!(rows(&gateway, number + 1).await["outcome"], "completed");
            origin.answered(origin.count() - 1).await;
        }
        assert_eq!(origin.connections(), connections + 1, "{route:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_last_event_is_gone_and_its_row_says_how_much_it_got() {
    let authority = Authority::new();
    for origin in origins().await {
        for route in ROUTES {
            let gateway = before(&origin, &authority, route).await;
            for kind in 0..CLIENTS {
                let events = feed();
                origin.answers_next(sse().feed(&events).end());
                events.send(MESSAGES.before);
                let mut client = client(&gateway, &authority, kind).await;
                let mut streaming = open(&mut client, MESSAGES.path, &format!("{kind}")).await;
                streaming.until("message_delta").await;
                let number = origin.count() - 1;
                drop((streaming, client));
                if route.1.is_empty() {
                    origin.abandoned(number).await;
                } else {
                    // it is read to its end without its client
                    eventually("a client that left", async || {
                        gateway.metrics().await.sum("tollgate_connections_in_flight", &[]) == 0.0
                    })
                    .await;
                }
                events.send(MESSAGES.last);
                events.end();
                let row = rows(&gateway, kind + 1).await;
                let got = (row["outcome"].as_str(), row["response_bytes"].as_u64());
                assert_eq!(got, (Some("client_gone"), Some(MESSAGES.before.len() as u64)), "{route:?}, {kind}: {row}");
            }
            gateway.idle().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_breaks_off_behind_the_last_event_has_failed_nobody() {
    let authority = Authority::new();
    for origin in origins().await {
        for route in ROUTES {
            let gateway = before(&origin, &authority, route).await;
            for kind in 0..CLIENTS {
                let wait = gate();
                origin.answers(sse().data(CHAT.before).data(CHAT.last).wait(&wait).reset());
                let mut client = client(&gateway, &authority, kind).await;
                let mut streaming = open(&mut client, CHAT.path, &format!("{kind}")).await;
                streaming.until(CHAT.last).await;
                wait.open();
                assert_eq!(streaming.rest().await, (Vec::new(), true), "{route:?}, client {kind}");
                let row = rows(&gateway, kind + 1).await;
                assert_eq!((row["outcome"].as_str(), row["error"].as_str()), (Some("completed"), None), "{row}");
            }
            assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0);
            gateway.idle().await;
        }
    }
}

#[tokio::test]
async fn what_comes_behind_the_last_event_still_passes_to_a_client_that_stays() {
    let (authority, origin) = (Authority::new(), origin().await);
    for route in ROUTES {
        let gateway = before(&origin, &authority, route).await;
        for kind in 0..CLIENTS {
            let events = feed();
            origin.answers(sse().feed(&events).end());
            events.send(CHAT.before);
            events.send(CHAT.last);
            let mut client = client(&gateway, &authority, kind).await;
            let mut streaming = open(&mut client, CHAT.path, &format!("{kind}")).await;
            streaming.until(CHAT.last).await;
            events.send(": late\n\n");
            assert_eq!(streaming.until("late\n\n").await, ": late\n\n");
            events.end();
            assert_eq!(streaming.rest().await, (Vec::new(), true));
            let row = rows(&gateway, kind + 1).await;
            let bytes = (CHAT.before.len() + CHAT.last.len() + ": late\n\n".len()) as u64;
            assert_eq!(
                (row["outcome"].as_str(), row["response_bytes"].as_u64()),
                (Some("completed"), Some(bytes)),
                "{row}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_of_known_length_is_delivered_before_the_stream_of_its_server_has_ended() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["localhost"], Alpn::H2).await;
    for route in ROUTES {
        let gateway = before(&origin, &authority, route).await;
        for kind in 0..CLIENTS {
            let (number, wait) = (origin.count(), gate());
            origin.answers(answer(200).length(5).data("hello").wait(&wait).end());
            let mut client = client(&gateway, &authority, kind).await;
            let mut streaming = open(&mut client, CHAT.path, &format!("{kind}")).await;
            streaming.until("hello").await;
            drop((streaming, client));
            let row = rows(&gateway, kind + 1).await;
            assert_eq!(
                (row["outcome"].as_str(), row["response_bytes"].as_u64()),
                (Some("completed"), Some(5)),
                "{row}"
            );
            wait.open();
            origin.request(number).await;
        }
        gateway.idle().await;
    }
}

#[tokio::test]
async fn without_a_reader_only_the_framing_tells_that_an_answer_is_complete() {
    let (authority, origin) = (Authority::new(), origin().await);
    for kind in [0, 1] {
        let gateway = before(&origin, &authority, ("", "")).await;
        let number = origin.count();
        origin.answers(sse().data(CHAT.last).silence());
        let mut client = client(&gateway, &authority, kind).await;
        let mut streaming = open(&mut client, CHAT.path, "hi").await;
        streaming.until(CHAT.last).await;
        drop((streaming, client));
        origin.abandoned(number).await;
        assert_eq!(rows(&gateway, 1).await["outcome"], "client_gone");
    }
}
