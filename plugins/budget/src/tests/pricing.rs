//! What a call may cost: by its tier, its model and its length, and without a price.

use super::*;

#[tokio::test]
async fn the_price_is_that_of_the_tier_the_model_and_the_length_that_a_call_may_reach() {
    let host = Host::new();
    let budgets = host.budgets(budget(900_000_000, &[]));
    let cost = async |body: ModelCall| {
        let bytes = body.text().len() as u64;
        let (_state, _) = call(&budgets, by_key("alice"), body).await.unwrap();
        (held(&budgets, "alice") / MICRO as u64, bytes)
    };
    let (picos, bytes) = cost(TestCall::new().model("m").max_tokens(1000).to(Endpoint::MESSAGES)).await;
    assert_eq!(picos, 1000 + bytes);
    // a model named in another letter case may be the one that a server reads
    let named_twice = TestCall::new().model("dear").model("m").max_tokens(1000).to(Endpoint::MESSAGES);
    let (picos, bytes) = cost(named_twice).await;
    assert_eq!(picos, 10 * (1000 + bytes));
    let two = batch(vec![TestCall::new().model("m").max_tokens(500), TestCall::new().model("m").max_tokens(500)]);
    let (picos, bytes) = cost(two).await;
    assert_eq!(picos, (1000 + 2 * bytes.div_ceil(2)) / 2);
    // each call of a batch costs what the model costs that the upstream is asked for
    let rule = |model: &str| ModelRule {
        pattern: Glob::new("fast"),
        model: Some(model.into()),
        upstream: None,
        answer_model: AnswerModel::Served,
    };
    let fast = batch(vec![TestCall::new().model("fast").max_tokens(1000)]);
    let (picos, bytes) = cost(fast.on_route(RouteModels::new(vec![rule("m")]))).await;
    assert_eq!(picos, (1000 + bytes) / 2);
    assert!(call(&budgets, by_key("alice"), TestCall::new().model("m").to(Endpoint::COUNT_TOKENS)).await.is_ok());
}

#[tokio::test]
async fn models_without_a_price_are_refused_allowed_or_charged() {
    let host = Host::new();
    let mystery = || TestCall::new().model("mystery").max_tokens(10).to(Endpoint::MESSAGES);
    let budgets = host.budgets(budget(100_000, &[]));
    let refusal = call(&budgets, by_key("alice"), mystery()).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.reason()), (RefusalKind::Forbidden, "unpriced"));
    assert!(refusal.message().contains("model `mystery`"), "{}", refusal.message());
    let body = not_a_call(Endpoint::MESSAGES, "[]");
    assert_eq!(call(&budgets, by_key("alice"), body).await.unwrap_err().reason(), "unpriced");
    let budgets = host.budgets(budget(100_000, &[("unpriced", json!("allow"))]));
    let (_, id) = call(&budgets, by_key("alice"), mystery()).await.unwrap();
    host.record(id, of_key("alice"), 0, 1);
    assert_eq!(used(&budgets, "alice"), 0);
    let budgets = host.budgets(budget(100_000, &[("unpriced", json!(0.05))]));
    let (_state, id) = call(&budgets, by_key("alice"), mystery()).await.unwrap();
    assert_eq!(held(&budgets, "alice"), 50_000 * MICRO as u64);
    host.record(id, of_key("alice"), 0, 1);
    assert_eq!(used(&budgets, "alice"), 50_000);
    let _second = call(&budgets, by_key("alice"), mystery()).await.unwrap();
    assert!(call(&budgets, by_key("alice"), mystery()).await.is_err());
}

#[tokio::test]
async fn every_call_with_a_price_has_an_assumed_cost_but_a_batch_of_which_its_results_tell() {
    let host = Host::new();
    let budgets = host.budgets(budget(900_000, &[]));
    let embeddings = TestCall::new().model("m").to(Endpoint::EMBEDDINGS);
    let of_embeddings = embeddings.text().len() as i64 * MICRO;
    let input = bytes(100) * MICRO;
    let assumed = AssumedCost { answered: Some(100 * MICRO + input), cut_off: input, input, most_output: 100 };
    for (mut body, expected) in [
        (message(100), Some(assumed)),
        (batch(vec![TestCall::new().model("m").max_tokens(5)]), None),
        (
            embeddings,
            Some(AssumedCost {
                answered: Some(of_embeddings),
                cut_off: of_embeddings,
                input: of_embeddings,
                most_output: u64::MAX,
            }),
        ),
    ] {
        let (mut state, mut context) = (State::default(), by_key("alice"));
        let call = &mut Call { context: &mut context, body: &mut body };
        refused(testing::on_call(&budgets, &mut state, call).await).unwrap();
        assert_eq!(context.assumed_cost, expected);
    }
}

#[tokio::test]
async fn all_spellings_of_a_model_share_its_budget() {
    let host = Host::new();
    let config = json!({ "limits": [{ "by": "model", "usd": "0.01/month" }], "unpriced": "allow" });
    let budgets = host.budgets(config);
    let spent = Spender { model: Some("anthropic/claude-opus-5"), ..Spender::default() };
    host.record(Uuid::now_v7(), spent, 10_000, 0);
    for (model, passes) in [("claude-opus-5", false), ("claude-opus-5-20260301", false), ("claude-sonnet-4-5", true)] {
        let body = TestCall::new().model(model).max_tokens(1).to(Endpoint::MESSAGES);
        assert_eq!(call(&budgets, by_key("alice"), body).await.is_ok(), passes, "{model}");
    }
    // nor is there another budget for another case of a name that has no price
    host.record(Uuid::now_v7(), Spender { model: Some("Fast"), ..Spender::default() }, 10_000, 0);
    for model in ["fast", "FAST"] {
        let body = TestCall::new().model(model).max_tokens(1).to(Endpoint::MESSAGES);
        assert!(call(&budgets, by_key("alice"), body).await.is_err(), "{model}");
    }
}
