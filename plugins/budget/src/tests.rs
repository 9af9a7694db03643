//! What budgets decide, without sockets and without a ledger: the tests report what one would.

mod deferred;
mod pricing;
mod restarts;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use plugin_api::testing::{self, ID, TestCall, TestFolder, TestRequest, batch, not_a_call};
use plugin_api::{
    AnswerModel, AssumedCost, DatabaseId, DeferredCost, Endpoint, Glob, JournalIn, ModelCall, ModelRule, RecordNumber,
    RefusalKind, RouteModels, Spender, SpendingFeed, SpendingQuery, SpendingReader, Spent, StoredCounts, StoredSum,
    Sum,
};
use prices::{Cost, Prices};
use serde_json::{Value, json};

use super::*;

/// A dollar for a million tokens of either kind: a microdollar each.
const PRICES: &str = r#"{ "m": { "input": 1, "output": 1, "batch": { "input": 0.5, "output": 0.5 },
    "priority": { "input": 3, "output": 3 }, "above": [{ "tokens": 1000000, "input": 2, "output": 2 }] },
    "dear": { "input": 10, "output": 10 } }"#;
/// A microdollar in picodollars.
const MICRO: i64 = 1_000_000;

fn database() -> DatabaseId {
    DatabaseId::of(&"a")
}

/// A gateway's budgets and its ledger, over its reloads.
struct Host {
    shared: Arc<Shared>,
    common: Arc<Common>,
    feed: SpendingFeed,
    places: AtomicU64,
    folder: Arc<TestFolder>,
    _prices: Arc<Prices>,
}

impl Host {
    fn new() -> Self {
        Self::in_folder(Arc::new(TestFolder::new().unwrap()))
    }

    fn in_folder(folder: Arc<TestFolder>) -> Self {
        let common = Arc::<Common>::default();
        let prices = common.spending.use_prices(Prices::new(&serde_json::from_str(PRICES).unwrap()).unwrap());
        let feed = common.spending.feed();
        Self { shared: Arc::default(), common, feed, places: AtomicU64::new(0), folder, _prices: prices }
    }

    /// The process is killed, and another one starts.
    fn killed(self) -> Self {
        Self::in_folder(self.folder)
    }

    fn budgets(&self, config: Value) -> BudgetPlugin {
        let config: Config = serde_json::from_value(config).unwrap();
        config.check().unwrap();
        let context =
            BuildContext { base: Path::new("."), shared: &self.shared, secrets: &Arc::from([]), common: &self.common };
        let plugin = BudgetPlugin::build(&config, &context).unwrap();
        plugin.activate();
        plugin
    }

    /// The ledger keeps a record of a call, which cost so many microdollars.
    fn record(&self, id: Uuid, spender: Spender<'_>, micros: i64, unpriced: i64) -> u64 {
        let place = self.places.fetch_add(1, Ordering::Relaxed) + 1;
        let ledger = self.feed.ledger();
        let picos = micros * MICRO;
        let began = shared::unix_now();
        self.feed.spent(&Spent {
            id,
            number: RecordNumber::default(),
            ledger,
            place,
            is_old: false,
            is_adopted: false,
            began,
            spender,
            picos,
            unpriced,
            counts: &[],
        });
        place
    }

    /// The database answers for a key.
    fn answers(&self, key: &str, micros: i64, own: i64, place: u64) {
        self.answers_from(database(), key, micros, own, place);
    }

    fn answers_from(&self, database: DatabaseId, key: &str, micros: i64, own: i64, place: u64) {
        let sum = |micros: i64| Sum { cost: Cost::from_picos((micros * MICRO).into()), unpriced: 0 };
        let sums = [StoredSum { spender: vec![Some(key.to_owned())], own: sum(own), rest: sum(micros - own) }];
        for query in self.feed.queries() {
            self.feed.answered(database, &query, &sums, place);
        }
    }
}

fn by_key(name: &str) -> Context {
    let mut context = Context::new(Uuid::now_v7());
    context.principal_mut().key_name = Some(name.into());
    context
}

fn of_key(name: &str) -> Spender<'_> {
    Spender { key: Some(name), model: Some("m"), ..Spender::default() }
}

fn refused(flow: Flow) -> Result<(), Refusal> {
    match flow {
        Flow::Continue => Ok(()),
        Flow::Answer(reply) => panic!("answered: {reply:?}"),
        Flow::Refuse(refusal) => Err(*refusal),
    }
}

