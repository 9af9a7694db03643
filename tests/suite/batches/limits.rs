//! What calls may cost that go on when their clients have gone: budgets hold it, and limits count it.

use nix::sys::signal::Signal;

use super::*;

/// A call that may cost $0.0005 and a little: at $5 for a million tokens of output.
const TOKENS: u64 = 100;

/// A gateway whose callers are limited.
async fn limited(provider: &Provider, folder: &Path, limit: &str) -> Gateway {
    // the next entries of the list: the last of them is ended by the brace of the first
    let limit = limit.strip_suffix('}').unwrap();
    let keys = format!("api_keys: {{ keys: [{{ name: alice, sha256: [{KEY}] }}] }}");
    start(provider, folder, &format!("window: 10ms, max_hold: 20ms }}\n  - {keys}\n  - {limit}")).await
}

/// The SHA-256 of `key`.
const KEY: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

#[tokio::test]
async fn no_number_of_calls_that_go_on_without_their_clients_passes_a_budget_or_a_limit() {
    let limits = [
        "budget: { limits: [{ by: key, usd: 0.002/month }], reserve: max_tokens }",
        "rate_limit: { limits: [{ by: key, tokens: 500/month }], reserve: max_tokens }",
    ];
    for limit in limits {
        let provider = Provider::start(settings(3_600_000));
        let folder = Folder::new();
        let gateway = limited(&provider, folder.path(), limit).await;
        let mut client = http1(gateway.address()).await;
        let mut accepted = 0;
        loop {
            let answer = ask(&mut client, Api::Messages, "key", "1h", TOKENS + accepted).await;
            match answer.status.as_u16() {
                202 => accepted += 1,
                429 => break,
                other => panic!("{other}: {}", answer.text()),
            }
            assert!(accepted < 10, "{limit}: {accepted} calls passed");
        }
        assert!(accepted > 0, "{limit}");
        shipped(&gateway).await;
        gateway.signal(Signal::SIGKILL);
        drop(gateway);
        // nothing is given back by a kill
        let gateway = limited(&provider, folder.path(), limit).await;
        let answer = ask(&mut http1(gateway.address()).await, Api::Messages, "key", "1h", TOKENS + 50).await;
        assert_eq!(answer.status, 429, "{limit}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_held_of_a_budget_becomes_what_the_result_costs() {
    // long enough that the call is held when the metrics are asked for
    let provider = Provider::start(settings(3_000));
    let folder = Folder::new();
    let gateway =
        limited(&provider, folder.path(), "budget: { limits: [{ by: key, usd: 0.002/month }], reserve: max_tokens }")
            .await;
    let answer = ask(&mut http1(gateway.address()).await, Api::Messages, "key", "1h", TOKENS).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(gateway.metrics().await.sum("tollgate_budget_reserved_usd", &[]) > 0.0005);
    eventually("a booked result", async || {
        let metrics = gateway.metrics().await;
        metrics.sum("tollgate_budget_reserved_usd", &[]) == 0.0 && metrics.sum("tollgate_budget_used_ratio", &[]) > 0.0
    })
    .await;
}
