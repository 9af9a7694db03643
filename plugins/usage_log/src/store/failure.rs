//! What a database's error means for the records: another try, or a look at which of them it refuses.

use std::fmt;

/// What keeps the database from doing what it is asked. The text never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot now: it is down, full, locked, read-only, or gave up this transaction for another's sake. Worth another try, of
    /// the same records in the same order, on a new connection.
    Unavailable(String),
    /// It answers, and refuses what it is asked: for one of the records, or for all of them, where its schema or a permission is not
    /// what it should be. Nothing of the batch was kept.
    Refused(String),
    /// It refuses a value of at least one of these records. Nothing of the batch was kept.
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
        match Blame::of(&code) {
            Blame::Database => Self::Unavailable(why),
            Blame::Unknown => Self::Refused(why),
            Blame::Value => Self::Rejected(why),
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "sqlite")))]
impl StoreError {
    /// That this build cannot use a database.
    pub(crate) fn of_missing_engine(database: &crate::Database) -> Self {
        Self::Unavailable(database.missing_engine().unwrap_or_default())
    }
}

/// What is to blame for an error.
#[derive(Debug, PartialEq, Eq)]
enum Blame {
    /// The database's state, which passes whatever the records are.
    Database,
    /// The schema, a permission, or a record: it shows in whether the database takes other records.
    Unknown,
    /// A value of a record, or a constraint on it.
    Value,
}

impl Blame {
    /// By the code of Postgres (five characters), or of `SQLite` (four digits at the most, the kind of error in the low byte).
    fn of(code: &str) -> Self {
        if code.len() == 5 {
            return match &code[..2] {
                // a value that its type does not take, a constraint, too long for an index or nested too deeply
                "22" | "23" | "54" => Self::Value,
                // a trigger that objects
                "P0" => Self::Value,
                // the connection, read-only, who may connect, no such database, given up for another, out of something, in use, an
                // operator's intervention (but for a statement that took too long), the system
                "08" | "25" | "28" | "3D" | "40" | "53" | "55" | "58" => Self::Database,
                "57" if code != "57014" => Self::Database,
                _ => Self::Unknown,
            };
        }
        match code.parse::<u32>().map(|number| number & 0xff) {
            // too big, a constraint, a wrong type
            Ok(18..=20) => Self::Value,
            // may not, busy, locked, out of memory, read-only, interrupted, the disk, damaged, full, not to be opened, changed, no database
            Ok(3 | 5..=11 | 13..=15 | 17 | 26) => Self::Database,
            Ok(_) => Self::Unknown,
            Err(_) => Self::Database,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) | Self::Refused(why) | Self::Rejected(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_the_database_a_value_or_anything_else_is_to_blame() {
        for code in
            ["22021", "22P05", "22003", "23502", "23505", "23514", "54000", "54001", "P0001", "19", "275", "2067", "18"]
        {
            assert_eq!(Blame::of(code), Blame::Value, "{code}");
        }
        for code in [
            "", "08006", "08P01", "25006", "28P01", "3D000", "40001", "40P01", "53100", "53300", "55P03", "57P01",
            "57P03", "58030", "5", "261", "6", "8", "1032", "10", "13", "26",
        ] {
            assert_eq!(Blame::of(code), Blame::Database, "{code}");
        }
        for code in ["42501", "42703", "42P01", "42P10", "44000", "0A000", "57014", "XX000", "ZZ999", "1", "25"] {
            assert_eq!(Blame::of(code), Blame::Unknown, "{code}");
        }
    }
}
