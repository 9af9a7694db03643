//! Deadlines kept and missed, on a clock that stands still.

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn an_exchange_that_ends_in_time_is_left_alone() {
    let timer = Timer::new(LIMIT, LIMIT);
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.request_came();
        timer.streams(LIMIT);
        for _ in 0..5 {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            timer.progress();
        }
        "done"
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, Some("done"));
    assert_eq!(timer.expired(), None);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_ends_it() {
    let timer = Timer::new(LIMIT, LIMIT);
    let began = Instant::now();
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.request_came();
        tokio::time::sleep(LIMIT * 3).await;
        timer.streams(LIMIT);
        std::future::pending::<()>().await;
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::Idle));
    assert!(began.elapsed() < LIMIT * 4 + Duration::from_secs(1), "took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_no_pause_of_the_answer() {
    for streams in [true, false] {
        let timer = Timer::new(LIMIT, LIMIT);
        timer.client_may_stall(LIMIT * 2);
        let exchange = async {
            let timer = Timer::current().unwrap();
            timer.request_came();
            if streams {
                timer.streams(LIMIT);
            }
            timer.client_stalls();
            std::future::pending::<()>().await;
        };
        assert_eq!(with_deadlines(timer.clone(), exchange).await, None);
        assert_eq!(timer.expired(), Some(Expired::Stalled), "{streams}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_the_client_takes_again_the_answer_has_its_time_from_the_beginning() {
    let timer = Timer::new(LIMIT, LIMIT);
    timer.client_may_stall(LIMIT * 2);
    let began = Instant::now();
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.request_came();
        timer.streams(LIMIT);
        for _ in 0..3 {
            timer.client_stalls();
            tokio::time::sleep(LIMIT + LIMIT / 2).await;
            timer.client_takes();
        }
        std::future::pending::<()>().await;
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::Idle));
    assert!(began.elapsed() >= LIMIT * 11 / 2, "took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_comes_ends_it() {
    let timer = Timer::new(LIMIT, LIMIT);
    assert_eq!(with_deadlines(timer.clone(), std::future::pending::<()>()).await, None);
    assert_eq!(timer.expired(), Some(Expired::RequestHead));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_ends_it_however_long_the_idle_time_is() {
    let timer = Timer::new(LIMIT * 100, LIMIT);
    let began = Instant::now();
    let exchange = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Timer::client_sent();
        }
    };
    assert_eq!(with_deadlines::<()>(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::RequestHead));
    assert!(began.elapsed() < LIMIT + Duration::from_secs(2), "took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_whole_ends_it_even_while_bytes_pass() {
    let timer = Timer::new(LIMIT, LIMIT);
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.ends_at(Instant::now() + LIMIT * 2);
        timer.streams(LIMIT);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            timer.progress();
        }
    };
    assert_eq!(with_deadlines::<()>(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::Total));
}

#[tokio::test]
async fn a_response_that_does_not_begin_closes_the_attempt_not_the_exchange() {
    use std::os::fd::AsRawFd;
    use tokio::io::AsyncReadExt;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut upstream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (_silent, _) = listener.accept().await.unwrap();
    let timer = Timer::new(LIMIT, LIMIT);
    let exchange = async {
        let timer = Timer::current().unwrap();
        let limits = AttemptLimits { first_byte: Duration::from_millis(50), client: LIMIT, server: LIMIT };
        timer.awaits_response(limits, upstream.as_raw_fd());
        assert_eq!(timer.sends(Bytes::new(), true), Bytes::new());
        let read = upstream.read(&mut [0]).await.unwrap();
        (read, timer.expired())
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, Some((0, Some(Expired::FirstByte))));
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_another_task_takes_late_starts_the_time_for_the_response() {
    let timer = Timer::new(LIMIT, LIMIT);
    let began = Instant::now();
    let limits = AttemptLimits { first_byte: LIMIT, client: LIMIT * 5, server: LIMIT * 5 };
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.awaits_response(limits, -1);
        let piece = timer.sends(Bytes::from(vec![0; 100_000]), true);
        tokio::spawn(async move {
            tokio::time::sleep(LIMIT * 3).await;
            drop(piece);
        });
        std::future::pending::<()>().await;
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::FirstByte));
    let took = began.elapsed();
    assert!(took >= LIMIT * 4 && took < LIMIT * 4 + Duration::from_secs(11), "took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_after_its_deadline_sets_no_timer_into_the_past() {
    let timer = Timer::new(LIMIT, LIMIT);
    let exchange = async {
        let timer = Timer::current().unwrap();
        timer.ends_at(Instant::now() + LIMIT);
        timer.awaits_response(AttemptLimits { first_byte: LIMIT, client: LIMIT * 2, server: LIMIT }, -1);
        tokio::time::sleep(LIMIT + Duration::from_secs(1)).await;
        assert_eq!(timer.expired(), Some(Expired::Total));
        timer.awaits_nothing();
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let next = timer.lock().next();
            assert!(next.is_none_or(|next| next > Instant::now()), "{next:?}");
        }
    };
    assert_eq!(with_deadlines(timer, exchange).await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_wakes_the_task_that_looked_last() {
    let timer = Timer::new(LIMIT, LIMIT);
    let mut run = Box::pin(with_deadlines(timer, std::future::pending::<()>()));
    let mut elsewhere = std::task::Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut elsewhere).is_pending());
    assert_eq!(run.await, None);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_uses_up_the_budget_of_its_task_has_its_deadlines() {
    let timer = Timer::new(LIMIT, LIMIT);
    let exchange = async {
        std::future::poll_fn(|cx| {
            while let Poll::Ready(unit) = coop::poll_proceed(cx) {
                unit.made_progress();
            }
            Poll::Ready(())
        })
        .await;
        std::future::pending::<()>().await;
    };
    assert_eq!(with_deadlines(timer.clone(), exchange).await, None);
    assert_eq!(timer.expired(), Some(Expired::RequestHead));
}
