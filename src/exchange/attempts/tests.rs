//! Attempts one by one: what each event leads to.

use http::HeaderValue;
use plugin_api::ErrorKind;
use serde_json::{Value, json};

use super::*;
use crate::balance::UpstreamRegistry;
use crate::dns::Resolver;

/// The attempts of one exchange, and a clock that stands still until it is moved.
struct Exchange {
    attempts: Attempts,
    now: Instant,
    upstreams: Vec<Arc<Upstream>>,
}

/// An upstream with so many servers, and further settings.
fn upstream(servers: usize, settings: Value) -> Value {
    let servers: Vec<_> = (1..=servers).map(|at| json!({ "address": format!("127.0.0.{at}:1") })).collect();
    let mut all = json!({ "servers": servers });
    for (key, value) in settings.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}

impl Exchange {
    /// Of a request whose method is not idempotent, through a chain of upstreams, each the fallback of the one before.
    fn new(upstreams: &[Value]) -> Self {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let mut built: Vec<Arc<Upstream>> = Vec::new();
        for (index, settings) in upstreams.iter().enumerate().rev() {
            let mut settings = settings.clone();
            if !built.is_empty() {
                settings["fallback"] = format!("up{}", index + 1).into();
            }
            let settings = serde_json::from_value(settings).unwrap();
            let name = format!("up{index}");
            built.push(Arc::new(Upstream::new(&name, index, &settings, &registry, &resolver, built.last().cloned())));
        }
        built.reverse();
        let now = Instant::now();
        let demand = Demand { tokens: 1, ..Demand::default() };
        let attempts = Attempts::new(built[0].clone(), demand, now + Duration::from_secs(60), now);
        Self { attempts, now, upstreams: built }
    }

    /// Says what an event leads to, and where the attempt goes that it leads to.
    fn on(&mut self, event: Event<'_>) -> String {
        let mut said = Vec::new();
        let mut action = self.attempts.on(event, self.now);
        loop {
            match action {
                Action::Connect => {
                    let fresh = if self.attempts.wants_fresh_connection() { " afresh" } else { "" };
                    let server = self.attempts.lease().unwrap().server().address().to_owned();
                    said.push(format!("{} {server}{fresh}", self.attempts.upstream().name));
                    break;
                }
                Action::FailOver(_) => {}
                Action::Retry(failure) => said.push(format!("retry {}", failure.word())),
                Action::Reconnect => said.push("reconnect".to_owned()),
                Action::Wait(_) => {
                    said.push("wait".to_owned());
                    break;
                }
                Action::Pass => {
                    said.push("pass".to_owned());
                    break;
                }
                Action::GiveUp(failure) => {
                    said.push(format!("give up {}", failure.word()));
                    break;
                }
            }
            action = self.attempts.on(Event::ServerWanted, self.now);
        }
        said.join(", ")
    }

    fn begin(&mut self) -> String {
        self.on(Event::ServerWanted)
    }

    fn broke(&mut self, cause: BreakCause) -> String {
        self.on(Event::Broke { cause, replayable: true })
    }

    fn answered(&mut self, status: u16, headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        self.on(Event::Answered { status, headers: &headers, replayable: true })
    }

    /// How often each server of the first upstream was blamed.
    fn blamed(&self) -> Vec<u64> {
        let servers = self.upstreams[0].pool.servers();
        servers.iter().map(|view| view.server.failures().map(|(_, count)| count).sum()).collect()
    }
}

#[test]
fn a_refused_connection_leads_to_another_server_and_then_to_the_fallback() {
    let mut exchange = Exchange::new(&[upstream(2, json!({})), upstream(1, json!({}))]);
    assert_eq!(exchange.begin(), "up0 127.0.0.1:1");
    let refused = || Event::ConnectFailed(ConnectFailure::Refused);
    assert_eq!(exchange.on(refused()), "retry connect, up0 127.0.0.2:1");
    assert_eq!(exchange.on(refused()), "retry connect, up1 127.0.0.1:1");
    assert_eq!(exchange.on(refused()), "give up connect");
    assert_eq!(exchange.blamed(), [1, 1]);
    assert_eq!(exchange.attempts.total(), 3);
}

