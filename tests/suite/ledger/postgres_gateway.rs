//! The whole gateway before a Postgres that comes and goes: no request fails or waits, and every row arrives, once.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::core::Collector;
use usage_log::{Store, StoreMetrics, StoreSettings};

use super::book::{housekept, records, rows, settings};
use crate::harness::{Gateway, Postgres, eventually, gateway, http1, origin, postgres};
use crate::payloads::call;

/// Sends so many calls. One that waited for a database that is away would never be answered: it comes back only afterwards.
async fn calls(gateway: &Gateway, count: usize) {
    let mut client = http1(gateway.address()).await;
    for number in 0..count {
        assert_eq!(client.post("/v1/messages", call(300, number as u64 + 1)).await.status, 200);
    }
}

/// Waits until the database has so many rows, each once and without a gap.
async fn arrive(server: &Postgres, count: usize) {
    let wanted = format!("{count}|{count}|{count}");
    eventually("all rows", async || {
        server
            .ask(
                "ledger",
                "SELECT count(*), count(DISTINCT id), count(DISTINCT (instance, sequence)) FROM api_requests",
            )
            .is_ok_and(|found| found == wanted)
    })
    .await;
}

#[tokio::test]
async fn requests_do_not_notice_and_all_rows_arrive_once() {
    let mut server = Postgres::prepared();
    let origin = origin().await;
    let plugins = format!("plugins: [{{ usage_log: {{ database: \"{}\" }} }}]", server.url());
    // the database is not there yet
    let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
    calls(&gateway, 20).await;
    server.start().await;
    server.sql_in("postgres", "CREATE DATABASE ledger");
    arrive(&server, 20).await;
    server.freeze();
    calls(&gateway, 20).await;
    server.thaw();
    arrive(&server, 40).await;
    server.stop();
    calls(&gateway, 20).await;
    server.start().await;
    arrive(&server, 60).await;
    calls(&gateway, 20).await;
    server.kill();
    calls(&gateway, 20).await;
    server.start().await;
    arrive(&server, 100).await;
}

const SLOW: &str = "tollgate_ledger_slow_queries_total";
const TOTAL: &str = "pg_stat_statements_total_time";

/// The names of what is counted of a database's work.
fn counted(metrics: &StoreMetrics) -> BTreeSet<String> {
    metrics.collect().iter().map(|family| family.name().to_owned()).collect()
}

#[tokio::test]
async fn slow_statements_are_counted_and_the_servers_own_count_is_told_where_there_is_one() {
    let server = postgres().await;
    let metrics = StoreMetrics::new().unwrap();
    let settings = StoreSettings { slow_query: Duration::ZERO, ..settings(&server.url()) };
    let mut store = Store::connect(&settings, &metrics).await.unwrap();
    store.migrate().await.unwrap();
    store.write(&records(rows(1))).await.unwrap();
    assert!(metrics.slow_queries() >= 2, "{}", metrics.slow_queries());
    housekept(&mut store).await.unwrap();
    let always = [SLOW, "tollgate_ledger_connections_in_use", "tollgate_ledger_connections_limit"].map(str::to_owned);
    assert_eq!(counted(&metrics), always.clone().into());
    server.sql("CREATE EXTENSION pg_stat_statements");
    housekept(&mut store).await.unwrap();
    let all = always.into_iter().chain([TOTAL.to_owned()]).collect();
    assert_eq!(counted(&metrics), all);
    let total = metrics.collect().iter().find(|family| family.name() == TOTAL).unwrap().get_metric()[0]
        .get_counter()
        .get_value();
    assert!(total > 0.0);
}
