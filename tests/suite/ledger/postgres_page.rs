//! The statements of docs/ledger.md do what it says, and so does the SQL that operators of Claude Nexus have in their runbook,
//! where Postgres allows it.

use super::book::{Book, at, records, rows};
use plugin_api::Uuid;

const PAGE: &str = include_str!("../../../docs/ledger.md");

/// The SQL statements of a part of the page.
fn statements(part: &str) -> Vec<String> {
    let blocks = part.split("```").filter_map(|block| block.strip_prefix("sql\n"));
    let statements = blocks.flat_map(|block| block.split_inclusive(";\n"));
    statements.map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// A ledger with rows of now, and of the month that the page takes as its example.
async fn filled(book: &Book) {
    let mut store = book.store().await;
    let mut filled = rows(30);
    for (number, row) in filled.iter_mut().enumerate() {
        row.conversation_id = Some(Uuid::from_u128((number / 3) as u128));
        if number < 3 {
            row.created_at = at("2026-11-24", row.sequence);
        }
    }
    store.write(&records(filled)).await.unwrap();
}

#[tokio::test]
async fn every_statement_of_the_page_runs() {
    let (postgres, sqlite) = PAGE.split_once("\n## SQLite").unwrap();
    for (book, page) in Book::both().await.into_iter().zip([postgres, sqlite]) {
        filled(&book).await;
        let statements = statements(page);
        assert!(statements.len() >= 5, "{statements:?}");
        for statement in &statements {
            book.sql(statement);
        }
        if let Book::Postgres(_) = book {
            // the index that the page makes is as good as any
            assert_eq!(
                book.sql(
                    "SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid = 'api_requests_2026_11_key'::regclass"
                ),
                "t"
            );
        }
    }
}

#[tokio::test]
async fn a_nexus_operators_runbook_runs_but_for_what_postgres_forbids() {
    let [book, _] = Book::both().await;
    filled(&book).await;
    let Book::Postgres(server) = &book else { unreachable!() };
    server.sql("CREATE EXTENSION pg_stat_statements");
    for (statement, lines) in [
        ("SELECT pid, now() - query_start AS duration, query FROM pg_stat_activity
          WHERE (now() - query_start) > interval '5 seconds' AND state = 'active'", 0),
        ("SELECT query, mean_exec_time, calls FROM pg_stat_statements ORDER BY mean_exec_time DESC LIMIT 1", 1),
        ("SELECT method, path, AVG(response_time_ms) as avg_time, MAX(response_time_ms) as max_time, COUNT(*) as count
          FROM api_requests WHERE created_at > NOW() - INTERVAL '1 hour' GROUP BY method, path ORDER BY avg_time DESC", 1),
        ("SELECT count(*) FROM pg_stat_activity", 1),
        ("ANALYZE api_requests", 0),
        ("ANALYZE streaming_chunks", 0),
        ("WITH latest_requests AS (SELECT DISTINCT ON (conversation_id) conversation_id, id as latest_request_id
            FROM api_requests ORDER BY conversation_id, created_at DESC)
          SELECT c.*, lr.latest_request_id FROM conversations c LEFT JOIN latest_requests lr ON c.id = lr.conversation_id", 10),
        ("SELECT schemaname, tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS total_size
          FROM pg_tables WHERE schemaname = 'public' AND tablename = 'api_requests'
          ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC", 1),
        ("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public' AND n_distinct <> 0
          AND tablename IN ('api_requests', 'streaming_chunks')", 1),
        ("ALTER TABLE streaming_chunks SET (autovacuum_vacuum_scale_factor = 0.1)", 0),
        ("CREATE TABLE api_requests_2024_01 PARTITION OF api_requests FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')", 0),
        ("CREATE TABLE api_requests_2024_02 PARTITION OF api_requests FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')", 0),
        ("SELECT domain, model, request_type, AVG(input_tokens + output_tokens) as avg_tokens,
            MAX(input_tokens + output_tokens) as max_tokens, COUNT(*) as count FROM api_requests
          WHERE created_at > NOW() - INTERVAL '24 hours' GROUP BY domain, model, request_type ORDER BY avg_tokens DESC", 1),
    ] {
        let found = server.sql(statement);
        assert_eq!(found.lines().count(), lines, "{statement}\n{found}");
    }
    let hours = server.sql(
        "SELECT date_trunc('hour', created_at) as hour, SUM(input_tokens) as input, SUM(output_tokens) as output,
            COUNT(*) as requests FROM api_requests WHERE created_at > NOW() - INTERVAL '24 hours' GROUP BY hour ORDER BY hour",
    );
    assert!((1..=2).contains(&hours.lines().count()), "{hours}");
    for name in ["created_at", "domain", "conversation"] {
        let there = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_api_requests_{name}'::regclass");
        assert_eq!(server.sql(&there), "t");
    }
    for (statement, why) in [
        ("CREATE INDEX CONCURRENTLY idx_api_requests_more ON api_requests(created_at)", "partitioned table"),
        ("ALTER TABLE api_requests SET (autovacuum_vacuum_scale_factor = 0.1)", "unrecognized parameter"),
    ] {
        let error = server.ask("ledger", statement).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
