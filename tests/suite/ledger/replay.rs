//! `tollgate usage replay`: what rows would have cost under other rules, exactly, and what of them cannot be known.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use prices::{Prices, Terms};
use serde_json::Value;
use usage_log::{Cost, Row, Tokens, UsageSource};

use super::book::{Book, at, records, rows};
use crate::harness::Folder;

const RULES: &str = "plugins:
  - model_router:
      auto:
        rules:
          - { name: long, when: { input_tokens: \">1000\" }, model: claude-opus-5 }
          - { name: tools, when: { tools: true, tenant: team-b }, model: claude-opus-5 }
          - { name: free, when: { tenant: free }, model: small }
        otherwise: claude-sonnet-4-5
";

fn config(book: &Book) -> Folder {
    let folder = Folder::new();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ origin: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
         routes: [{{ name: chat, upstream: origin, models: [{{ match: small, model: claude-haiku-4-5 }}] }}]\n{RULES}  \
         - usage_log: {{ database: \"{}\", migrate: check }}\n",
        book.url()
    );
    std::fs::write(folder.path().join("tollgate.yaml"), yaml).unwrap();
    folder
}

fn replay(config: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(["usage", "replay"])
        .args(arguments)
        .arg("-c")
        .arg(config.path().join("tollgate.yaml"))
        .output()
        .unwrap()
}

#[track_caller]
fn says(config: &Folder, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = replay(config, arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    String::from_utf8(stdout).unwrap()
}

fn json(config: &Folder, arguments: &[&str]) -> Value {
    serde_json::from_str(&says(config, &[arguments, &["--json"]].concat())).unwrap()
}

fn picos(model: &str, tokens: &Tokens) -> i128 {
    let tokens = prices::Tokens {
        input: tokens.input.map(i64::cast_unsigned),
        output: tokens.output.map(i64::cast_unsigned),
        cache_read: tokens.cache_read.map(i64::cast_unsigned),
        ..prices::Tokens::default()
    };
    Prices::default().cost(model, &tokens, Terms::default()).unwrap().picos().into()
}

/// More than two pages of rows. Every fifth asks for a model of its own; the others are calls of conversations of four.
fn history() -> Vec<Row> {
    let tenants = ["team-a", "team-b", "free"];
    rows(11_000)
        .into_iter()
        .enumerate()
        .map(|(number, row)| {
            let (talk, turn) = (number / 5, number % 5);
            let hash = |turn: usize| {
                let mut hash = [turn as u8; 32];
                hash[..8].copy_from_slice(&(talk as u64).to_le_bytes());
                hash
            };
            let is_own = turn == 4;
            let input = ((talk * 37 + turn * 11) % 1500) as i64;
            let tokens = Tokens {
                input: Some(input),
                output: Some((number % 400) as i64),
                cache_read: Some((turn * 100) as i64),
                ..Tokens::default()
            };
            Row {
                // several begin in the same microsecond
                created_at: at("2026-10-01", (number / 3) as i64 * 200_000_000),
                model: Some(if is_own { "claude-opus-5" } else { "auto" }.into()),
                served_model: Some(if is_own { "claude-opus-5" } else { "claude-sonnet-4-5-20250929" }.into()),
                endpoint: Some("messages".into()),
                route: Some(if talk % 2 == 0 { "chat" } else { "gone" }.into()),
                tenant: Some(tenants[talk % 3].into()),
                conversation_id: None,
                turn_hash: Some(hash(turn)),
                previous_turn_hash: (turn > 0 && !is_own).then(|| hash(turn - 1)),
                cost_usd: Some(Cost::from_picos(picos(
                    if is_own { "claude-opus-5" } else { "claude-sonnet-4-5" },
                    &tokens,
                ))),
                tokens,
                usage_source: UsageSource::Reported,
                ..row
            }
        })
        .collect()
}

#[tokio::test]
async fn rows_are_decided_anew_as_far_as_they_tell_and_priced_exactly() {
    let history = history();
    // by hand: the first call of a conversation decides for all of it
    let (mut actual, mut replayed, mut decided, mut unknown, mut unknown_cost) = (0, 0, 0_u64, 0_u64, 0);
    let mut by_model: BTreeMap<&str, (u64, i128)> = BTreeMap::new();
    for talk in history.chunks(5) {
        let first = &talk[0];
        let model = match first.tenant.as_deref() {
            _ if first.tokens.input.unwrap() > 1000 => Some("claude-opus-5"),
            Some("team-b") => None,
            Some("free") => Some("claude-haiku-4-5"),
            _ => Some("claude-sonnet-4-5"),
        };
        for row in &talk[..talk.len().min(4)] {
            let cost = i128::from(row.cost_usd.unwrap().picos());
            match model {
                Some(model) => {
                    let now = picos(model, &row.tokens);
                    (actual, replayed, decided) = (actual + cost, replayed + now, decided + 1);
                    let of = by_model.entry(model).or_default();
                    *of = (of.0 + 1, of.1 + now);
                }
                None => (unknown, unknown_cost) = (unknown + 1, unknown_cost + cost),
            }
        }
    }
    let dollars = usage_log::report::dollars;
    for book in Book::both().await {
        let mut store = book.store().await;
        for part in history.chunks(2000) {
            store.write(&records(part.to_vec())).await.unwrap();
        }
        store.close().await;
        let config = config(&book);
        let said = json(&config, &[]);
        assert_eq!((&said["requests"], &said["routed"]), (&11_000.into(), &8800.into()), "{said}");
        assert_eq!((&said["decided"], &said["unknown"]), (&decided.into(), &unknown.into()), "{said}");
        assert_eq!(said["unknown_by"][0]["lacking"], "tools");
        assert_eq!(said["unknown_by"][0]["actual_usd"], dollars(unknown_cost));
        let all = &said["all"];
        assert_eq!(all["actual_usd"], dollars(actual));
        assert_eq!(all["replayed_usd"], dollars(replayed));
        assert_eq!(all["saved_usd"], dollars(actual - replayed));
        assert_eq!((&all["unpriced"], &all["without_usage"]), (&0.into(), &0.into()));
        assert_eq!(said["pinned"], decided / 4 * 3);
        for of in said["by_model"].as_array().unwrap() {
            let (calls, cost) = by_model.get(of["model"].as_str().unwrap()).copied().unwrap_or_default();
            assert_eq!((&of["calls_replayed"], &of["replayed_usd"]), (&calls.into(), &dollars(cost).into()), "{of}");
        }
        // as if those that named a model had left the choice, too
        let all =
            json(&config, &["--as", "auto", "--tenant", "free", "--since", "2026-10-01", "--until", "2026-10-03"]);
        assert!(
            all["routed"] == all["requests"] && all["unknown"] == 0 && all["requests"].as_u64() > Some(200),
            "{all}"
        );
        let text = says(&config, &["--since", "2026-10-01"]);
        let lacking = format!("{unknown} lack tools; they cost {} USD", dollars(unknown_cost));
        for wanted in [
            &*lacking,
            "11000 requests, of which 8800 ask for",
            "auto/free",
            "by what their conversation keeps",
            "assumed: ",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        // conversations that began before the span are not known
        let later = json(&config, &["--since", "2026-10-02 00:04"]);
        let lacking: Vec<_> =
            later["unknown_by"].as_array().unwrap().iter().map(|of| of["lacking"].as_str().unwrap()).collect();
        assert_eq!(lacking, ["the beginning of its conversation", "tools"]);
    }
}

#[tokio::test]
async fn what_has_no_price_or_no_tokens_is_counted_and_never_zero() {
    let book = Book::Sqlite(Folder::new());
    let mut store = book.store().await;
    let row = |number: i64, row: Row| Row {
        created_at: at("2026-10-01", number * 1_000_000),
        endpoint: Some("messages".into()),
        route: Some("chat".into()),
        model: Some("auto".into()),
        tenant: Some("free".into()),
        ..row
    };
    let mut made = rows(4).into_iter();
    let mut next = || made.next().unwrap();
    let tokens = Tokens { input: Some(10), output: Some(10), ..Tokens::default() };
    let used = [
        // a tier that is sold by contract
        row(
            1,
            Row {
                served_model: Some("claude-sonnet-4-5".into()),
                service_tier: Some("priority".into()),
                tokens,
                ..next()
            },
        ),
        row(2, Row { served_model: Some("mystery".into()), cost_usd: None, tokens, ..next() }),
        row(3, Row { usage_source: UsageSource::None, tokens: Tokens::default(), cost_usd: None, ..next() }),
        // one that asked no upstream
        row(
            4,
            Row { attempts: 0, usage_source: UsageSource::None, tokens: Tokens::default(), cost_usd: None, ..next() },
        ),
    ];
    store.write(&records(used)).await.unwrap();
    store.close().await;
    let config = config(&book);
    let said = json(&config, &[]);
    let all = &said["all"];
    assert_eq!((&all["calls"], &all["unpriced"]), (&2.into(), &2.into()), "{said}");
    assert_eq!((&said["unknown"], &said["unknown_by"][0]["lacking"]), (&2.into(), &"input_tokens".into()));
    assert_eq!((&all["actual_usd"], &all["replayed_usd"]), (&"0".into(), &"0".into()));
    let nothing = config.path().join("tollgate.yaml");
    let text = std::fs::read_to_string(&nothing).unwrap();
    let without = text.replace(RULES, "plugins:\n");
    std::fs::write(&nothing, without).unwrap();
    let output = replay(&config, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no route has a plugin that chooses models"));
}

#[tokio::test]
async fn a_call_whose_answer_a_batch_has_did_not_cost_nothing() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut made = rows(3).into_iter();
        let call = |number: u8, row: Row| Row {
            created_at: at("2026-10-01", i64::from(number) * 1_000_000),
            endpoint: Some("messages".into()),
            route: Some("chat".into()),
            model: Some("auto".into()),
            tenant: Some("free".into()),
            turn_hash: Some([number; 32]),
            previous_turn_hash: (number > 1).then(|| [number - 1; 32]),
            ..row
        };
        let mut next = || made.next().unwrap();
        let unsent = |status, row| Row {
            outcome: "cached".into(),
            response_status: Some(status),
            attempts: 0,
            usage_source: UsageSource::None,
            tokens: Tokens::default(),
            cost_usd: None,
            ..row
        };
        let tokens = Tokens { input: Some(10), output: Some(10), ..Tokens::default() };
        let begun = Row { served_model: Some("claude-haiku-4-5".into()), tokens, ..next() };
        let calls = [call(1, begun), call(2, unsent(200, next())), call(3, unsent(202, next()))];
        store.write(&records(calls)).await.unwrap();
        store.close().await;
        let said = json(&config(&book), &[]);
        // what the cache answers costs nothing
        assert_eq!((&said["decided"], &said["pinned"]), (&3.into(), &2.into()), "{said}");
        assert_eq!((&said["all"]["without_usage"], &said["all"]["unpriced"]), (&1.into(), &0.into()), "{said}");
    }
}