#[test]
fn a_stale_connection_is_replaced_once_and_blames_nobody() {
    let stale = BreakCause::NotProcessed(Unprocessed::Unread);
    let mut exchange = Exchange::new(&[upstream(2, json!({ "retry": { "on": ["error"] } }))]);
    exchange.begin();
    assert_eq!(exchange.broke(stale), "reconnect, up0 127.0.0.1:1 afresh");
    assert_eq!((exchange.blamed(), exchange.attempts.total()), (vec![0, 0], 1));
    assert_eq!(exchange.broke(BreakCause::Closed), "give up no_answer", "it may have been processed");
    assert_eq!(exchange.blamed(), [1, 0]);
}

#[test]
fn what_may_have_been_processed_is_repeated_only_where_the_yaml_says_so() {
    for (retry, leads_to) in [
        (json!({ "on": ["error", "timeout"] }), "give up no_answer"),
        (json!({ "on": ["error"], "non_idempotent": true }), "retry no_answer, up0 127.0.0.2:1"),
        (json!({ "on": ["timeout"], "non_idempotent": true }), "give up no_answer"),
    ] {
        let mut exchange = Exchange::new(&[upstream(2, json!({ "retry": retry }))]);
        exchange.begin();
        assert_eq!(exchange.broke(BreakCause::Closed), leads_to);
    }
    let mut idempotent = Exchange::new(&[upstream(2, json!({ "retry": { "on": ["error"] } }))]);
    idempotent.attempts.demand().idempotent = true;
    idempotent.begin();
    let broken = BreakCause::Closed;
    assert_eq!(idempotent.broke(broken), "retry no_answer, up0 127.0.0.2:1");
}

#[test]
fn an_unprocessed_request_is_sent_again_and_where_depends_on_why() {
    for (why, leads_to) in [
        (Unprocessed::Closing, "retry not_processed, up0 127.0.0.1:1 afresh"),
        (Unprocessed::WantsHttp1, "retry not_processed, up0 127.0.0.1:1 afresh"),
        (Unprocessed::Refused, "retry not_processed, up0 127.0.0.2:1"),
        (Unprocessed::Unsent, "retry not_processed, up0 127.0.0.2:1"),
        (Unprocessed::Failing, "retry not_processed, up0 127.0.0.2:1"),
    ] {
        let mut exchange = Exchange::new(&[upstream(2, json!({ "retry": { "on": [] } }))]);
        exchange.begin();
        assert_eq!(exchange.broke(BreakCause::NotProcessed(why)), leads_to, "{why:?}");
        assert_eq!(exchange.attempts.is_http1_only(), why == Unprocessed::WantsHttp1);
        assert_eq!(exchange.blamed()[0], u64::from(why == Unprocessed::Failing));
    }
    let mut only = Exchange::new(&[upstream(1, json!({}))]);
    only.begin();
    let refused = BreakCause::NotProcessed(Unprocessed::Refused);
    assert_eq!(only.broke(refused), "retry not_processed, up0 127.0.0.1:1 afresh");
    assert_eq!(only.broke(refused), "give up not_processed", "two attempts are all");
}

#[test]
fn a_discarded_response_is_what_the_client_gets_where_nothing_better_comes() {
    let mut exchange = Exchange::new(&[upstream(2, json!({}))]);
    exchange.begin();
    assert_eq!(exchange.answered(529, &[("retry-after", "7")]), "retry status, up0 127.0.0.2:1");
    assert_eq!(exchange.on(Event::ConnectFailed(ConnectFailure::Timeout)), "give up connect_timeout");
    let answer = exchange.attempts.error_answer(Failure::ConnectTimeout, exchange.now).unwrap();
    assert_eq!((answer.status.as_u16(), answer.kind), (529, ErrorKind::GatewayTimeout));
    assert_eq!(answer.retry_after.unwrap(), "7");
    let own = exchange.attempts.error_answer(Failure::TotalTimeout, exchange.now).unwrap();
    assert_eq!(own.status, StatusCode::GATEWAY_TIMEOUT, "no server's doing");
}

