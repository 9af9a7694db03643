//! What the ledger says of answers that are given again or shared: a full row for each, nothing billed, and what was saved.

use super::*;
use crate::harness::{Folder, Origin, feed, gateway, origin};
use crate::ledger::book::Book;

/// A gateway with the plugins of the documentation's example, in its order.
async fn booking(origin: &Origin, book: &Book, settings: &str) -> Gateway {
    let url = book.url();
    let plugins = format!(
        "plugins:\n  - max_tokens: {{ limit: 4000 }}\n  - response_cache: {{ ttl: 10m }}\n  - usage_log: {{ {settings} database: \"{url}\" }}\n"
    );
    gateway().upstream(origin).settings(&plugins).start().await
}

/// What the ledger has, once it has so many rows.
async fn rows(book: &Book, number: usize, columns: &str) -> Vec<String> {
    book.has_rows(number).await;
    let mut rows: Vec<_> =
        book.sql(&format!("SELECT {columns} FROM api_requests")).lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn every_outcome_has_one_full_row_in_the_order_of_the_example() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = booking(&origin, &book, "").await;
    let events = feed();
    origin.answers_next(sse().feed(&events).end());
    let call = asks("hi", true);
    let (mut leader, mut follower) = (http1(gateway.address()).await, http1(gateway.address()).await);
    let all = super::events(&["one"]);
    events.send(&all[0]);
    let leader = send(&mut leader, "a", &call, &[]).await;
    let follower = send(&mut follower, "a", &call, &[]).await;
    all[1..].iter().for_each(|event| events.send(event));
    events.end();
    assert_eq!((mark(&leader.whole().await), mark(&follower.whole().await)), ("MISS", "COALESCED"));
    assert_eq!(mark(&ask(&gateway, "a", &call).await), "HIT");
    let refused = ask(&gateway, "a", &call.replace("64", "4001")).await;
    assert_eq!(refused.status, 400);
    origin.answers(json("fresh"));
    let fresh = [("cache-control", "no-store")];
    send(&mut http1(gateway.address()).await, "a", &call, &fresh).await.whole().await;
    let columns =
        "cache_status, outcome, response_status, input_tokens, output_tokens, saved_input_tokens, saved_output_tokens";
    let found = rows(&book, 5, columns).await;
    assert_eq!(
        found,
        [
            "bypass|completed|200|11|7||",
            "coalesced|cached|200|||11|7",
            "hit|cached|200|||11|7",
            "miss|completed|200|11|7||",
            "|refused|400||||",
        ]
    );
    let full = "count(*), count(DISTINCT id), count(model), count(api_key_hash), count(DISTINCT api_key_hash), count(domain), \
                count(endpoint), count(request_type), count(response_time_ms)";
    assert_eq!(book.sql(&format!("SELECT {full} FROM api_requests")), "5|5|5|5|1|5|5|5|5");
    assert_eq!(book.sql("SELECT DISTINCT model FROM api_requests"), "claude-opus-5");
    let billed = "SELECT coalesce(sum(cost_picos), 0), count(billed) FROM api_requests WHERE outcome = 'cached'";
    assert_eq!(book.sql(billed), "0|0");
}

/// Usage that the client did not ask for: the provider sends it, and no client gets it.
#[tokio::test]
async fn a_follower_knows_what_it_saved_though_its_client_is_not_told() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = booking(&origin, &book, "openai_stream_usage: inject,").await;
    let events = feed();
    origin.answers_next(sse().feed(&events).end());
    let chunk = |rest: &str| format!("data: {{\"id\":\"c\",\"model\":\"gpt-x\",{rest}}}\n\n");
    let call = r#"{"model":"gpt-x","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let asking = async || {
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/chat/completions").header("authorization", "Bearer a");
        client.send(request.body(body(call)).unwrap()).await.unwrap()
    };
    events.send(chunk(r#""choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null"#));
    let (leader, follower) = (asking().await, asking().await);
    events.send(chunk(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null"#));
    events.send(chunk(r#""choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19}"#));
    events.send("data: [DONE]\n\n");
    events.end();
    let (leader, follower) = (leader.whole().await, follower.whole().await);
    assert_eq!((mark(&leader), mark(&follower)), ("MISS", "COALESCED"));
    assert!(!follower.text().contains("usage") && follower.body == leader.body, "{}", follower.text());
    let again = asking().await.whole().await;
    assert_eq!((mark(&again), &again.body), ("HIT", &leader.body));
    let columns = "cache_status, input_tokens, output_tokens, saved_input_tokens, saved_output_tokens";
    assert_eq!(rows(&book, 3, columns).await, ["coalesced|||12|7", "hit|||12|7", "miss|12|7||"]);
}
