//! What budgets add to a call: two of them, the reservation, the record that settles it, and the end. Run by
//! `cargo bench -p budget`; prints nanoseconds for a call, measures nothing else.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use budget::{BudgetPlugin, Config, Shared, State};
use plugin_api::testing::TestCall;
use plugin_api::{
    BuildContext, Call, Common, Context, Endpoint, Flow, ModelCall, Plugin, Spender, SpendingFeed, Spent, Uuid,
};
use prices::Prices;

const CALLS: u32 = 200_000;
const SETTINGS: &str =
    r#"{ "limits": [{ "by": "key", "usd": "1000000/day" }, { "by": "tenant", "usd": "1000000/month" }] }"#;

fn main() {
    let (shared, common) = (Arc::<Shared>::default(), Arc::<Common>::default());
    let _prices = common.spending.use_prices(Prices::default());
    let config: Config = serde_json::from_str(SETTINGS).expect("these are settings");
    let context = BuildContext { base: Path::new("."), shared: &shared, secrets: &Arc::from([]), common: &common };
    let budgets = BudgetPlugin::build(&config, &context).expect("they can be used");
    let feed = common.spending.feed();
    let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let began = i64::try_from(began).expect("it is not that late");
    for model in ["claude-opus-5", "gpt-5-2025-08-07"] {
        let mut body = TestCall::new().model(model).max_tokens(1000).to(Endpoint::MESSAGES);
        let mut callers: Vec<Context> = (0..1000).map(caller).collect();
        let start = Instant::now();
        for number in 0..CALLS {
            let context = &mut callers[number as usize % 1000];
            context.id = id(number);
            call(&budgets, &feed, context, &mut body, u64::from(number) + 1, began);
        }
        let nanos = start.elapsed().as_nanos() / u128::from(CALLS);
        // everything is stored, as it is soon after
        for query in feed.queries() {
            feed.answered(plugin_api::DatabaseId::of(&0), &query, &[], u64::from(CALLS));
        }
        println!("{model:>20}: {nanos} ns for a call held to two budgets");
    }
}

fn call(
    budgets: &BudgetPlugin,
    feed: &SpendingFeed,
    context: &mut Context,
    body: &mut ModelCall,
    place: u64,
    began: i64,
) {
    let mut state = State::default();
    let flow = budgets.try_on_call(&mut state, &mut Call { context, body });
    assert!(matches!(flow, Some(Flow::Continue)), "{flow:?}");
    let caller = context.principal();
    let (tenant, key) = (caller.tenant.as_deref(), caller.key_name.as_deref());
    let spender = Spender { tenant, key, user: None, model: Some("m") };
    let (id, ledger) = (context.id, feed.ledger());
    feed.spent(&Spent {
        id,
        number: plugin_api::RecordNumber::default(),
        ledger,
        place,
        is_old: false,
        is_adopted: false,
        began,
        spender,
        picos: 12_345,
        unpriced: 0,
        counts: &[],
    });
}

fn caller(number: u32) -> Context {
    let mut context = Context::new(id(number));
    context.principal_mut().key_name = Some(format!("key-{number}").into());
    context.principal_mut().tenant = Some(format!("team-{}", number % 10).into());
    context
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}
