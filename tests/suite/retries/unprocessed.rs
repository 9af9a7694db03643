//! HTTP/2 servers that say of a request that they have not processed it: it is sent again, POST too, and nothing else is.

use super::READS_BODIES;
use crate::harness::{Act, Came, Frames, Gateway, NO_ERROR, REFUSED_STREAM, eventually, frames, gateway, http1};
use crate::harness::{CANCEL, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED, INTERNAL_ERROR};
use crate::payloads::{call, difference, noise};

/// A gateway of one thread, whose requests share their connections to these servers.
async fn before(servers: &[&Frames], upstream: &str, settings: &str) -> Gateway {
    let mut authorities = String::new();
    let mut gateway = gateway().upstream_settings("tls: { ca: ca.pem }").upstream_settings(upstream);
    for server in servers {
        authorities.push_str(server.authority());
        gateway = gateway.server(server.server());
    }
    gateway.file("ca.pem", authorities).settings("server: { threads: 1 }").settings(settings).start().await
}

/// Asks so often, one call after the other, and gives the statuses.
async fn ask(gateway: &Gateway, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for number in 0..times {
        let before = gateway.access_log().len();
        let answer = http1(gateway.address()).await.post("/v1/messages", call(300 + number, 1)).await;
        statuses.push(answer.status.as_u16());
        eventually("its row", async || gateway.access_log().len() > before).await;
    }
    statuses
}

async fn failures(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("tollgate_upstream_failures_total", &[])
}

/// Plain routes, and such whose bodies are read and whose calls run on their own.
const SETTINGS: [&str; 3] = ["", READS_BODIES, "plugins: [{ response_cache: {} }]"];

