//! The steps that bring a database's schema to what this build writes. Each engine takes them in its own way.

/// A step.
pub(super) struct Migration {
    /// 1, 2, 3, …
    pub(super) version: i64,
    pub(super) sql: &'static str,
}

/// The steps on Postgres.
#[cfg(feature = "postgres")]
pub(super) const POSTGRES: [Migration; 2] = [
    Migration { version: 1, sql: include_str!("../../../../migrations/postgres/0001_ledger.sql") },
    Migration { version: 2, sql: include_str!("../../../../migrations/postgres/0002_provider_cost.sql") },
];

/// The steps on `SQLite`.
#[cfg(feature = "sqlite")]
pub(super) const SQLITE: [Migration; 2] = [
    Migration { version: 1, sql: include_str!("../../../../migrations/sqlite/0001_ledger.sql") },
    Migration { version: 2, sql: include_str!("../../../../migrations/sqlite/0002_provider_cost.sql") },
];

/// The steps that are still to be taken from a version on; an error where the schema is newer than this build.
pub(super) fn missing(steps: &'static [Migration], version: i64) -> Result<&'static [Migration], String> {
    let newest = steps.last().map_or(0, |step| step.version);
    if version > newest {
        return Err(format!("its schema is version {version}, newer than this build's, which is {newest}"));
    }
    Ok(&steps[steps.partition_point(|step| step.version <= version)..])
}

/// That a database's schema is behind, where nobody may bring it forward.
pub(super) fn behind(version: i64, missing: &[Migration]) -> String {
    let newest = missing.last().map_or(version, |step| step.version);
    format!("its schema is version {version}, and this build writes version {newest}: run `tollgate migrate -c FILE`")
}
