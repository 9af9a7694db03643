//! What an account comes to, whatever the order of records and answers.

use plugin_api::{DatabaseId, Spending};
use quota::Calendar;

use super::part::MOST_WAITING;
use super::*;

const LIMIT: Limit = Limit::Window { amount: 100, unit: Unit::Day, calendar: Calendar::UTC };
const DAY: i64 = 86_400;

fn now(unix: i64) -> Now {
    Now { nanos: 0, unix }
}

fn ledger() -> LedgerId {
    Spending::default().feed().ledger()
}

fn change(place: u64, picos: i64) -> Change {
    Change { ledger: ledger(), place: Place::Own(place), is_request: true, began: 10, picos }
}

fn spend(account: &Account, change: Change) {
    account.spend(change, None, &LIMIT, &[], now(20));
}

fn used(account: &Account) -> u64 {
    account.meter.used(&LIMIT, now(20))
}

fn database() -> DatabaseId {
    DatabaseId::of(&0)
}

fn point(place: u64) -> StoredUpTo<'static> {
    StoredUpTo {
        ledger: ledger(),
        place: Place::Own(place),
        database: database(),
        beside: Box::leak(Box::new([ledger()])),
    }
}

fn asked(place: u64) -> Asked {
    Asked { ledger: ledger(), database: database(), since: 0, place, is_first: false }
}

fn answered(account: &Account, place: u64, all: i64, own: i64) -> i64 {
    account.answered(asked(place), Stored { own, rest: all - own }, &LIMIT, &[], now(20)).0
}

#[test]
fn what_the_database_has_counts_once_with_what_is_still_to_come_there() {
    let account = Account::new(0, Vec::new());
    spend(&account, Change { place: Place::Old(1), ..change(0, 7) });
    for place in 1..=4 {
        spend(&account, change(place, 10));
    }
    assert_eq!(used(&account), 47);
    // two records and those of the run before are stored, beside 100 of another gateway
    assert_eq!(answered(&account, 2, 127, 20), 0);
    assert_eq!(used(&account), 147);
    // nothing came from elsewhere since: asked again it is the same
    assert_eq!(answered(&account, 4, 147, 40), 0);
    assert_eq!(used(&account), 147);
    // a correction lowers it
    spend(&account, change(5, -4));
    assert_eq!(used(&account), 143);
    // a row that is missing in the database is drift
    assert_eq!(answered(&account, 5, 133, 26), -10);
    assert_eq!(used(&account), 133);
}

#[test]
fn records_whose_places_come_late_are_counted_once() {
    let account = Account::new(0, Vec::new());
    // the second is stored and read before the first is counted here
    spend(&account, change(2, 10));
    answered(&account, 2, 20, 20);
    assert_eq!(used(&account), 20);
    spend(&account, change(1, 10));
    assert_eq!(used(&account), 20);
    // another one comes once it is stored, and before the database is asked again
    account.stored(point(4), &LIMIT, now(20));
    spend(&account, change(3, 10));
    assert_eq!(used(&account), 30);
    answered(&account, 4, 30, 30);
    assert_eq!(used(&account), 30);
}

#[test]
fn a_long_outage_takes_no_more_memory_than_a_short_one_and_loses_nothing() {
    let account = Account::new(0, Vec::new());
    let all = MOST_WAITING as i64 * 2;
    for place in 1..=all {
        spend(&account, change(place as u64, 1));
    }
    assert_eq!(used(&account) as i64, all);
    assert!(account.book().parts[0].waiting.len() <= MOST_WAITING);
    // in the midst of them a few count twice, and that is no drift
    assert_eq!(answered(&account, 9, 9, 9), 0);
    let twice = used(&account) as i64 - all;
    assert!((1..4).contains(&twice), "{twice}");
    // nor does a checkpoint lack any that are stored
    let saved = account.stored(point(all as u64 / 2 + 1), &LIMIT, now(20));
    assert!((1..8).contains(&(saved - all / 2)), "{saved}");
    assert_eq!(account.stored(point(all as u64), &LIMIT, now(20)), all + twice);
    assert_eq!(answered(&account, all as u64, all, all), 0);
    assert_eq!(used(&account) as i64, all);
}

