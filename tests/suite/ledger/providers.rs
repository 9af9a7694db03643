//! What providers say of usage, of what they charge and of errors, each in its own way, as the rows have it.

use super::book::Book;
use crate::harness::{Gateway, Origin, Script, answer, body, connect, gateway, http1, origin, sse};

const CHAT: &str = "/v1/chat/completions";

async fn booking(origin: &Origin, book: &Book) -> Gateway {
    let (url, journal) = (book.url(), book.journal());
    let plugins = format!(
        "plugins: [{{ usage_log: {{ database: \"{url}\", journal: {{ path: {journal:?} }}, prices: {{ gpt-image-1: {{ input: 5, output: 40 }}, m: {{ input: 1, output: 2 }} }} }} }}]"
    );
    gateway().upstream(origin).settings(&plugins).start().await
}

/// The rows' columns, in the order of their making, once there are so many.
async fn rows(book: &Book, number: usize, columns: &str) -> Vec<String> {
    book.has_rows(number).await;
    let text = book.sql(&format!("SELECT {columns} FROM api_requests ORDER BY sequence"));
    text.lines().map(str::to_owned).collect()
}

fn json(text: &str) -> Script {
    answer(200).header("content-type", "application/json").body(text)
}

#[tokio::test]
async fn usage_is_read_where_each_provider_puts_it_and_counted_as_it_counts() {
    for book in Book::both().await {
        let origin = origin().await;
        let gateway = booking(&origin, &book).await;
        let chunk = |rest: &str| {
            let stop = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
            sse().data(format!("data: {{\"model\":\"m\",\"choices\":[{stop}],{rest}}}\n\ndata: [DONE]\n\n")).end()
        };
        let xai = r#""usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":331,"completion_tokens_details":{"reasoning_tokens":317},"cost_in_usd_ticks":5000000}"#;
        let moonshot = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":13,\"total_tokens\":32,\"cached_tokens\":10}}]}\n\ndata: [DONE]\n\n";
        let mut client = http1(gateway.address()).await;
        for script in [
            chunk(xai),
            sse().data(moonshot).end(),
            chunk(r#""x_groq":{"id":"r","usage":{"prompt_tokens":24,"completion_tokens":7,"total_tokens":31}}"#),
            chunk(r#""usage":{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}"#),
            chunk(r#""usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,"cost":0.00014}"#),
        ] {
            origin.answers(script);
            client.post(CHAT, r#"{"model":"m","stream":true,"messages":[]}"#).await;
        }
        let columns =
            "input_tokens, cache_read_input_tokens, output_tokens, reasoning_tokens, usage_source, provider_cost_usd";
        let found = rows(&book, 5, columns).await;
        let wanted = [
            "12||319|317|reported|0.0005",
            "9|10|13||reported|",
            "24||7||reported|",
            "20||603|405|reported|",
            "4||2||reported|0.00014",
        ];
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn an_error_under_a_status_of_200_is_named_and_no_completed_answer() {
    for book in Book::both().await {
        let origin = origin().await;
        let gateway = booking(&origin, &book).await;
        let mut client = http1(gateway.address()).await;
        for script in [
            json(r#"{"object":"error","message":"m","type":"BadRequestError"}"#),
            json(r#"{"base_resp":{"status_code":1002,"status_msg":"m"}}"#),
            sse().data("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\nevent: error\ndata: {\"code\":\"busy\"}\n\n").end(),
            sse().data("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n").end(),
            json(r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#),
        ] {
            origin.answers(script);
            client.post(CHAT, r#"{"model":"m","messages":[]}"#).await;
        }
        let found = rows(&book, 5, "response_status, outcome, error_type, usage_source").await;
        let wanted = [
            "200|upstream_failed|BadRequestError|none",
            "200|upstream_failed|1002|none",
            "200|upstream_failed|busy|none",
            "200|completed||partial",
            "200|completed||reported",
        ];
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn what_is_no_call_is_of_no_type_of_call_and_a_web_socket_has_its_status() {
    const HANDSHAKE: &str = "GET /v1/realtime HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for book in Book::both().await {
        let origin = origin().await;
        let gateway = booking(&origin, &book).await;
        let mut client = http1(gateway.address()).await;
        origin.answers(json("{}"));
        client.call(client.request("HEAD", "/").body(body("")).unwrap()).await;
        client.get("/v1/models").await;
        client.post("/v1/files", "{}").await;
        client.post("/v1/messages", r#"{"model":"m","system":[{},{}],"messages":[]}"#).await;
        client.post("/v1/images/generations", r#"{"model":"gpt-image-1"}"#).await;
        client.post("/v1/images/edits", "--form").await;
        origin.answers(Script::raw(SWITCHED).close());
        let mut socket = connect(gateway.address()).await;
        socket.send(HANDSHAKE).await;
        assert_eq!(socket.answer().await.status, 101);
        socket.to_end().await;
        let found = rows(&book, 7, "method, path, request_type, response_status, protocol").await;
        let wanted = [
            "HEAD|/|other|200|http/1.1",
            "GET|/v1/models|other|200|http/1.1",
            "POST|/v1/files|other|200|http/1.1",
            "POST|/v1/messages|inference|200|http/1.1",
            "POST|/v1/images/generations|query_evaluation|200|http/1.1",
            "POST|/v1/images/edits|query_evaluation|200|http/1.1",
            "GET|/v1/realtime|other|101|websocket",
        ];
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn pictures_recordings_and_ollama_are_booked_with_their_tokens_and_priced() {
    for book in Book::both().await {
        let origin = origin().await;
        let gateway = booking(&origin, &book).await;
        let usage = r#"{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}"#;
        let picture = format!(r#"{{"created":1,"data":[{{"b64_json":"{}"}}],"usage":{usage}}}"#, "A".repeat(100_000));
        let heard = format!(r#"{{"text":"hi","usage":{{"type":"tokens",{}}}"#, &usage[1..]);
        let mut client = http1(gateway.address()).await;
        origin.answers(json(&picture));
        client.post("/v1/images/generations", r#"{"model":"gpt-image-1","prompt":"x"}"#).await;
        origin.answers(json(&heard));
        let form = client
            .request("POST", "/v1/audio/transcriptions")
            .header("content-type", "multipart/form-data; boundary=b");
        let parts = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n";
        client.call(form.body(body(parts)).unwrap()).await;
        assert_eq!(origin.request(1).await.body, parts.as_bytes());
        let told = r#"{"model":"m","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":282}"#;
        origin.answers(answer(200).header("content-type", "application/x-ndjson").body(told));
        client.post("/api/chat", r#"{"model":"m","messages":[]}"#).await;
        let columns = "endpoint, model, input_tokens, output_tokens, usage_source, cost_usd";
        let found = rows(&book, 3, columns).await;
        let wanted = [
            "image_generations|gpt-image-1|50|50|reported|0.00225",
            "transcriptions|m|50|50|reported|0.00015",
            "ollama||26|282|reported|0.00059",
        ];
        assert_eq!(found, wanted);
    }
}