#[tokio::test]
async fn a_request_that_was_not_processed_is_sent_again_on_a_new_connection() {
    for (act, blamed) in [
        (Act::Reset(REFUSED_STREAM), 0.0),
        (Act::GoAwayBefore(NO_ERROR), 0.0),
        (Act::GoAwayBefore(ENHANCE_YOUR_CALM), 1.0),
        (Act::Reset(HTTP_1_1_REQUIRED), 0.0),
    ] {
        // the first request of a new connection, and the first of one that is used again
        for before_it in [0, 1] {
            for settings in SETTINGS {
                let server = frames(move |came| match came {
                    Some(Came { connection: 0, before }) if before == before_it => vec![act],
                    Some(_) => vec![Act::Answer],
                    None => vec![],
                })
                .await;
                let gateway = before(&[&server], "", settings).await;
                let asked = before_it + 1;
                assert_eq!(ask(&gateway, asked).await, vec![200; asked], "{act:?} {before_it} {settings}");
                let came = server.came();
                assert_eq!(came.len(), asked + 1, "{came:?}");
                assert_eq!(came[asked], Came { connection: 1, before: 0 });
                let row = &gateway.access_log()[before_it];
                assert_eq!((row["outcome"].as_str(), row["attempts"].as_u64()), (Some("completed"), Some(2)), "{row}");
                assert_eq!(failures(&gateway).await, blamed, "{act:?}");
                gateway.idle().await;
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_sent_again() {
    for acts in [
        &[Act::Reset(INTERNAL_ERROR)][..],
        &[Act::Reset(CANCEL)],
        &[Act::GoAwayBehind(NO_ERROR), Act::Close],
        &[Act::GoAwayBehind(INTERNAL_ERROR), Act::Close],
    ] {
        for settings in SETTINGS {
            let server = frames(move |came| if came.is_some() { acts.to_vec() } else { vec![] }).await;
            let gateway = before(&[&server], "", settings).await;
            assert_eq!(ask(&gateway, 1).await, [502], "{acts:?}");
            assert_eq!(server.came().len(), 1);
            assert_eq!(gateway.access_log()[0]["error"], "no_answer");
            assert_eq!(failures(&gateway).await, 1.0);
        }
    }
    // nor is it on a connection that was kept, which would be taken for stale if it broke
    for code in [INTERNAL_ERROR, CANCEL] {
        let server = frames(move |came| match came {
            Some(Came { before: 1, .. }) => vec![Act::Reset(code)],
            Some(_) => vec![Act::Answer],
            None => vec![],
        })
        .await;
        let gateway = before(&[&server], "", "").await;
        assert_eq!(ask(&gateway, 2).await, [200, 502]);
        assert_eq!(server.came().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_never_takes_it_costs_as_many_attempts_as_are_allowed() {
    for act in [Act::Reset(REFUSED_STREAM), Act::GoAwayBefore(NO_ERROR)] {
        for attempts in [1, 2, 4] {
            let server = frames(move |came| if came.is_some() { vec![act] } else { vec![] }).await;
            let gateway = before(&[&server], &format!("retry: {{ attempts: {attempts} }}"), "").await;
            assert_eq!(ask(&gateway, 1).await, [502]);
            assert_eq!(server.came().len(), attempts);
            let row = &gateway.access_log()[0];
            assert_eq!(
                (row["error"].as_str(), row["attempts"].as_u64()),
                (Some("not_processed"), Some(attempts as u64))
            );
            assert_eq!(failures(&gateway).await, 0.0);
        }
    }
    // without a budget there is no further attempt
    let server = frames(|came| if came.is_some() { vec![Act::Reset(REFUSED_STREAM)] } else { vec![] }).await;
    let gateway = before(&[&server], "retry: { attempts: 4, budget: 0% }", "").await;
    assert_eq!((ask(&gateway, 1).await, server.came().len()), (vec![502], 1));
}

#[tokio::test]
async fn a_refused_request_goes_to_another_server_and_one_that_came_too_late_to_the_same() {
    for (act, elsewhere) in [(Act::Reset(REFUSED_STREAM), true), (Act::GoAwayBefore(NO_ERROR), false)] {
        let odd = frames(move |came| match came {
            Some(Came { connection: 0, .. }) => vec![act],
            Some(_) => vec![Act::Answer],
            None => vec![],
        })
        .await;
        let other = frames(|came| if came.is_some() { vec![Act::Answer] } else { vec![] }).await;
        let gateway = before(&[&odd, &other], "balance: round_robin", "").await;
        assert_eq!(ask(&gateway, 2).await, [200, 200]);
        let came = (odd.came().len(), other.came().len());
        assert_eq!(came, if elsewhere { (1, 2) } else { (2, 1) }, "{act:?}");
    }
}

#[tokio::test]
async fn a_new_connection_that_takes_no_stream_is_made_once_more() {
    let fresh = std::sync::atomic::AtomicUsize::new(0);
    let server = frames(move |came| match came {
        None if fresh.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => vec![Act::GoAwayBefore(NO_ERROR)],
        None => vec![],
        Some(_) => vec![Act::Answer],
    })
    .await;
    let gateway = before(&[&server], "", "").await;
    assert_eq!(ask(&gateway, 1).await, [200]);
    assert_eq!(failures(&gateway).await, 0.0);
}

#[tokio::test]
async fn a_body_that_was_read_is_sent_again_whole_and_one_that_was_passed_on_is_not() {
    for act in [Act::Reset(REFUSED_STREAM), Act::GoAwayBefore(NO_ERROR)] {
        let refusing = move |came: Option<Came>| match came {
            Some(Came { connection: 0, .. }) => vec![act],
            Some(_) => vec![Act::Answer],
            None => vec![],
        };
        let server = frames(refusing).await;
        let gateway = before(&[&server], "", READS_BODIES).await;
        let sent = call(300_000, 1);
        let answer = http1(gateway.address()).await.post("/v1/messages", sent.clone()).await;
        assert_eq!(answer.status, 200, "{act:?}");
        assert_eq!(difference(&sent, &server.bodies()[0]), None);

        let server = frames(refusing).await;
        let gateway = before(&[&server], "", "").await;
        let answer = http1(gateway.address()).await.post("/v1/files", noise(2_000_000)).await;
        assert_eq!((answer.status.as_u16(), server.came().len()), (502, 1), "{act:?}");
        assert!(answer.json()["error"]["message"].as_str().is_some_and(|message| message.contains("did not take")));
    }
}
