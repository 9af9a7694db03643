//! Tenants that send the same body: nobody ever sees a byte that was made for another, and who shares may not do more than before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::harness::{gateway, origin, redis};
use crate::keys::new_key;

const TENANTS: usize = 200;
const ROUNDS: usize = 6;
/// Hits that every tenant waits for. How many come by themselves depends on how long the small memory of every other
/// reload is in use, and thus on the machine.
const HITS: usize = 2;

#[tokio::test]
async fn tenants_never_see_each_others_bytes_under_load_with_reloads_with_either_tier() {
    let redis = redis(&[]).await;
    let origin = origin().await;
    // the answer names the key that asked for it
    origin.answers_with(|request| {
        let key = request.header("x-api-key").unwrap_or("nobody");
        if request.target.contains("stream") { streamed(&["for", key]) } else { json(key) }
    });
    let shared = format!("redis: {{ url: \"{}\", timeout: 250ms }}, memory: {{ max_entries: 40 }}", redis.url());
    for settings in ["memory: { max_entries: 150 }", &shared] {
        let builder = gateway().upstream(&origin).settings(&plugin(settings));
        let texts = [builder.text(), builder.text().replace("max_entries: ", "max_entries: 1")];
        let gateway = builder.start().await;
        let (done, given) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tenants = tokio::task::JoinSet::new();
        for tenant in 0..TENANTS {
            let (address, given) = (gateway.address(), given.clone());
            tenants.spawn(async move {
                let key = format!("sk-tenant-{tenant}");
                let mut client = http1(address).await;
                let mut hits = 0;
                for round in 0.. {
                    if round >= ROUNDS && hits >= HITS {
                        break;
                    }
                    let stream = (tenant + round) % 2 == 0;
                    let target = if stream { "/v1/messages?stream" } else { "/v1/messages" };
                    let request = client.request("POST", target).header("x-api-key", &key);
                    let told = client.call(request.body(body(asks("the same", stream))).unwrap()).await;
                    let expected = if stream { events(&["for", &key]).concat() } else { message(&key) };
                    assert_eq!(told.text(), expected, "{}", mark(&told));
                    hits += usize::from(mark(&told) == "HIT");
                }
                given.fetch_add(hits, Ordering::Relaxed);
            });
        }
        let reloads = async {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                turn += 1;
                gateway.rewrite(&texts[turn % 2]);
                assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            turn
        };
        let served = async {
            while let Some(tenant) = tenants.join_next().await {
                tenant.unwrap();
            }
            done.store(true, Ordering::Relaxed);
        };
        let (reloads, ()) = tokio::join!(reloads, served);
        assert!(reloads > 1);
        assert!(given.load(Ordering::Relaxed) > TENANTS, "{given:?}");
    }
}

#[tokio::test]
async fn the_keys_of_a_tenant_share_answers_and_each_is_still_asked_what_it_may() {
    let origin = origin().await;
    origin.answers_with(|_| json("for a tenant"));
    let made =
        [("alice", "team-a", "*"), ("bob", "team-a", "*"), ("carol", "team-b", "*"), ("dave", "team-a", "gpt-*")];
    let made = made.map(|(name, tenant, models)| new_key(name, &["--tenant", tenant, "--models", models]));
    let lines: Vec<_> = made.iter().map(|(_, line)| format!("        {line}\n")).collect();
    let settings =
        format!("plugins:\n  - api_keys:\n      keys:\n{}  - response_cache: {{ scope: tenant }}\n", lines.concat());
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    let [alice, bob, carol, dave] = made.map(|(key, _)| key);
    let call = asks("hi", false);
    for (key, status, expected) in [(&alice, 200, "MISS"), (&bob, 200, "HIT"), (&carol, 200, "MISS"), (&dave, 403, "-")]
    {
        let told = ask(&gateway, key, &call).await;
        assert_eq!((told.status.as_u16(), mark(&told)), (status, expected), "{}", told.text());
    }
    let unknown = format!("{alice}x");
    assert_eq!(ask(&gateway, &unknown, &call).await.status, 401);
}
