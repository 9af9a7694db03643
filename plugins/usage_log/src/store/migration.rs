//! The steps that bring a database's schema to what this build writes, and what a schema of another build means. Each engine takes the
//! steps in its own way.

use plugin_api::LogLimit;

/// A step.
#[derive(Debug)]
pub(super) struct Migration {
    /// 1, 2, 3, …
    pub(super) version: i64,
    pub(super) sql: &'static str,
    /// The oldest version whose builds may write to a schema of this one. The first two have no place to say so.
    pub(super) readable_from: Option<i64>,
}

/// The steps on Postgres.
#[cfg(feature = "postgres")]
pub(super) const POSTGRES: [Migration; 16] = [
    Migration { version: 1, sql: include_str!("../../../../migrations/postgres/0001_ledger.sql"), readable_from: None },
    Migration {
        version: 2,
        sql: include_str!("../../../../migrations/postgres/0002_provider_cost.sql"),
        readable_from: None,
    },
    Migration {
        version: 3,
        sql: include_str!("../../../../migrations/postgres/0003_refusals.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 4,
        sql: include_str!("../../../../migrations/postgres/0004_callers.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 5,
        sql: include_str!("../../../../migrations/postgres/0005_requested_model.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 6,
        sql: include_str!("../../../../migrations/postgres/0006_protocol.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 7,
        sql: include_str!("../../../../migrations/postgres/0007_limit_tokens.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 8,
        sql: include_str!("../../../../migrations/postgres/0008_assumed_cost.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 9,
        sql: include_str!("../../../../migrations/postgres/0009_rollups.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 10,
        sql: include_str!("../../../../migrations/postgres/0010_rule.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 11,
        sql: include_str!("../../../../migrations/postgres/0011_trace_id.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 12,
        sql: include_str!("../../../../migrations/postgres/0012_parent_conversation.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 13,
        sql: include_str!("../../../../migrations/postgres/0013_subagents.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 14,
        sql: include_str!("../../../../migrations/postgres/0014_attempt_details.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 15,
        sql: include_str!("../../../../migrations/postgres/0015_batches.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 16,
        sql: include_str!("../../../../migrations/postgres/0016_turns.sql"),
        readable_from: Some(3),
    },
];

/// The steps on `SQLite`.
#[cfg(feature = "sqlite")]
pub(super) const SQLITE: [Migration; 16] = [
    Migration { version: 1, sql: include_str!("../../../../migrations/sqlite/0001_ledger.sql"), readable_from: None },
    Migration {
        version: 2,
        sql: include_str!("../../../../migrations/sqlite/0002_provider_cost.sql"),
        readable_from: None,
    },
    Migration {
        version: 3,
        sql: include_str!("../../../../migrations/sqlite/0003_refusals.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 4,
        sql: include_str!("../../../../migrations/sqlite/0004_callers.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 5,
        sql: include_str!("../../../../migrations/sqlite/0005_requested_model.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 6,
        sql: include_str!("../../../../migrations/sqlite/0006_protocol.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 7,
        sql: include_str!("../../../../migrations/sqlite/0007_limit_tokens.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 8,
        sql: include_str!("../../../../migrations/sqlite/0008_assumed_cost.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 9,
        sql: include_str!("../../../../migrations/sqlite/0009_rollups.sql"),
        readable_from: Some(3),
    },
    Migration { version: 10, sql: include_str!("../../../../migrations/sqlite/0010_rule.sql"), readable_from: Some(3) },
    Migration {
        version: 11,
        sql: include_str!("../../../../migrations/sqlite/0011_trace_id.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 12,
        sql: include_str!("../../../../migrations/sqlite/0012_parent_conversation.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 13,
        sql: include_str!("../../../../migrations/sqlite/0013_subagents.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 14,
        sql: include_str!("../../../../migrations/sqlite/0014_attempt_details.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 15,
        sql: include_str!("../../../../migrations/sqlite/0015_batches.sql"),
        readable_from: Some(3),
    },
    Migration {
        version: 16,
        sql: include_str!("../../../../migrations/sqlite/0016_turns.sql"),
        readable_from: Some(3),
    },
];

/// The schema of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schema {
    /// 0 where there is none.
    pub(super) version: i64,
    /// The oldest version whose builds may write to it, where it says so.
    pub(super) readable_from: Option<i64>,
}

/// What a schema is to this build.
#[derive(Debug)]
pub(super) enum Standing {
    /// It lacks these steps; none if it is this build's.
    Missing(&'static [Migration]),
    /// It is a later build's, and this build may write the columns that it knows.
    Newer,
}

impl Schema {
    /// What it is to a build with these steps; an error where it is a later build's, and this one may not write to it.
    pub(super) fn standing(self, steps: &'static [Migration]) -> Result<Standing, String> {
        let newest = steps.last().map_or(0, |step| step.version);
        if self.version <= newest {
            let known = steps.partition_point(|step| step.version <= self.version);
            return Ok(Standing::Missing(&steps[known..]));
        }
        if self.readable_from.is_some_and(|from| from <= newest) {
            return Ok(Standing::Newer);
        }
        Err(format!("its schema is version {}, newer than this build's, which is {newest}", self.version))
    }

    /// That it is behind, where nobody may bring it forward.
    pub(super) fn behind(self, missing: &[Migration]) -> String {
        let version = self.version;
        let newest = missing.last().map_or(version, |step| step.version);
        format!(
            "its schema is version {version}, and this build writes version {newest}: run `tollgate migrate -c FILE`"
        )
    }
}

/// Logs that a schema is a later build's, which this build writes to.
pub(super) fn log_newer() {
    static NEWER: LogLimit = LogLimit::new();
    if let Some(suppressed) = NEWER.pass(()) {
        log::info!(suppressed; "the ledger's schema is newer than this build's: it writes the columns that it knows, and leaves retention to a later build");
    }
}

#[cfg(all(test, feature = "postgres", feature = "sqlite"))]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_written_to_only_where_it_says_that_this_build_may() {
        let missing = |version| match (Schema { version, readable_from: None }).standing(&POSTGRES) {
            Ok(Standing::Missing(steps)) => steps.len(),
            other => panic!("{other:?}"),
        };
        let latest = POSTGRES.len() as i64;
        assert!((0..=latest).all(|version| missing(version) as i64 == latest - version));
        let newer = |readable_from| Schema { version: latest + 1, readable_from }.standing(&SQLITE);
        assert!((3..=latest).all(|from| matches!(newer(Some(from)), Ok(Standing::Newer))));
        assert!(newer(Some(latest + 1)).is_err() && newer(None).is_err());
    }

    #[test]
    fn both_engines_have_the_same_steps() {
        for (at, (one, other)) in POSTGRES.iter().zip(&SQLITE).enumerate() {
            assert_eq!((one.version, one.readable_from), (other.version, other.readable_from));
            assert_eq!(usize::try_from(one.version), Ok(at + 1));
        }
        assert_eq!(POSTGRES.len(), SQLITE.len());
    }
}
