//! Limits that are shared through a Redis that is not there: what is decided then, and by whom.

use super::*;

fn without_redis(on_down: &str) -> Value {
    json!({
        "limits": [{ "by": "key", "requests": "3/month", "tokens": "1000/m", "concurrent": 2 }],
        "redis": { "url": "redis://127.0.0.1:1", "timeout": "5ms" },
        "on_redis_down": on_down,
    })
}

async fn admitted(limits: &RateLimit, calls: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        if let Ok(going) = call(limits, by_key("alice"), message(1)).await {
            going.costs(limits, 1, 1);
            admitted += 1;
        }
    }
    admitted
}

#[tokio::test]
async fn a_gateway_that_never_saw_redis_goes_on_by_itself_or_admits_all() {
    for (on_down, expected) in [("local", 3), ("allow", 10)] {
        let host = Host::default();
        assert_eq!(admitted(&host.limits(without_redis(on_down)), 10).await, expected, "{on_down}");
    }
}

#[tokio::test]
async fn where_nothing_is_to_pass_without_redis_callers_are_told_to_come_again() {
    let host = Host::default();
    let limits = host.limits(without_redis("refuse"));
    let mut context = by_key("alice");
    let mut body = message(1);
    let flow =
        testing::on_call(&limits, &mut State::default(), &mut Call { context: &mut context, body: &mut body }).await;
    let Flow::Refuse(refusal) = flow else { panic!("{flow:?}") };
    assert_eq!((refusal.status(), refusal.reason()), (StatusCode::SERVICE_UNAVAILABLE, "limits_unavailable"));
    let reply = refusal.into_reply(Protocol::ANTHROPIC, ID);
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_reload_goes_on_with_the_leases_of_the_same_redis_and_not_with_the_counts_of_none() {
    let host = Host::default();
    let with = host.limits(without_redis("local"));
    assert_eq!(admitted(&with, 2).await, 2);
    let again = host.limits(without_redis("local"));
    drop(with);
    assert_eq!(admitted(&again, 10).await, 1);
    let alone = host.limits(json!({ "limits": [{ "by": "key", "requests": "3/month" }] }));
    assert_eq!(admitted(&alone, 10).await, 3);
}

#[test]
fn a_limit_has_the_same_name_on_all_gateways_and_another_where_it_counts_something_else() {
    let of =
        |name: &str, measure, window| MetersOf { name: name.into(), by: By(vec![Descriptor::Key]), measure, window };
    let name = of("a", Measure::Requests, Some(Window::Day)).shared_name(quota::Tz::UTC);
    assert_eq!(name, of("a", Measure::Requests, Some(Window::Day)).shared_name(quota::Tz::UTC));
    for other in [
        of("b", Measure::Requests, Some(Window::Day)),
        of("a", Measure::Tokens, Some(Window::Day)),
        of("a", Measure::Requests, Some(Window::Month)),
        of("a", Measure::Concurrent, None),
    ] {
        assert_ne!(name, other.shared_name(quota::Tz::UTC));
    }
    let minute = of("a", Measure::Requests, Some(Window::Minute));
    let berlin = quota::Tz::Europe__Berlin;
    assert_ne!(name, of("a", Measure::Requests, Some(Window::Day)).shared_name(berlin));
    assert_eq!(minute.shared_name(quota::Tz::UTC), minute.shared_name(berlin));
}