#[test]
fn the_last_response_passes_and_what_the_server_says_of_a_retry_goes_before_the_yaml() {
    let mut exchange = Exchange::new(&[upstream(2, json!({}))]);
    exchange.begin();
    exchange.answered(503, &[]);
    assert_eq!(exchange.answered(503, &[]), "pass");
    assert_eq!(exchange.broke(BreakCause::NotProcessed(Unprocessed::Unread)), "give up broken_answer");

    for (status, hint, leads_to) in
        [(503, "false", "pass"), (400, "true", "retry status, up0 127.0.0.2:1"), (400, "perhaps", "pass")]
    {
        let mut exchange = Exchange::new(&[upstream(2, json!({}))]);
        exchange.begin();
        assert_eq!(exchange.answered(status, &[("x-should-retry", hint)]), leads_to, "{status} {hint}");
        assert_eq!(exchange.blamed()[0], 0);
    }
}

#[test]
fn a_full_upstream_is_waited_for_where_it_has_a_queue_or_says_when_to_come_again() {
    let full = |queue: Value| {
        let mut exchange = Exchange::new(&[upstream(1, queue)]);
        let mut server = exchange.upstreams[0].clone();
        let busy = server.pool.lease(&crate::balance::SelectParams::at(exchange.now.into_std())).unwrap();
        let began = exchange.begin();
        server = exchange.upstreams[0].clone();
        drop((busy, server));
        (began, exchange)
    };
    let servers = json!([{ "address": "127.0.0.1:1", "max_conns": 1 }]);
    let (began, exchange) = full(json!({ "servers": servers }));
    assert_eq!(began, "give up full");
    let answer = exchange.attempts.error_answer(Failure::Full(StatusCode::SERVICE_UNAVAILABLE), exchange.now).unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after.unwrap()), (503, HeaderValue::from_static("1")));

    let queue = json!({ "size": 1, "timeout": "1s" });
    let (began, mut exchange) = full(json!({ "servers": servers, "queue": queue }));
    assert_eq!(began, "wait");
    assert_eq!(exchange.on(Event::TimeOver), "give up total_timeout");
    assert_eq!(exchange.begin(), "give up total_timeout", "it is over");
}

#[test]
fn no_attempt_begins_once_the_time_is_over() {
    let mut exchange = Exchange::new(&[upstream(2, json!({}))]);
    exchange.begin();
    exchange.now += Duration::from_secs(60);
    assert_eq!(exchange.on(Event::ConnectFailed(ConnectFailure::Timeout)), "give up total_timeout");
    assert_eq!(exchange.blamed(), [0, 0]);
}

#[test]
fn what_is_sent_once_goes_on_only_while_no_server_can_have_it() {
    let once = |events: &[&str]| {
        let every = json!({ "retry": { "attempts": 5, "on": ["connect", "error", "http_502", "non_idempotent"] } });
        let mut exchange = Exchange::new(&[upstream(3, every), upstream(1, json!({}))]);
        exchange.attempts.demand().once = true;
        exchange.begin();
        let mut said = String::new();
        for event in events {
            said = match *event {
                "refused" => exchange.on(Event::ConnectFailed(ConnectFailure::Refused)),
                "502" => exchange.answered(502, &[("x-should-retry", "true")]),
                "stale" => exchange.broke(BreakCause::NotProcessed(Unprocessed::Unread)),
                "broken" => exchange.broke(BreakCause::Closed),
                _ => exchange.broke(BreakCause::NotProcessed(Unprocessed::Refused)),
            };
        }
        said
    };
    assert_eq!(once(&["refused"]), "retry connect, up0 127.0.0.2:1");
    assert!(once(&["not processed"]).starts_with("retry not_processed, up0"), "{}", once(&["not processed"]));
    assert_eq!(once(&["502"]), "pass");
    assert!(once(&["stale"]).starts_with("reconnect, up0"), "{}", once(&["stale"]));
    assert!(once(&["broken"]).starts_with("give up "), "{}", once(&["broken"]));
    assert!(once(&["refused", "refused", "refused"]).ends_with("give up connect"), "no fallback");
}
