//! Clients that leave, a disk that is full, and a process that takes over.

use std::process::Command;

use super::*;
use crate::harness::soon;

#[tokio::test]
async fn a_batch_that_nobody_waits_for_is_cancelled_where_it_may_not_stay() {
    for (setting, is_cancelled) in [("cancel", true), ("keep", false)] {
        let provider = Provider::start(settings(3_600_000));
        let folder = Folder::new();
        let batch = format!("window: 10ms, max_calls: 2, on_clients_disconnected: {setting}");
        let gateway = start(&provider, folder.path(), &batch).await;
        let mut clients = Vec::new();
        for tokens in [1, 2] {
            let mut client = http1(gateway.address()).await;
            let request = request(&client, Api::Messages, "key", "1h", Api::Messages.call(tokens, false));
            clients.push(tokio::spawn(async move { client.send(request).await.map(|answer| answer.status) }));
        }
        eventually("both in batches", async || provider.batches("requests").await == 2).await;
        for client in clients {
            client.abort();
        }
        let stored =
            async |stage: &str| gateway.metrics().await.sum("tollgate_batch_stored_calls", &[("stage", stage)]);
        if is_cancelled {
            eventually("all is cancelled", async || {
                provider.batches("canceled").await == provider.batches("submitted").await
                    && stored("submitted").await == 0.0
            })
            .await;
        } else {
            eventually("no request in flight", async || {
                gateway.metrics().await.in_flight().iter().all(|(_, count)| *count == 0.0)
            })
            .await;
            assert_eq!(provider.batches("canceled").await, 0);
            assert_eq!(stored("submitted").await, 2.0);
        }
    }
}

#[tokio::test]
async fn a_call_that_the_disk_does_not_take_goes_live_or_is_refused() {
    for (otherwise, expected) in [("live", 200), ("fail", 503)] {
        let provider = Provider::start(settings(10));
        let folder = Folder::new();
        let batch = format!("window: 10ms, otherwise: {otherwise}");
        // a write beyond a limit fails, and does not kill
        let gateway = configured(&provider, folder.path(), &batch).after_shell("trap '' XFSZ").start().await;
        let mut client = http1(gateway.address()).await;
        assert_eq!(ask(&mut client, Api::Messages, "key", "1h", 1).await.status, 200);
        let limit = |bytes: &str| {
            let arguments = ["--pid", &gateway.pid().to_string(), &format!("--fsize={bytes}:")];
            assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
        };
        // the ledger's files are longer than that, too: its rows wait for room
        limit("1");
        let refused = ask(&mut client, Api::Messages, "key", "1h", 2).await;
        assert_eq!(refused.status, expected, "{}", refused.text());
        gateway.says("the store of calls that wait for batches cannot be written").await;
        limit("unlimited");
        eventually("batches again", async || {
            let before = provider.batches("requests").await;
            let answer = ask(&mut client, Api::Messages, "key", "1h", 3).await;
            answer.status == 200 && provider.batches("requests").await > before
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_that_takes_over_answers_the_clients_of_the_one_before() {
    let provider = Provider::start(settings(2_500));
    let folder = Folder::new();
    let mut gateway = start(&provider, folder.path(), "window: 10ms, max_calls: 1").await;
    let address = gateway.address();
    let waiting = tokio::spawn(async move {
        let mut client = http1(address).await;
        ask(&mut client, Api::Messages, "key", "1h", 5).await
    });
    eventually("a batch", async || provider.batches("submitted").await == 1).await;
    let old = gateway.upgrade().await;
    let answer = soon(waiting).await.unwrap();
    assert_eq!((answer.status.as_u16(), Api::Messages.output(&answer.json())), (200, Some(5)));
    gateway.ended(old).await;
    // the new process has booked it
    let book = book(folder.path());
    eventually("the usage", async || book("SELECT sum(output_tokens) FROM batch_results") == "5").await;
    assert_eq!(book("SELECT count(output_tokens) FROM api_requests"), "0");
    let again = ask(&mut http1(gateway.address()).await, Api::Messages, "key", "1h", 6).await;
    assert_eq!(Api::Messages.output(&again.json()), Some(6));
    assert_eq!((provider.batches("requests").await, provider.batches("submitted_again").await), (2, 0));
}

#[tokio::test]
async fn calls_outlive_a_stop_and_a_reload() {
    let provider = Provider::start(settings(400));
    let folder = Folder::new();
    let settings = "window: 10ms, max_hold: 20ms";
    let mut gateway = start(&provider, folder.path(), settings).await;
    let later = ask(&mut http1(gateway.address()).await, Api::Messages, "key", "1h", 5).await;
    assert_eq!(later.status, 202);
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.wait_exit(crate::harness::DEADLINE).await;
    drop(gateway);
    let gateway = start(&provider, folder.path(), settings).await;
    let location = later.header("location").unwrap();
    eventually("the answer", async || {
        let mut client = http1(gateway.address()).await;
        let request = client.request("GET", location).header("x-api-key", "key").body(body("")).unwrap();
        let answer = client.call(request).await;
        answer.status == 200 && Api::Messages.output(&answer.json()) == Some(5)
    })
    .await;
    assert_eq!(provider.batches("requests").await, 1);
}
