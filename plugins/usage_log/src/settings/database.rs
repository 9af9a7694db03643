//! Which database, as one writes it: `postgres://…` or `sqlite://FILE`. Connects to nothing.

mod url;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use plugin_api::DatabaseId;
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
    /// Tells it apart from others of this process, whatever credentials it is reached by.
    pub(crate) fn id(&self) -> DatabaseId {
        DatabaseId::of(&self.to_string())
    }

    /// The same, with a file's path made to start from `base`.
    #[must_use]
    pub fn under(&self, base: &Path) -> Self {
        match self {
            Self::Postgres(_) => self.clone(),
            Self::Sqlite(path) => Self::Sqlite(base.join(path)),
        }
    }

    /// Why this build cannot use it, if it cannot: engines are cargo features.
    #[must_use]
    pub fn missing_engine(&self) -> Option<String> {
        let (engine, feature, is_built) = match self {
            Self::Postgres(_) => ("Postgres", "postgres", cfg!(feature = "postgres")),
            Self::Sqlite(_) => ("SQLite", "sqlite", cfg!(feature = "sqlite")),
        };
        (!is_built).then(|| format!("this build has no {engine}; build it with the cargo feature `{feature}`"))
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // the text may hold a password, so no error repeats it
        let wrong = |what: &str| Err(format!("{what}; write it like `postgres://user@host/name` or `sqlite://FILE`"));
        if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            return match url::parse(rest) {
                Ok(_) => Ok(Self::Postgres(text.to_owned())),
                Err(what) => wrong(&what),
            };
        }
        match text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            Some(path) if path.starts_with(":memory:") => wrong("a database in memory would not outlive the gateway"),
            Some(path) if path.contains('?') => wrong("the URL of a file has no parameters"),
            Some(path) if path.contains(char::is_control) => wrong("the database's URL has a control character in it"),
            Some(path) if path.ends_with('/') || Path::new(path).file_name().is_none() => {
                wrong("the database's URL names no file")
            }
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => wrong("this is not the URL of a database"),
        }
    }
}

/// As the YAML names it: with an engine that this build has.
impl TryFrom<String> for Database {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let database: Self = text.parse()?;
        database.missing_engine().map_or(Ok(database), Err)
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
            Self::Postgres(url) => match url.split_once("://").and_then(|(_, rest)| url::parse(rest).ok()) {
                Some(url::Place { host, name }) => write!(f, "postgres://{host}/{name}"),
                None => f.write_str("postgres://…"),
            },
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
            ("postgres://", "names no host"),
            ("postgres://u:secret@/x", "names no host"),
            ("postgresql://u:secret@db/x?sslmode=requird", "`sslmode` of the database's URL is unknown"),
            ("sqlite://:memory:", "would not outlive"),
            ("sqlite://", "names no file"),
            ("sqlite:///", "names no file"),
            ("sqlite://data/", "names no file"),
            ("sqlite://..", "names no file"),
            ("sqlite://ledger.db?mode=rwc", "has no parameters"),
        ] {
            let error = wrong.parse::<Database>().unwrap_err();
            assert!(error.contains(what) && !error.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_shown_of_it_holds_no_password() {
        let database: Database = "postgres://u:se%40cret@db/claude_nexus?password=x".parse().unwrap();
        assert_eq!(format!("{database} {database:?}"), "postgres://db/claude_nexus postgres://db/claude_nexus");
        let url = "postgresql://db/x?password=c@ret&host=/run/postgresql";
        assert_eq!(url.parse::<Database>().unwrap().to_string(), "postgres:///run/postgresql/x");
        assert_eq!(Database::Postgres("postgres://u:se?cret@db/x".into()).to_string(), "postgres://…");
    }

    #[test]
    fn a_configuration_names_only_engines_that_are_built() {
        let engines = [
            ("postgres://db/x", cfg!(feature = "postgres"), "no Postgres; build it with the cargo feature `postgres`"),
            ("sqlite://x.db", cfg!(feature = "sqlite"), "no SQLite; build it with the cargo feature `sqlite`"),
        ];
        for (url, is_built, why) in engines {
            match Database::try_from(url.to_owned()) {
                Ok(_) => assert!(is_built, "{url}"),
                Err(error) => assert!(!is_built && error.ends_with(why), "{url}: {error}"),
            }
        }
        let default = <crate::UsageLog as plugin_api::Plugin>::check(&crate::Config::default());
        assert_eq!(default.is_ok(), cfg!(feature = "sqlite"), "{default:?}");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn the_driver_takes_every_url_that_is_taken_here() {
        let passwords = ["p%40", "%23%2F%3F%25", "a!$&'()*+,;=~", "ü", "", "[", "\\", "a|b^c`d{e}\"<>"];
        for password in passwords {
            for rest in ["db/l", "[::1]:5432/l?sslmode=prefer", "%2Frun%2Fpg/l?options[search_path]=x"] {
                let url = format!("postgres://u:{password}@{rest}");
                if url.parse::<Database>().is_ok() {
                    crate::store::postgres::open::options(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
                }
            }
        }
    }
}
