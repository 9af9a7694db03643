//! Results of a batch, downloaded as often as a client likes: each is booked once, at the price of batches.

use serde_json::json;

use super::book::Book;
use crate::harness::{Gateway, Received, Script, answer, body, eventually, gateway, http1, origin};

/// Tokens of each kind that a result tells of, in and out.
const RESULTS: [(&str, u64, u64); 3] = [("first", 100, 10), ("second", 200, 20), ("third", 300, 30)];

/// The lines of a download: those above, one that failed, and the last without an end.
fn lines() -> String {
    let line = |(custom_id, input, output)| {
        json!({ "custom_id": custom_id, "result": { "type": "succeeded", "message": {
            "id": "msg_1", "type": "message", "model": "claude-sonnet-4-5-20250929", "content": [],
            "usage": { "input_tokens": input, "output_tokens": output },
        } } })
        .to_string()
    };
    let failed =
        json!({ "custom_id": "failed", "result": { "type": "errored", "error": { "type": "invalid_request" } } });
    format!("{}\n{}\n{failed}\n{}", line(RESULTS[0]), line(RESULTS[1]), line(RESULTS[2]))
}

/// The whole download, cut wherever it may be; or only its beginning, where the query says so.
fn results(request: &Received) -> Script {
    let (lines, head) = (lines(), answer(200).header("content-type", "application/x-jsonl"));
    if request.target.ends_with("?cut") {
        // the first line, and a part of the second
        let cut = lines.find('\n').map_or(0, |end| end + 20);
        return head.length(lines.len() as u64).data(&lines[..cut]).close();
    }
    lines.as_bytes().chunks(13).fold(head.chunked(), Script::data).end()
}

/// Waits until the database has taken so many new rows, of requests and of results, and nothing waits.
async fn shipped(gateway: &Gateway, new: f64) {
    eventually("rows in the database", async || {
        let metrics = gateway.metrics().await;
        metrics.sum("tollgate_ledger_rows_total", &[("result", "new")]) >= new
            && metrics.sum("tollgate_ledger_queue_rows", &[]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn every_result_of_a_batch_is_booked_once_however_often_it_is_downloaded() {
    const BOOKED: &str = "SELECT custom_id, input_tokens, output_tokens, served_model FROM batch_results WHERE batch_id = 'msgbatch_1' ORDER BY input_tokens";
    for book in Book::both().await {
        let origin = origin().await;
        origin.answers_with(results);
        let plugins = format!("plugins: [{{ usage_log: {{ database: \"{}\" }} }}]", book.url());
        let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
        let download = "/v1/messages/batches/msgbatch_1/results";

        let mut client = http1(gateway.address()).await;
        let request = client.request("GET", &format!("{download}?cut")).body(body("")).unwrap();
        let (_, clean) = client.send(request).await.unwrap().rest().await;
        assert!(!clean);
        shipped(&gateway, 2.0).await;
        assert_eq!(book.sql(BOOKED), "first|100|10|claude-sonnet-4-5-20250929");

        let mut client = http1(gateway.address()).await;
        for _ in 0..2 {
            let answer = client.get(download).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, lines()));
        }
        shipped(&gateway, 6.0).await;
        let line = |(name, input, output)| format!("{name}|{input}|{output}|claude-sonnet-4-5-20250929");
        assert_eq!(book.sql(BOOKED), RESULTS.map(line).join("\n"));
        // the first download has the first of them, the second the rest, the third none
        assert_eq!(
            book.sql("SELECT count(*) FROM batch_results b JOIN api_requests r ON r.id = b.request_id AND r.created_at = b.created_at AND r.upstream = b.upstream GROUP BY r.id ORDER BY 1"),
            "1\n2"
        );
        // half of $3 and of $15 for a million
        let cost = "SELECT round(CAST(sum(cost_usd) * 1000000 AS numeric), 3) FROM batch_results";
        assert_eq!(book.sql(cost).parse::<f64>().unwrap(), 600.0 * 1.5 + 60.0 * 7.5);

        // the same names in another batch are others
        assert_eq!(client.get("/v1/messages/batches/msgbatch_2/results").await.status, 200);
        shipped(&gateway, 10.0).await;
        assert_eq!(book.sql("SELECT count(*), count(DISTINCT batch_id) FROM batch_results"), "6|2");
        // a download is a request like any other, and costs nothing itself
        assert_eq!(book.sql("SELECT count(*), count(input_tokens), count(cost_usd) FROM api_requests"), "4|0|0");
    }
}