/// A call by this caller goes through both hooks.
async fn call(budgets: &BudgetPlugin, mut context: Context, mut body: ModelCall) -> Result<(State, Uuid), Refusal> {
    let mut state = State::default();
    let request = TestRequest::to(body.endpoint());
    refused(testing::on_request(budgets, &mut state, &mut request.request(&mut context)).await)?;
    refused(testing::on_call(budgets, &mut state, &mut Call { context: &mut context, body: &mut body }).await)?;
    Ok((state, context.id))
}

fn message(max_tokens: u64) -> ModelCall {
    TestCall::new().model("m").max_tokens(max_tokens).to(Endpoint::MESSAGES)
}

/// The bytes of the text of that, each of which may be a token.
fn bytes(max_tokens: u64) -> i64 {
    message(max_tokens).text().len() as i64
}

/// A budget of so many microdollars a month for each key.
fn budget(micros: u64, more: &[(&str, Value)]) -> Value {
    let usd = format!("{}.{:06}/month", micros / 1_000_000, micros % 1_000_000);
    let mut config = json!({ "limits": [{ "by": "key", "usd": usd }], "reserve": "max_tokens" });
    for (name, value) in more {
        config[name] = value.clone();
    }
    config
}

fn used(budgets: &BudgetPlugin, key: &str) -> i64 {
    let Rule { budget, terms } = &budgets.rules[0];
    let picos = budget.account(&of_key(key)).meter.used(&terms.limit, budgets.shared.now());
    assert_eq!(picos % MICRO as u64, 0);
    (picos / MICRO as u64) as i64
}

fn held(budgets: &BudgetPlugin, key: &str) -> u64 {
    budgets.rules[0].budget.account(&of_key(key)).meter.held()
}

#[tokio::test]
async fn a_call_is_reserved_at_the_most_that_it_can_cost_and_settled_by_its_record() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    let (state, id) = call(&budgets, by_key("alice"), message(1000)).await.unwrap();
    assert_eq!(held(&budgets, "alice") as i64, (1000 + bytes(1000)) * MICRO);
    host.record(id, of_key("alice"), 123, 0);
    assert_eq!((held(&budgets, "alice"), used(&budgets, "alice")), (0, 123));
    // a correction of the same record
    host.record(id, of_key("alice"), -23, 0);
    drop(state);
    assert_eq!((held(&budgets, "alice"), used(&budgets, "alice"), used(&budgets, "bob")), (0, 100, 0));
    // a call without a record costs nothing
    let (state, _) = call(&budgets, by_key("alice"), message(1000)).await.unwrap();
    drop(state);
    assert_eq!((held(&budgets, "alice"), used(&budgets, "alice")), (0, 100));
}

#[tokio::test]
async fn a_record_of_another_spender_is_charged_to_that_one_and_gives_back_what_was_reserved() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    let (_state, id) = call(&budgets, by_key("alice"), message(1000)).await.unwrap();
    assert!(held(&budgets, "alice") > 0);
    host.record(id, of_key("bob"), 70, 0);
    assert_eq!((used(&budgets, "alice"), held(&budgets, "alice")), (0, 0));
    assert_eq!((used(&budgets, "bob"), held(&budgets, "bob")), (70, 0));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_words_with_the_true_time_and_not_to_be_retried() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    host.record(Uuid::now_v7(), of_key("alice"), 9_500, 0);
    let refusal = call(&budgets, by_key("alice"), message(1000)).await.unwrap_err();
    assert!(refusal.message().contains("has $0.0005 left of $0.01 per month for key alice"), "{}", refusal.message());
    host.record(Uuid::now_v7(), of_key("alice"), 600, 0);
    let refusal = call(&budgets, by_key("alice"), message(1)).await.unwrap_err();
    let message_ = refusal.message().to_owned();
    assert!(
        message_.starts_with("Budget `key` is used up: $0.01 per month for key alice. It resets at 20"),
        "{message_}"
    );
    assert_eq!((refusal.kind(), refusal.reason()), (RefusalKind::TooManyRequests, "budget"));
    let reply = refusal.into_reply(Endpoint::MESSAGES.protocol, ID);
    let (_, reset) = budgets.rules[0].budget.of.window(budgets.shared.now());
    let wait: i64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((reset - shared::unix_now() - wait).abs() <= 1);
    assert_eq!(reply.headers["x-should-retry"], "false");
    assert!(call(&budgets, by_key("bob"), message(1)).await.is_ok());
    // what calls in progress hold may be given back
    let _held = call(&budgets, by_key("carol"), message(9_000)).await.unwrap();
    let refusal = call(&budgets, by_key("carol"), message(9_000)).await.unwrap_err();
    assert!(refusal.message().contains("calls in progress"), "{}", refusal.message());
    let reply = refusal.into_reply(Endpoint::MESSAGES.protocol, ID);
    assert_eq!((&reply.headers["retry-after"], reply.headers.get("x-should-retry")), (&"1".parse().unwrap(), None));
}

