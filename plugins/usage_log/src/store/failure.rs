//! What a database's error means for the records: another try, or never.

use std::fmt;

/// What keeps the database from doing what it is asked. The text never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot now: it is down, full, locked, read-only, or its schema is not what it should be. Worth another try, of
    /// the same records in the same order, on a new connection.
    Unavailable(String),
    /// It will never take at least one of these records. Nothing of the batch was kept; the others are worth a try
    /// without it.
    Rejected(String),
}

impl StoreError {
    /// What a driver's error means.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            // a configuration's error may repeat the URL, and the URL may hold a password
            return Self::Unavailable(match error {
                sqlx::Error::Configuration(_) => "the database's URL cannot be used".into(),
                error => error.to_string(),
            });
        };
        let code = database.code().unwrap_or_default();
        let why = format!("{} ({code})", database.message());
        if is_about_a_row(&code) { Self::Rejected(why) } else { Self::Unavailable(why) }
    }
}

/// Whether it is a row that is wrong, and not the database. Postgres: a value that its type does not take (22…), a
/// constraint (23…; 23514 is also what a row meets whose month has no partition, which comes to have one), a trigger
/// that objects (P0001), a value too long for an index or nested too deeply (54…). `SQLite`: too big (18), a constraint (19…),
/// a wrong type (20); its codes have four digits at the most, and the kind of error in the low byte.
fn is_about_a_row(code: &str) -> bool {
    if code.len() == 5 {
        return code != "23514" && (["22", "23", "54"].iter().any(|class| code.starts_with(class)) || code == "P0001");
    }
    code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 18..=20))
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) | Self::Rejected(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_row_is_to_blame_for_is_a_rows_end() {
        for code in ["22021", "22P05", "23502", "23505", "54000", "54001", "P0001", "19", "275", "2067", "1555", "18"] {
            assert!(is_about_a_row(code), "{code}");
        }
        for code in [
            "", "08006", "23514", "25006", "3D000", "40001", "40P01", "42501", "42P01", "53100", "53300", "57014",
            "57P01", "57P03", "58030", "XX000", "5", "261", "6", "8", "1032", "10", "13", "26",
        ] {
            assert!(!is_about_a_row(code), "{code}");
        }
    }
}
