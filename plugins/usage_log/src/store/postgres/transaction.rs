//! How every transaction begins. Behind a pooler such as `PgBouncer` each may run in another session, which other programs use too:
//! a setting, a lock or a temporary table must not outlive its transaction, and nothing may be expected of the session.

use std::fmt::Write;
use std::time::Duration;

/// What every transaction sets for itself, whatever the role, the database or the pooler says.
const SETTINGS: &str = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL client_min_messages = warning; SET LOCAL idle_in_transaction_session_timeout = '60s'; \
    SET LOCAL lock_timeout = '15s'; SET LOCAL statement_timeout = '30s'";
/// In place of the last three where a statement takes as long as it takes.
const PATIENT: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL statement_timeout = 0";

/// Begins a transaction whose statements have the usual limits.
pub(crate) fn begin() -> String {
    format!("BEGIN; {SETTINGS}")
}

/// Begins one whose statements take as long as they take, and that may be idle for as long.
pub(crate) fn begin_patiently() -> String {
    format!("BEGIN; {SETTINGS}; {PATIENT}")
}

/// Begins one that sees the tables as they were at one moment, and takes as long as it takes.
pub(crate) fn begin_at_one_moment() -> String {
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {SETTINGS}; {PATIENT}")
}

/// Statements as a transaction of their own, in one message.
pub(crate) fn alone(statements: &str) -> String {
    format!("{}; {statements}; COMMIT", begin())
}

/// The same for those that take as long as they take.
pub(crate) fn alone_patiently(statements: &str) -> String {
    format!("{}; {statements}; COMMIT", begin_patiently())
}

/// A query that somebody waits for, and that changes nothing. Compiling it, or sorting what does not fit a server's usual memory on its disk,
/// would take longer than all the rest.
pub(crate) fn alone_briefly(query: &str, limit: Duration) -> String {
    let limit = limit.as_millis();
    let settings =
        format!("{SETTINGS}; SET LOCAL statement_timeout = {limit}; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'");
    format!("BEGIN READ ONLY; {settings}; {query}; COMMIT")
}

/// Bytes as an expression. Needs no parameter, and so no prepared statement, and reads the same whatever the session's settings.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // a String takes all
        let _ = write!(hex, "{byte:02x}");
    }
    format!("decode('{hex}', 'hex')")
}

/// A text as an expression.
pub(crate) fn text(text: &str) -> String {
    format!("convert_from({}, 'UTF8')", bytes(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_by_its_bytes() {
        assert_eq!(text("a'b\\ü"), "convert_from(decode('6127625cc3bc', 'hex'), 'UTF8')");
        assert_eq!(bytes(&[]), "decode('', 'hex')");
    }
}
