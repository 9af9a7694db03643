//! Upgrades: what was spent counts on, whatever comes of them.

use super::{COST, call, in_the_ledger, plugins, priced_origin, refreshed, spent_of_six_cents};
use crate::harness::{Folder, gateway, http1};
use crate::ledger::book::Book;
use crate::upgrade::failing::{PREPARES, fails, replace_program, was_given_all};

#[tokio::test]
async fn an_upgrade_that_fails_once_the_journal_is_given_up_forgets_nothing_that_was_spent() {
    let (origin, book) = (priced_origin().await, Book::Sqlite(Folder::new()));
    let settings = plugins(&book, "limits: [{ by: all, usd: 0.06/month }], refresh: 100ms");
    let gateway = gateway().upstream(&origin).settings(&settings).by_link().start().await;
    let mut client = http1(gateway.address()).await;
    let mut calls = 0;
    for upgrade in 1..=2 {
        for _ in 0..2 {
            calls += 1;
            assert_eq!(call(&mut client, "a").await.status, 200);
        }
        replace_program(&gateway, &format!("{PREPARES}sys.exit(1)\n"));
        fails(&gateway, upgrade, "it has ended").await;
        assert!(was_given_all(&gateway));
        calls += 1;
        assert_eq!(call(&mut client, "a").await.status, 200);
        assert_eq!(in_the_ledger(&gateway, &book).await, calls * COST);
        refreshed(&gateway).await;
        assert_eq!(spent_of_six_cents(&gateway).await, calls * COST);
    }
}
