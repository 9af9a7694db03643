//! What stays reserved for calls that batches answer when their requests are over.

use plugin_api::{Batched, BudgetReader};

use super::*;

#[tokio::test]
async fn what_a_call_may_cost_is_held_without_its_request_however_little_is_left() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    let mut context = by_key("alice");
    let batched = Arc::new(Batched::default());
    context.batched = Some(batched.clone());
    let (state, id) = call(&budgets, context, message(6_000)).await.unwrap();
    let (cost, all) = (batched.cost().unwrap().clone(), (6_000 + bytes(6_000)) as u64 * MICRO as u64);
    assert_eq!((cost.picos, cost.key.as_deref(), held(&budgets, "alice")), (all, Some("alice"), all));
    // the call goes on when its request ends, and cost nothing by then
    let goes_on = host.common.budget_use.hold(&cost).unwrap();
    host.record(id, of_key("alice"), 0, 0);
    drop(state);
    assert_eq!(held(&budgets, "alice"), all);
    let refusal = call(&budgets, by_key("alice"), message(6_000)).await.unwrap_err();
    assert!(refusal.message().contains("calls in progress"), "{}", refusal.message());
    // its result is booked
    host.record(Uuid::nil(), of_key("alice"), 3_000, 0);
    drop(goes_on);
    assert_eq!((used(&budgets, "alice"), held(&budgets, "alice")), (3_000, 0));
    assert!(call(&budgets, by_key("alice"), message(6_000)).await.is_ok());
}

#[tokio::test]
async fn another_process_holds_it_of_the_budgets_of_the_time_at_which_the_call_began() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    let now = budgets.shared.now();
    let cost = host.shared.deferred_cost(by_key("alice").principal(), Some("m"), 7 * MICRO as u64, now);
    let holds = host.shared.hold(&cost);
    assert_eq!(held(&budgets, "alice"), cost.picos);
    drop(holds);
    let earlier = DeferredCost { began: budgets.rules[0].budget.of.window(now).0 - 1, ..cost };
    let _holds = host.shared.hold(&earlier);
    assert_eq!(held(&budgets, "alice"), 0);
}

#[tokio::test]
async fn it_is_held_of_the_budgets_of_other_routes_by_what_those_go_by() {
    let host = Host::new();
    let by_key_alone = host.budgets(budget(10_000, &[]));
    let by_tenant = host.budgets(json!({ "limits": [{ "by": ["tenant", "model"], "usd": "0.01/month" }] }));
    let mut context = by_key("alice");
    context.principal_mut().tenant = Some("t".into());
    let batched = Arc::new(Batched::default());
    context.batched = Some(batched.clone());
    let (state, _) = call(&by_key_alone, context, message(6_000)).await.unwrap();
    let cost = batched.cost().unwrap().clone();
    let _goes_on = host.common.budget_use.hold(&cost).unwrap();
    drop(state);
    let of = |tenant| {
        let spender = Spender { tenant, model: Some("m"), ..Spender::default() };
        by_tenant.rules[0].budget.account(&spender).meter.held()
    };
    assert_eq!((of(Some("t")), of(None)), (cost.picos, 0));
}
