//! Gateways that are killed between a submission and its record, and while a batch is looked at: no call is lost, and none is submitted
//! twice, however often.

use std::time::Duration;

use nix::sys::signal::Signal;
use plugin_api::{Period, Uuid};
use tokio::time::sleep;

use super::*;

const ROUNDS: u64 = 20;
const CALLS: u64 = 12;

#[tokio::test]
async fn no_kill_loses_a_call_or_submits_one_twice() {
    // the answer to a submission takes a while, which is when the gateway dies in every other round
    let provider = Provider::start(Settings { ttft: Period::from_millis(40), ..settings(60) });
    let folder = Folder::new();
    let settings = "window: 20ms, settle: 300ms, max_calls: 4";
    let mut asked = 0;
    for round in 0..ROUNDS {
        let api = if round % 4 < 2 { Api::Messages } else { Api::Chat };
        let tokens = |number: u64| round * CALLS + number + 1;
        let before = provider.batches("submitted").await;
        let gateway = start(&provider, folder.path(), settings).await;
        let address = gateway.address();
        let clients: Vec<_> = (0..CALLS)
            .map(|number| {
                let tokens = tokens(number);
                tokio::spawn(async move {
                    let mut client = http1(address).await;
                    let request = request(&client, api, "key", "1h", api.call(tokens, false));
                    // the gateway may be gone by then
                    client.send(request).await.map(|answer| answer.status).ok()
                })
            })
            .collect();
        eventually("a submission", async || provider.batches("submitted").await > before).await;
        if round % 2 == 1 {
            // a moment that no test chose
            sleep(Duration::from_millis(u64::from(Uuid::now_v7().as_bytes()[15] % 150))).await;
        }
        gateway.signal(Signal::SIGKILL);
        for client in clients {
            client.await.unwrap();
        }
        drop(gateway);

        let gateway = start(&provider, folder.path(), settings).await;
        for number in 0..CALLS {
            let mut client = http1(gateway.address()).await;
            let answer = ask(&mut client, api, "key", "1h", tokens(number)).await;
            assert_eq!(answer.status, 200, "round {round}, call {number}: {}", answer.text());
            assert_eq!(api.output(&answer.json()), Some(tokens(number)), "the answer of another");
        }
        asked += CALLS;
        // what was answered and delivered before the kill is a new call when it is asked again; nothing else is
        shipped(&gateway).await;
        assert_eq!(provider.batches("submitted_again").await, 0, "round {round}: {}", gateway.stderr());
    }
    assert!(provider.batches("requests").await >= asked);
    // each request of a batch is in the ledger once: in the row of its client, or among the results of batches
    let book = book(folder.path());
    let rows = "SELECT batch_id, output_tokens FROM api_requests WHERE batch_id IS NOT NULL AND output_tokens > 0
        UNION ALL SELECT batch_id, output_tokens FROM batch_results";
    assert_eq!(book(&format!("SELECT count(*) FROM ({rows})")), provider.batches("requests").await.to_string());
}
