//! Requests of plugins through a reload and a drain.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_where_the_next_request_goes_and_no_other() {
    let (mut old, mut new) = (Server::start().await, Server::start().await);
    let running = gateway(&format!("a: {{ servers: [{{ address: {} }}] }}", old.address));
    let before = tokio::spawn(send(&running, post("a", "/", "{}")));
    let asked = old.asked().await;
    let (_, config) = configured(&format!("a: {{ servers: [{{ address: {} }}] }}", new.address));
    let snapshot = Snapshot::build(&config, "".as_ref(), &running.persistent, &running.metrics).unwrap();
    running.snapshot.store(Arc::new(snapshot));
    running.snapshot.load().activate();
    let after = tokio::spawn(send(&running, post("a", "/", "{}")));
    new.asked().await.ok("new").await;
    asked.ok("old").await;
    assert_eq!(after.await.unwrap().unwrap().body.whole(9).await.unwrap(), "new");
    assert_eq!(before.await.unwrap().unwrap().body.whole(9).await.unwrap(), "old");
    idle(&running).await;
    running.end(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_a_request_and_cuts_it_once_its_time_is_up() {
    let mut server = Server::start().await;
    let upstreams = format!("a: {{ servers: [{{ address: {} }}] }}", server.address);
    for is_answered in [true, false] {
        let mut running = gateway(&upstreams);
        let sending = tokio::spawn(send(&running, post("a", "/", "{}")));
        let asked = server.asked().await;
        let (stopped, running) = {
            let stopping = tokio::spawn(async move {
                let stopped = running.stop(Duration::ZERO, std::future::pending()).await;
                (stopped, running)
            });
            if is_answered {
                asked.ok("late").await;
                assert_eq!(sending.await.unwrap().unwrap().body.whole(9).await.unwrap(), "late");
                let (stopped, running) = stopping.await.unwrap();
                running.end(Duration::from_secs(5));
                assert_eq!(stopped, Stopped::Drained);
                continue;
            }
            stopping.await.unwrap()
        };
        assert_eq!(stopped, Stopped::Cut);
        tokio::task::spawn_blocking(|| running.end(Duration::from_secs(5))).await.unwrap();
        asked.closed().await;
        let cut = sending.await.unwrap().unwrap_err();
        assert!(matches!(cut, SendError::Failed(_) | SendError::Stopped), "{cut}");
    }
}
