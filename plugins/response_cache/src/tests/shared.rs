//! Calls that are under way at the same time: who leads, who follows, and how it ends for them.

use super::*;

#[tokio::test]
async fn same_calls_under_way_are_one_and_all_get_every_piece_as_it_comes() {
    let (caches, cache) = cache(|_| {});
    let (request, head) = (request(), json_headers());
    let (mut leader, none) = Exchange::begin(&cache, &request, call()).await;
    assert!(none.is_none());
    let mut followers: Vec<_> = (0..50).map(|_| Box::pin(Exchange::begin(&cache, &request, call()))).collect();
    for follower in &mut followers {
        assert!(follower.now_or_never().is_none());
    }
    assert_eq!(caches.flights.count(), 1);
    leader.head(200, &head);
    let mut bodies = Vec::new();
    for follower in followers {
        let (exchange, reply) = follower.await;
        let reply = reply.unwrap();
        assert_eq!(exchange.cache_status(), Some("coalesced"));
        assert_eq!(reply.headers[X_CACHE], "COALESCED");
        let Body::Stream(body) = reply.body else { panic!("not a stream") };
        bodies.push(body);
    }
    for piece in ["one", "two"] {
        leader.chunk(piece, false);
        for body in &mut bodies {
            assert_eq!(body.next().now_or_never().unwrap().unwrap().unwrap(), piece);
        }
    }
    leader.says = Some(complete());
    leader.chunk("", true);
    for body in &mut bodies {
        assert!(body.next().now_or_never().unwrap().is_none());
    }
    // between the end and the log, one who comes late has the past at once
    let (_, late) = Exchange::begin(&cache, &request, call()).await;
    assert_eq!(text(late.unwrap()).await, "onetwo");
    leader.log(Some(complete()));
    assert_eq!(ask(&cache, &request, call(), "x").await, ("HIT".into(), "onetwo".into()));
    drop(bodies);
    assert_eq!((caches.flights.count(), caches.flights.held_bytes()), (0, 0));
}

#[tokio::test]
async fn followers_fail_as_the_leader_does_or_try_for_themselves_where_there_was_no_answer() {
    let (_, cache) = cache(|_| {});
    let request = request();
    // an error of the upstream is theirs, too
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut follower = Box::pin(Exchange::begin(&cache, &request, call()));
    assert!((&mut follower).now_or_never().is_none());
    leader.head(529, &json_headers());
    leader.chunk("overloaded", true);
    leader.log(None);
    let reply = follower.await.1.unwrap();
    assert_eq!(reply.status.as_u16(), 529);
    assert_eq!(text(reply).await, "overloaded");
    // one of the gateway is not
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut follower = Box::pin(Exchange::begin(&cache, &request, call()));
    assert!((&mut follower).now_or_never().is_none());
    leader.head(502, &json_headers());
    leader.chunk("bad gateway", true);
    leader.fail(Outcome::UpstreamFailed);
    let (exchange, reply) = follower.await;
    assert!(reply.is_none());
    assert_eq!(exchange.cache_status(), Some("miss"));
    // what breaks off breaks for all
    let (mut leader, _) = Exchange::begin(&cache, &request, call()).await;
    leader.head(200, &json_headers());
    let (_, reply) = Exchange::begin(&cache, &request, call()).await;
    leader.chunk("half", false);
    leader.fail(Outcome::UpstreamFailed);
    let Body::Stream(mut body) = reply.unwrap().body else { panic!("not a stream") };
    assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"half"))));
    assert_eq!(body.next().await, Some(Err(Broken)));
}

#[tokio::test]
async fn a_leader_that_leaves_before_it_asked_hands_the_lead_on() {
    let (caches, cache) = cache(|_| {});
    let request = request();
    let (leader, _) = Exchange::begin(&cache, &request, call()).await;
    let mut followers: Vec<_> = (0..5).map(|_| Box::pin(Exchange::begin(&cache, &request, call()))).collect();
    for follower in &mut followers {
        assert!(follower.now_or_never().is_none());
    }
    leader.fail(Outcome::ClientGone);
    let mut led = Vec::new();
    for follower in &mut followers {
        led.extend(follower.now_or_never());
    }
    assert_eq!(led.len(), 1);
    assert!(led[0].1.is_none());
    assert_eq!(caches.flights.count(), 1);
}