#[tokio::test]
async fn calls_that_can_cost_more_than_the_whole_budget_or_do_not_say_are_refused_where_the_most_is_reserved() {
    let host = Host::new();
    let budgets = host.budgets(budget(1_000, &[]));
    let refusal = call(&budgets, by_key("alice"), message(5_000)).await.unwrap_err();
    assert!(refusal.message().contains("this call may cost $0.00"), "{}", refusal.message());
    let unbounded = TestCall::new().model("m").to(Endpoint::MESSAGES);
    assert_eq!(call(&budgets, by_key("alice"), unbounded).await.unwrap_err().reason(), "no_max_tokens");
    // what is expected is no more than the whole, or no call would ever pass
    let budgets = host.budgets(budget(1_000, &[("reserve", json!("expected"))]));
    assert!(call(&budgets, by_key("alice"), message(5_000)).await.is_ok());
}

#[tokio::test]
async fn what_is_expected_is_learned_from_the_answers_to_the_caller() {
    use plugin_api::{Answer, AnswerState, Outcome, Tokens, Usage};
    let host = Host::new();
    let budgets = host.budgets(budget(900_000_000, &[("reserve", json!("expected"))]));
    let (pattern, answer_model) = (Glob::new("fast"), AnswerModel::Served);
    let fast = ModelRule { pattern, model: Some("m".into()), upstream: None, answer_model };
    let renamed = || {
        let call = TestCall::new().model("fast").max_tokens(128_000).to(Endpoint::MESSAGES);
        call.on_route(RouteModels::new(vec![fast.clone()]))
    };
    let tokens = Tokens { input: Some(10), output: Some(100), ..Tokens::default() };
    let usage = Some(Usage { tokens, ..Usage::default() });
    let answer = Some(Answer { state: AnswerState::Complete, usage, ..Answer::default() }.into());
    let record = Record { outcome: Outcome::Completed, answer, ..Record::begun(ID, SystemTime::now()) };
    for _ in 0..20 {
        let (mut state, _) = call(&budgets, by_key("alice"), message(128_000)).await.unwrap();
        budgets.on_complete(&mut state, &record);
    }
    let (_state, _) = call(&budgets, by_key("alice"), message(128_000)).await.unwrap();
    let reserved = held(&budgets, "alice") / MICRO as u64;
    assert!((100..200).contains(&reserved), "{reserved}");
    // a route that renames a model learns under the name that it estimates by
    for _ in 0..20 {
        let (mut state, _) = call(&budgets, by_key("bob"), renamed()).await.unwrap();
        budgets.on_complete(&mut state, &record);
    }
    let (_state, _) = call(&budgets, by_key("bob"), renamed()).await.unwrap();
    let reserved = held(&budgets, "bob") / MICRO as u64;
    assert!((100..200).contains(&reserved), "{reserved}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_calls_at_once_no_more_is_spent_than_the_budget_has() {
    let host = Arc::new(Host::new());
    let budgets = Arc::new(host.budgets(budget(12_345, &[])));
    for round in 0..50 {
        let key = format!("key-{round}");
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..500_i64 {
            let (host, budgets, key) = (host.clone(), budgets.clone(), key.clone());
            calls.spawn(async move {
                let Ok((state, id)) = call(&budgets, by_key(&key), message(100)).await else { return 0 };
                tokio::task::yield_now().await;
                // some are cut off, and cost what had come
                let spent = if number % 3 == 0 { 40 } else { 100 + bytes(100) };
                host.record(id, of_key(&key), spent, 0);
                drop(state);
                spent
            });
        }
        let mut spent: i64 = calls.join_all().await.into_iter().sum();
        assert!(spent <= 12_345, "{spent}");
        // what calls in progress held is there again, and used to the end
        while let Ok((_state, id)) = call(&budgets, by_key(&key), message(100)).await {
            host.record(id, of_key(&key), 100 + bytes(100), 0);
            spent += 100 + bytes(100);
        }
        assert!(spent > 12_345 - 100 - bytes(100) && spent <= 12_345, "{spent}");
        assert_eq!((used(&budgets, &key), held(&budgets, &key)), (spent, 0));
    }
}