#[test]
fn a_call_counts_for_the_day_on_which_it_began() {
    let account = Account::new(0, Vec::new());
    spend(&account, change(1, 10));
    let today = Change { began: DAY, ..change(2, 5) };
    account.spend(today, None, &LIMIT, &[], now(DAY));
    assert_eq!(account.meter.used(&LIMIT, now(DAY)), 5);
    // one of yesterday ends, and an answer about yesterday comes
    account.spend(change(3, 10), None, &LIMIT, &[], now(DAY));
    account.answered(asked(3), Stored { own: 20, rest: 0 }, &LIMIT, &[], now(DAY));
    assert_eq!(account.meter.used(&LIMIT, now(DAY)), 5);
}

#[test]
fn each_share_is_reported_once_in_a_span_of_time_and_the_highest_for_all() {
    let account = Account::new(0, Vec::new());
    let shares: Vec<Share> = ["50%", "80%", "100%"].map(|text| Share::try_from(text.to_owned()).unwrap()).into();
    let spend = |place, picos, began, at| {
        account.spend(Change { began, ..change(place, picos) }, None, &LIMIT, &shares, now(at))
    };
    assert_eq!(spend(1, 49, 10, 20), None);
    let raised = spend(2, 1, 10, 20).unwrap();
    assert_eq!((raised.share, raised.spent, raised.window), (shares[0], 50, (0, DAY)));
    assert_eq!(spend(3, 1, 10, 20), None);
    assert_eq!(spend(4, 60, 10, 20).unwrap().share, shares[2]);
    assert_eq!(spend(5, 60, 10, 20), None);
    assert_eq!(spend(6, 50, DAY, DAY).unwrap().share, shares[0]);
}

#[test]
fn what_was_counted_before_the_first_answer_is_no_drift() {
    let account = Account::new(0, Vec::new());
    spend(&account, change(8, 10));
    let first = Asked { is_first: true, ..asked(8) };
    assert_eq!(account.answered(first, Stored { own: 80, rest: 10 }, &LIMIT, &[], now(20)).0, 0);
    spend(&account, change(9, 10));
    assert_eq!(answered(&account, 9, 100, 90), 0);
}

#[test]
fn a_record_that_comes_after_the_first_answer_which_has_it_is_no_drift() {
    let account = Account::new(0, Vec::new());
    spend(&account, change(7, 10));
    // another thread has written record 8 and not said so yet; 60 are of before
    let first = Asked { is_first: true, ..asked(8) };
    assert_eq!(account.answered(first, Stored { own: 80, rest: 0 }, &LIMIT, &[], now(20)).0, 0);
    spend(&account, change(8, 10));
    assert_eq!(used(&account), 80);
    spend(&account, change(9, 10));
    assert_eq!(answered(&account, 9, 90, 90), 0);
    // and one that is missing still is
    spend(&account, change(10, 10));
    assert_eq!(answered(&account, 10, 90, 90), -10);
}

#[test]
fn two_journals_of_one_database_count_what_is_not_theirs_once() {
    let (account, spending) = (Account::new(0, Vec::new()), Spending::default());
    let (before, after) = (spending.feed().ledger(), spending.feed().ledger());
    let record = |ledger, place, picos| Change { ledger, ..change(place, picos) };
    let answer = |ledger, place, own, rest| {
        let asked = Asked { ledger, ..asked(place) };
        account.answered(asked, Stored { own, rest }, &LIMIT, &[], now(20)).0
    };
    spend(&account, record(before, 1, 10));
    assert_eq!(answer(before, 1, 10, 500), 0);
    assert_eq!(used(&account), 510);
    // a reload names another journal for the same database; what the first one holds is still to come
    spend(&account, record(before, 2, 7));
    spend(&account, record(after, 1, 20));
    assert_eq!(answer(after, 0, 0, 500), 0);
    assert_eq!(used(&account), 537);
    assert_eq!((answer(before, 2, 17, 600), answer(after, 1, 20, 600)), (0, 0));
    assert_eq!(used(&account), 637);
    let beside: &[_] = &[before, after];
    let point = StoredUpTo { ledger: after, place: Place::Own(1), database: database(), beside };
    assert_eq!(account.stored(point, &LIMIT, now(20)), 637);
    // after a restart both files have that
    let account = Account::new(0, Vec::new());
    for _ in beside {
        account.restore(database(), 0, 637, &LIMIT, &[], now(20));
    }
    assert_eq!(used(&account), 637);
}