#[tokio::test]
async fn a_call_is_wanted_as_long_as_anybody_follows_or_to_its_end_where_it_fills() {
    for fill in [false, true] {
        let (_, cache) = cache(|config| {
            config.on_clients_disconnected =
                if fill { OnClientsDisconnected::Fill } else { OnClientsDisconnected::Cancel }
        });
        let (mut leader, _) = Exchange::begin(&cache, &request(), call()).await;
        let (mut wanted, mut shared) = leader.call.detach_until.take().unwrap().into_futures();
        assert!((&mut shared).now_or_never().is_none());
        leader.head(200, &json_headers());
        let (follower, reply) = Exchange::begin(&cache, &request(), call()).await;
        assert!((&mut wanted).now_or_never().is_none() && shared.now_or_never().is_some());
        drop((follower, reply));
        assert_eq!((&mut wanted).now_or_never().is_some(), !fill);
        leader.chunk(JSON, true);
        if fill {
            assert!(wanted.now_or_never().is_some());
        }
    }
}

#[tokio::test]
async fn without_coalescing_each_call_is_its_own() {
    let (_, cache) = cache(|config| config.coalesce = Coalesce::Off);
    let (first, none) = Exchange::begin(&cache, &request(), call()).await;
    assert!(none.is_none() && first.call.detach_until.is_none());
    assert!(Exchange::begin(&cache, &request(), call()).await.1.is_none());
    first.answer(JSON);
    assert_eq!(ask(&cache, &request(), call(), "x").await.0, "HIT");
}

#[tokio::test]
async fn a_call_waits_for_an_equal_one_alone_and_each_is_looked_up_once() {
    let (caches, cache) = cache(|_| {});
    let counted = |name: &str| {
        let families = caches.figures.all().into_iter().flat_map(prometheus::core::Collector::collect);
        let metrics = families.filter(|family| family.name() == name).flat_map(|mut family| family.take_metric());
        metrics.map(|metric| metric.get_counter().get_value()).sum::<f64>()
    };
    let tried = |state: &mut State, call: &mut ModelCall| {
        let mut context = context();
        let request = request();
        assert!(cache.try_on_request(state, &mut request.request(&mut context)).is_some());
        cache.try_on_call(state, &mut Call { context: &mut context, body: call })
    };
    let (mut first, mut first_call) = (State::default(), call());
    assert!(matches!(tried(&mut first, &mut first_call), Some(Flow::Continue)));
    assert!(matches!(first.0, Role::Leading(_)));
    // nothing has happened to one that has to wait, however often it is tried
    let (mut second, mut second_call) = (State::default(), call());
    assert!(tried(&mut second, &mut second_call).is_none() && tried(&mut second, &mut second_call).is_none());
    assert!(matches!(second.0, Role::Requested(_)));
    assert_eq!((counted("tollgate_cache_misses_total"), counted("tollgate_cache_requests_total")), (1.0, 1.0));
    let mut context = context();
    let mut on_call = Call { context: &mut context, body: &mut second_call };
    let mut waiting = Box::pin(cache.on_call(&mut second, &mut on_call));
    assert!(waiting.as_mut().now_or_never().is_none());
    // the first leaves before it was sent, so the second leads
    drop(first);
    assert!(matches!(waiting.await, Flow::Continue));
    assert!(matches!(second.0, Role::Leading(_)));
    assert_eq!((counted("tollgate_cache_misses_total"), counted("tollgate_cache_requests_total")), (2.0, 2.0));
    // a call that may not be cached is known for such without a wait
    let mut no_output = TestCall::new().model("m").max_tokens(0).to(Endpoint::MESSAGES);
    assert!(matches!(tried(&mut State::default(), &mut no_output), Some(Flow::Continue)));
    assert_eq!(counted("tollgate_cache_bypassed_total"), 1.0);
}
