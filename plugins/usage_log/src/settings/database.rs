//! Which database, as one writes it: `postgres://…` or `sqlite://FILE`. Connects to nothing.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A database.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Database {
    /// `postgres://user:password@host:port/name?…`: the whole URL. It may hold a password.
    Postgres(String),
    /// `sqlite://FILE`: the file. A relative one starts from the folder of the configuration.
    Sqlite(PathBuf),
}

impl Database {
    /// The same, with a file's path made to start from `base`.
    #[must_use]
    pub fn under(&self, base: &Path) -> Self {
        match self {
            Self::Postgres(_) => self.clone(),
            Self::Sqlite(path) => Self::Sqlite(base.join(path)),
        }
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // the text may hold a password, so no error repeats it
        let wrong = |what: &str| Err(format!("{what}; write it like `postgres://user@host/name` or `sqlite://FILE`"));
        if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            if host.rsplit('@').next().unwrap_or_default().is_empty() && !rest.contains("host=") {
                return wrong("the database's URL names no host");
            }
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            Some("") => wrong("the database's URL names no file"),
            Some(path) if path.starts_with(":memory:") => wrong("a database in memory would not outlive the gateway"),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => wrong("this is not the URL of a database"),
        }
    }
}

impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Database> for String {
    fn from(database: Database) -> Self {
        match database {
            Database::Postgres(url) => url,
            Database::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }
}

/// Without user, password and parameters.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
                // the `?` may be one of the password's, though no URL may have it there
                let rest = if parameters.contains('@') { "…" } else { rest };
                let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
                write!(f, "postgres://{rest}")
            }
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Database {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Database".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["sqlite://tollgate.db", "postgres://tollgate@db/tollgate"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_engine_and_where_it_is() {
        let sqlite = |path: &str| Database::Sqlite(path.into());
        assert_eq!("sqlite://tollgate.db".parse(), Ok(sqlite("tollgate.db")));
        assert_eq!("sqlite:///var/lib/t.db".parse(), Ok(sqlite("/var/lib/t.db")));
        let url = "postgres://u:secret@db:5433/claude_nexus?sslmode=require";
        assert_eq!(url.parse(), Ok(Database::Postgres(url.into())));
        for (wrong, what) in [
            ("mysql://x", "not the URL of a database"),
            ("sqlite://", "names no file"),
            ("postgres://", "names no host"),
            ("postgres://u:secret@/x", "names no host"),
            ("sqlite://:memory:", "would not outlive"),
        ] {
            let error = wrong.parse::<Database>().unwrap_err();
            assert!(error.contains(what) && !error.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_shown_of_it_holds_no_password() {
        let database: Database = "postgres://u:se@cret@db/claude_nexus?password=x".parse().unwrap();
        assert_eq!(format!("{database} {database:?}"), "postgres://db/claude_nexus postgres://db/claude_nexus");
        for url in ["postgres://u:se?cret@db/x", "postgres://u:se@c?ret@db/x", "postgres://db/x?password=c@ret"] {
            assert_eq!(url.parse::<Database>().unwrap().to_string(), "postgres://…", "{url}");
        }
    }
}
